"""`evals doctor`: what this machine can run, and what is missing."""

from __future__ import annotations

import os
import platform
import shutil
from importlib.util import find_spec
from pathlib import Path

import click

from evals.commands import common
from evals.errors import install

EXTRAS = {
    "local": ("xllamacpp", "the embedded model smollm2"),
    "hub": ("datasets", "benchmark data from the hub"),
    "vision": ("PIL", "images in prompts"),
    "math": ("math_verify", "symbolic equality of formulas"),
    "chemistry": ("rdkit", "molecules"),
    "materials": ("pymatgen", "compositions and crystals"),
}


@click.command()
@common.results_option
@common.json_option
def doctor(results: Path, as_json: bool) -> None:
    """Show what this machine can run, and what is missing for the rest."""
    findings = [*_machine(results), *_extras(), _names(), *_models(), *_profiles(), *_keys()]
    if as_json:
        common.print_json({"findings": [{"what": w, "ok": ok, "detail": d} for w, ok, d in findings]})
        return
    for what, ok, detail in findings:
        common.say(f"{'ok ' if ok else '-- '} {what:<18} {detail}", indent=23)


def _machine(results: Path) -> list[tuple[str, bool, str]]:
    place = results if results.exists() else results.resolve().parent
    writable = os.access(place, os.W_OK)
    free = shutil.disk_usage(place).free / 1e9 if place.exists() else 0.0
    return [
        (
            "python",
            True,
            f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        ),
        ("results", writable, f"{results}: {'writable' if writable else 'not writable'}, {free:.0f} GB free"),
    ]


def _extras() -> list[tuple[str, bool, str]]:
    return [
        (extra, ok := find_spec(module) is not None, use if ok else f"{use}: {install(extra)}")
        for extra, (module, use) in EXTRAS.items()
    ]


def _names() -> tuple[str, bool, str]:
    """Return whether IUPAC names can be compared by structure: OPSIN needs its package and Java."""
    use = "IUPAC names by structure (smolinstruct:NC-S2I)"
    if find_spec("py2opsin") is None:
        return ("opsin", False, f"{use}: {install('chemistry')}")
    if shutil.which("java") is None:
        return (
            "opsin",
            False,
            f"{use}: OPSIN is installed but needs Java on the PATH; names are compared as text",
        )
    return ("opsin", True, use)


def _models() -> list[tuple[str, bool, str]]:
    from evals import load
    from evals.errors import EvalsError

    try:
        load.model("smollm2")
    except EvalsError as error:
        return [("smollm2", False, str(error))]
    return [("smollm2", True, "engine and weights are installed")]


def _profiles() -> list[tuple[str, bool, str]]:
    """Return for each model of the Intern-S1 family whether this machine's GPUs can serve it."""
    from evals import gpus, profiles
    from evals.errors import UsageError

    family = [
        profile for profile in profiles.known() if profile.name.startswith("Intern-S") and gpus.needs(profile)
    ]
    try:
        here = gpus.visible()
    except UsageError as error:
        return [(profile.name, False, str(error)) for profile in family]
    lacking = {profile.name: gpus.lacks(profile, here) for profile in family}
    engines = "" if all(lacking.values()) else _engines()
    return [
        (
            name,
            not (why or not engines),
            why or f"its GPUs are here, and {engines or 'no engine is installed'}",
        )
        for name, why in lacking.items()
    ]


def _engines() -> str:
    """Return the inference servers that can be started here, with their versions."""
    from evals import load
    from evals.errors import UsageError
    from evals.model_adapters.common import launch

    versions = []
    for name in sorted(launch.ENGINES, reverse=True):
        try:
            versions.append(launch.version(load.engine(name), os.environ.get("EVALS_ENGINE_PYTHON", "")))
        except UsageError:
            continue
    return ", ".join(versions)


def _keys() -> list[tuple[str, bool, str]]:
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
