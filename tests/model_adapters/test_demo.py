"""The recorded models of the demo reply to every sample item under every protocol, and their scores differ."""

from __future__ import annotations

import pytest

import evals as library
from evals.errors import UnknownName
from evals.load import model
from evals.model_adapters.demo import NAMES, load_replies
from tests.support.command import evals
from tests.support.error_messages import raises

SUITES = {"mmlu-pro": 16, "gpqa": 12, "aime:2025": 12, "matbench:expt_gap": 16, "smolinstruct:NC-I2S": 14}


@pytest.mark.parametrize(
    "suite", [pytest.param(suite, marks=pytest.mark.slow) if ":expt" in suite else suite for suite in SUITES]
)
def test_every_item_has_a_reply_and_the_careful_model_is_better(here, suite: str) -> None:
    if suite.startswith("smolinstruct"):
        pytest.importorskip("rdkit", reason="the extra `chemistry` is not installed")
    headlines = {}
    for name in NAMES:
        outcome = evals("run", suite, "--sample", "-m", f"demo:{name}", "--quiet", "--json")
        assert outcome.status == 0, outcome.err
        (run,) = outcome.json["runs"]
        assert run["coverage"] == 1.0
        assert run["expected"] == SUITES[suite]
        headlines[name] = next(estimate for estimate in run["estimates"] if estimate["headline"])
    sign = 1 if headlines["careful"]["better"] == "higher" else -1
    assert sign * (headlines["careful"]["value"] - headlines["careless"]["value"]) > 0


def test_there_is_exactly_one_reply_per_item() -> None:
    for name in NAMES:
        assert len(load_replies(name)) == sum(SUITES.values())
        assert len({reply.asks for reply in load_replies(name)}) == len(load_replies(name))


def test_letters_follow_each_protocol_s_order_of_options(here) -> None:
    values = set()
    for protocol in ("strict", "official"):
        outcome = evals(
            "run", "gpqa", "--sample", "-m", "demo:careful", "--protocol", protocol, "--quiet", "--json"
        )
        (run,) = outcome.json["runs"]
        values.add(next(estimate["value"] for estimate in run["estimates"] if estimate["headline"]))
    assert len(values) == 1


def test_demo_models_can_be_used_from_python(here) -> None:
    runs = library.evaluate("mmlu-pro", "demo:careless", sample=True)
    assert len(runs) == 1
    assert runs[0].card.model == "careless"


def test_an_item_without_a_recorded_reply_is_a_failure(here) -> None:
    outcome = evals("run", "aime:2024", "--sample", "-m", "demo:careful", "--quiet", "--json")
    assert outcome.status in (1, 2)
    assert "only has replies to the --sample items" in outcome.err


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with raises(UnknownName):
        model("demo:carefree")
