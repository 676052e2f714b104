"""The recorded models of the demo: each reply is to an item that is there, under every protocol, and they differ."""

from __future__ import annotations

import pytest

import evals as library
from evals.errors import UnknownName
from evals.load import model
from evals.model_adapters.demo import NAMES, load_replies
from tests.support.command import evals

SUITES = {"mmlu-pro": 16, "gpqa": 12, "aime:2025": 12, "matbench:expt_gap": 16, "smolinstruct:NC-I2S": 14}


@pytest.mark.parametrize(
    "suite", [pytest.param(suite, marks=pytest.mark.slow) if ":expt" in suite else suite for suite in SUITES]
)
def test_every_item_has_a_reply_and_the_careful_one_is_better(here, suite: str) -> None:
    if suite.startswith("smolinstruct"):
        pytest.importorskip("rdkit", reason="the extra `chemistry` is not installed")
    found = {}
    for name in NAMES:
        done = evals("run", suite, "--sample", "-m", f"demo:{name}", "--quiet", "--json")
        assert done.status == 0, done.err
        (run,) = done.json["runs"]
        assert run["coverage"] == 1.0
        assert run["expected"] == SUITES[suite]
        found[name] = next(e for e in run["estimates"] if e["headline"])
    sign = 1 if found["careful"]["better"] == "higher" else -1
    assert sign * (found["careful"]["value"] - found["careless"]["value"]) > 0


def test_no_reply_is_left_over() -> None:
    for name in NAMES:
        assert len(load_replies(name)) == sum(SUITES.values())
        assert len({one.asks for one in load_replies(name)}) == len(load_replies(name))


def test_letters_follow_the_order_in_which_a_protocol_shows_the_options(here) -> None:
    values = set()
    for protocol in ("strict", "official"):
        done = evals(
            "run", "gpqa", "--sample", "-m", "demo:careful", "--protocol", protocol, "--quiet", "--json"
        )
        (run,) = done.json["runs"]
        values.add(next(e["value"] for e in run["estimates"] if e["headline"]))
    assert len(values) == 1


def test_a_notebook_can_use_them(here) -> None:
    runs = library.evaluate("mmlu-pro", "demo:careless", sample=True)
    assert len(runs) == 1
    assert runs[0].card.model == "careless"


def test_an_item_without_a_reply_is_a_failure_and_no_score(here) -> None:
    done = evals("run", "aime:2024", "--sample", "-m", "demo:careful", "--quiet", "--json")
    assert done.status in (1, 2)
    assert "only has replies to the --sample items" in done.err


def test_another_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(UnknownName, match="careful"):
        model("demo:carefree")
