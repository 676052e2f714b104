"""No command runs code that data from elsewhere name: results folders, bundles and baselines.

The tests run all commands that read foreign data, and the dashboard. The task file and the plugin that the data name
write a marker file when they are executed; the file must not appear.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib import invalidate_caches
from pathlib import Path

import pytest

from evals import load, plugins
from evals.bundles.bundle import pack
from evals.errors import Untrusted
from evals.records import store
from evals.records.card import Card
from evals.records.writer import Writer
from evals.types import Estimate
from tests.support import toy
from tests.support.command import evals
from tests.support.error_messages import raises

HEADLINE = Estimate(
    metric="accuracy",
    group="",
    value=0.5,
    low=0.1,
    high=0.9,
    worst=0.5,
    best=0.5,
    n=4,
    clusters=4,
    unit="fraction",
    better="higher",
    method="Wilson",
    headline=True,
)
TASK = """task: evil
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
output_type: generate_until
doc_to_text: !function marking.doc_to_text
doc_to_target: "{{question}}"
process_results: !function marking.process_results
metric_list: [{metric: exact_match}]
"""


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Install a task file and a plugin that write a marker file when executed; yield the path of the marker."""
    path = tmp_path / "MARKER"
    code = f"from pathlib import Path\nPath({str(path)!r}).write_text('executed')\n"
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "marking.py").write_text(
        code + "def doc_to_text(doc): return ''\ndef process_results(doc, results): return {}\n"
    )
    (folder / "items.jsonl").write_text('{"question": "x"}\n')
    (folder / "evil.yaml").write_text(TASK.replace("DATA", str(folder / "items.jsonl")))
    site = tmp_path / "site"
    info = site / "evil_plugin-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: evil-plugin\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[{plugins.SUITES}]\nevil-suite = evil_plugin_module\n")
    (site / "evil_plugin_module.py").write_text(code)
    monkeypatch.syspath_prepend(site)
    invalidate_caches()
    plugins.origins.cache_clear()
    yield path
    plugins.origins.cache_clear()


def write_foreign_run(results: Path, suite: str, name: str, *, status: str = "finished") -> Path:
    """Write a run from elsewhere, whose card names a suite; return its folder."""
    path = results / "evil@1" / "model" / name
    card = Card(
        run=name,
        config=toy.config(suite=suite, protocol="lm-eval"),
        model=name,
        status=status,
        expected=4,
        counts={"right": 2, "wrong": 2},
        coverage=1.0,
        scorers={"exact": "Exact(1)@1"},
        estimates=(HEADLINE,) if status == "finished" else (),
    )
    writer = Writer(path, card)
    writer.write_card()
    writer.write_samples(toy.samples(4))
    for n in range(4):
        writer.append(toy.record(f"q{n:03}", value=float(n % 2)))
    writer.finalize()
    writer.write_card()
    writer.close()
    return path


def suite_names(tmp_path: Path) -> list[str]:
    """Return names of suites for which code would have to be loaded."""
    return [
        f"lm-eval:{tmp_path}/tasks/evil.yaml",
        f"LM_EVAL:{tmp_path}/tasks/evil.yaml",
        f"lm-eval:{tmp_path}/tasks/evil.yaml:3",
        "lm-eval:../tasks/evil.yaml",
        "lm-eval:cruxeval_input",
        "evil-suite",
        "EVIL_SUITE",
        "evil-suite:variant",
        "evil_plugin_module",
        "../tasks/marking",
        "tasks.marking",
    ]


COMMANDS: tuple[Callable[[str, Path], tuple[object, ...]], ...] = (
    lambda run, out: ("show", run),
    lambda run, out: ("show", run, "--by", "group", "--json"),
    lambda run, out: ("show", run, "--samples"),
    lambda run, out: ("show",),
    lambda run, out: ("list", "runs"),
    lambda run, out: ("list", "suites"),
    lambda run, out: ("score", run),
    lambda run, out: ("score", run, "--protocol", "official"),
    lambda run, out: ("compare", run, "again"),
    lambda run, out: ("gate", run, "--baseline", "again", "--policy", out / "policy.toml"),
    lambda run, out: ("gate", "plan", out / "policy.toml", "--baseline", run),
    lambda run, out: ("gate", "baseline", run, out / "baseline.jsonl"),
    lambda run, out: ("gate", "noise", "--from", run, "--from", "again", "evil"),
    lambda run, out: ("audit", run),
    lambda run, out: ("audit", run, "--with", "lm-eval"),
    lambda run, out: ("claims", "check", run),
    lambda run, out: ("errata", "suggest", "evil"),
    lambda run, out: ("bundle", run, out / "b.zip"),
    lambda run, out: ("export", "csv", run, "--out", out / "csv"),
    lambda run, out: ("export", "markdown", run, "--out", out / "md"),
    lambda run, out: ("export", "lm-eval", run, "--out", out / "lm"),
    lambda run, out: ("export", "every-eval-ever", run, "--out", out / "eee", "--model-id", "a/b"),
    lambda run, out: ("export", "hub", run, "--out", out / "hub"),
    lambda run, out: ("bundle", "verify", out / "b.zip"),
    lambda run, out: ("dashboard", "--export", out / "static"),
    lambda run, out: ("run", "aime:2025", "--sample", "-m", f"replay:{run}"),
)  # fmt: skip
WITHOUT_RESULTS_OPTION = (("bundle", "verify"), ("list", "suites"))


@pytest.mark.parametrize("index", range(11))
def test_no_command_runs_code_that_a_results_folder_names(marker: Path, here: Path, index: int) -> None:
    suite = suite_names(here)[index]
    results = here / "results"
    write_foreign_run(results, suite, "theirs")
    write_foreign_run(results, suite, "again")
    write_foreign_run(results, suite, "open", status="interrupted")
    (here / "policy.toml").write_text(
        f"[[suite]]\nname = {json.dumps(suite)}\nmargin = 0.02\ntier = 'critical'\n"
    )
    for command in COMMANDS:
        arguments = command("theirs", here)
        options = () if arguments[:2] in WITHOUT_RESULTS_OPTION else ("--results", results)
        outcome = evals(*arguments, *options)
        assert not marker.exists(), arguments
        assert "Traceback" not in outcome.err, (arguments, outcome.err)
        assert outcome.status in (0, 1, 2, 3), (arguments, outcome.err)


@pytest.mark.slow
def test_the_dashboard_runs_no_code_that_a_results_folder_names(
    marker: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("streamlit", reason="the extra `dashboard` is not installed")
    from streamlit.testing.v1 import AppTest

    from evals.dashboard import state
    from tests.support.paths import ROOT

    for n, suite in enumerate(suite_names(here)[:8]):
        write_foreign_run(here / "results", suite, f"first-{n}")
        write_foreign_run(here / "results", suite, f"second-{n}")
    monkeypatch.setenv(state.RESULTS_VARIABLE, str(here / "results"))
    for page in state.PAGES:
        app = AppTest.from_file(str(ROOT / "dashboard" / "app.py"), default_timeout=120).run()
        app.switch_page(state.PAGES[page][0]).run()
        assert not marker.exists(), page
        for run in ("first-0", "first-5"):
            app.query_params["run"] = run
            app.run()
            assert not marker.exists(), page


@pytest.mark.slow
def test_rescoring_a_foreign_task_requires_that_the_user_trusts_it(marker: Path, here: Path) -> None:
    write_foreign_run(here / "results", f"lm-eval:{here}/tasks/evil.yaml", "theirs")
    assert evals("show", "theirs").status == 0
    evals("score", "theirs").assert_usage_error()
    evals("score", "theirs", "--trust-tasks")
    assert marker.exists()  # the user allowed it


def test_runs_of_a_foreign_suite_are_compared_by_their_records(marker: Path, here: Path) -> None:
    write_foreign_run(here / "results", "evil-suite", "theirs")
    write_foreign_run(here / "results", "evil-suite", "again")
    outcome = evals("compare", "theirs", "again", "--json")
    assert outcome.status == 0, outcome.err
    assert outcome.json["pairs"][0]["difference"] == 0.0
    assert not marker.exists()


def test_a_score_that_the_records_do_not_support_is_refused(marker: Path, here: Path) -> None:
    path = write_foreign_run(here / "results", "evil-suite", "theirs")
    write_foreign_run(here / "results", "evil-suite", "again")
    card = store.read_card(path)
    card.estimates = (
        type(HEADLINE)(**{f: getattr(HEADLINE, f) for f in HEADLINE.__struct_fields__} | {"value": 0.9}),
    )
    store.write_card(path, card)
    evals("compare", "theirs", "again").assert_usage_error()


def test_verifying_a_bundle_runs_no_code_that_it_names(marker: Path, here: Path) -> None:
    path = write_foreign_run(here / "results", f"lm-eval:{here}/tasks/evil.yaml", "theirs")
    pack(store.Run(path), here / "b.zip")
    evals("bundle", "verify", here / "b.zip").assert_usage_error()
    assert not marker.exists()


def test_a_plugin_is_loaded_only_if_the_user_trusts_it(marker: Path) -> None:
    with raises(Untrusted):
        load.recorded_suite("evil-suite")
    with load.trusting_tasks(), pytest.raises(AttributeError):  # the module has no suite
        load.recorded_suite("evil-suite")
    assert marker.exists()
