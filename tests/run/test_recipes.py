"""The recipes of docs/cluster.md: Ray inside a job of a real Slurm, and a Kubernetes Job checked against its published schema."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from evals.cli import cli
from evals.records.store import Run, runs
from tests.support.paths import ROOT
from tests.support.slurm import controller

RECIPE = re.compile(r"<!-- recipe: (\S+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RECIPES: dict[str, str] = dict(RECIPE.findall((ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")))


def options(command_line: list[str]) -> dict[str, Any]:
    """Return the options of `evals run ...` as the command line parses them."""
    assert command_line[:2] == ["evals", "run"]
    context = cli.make_context("evals", command_line[1:])
    name, command, rest = cli.resolve_command(context, [*context._protected_args, *context.args])
    assert command is not None
    return command.make_context(name, rest, parent=context).params


def test_the_kubernetes_job_follows_the_published_schema() -> None:
    kubernetes = pytest.importorskip(
        "kubernetes_validate", reason="NOT TESTED: kubernetes-validate is missing"
    )
    import yaml

    job = yaml.safe_load(RECIPES["job.yaml"])
    for version in ("1.31", kubernetes.latest_version()):
        kubernetes.validate(job, version, strict=True)
    with pytest.raises(kubernetes.ValidationError):  # the schema rejects unknown fields
        kubernetes.validate(job | {"spec": {**job["spec"], "backoffLimits": 1}}, "1.31", strict=True)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    parsed = options([*container["command"], *container["args"]])
    assert parsed["results"] == Path("/results")
    assert parsed["run"]  # so that a restarted pod resumes the same run
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts["results"] == "/results"
    assert set(mounts) == {volume["name"] for volume in job["spec"]["template"]["spec"]["volumes"]}


def test_the_command_of_the_ray_recipe_is_valid() -> None:
    command = RECIPES["ray.sbatch"].partition(" -- ")[2].replace("\\\n", " ")
    assert options(shlex.split(command))["cluster"] == "ray"


@pytest.mark.nightly
@pytest.mark.alone
@pytest.mark.filterwarnings("ignore")
def test_the_ray_recipe_runs_inside_a_slurm_job(tmp_path: Path) -> None:
    """Run the recipe as printed, except that it uses one node without GPUs and a demo model."""
    pytest.importorskip("ray", reason="NOT TESTED: ray is not installed")
    script = RECIPES["ray.sbatch"]
    for printed, replacement in (
        ("--nodes=4", "--nodes=1"),
        ("--gpus-per-node=8 ", ""),
        ("--cpus-per-task=64", "--cpus-per-task=2"),
        ("-m vllm:internlm/Intern-S1-Pro", "-m demo:careful --sample --replicas 2"),
    ):
        assert printed in script
        script = script.replace(printed, replacement)
    (tmp_path / "ray.sbatch").write_text(script)
    (tmp_path / "evals").write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "from evals.cli import main; main()" "$@"\n'
    )
    (tmp_path / "evals").chmod(0o755)
    with controller(cpus=2) as slurm:
        scripts = Path(sys.executable).parent
        slurm.environment |= {
            "PATH": f"{tmp_path}:{scripts}:{slurm.environment['PATH']}",
            "PYTHONPATH": str(ROOT),
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        job = slurm.run("sbatch", "--parsable", f"--chdir={tmp_path}", tmp_path / "ray.sbatch")
        slurm.wait_until_empty(seconds=240)
        log = (tmp_path / f"evals-{job}.log").read_text()
    (entry,) = runs(tmp_path / "results")
    run = Run(entry.path)
    assert run.card.coverage == 1.0, log
    assert any("2 replicas on 1 node," in note for note in run.card.notes), run.card.notes
