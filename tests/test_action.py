"""The GitHub Action and its example workflow, with their expressions evaluated as GitHub does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import evals
from tests.support.expressions import evaluate
from tests.support.paths import ROOT
from tests.support.workflows import actionlint

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")

ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
EXAMPLE_TEXT = (ROOT / ".github" / "workflows" / "example.yml").read_text()
EXAMPLE = yaml.safe_load(EXAMPLE_TEXT)
STEPS: dict[str, Any] = {step.get("name", step.get("uses", "")): step for step in ACTION["runs"]["steps"]}
OWN, FORK = ({"head": {"repo": {"full_name": name}}, "number": 7} for name in ("lab/repo", "guest/repo"))


def github(event: str, *, ref: str = "refs/pull/7/merge", pull: Any = None) -> dict[str, Any]:
    """Return the context `github` of a workflow run."""
    return {"event_name": event, "ref": ref, "repository": "lab/repo", "event": {"pull_request": pull}}


@pytest.mark.parametrize(
    ("ref", "full", "limit"),
    [
        ("refs/heads/main", False, ""),
        ("refs/heads/main", True, ""),
        ("refs/pull/7/merge", False, "1000"),
        ("refs/pull/7/merge", True, ""),
    ],
)
def test_the_example_limits_the_items_only_on_pull_requests(ref: str, full: bool, limit: str) -> None:
    (step,) = [step for step in EXAMPLE["jobs"]["gate"]["steps"] if step["uses"] == "./"]
    contexts = {"github": github("push", ref=ref), "inputs": {"full": full}}
    assert evaluate(step["with"]["limit"], contexts) == limit


def test_the_evaluator_treats_an_empty_string_as_false() -> None:
    # an earlier version of the example made this mistake
    assert evaluate("${{ true && '' || '200' }}", {}) == "200"
    assert evaluate("a-${{ x.y }}-${{ 'B' == 'b' }}", {"x": {"y": 3}}) == "a-3-true"


@pytest.mark.parametrize(
    ("event", "pull", "writes", "runs"),
    [("pull_request", OWN, True, True), ("pull_request", FORK, False, False), ("push", None, False, True)],
)
def test_a_fork_gets_no_comment_and_no_secrets(event: str, pull: Any, writes: bool, runs: bool) -> None:
    contexts = {
        "github": github(event, pull=pull),
        "inputs": {"comment": "true"},
        "steps": {"gate": {"outputs": {"verdict": "pass"}}},
    }
    assert bool(evaluate(STEPS["Comment"]["if"], contexts)) == writes
    assert STEPS["Comment"]["continue-on-error"] is True
    assert bool(evaluate(EXAMPLE["jobs"]["gate"]["if"], contexts)) == runs


def test_runs_are_cached_only_on_request() -> None:
    condition = STEPS["Runs of earlier attempts"]["if"]
    assert not evaluate(condition, {"inputs": {"keep": ACTION["inputs"]["keep"]["default"]}})
    assert evaluate(condition, {"inputs": {"keep": "true"}})
    assert "cache" not in next(step for name, step in STEPS.items() if "setup-python" in name)["with"]


def test_third_party_actions_are_pinned_to_a_commit() -> None:
    actions = [step["uses"] for step in ACTION["runs"]["steps"] if "uses" in step]
    actions += [step["uses"] for step in EXAMPLE["jobs"]["gate"]["steps"]]
    for action in actions:
        assert action == "./" or re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action), action


def test_two_gates_with_different_names_share_neither_artefact_nor_run() -> None:
    texts = [
        STEPS["Keep the report"]["with"]["name"],
        STEPS["Gate"]["env"]["CANDIDATE"],
        STEPS["Run"]["env"]["CANDIDATE"],
    ]
    names = [[evaluate(text, {"inputs": {"name": name}}) for text in texts] for name in ("quick", "full")]
    assert not set(names[0]) & set(names[1])
    assert names[0][1] == names[0][2]


def test_the_comment_step_looks_for_the_marker_that_the_gate_step_writes(tmp_path: Path) -> None:
    from evals.verdicts.gate_report_files import COMMENT_MARKER

    (tmp_path / "gate.md").write_text(f"{COMMENT_MARKER}\n### pass\n")
    (sed,) = [line for line in STEPS["Gate"]["run"].splitlines() if line.strip().startswith("sed ")]
    subprocess.run(
        ["bash", "-c", sed], cwd=tmp_path, env={"NAME": "quick", "PATH": "/usr/bin:/bin"}, check=True
    )
    assert (tmp_path / "gate.md").read_text().startswith("<!-- evals-gate quick -->\n")
    assert '"<!-- evals-gate " + env.NAME + " -->"' in STEPS["Comment"]["run"]


@pytest.mark.parametrize(
    "name", ["Check the name", "Install", "Rules of the base branch", "Run", "Gate", "Comment"]
)
def test_no_input_is_interpolated_into_a_script(name: str) -> None:
    script = STEPS[name]["run"]
    assert "${{" not in script
    subprocess.run(["bash", "-n", "-c", script], check=True)


@pytest.mark.parametrize(("name", "status"), [("gate", 0), ("quick-2", 0), ("a b", 2), ("$(x)", 2), ("", 2)])
def test_only_names_of_letters_digits_and_hyphens_are_accepted(name: str, status: int) -> None:
    script = STEPS["Check the name"]["run"]
    process = subprocess.run(["bash", "-c", script], env={"NAME": name}, capture_output=True, check=False)
    assert process.returncode == status


def test_no_module_of_the_checkout_is_imported() -> None:
    """`python -m` and `python -c` search the current folder first, where a pull request may have put a `pip.py`."""
    calls = [call for step in STEPS.values() for call in re.findall(r"\bpython3? \S+", step.get("run", ""))]
    assert calls
    assert set(calls) == {"python -I"}


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder and return its output."""
    author = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    process = subprocess.run(
        ["git", *author, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return process.stdout.strip()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "verdict", "status"), [("careful", "pass", 0), ("careless", "regression", 1)]
)
def test_the_action_gates_a_pull_request_by_the_policy_of_the_base_branch(
    tmp_path: Path, model: str, verdict: str, status: int
) -> None:
    origin, checkout = tmp_path / "origin", tmp_path / "checkout"
    (origin / "gate").mkdir(parents=True)
    git(origin, "init", "-q", "-b", "main")
    (origin / "gate" / "policy.toml").write_text('[[suite]]\nname = "mmlu-pro"\nmargin = 0.3\n')
    assert (
        evals(
            "run", "mmlu-pro", "--sample", "-m", "demo:careful", "--quiet", "--results", tmp_path / "r"
        ).status
        == 0
    )
    assert (
        evals("gate", "baseline", "last", origin / "gate" / "b.jsonl", "--results", tmp_path / "r").status
        == 0
    )
    git(origin, "add", "-A")
    git(origin, "commit", "-q", "-m", "policy")
    git(tmp_path, "clone", "-q", str(origin), str(checkout))
    # the policy of the pull request, which must be ignored
    (checkout / "gate" / "policy.toml").write_text('[[suite]]\nname = "mmlu-pro"\nmargin = 0.99\n')
    (checkout / "json.py").write_text("open('MARK', 'w')\nload = lambda stream: {'verdict': 'pass'}\n")
    (checkout / "gate.json").symlink_to(tmp_path / "precious")

    inputs = {name: entry.get("default", "") for name, entry in ACTION["inputs"].items()} | {
        "model": f"demo:{model}", "suites": "mmlu-pro", "policy": "gate/policy.toml", "baseline": "gate/b.jsonl",
        "options": "--sample --quiet", "results": str(tmp_path / "runs"), "token": "t",
    }  # fmt: skip
    pull = {"base": {"sha": git(origin, "rev-parse", "HEAD")}}
    contexts: dict[str, Any] = {
        "inputs": inputs, "steps": {}, "runner": {"temp": str(tmp_path)},
        "github": {"sha": "0" * 40, "event": {"pull_request": pull}},
    }  # fmt: skip
    for name in ("Check the name", "Rules of the base branch", "Run", "Gate"):
        step, output = STEPS[name], tmp_path / f"{name}.out"
        output.touch()
        env = {key: str(evaluate(value, contexts)) for key, value in step["env"].items()}
        env |= {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path),
                "GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}  # fmt: skip
        shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        process = subprocess.run(shell, cwd=checkout, env=env, capture_output=True, text=True, check=False)
        assert process.returncode == (status if name == "Gate" else 0), (name, process.stdout, process.stderr)
        outputs = dict(line.split("=", 1) for line in output.read_text().splitlines())
        contexts["steps"][step.get("id", name)] = {"outputs": outputs}
    assert contexts["steps"]["gate"]["outputs"]["verdict"] == verdict
    assert not (checkout / "MARK").exists()
    assert not (tmp_path / "precious").exists()
    assert f"evals gate: {verdict}" in (tmp_path / "summary.md").read_text().splitlines()[1]


@pytest.mark.slow
def test_actionlint_reports_no_problems(tmp_path: Path) -> None:
    lint = actionlint()
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    steps = ACTION["runs"]["steps"]
    inputs = {name: {"type": "string"} for name in ACTION["inputs"]}
    workflow = {
        "on": {"workflow_call": {"inputs": inputs}},
        "jobs": {"gate": {"runs-on": "ubuntu-latest", "steps": steps}},
    }
    as_workflow = folder / "action.yml"  # actionlint reads only workflows
    as_workflow.write_text(yaml.safe_dump(workflow, sort_keys=False))
    assert lint(as_workflow) == []
    assert lint(ROOT / ".github" / "workflows" / "example.yml") == []
    broken = folder / "broken.yml"
    broken.write_text(as_workflow.read_text().replace("inputs.keep ==", "inputs.kept =="))
    assert any("kept" in message for message in lint(broken))
