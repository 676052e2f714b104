"""Scores in the Every Eval Ever format become reported results; other scores are skipped, and hostile text remains text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evals.errors import DataError, UsageError
from evals.interop.every_eval_ever_claims import HEADER, import_claims
from evals.verdicts import reported
from tests.support.command import evals
from tests.support.error_messages import raises


def record(model: str = "01-ai/yi-1.5-34b-chat", *results: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "schema_version": "0.3.0",
        "evaluation_id": "x",
        "retrieved_timestamp": "1777613486.9",
        "source_metadata": {
            "source_name": "MMLU-Pro Leaderboard",
            "source_type": "documentation",
            "source_organization_name": "TIGER-Lab",
            "evaluator_relationship": "third_party",
        },
        "eval_library": {"name": "unknown", "version": "unknown"},
        "model_info": {"name": model.rpartition("/")[2], "id": model},
        "evaluation_results": list(results) or [score()],
        **fields,
    }


def score(
    name: str = "mmlu_pro/overall", value: float = 0.5229, unit: str = "proportion", **fields: Any
) -> dict[str, Any]:
    return {
        "evaluation_result_id": name,
        "evaluation_name": name,
        "source_data": {"dataset_name": "x", "source_type": "hf_dataset", "hf_repo": "TIGER-Lab/results"},
        "metric_config": {"lower_is_better": False, "metric_id": name, "metric_unit": unit},
        "score_details": {"score": value},
        **fields,
    }


def write_corpus(folder: Path, *records: dict[str, Any]) -> Path:
    (folder / "eee" / "data").mkdir(parents=True)
    for number, document in enumerate(records):
        (folder / "eee" / "data" / f"{number}.json").write_text(json.dumps(document))
    return folder / "eee"


def read_claims(folder: Path) -> list[reported.Claim]:
    return reported.read(folder / "results" / "claims" / "every-eval-ever.toml")


def test_scores_of_whole_benchmarks_become_claims_and_others_are_skipped(tmp_path: Path) -> None:
    source = write_corpus(
        tmp_path,
        record("a/one", score(), score("mmlu_pro/biology", 0.9)),
        record(
            "b/two",
            score("GPQA Diamond", 61.5, "percent"),
            score("hellaswag", 0.8),
            score("aime_2025", 3.0, ""),
        ),
    )
    summary = import_claims(source, tmp_path / "results")
    assert summary.claims == 2
    assert summary.skipped == {"scores of other benchmarks or parts": 2, "scores without a known scale": 1}
    by_suite = {claim.suite: claim for claim in read_claims(tmp_path)}
    assert (by_suite["mmlu-pro"].model, by_suite["mmlu-pro"].value, by_suite["mmlu-pro"].digits) == (
        "a/one",
        0.5229,
        2,
    )
    assert by_suite["gpqa:diamond"].value == 0.615
    assert by_suite["mmlu-pro"].source == "https://huggingface.co/datasets/TIGER-Lab/results"
    assert str(by_suite["mmlu-pro"].date) == "2026-05-01"
    assert "third_party" in by_suite["mmlu-pro"].note


def test_errors_for_which_lower_is_better_are_no_claims(tmp_path: Path) -> None:
    error_rate = score(metric_config={"lower_is_better": True, "metric_unit": "proportion"})
    summary = import_claims(
        write_corpus(tmp_path, record("a/one", score(), error_rate)), tmp_path / "results"
    )
    assert (summary.claims, sum(summary.skipped.values())) == (1, 1)
    assert [claim.value for claim in read_claims(tmp_path)] == [0.5229]


def test_scores_on_sample_items_in_our_own_exports_are_no_claims(here: Path) -> None:
    assert evals("run", "mmlu-pro", "--sample", "-m", "demo:careful", "--quiet").status == 0
    assert evals("export", "every-eval-ever", "last", "--out", "eee").status == 0
    outcome = evals("claims", "import", "every-eval-ever", "eee")
    outcome.assert_usage_error()
    assert "scores on sample items or subsets: 2" in outcome.err
    (document,) = (json.loads(path.read_text()) for path in Path("eee").rglob("*.json"))
    details = {
        result["evaluation_result_id"]: result["score_details"]["details"]
        for result in document["evaluation_results"]
    }
    assert details["accuracy"]["count:right"] == "15"  # of the whole run, so not stated for a group
    assert "count:right" not in details["accuracy|math"]


def test_only_known_generation_settings_are_imported(tmp_path: Path) -> None:
    generation_config = {
        "generation_args": {
            "temperature": 0.6,
            "max_tokens": 32768,
            "reasoning": True,
            "execution_command": "rm -rf /",
        }
    }
    import_claims(
        write_corpus(tmp_path, record("a/one", score(generation_config=generation_config))),
        tmp_path / "results",
    )
    (claim,) = read_claims(tmp_path)
    assert claim.knobs == {"temperature": 0.6, "max_tokens": 32768, "thinking": True}


def test_importing_again_writes_the_same_bytes(tmp_path: Path) -> None:
    source = write_corpus(tmp_path, record())
    first = import_claims(source, tmp_path / "results").path.read_bytes()
    assert import_claims(source, tmp_path / "results").path.read_bytes() == first
    assert first.startswith(HEADER.encode())


def test_a_file_not_written_by_the_command_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "results" / "claims" / "every-eval-ever.toml"
    path.parent.mkdir(parents=True)
    path.write_text("# mine\n")
    with raises(UsageError):
        import_claims(write_corpus(tmp_path, record()), tmp_path / "results")
    assert path.read_text() == "# mine\n"


def test_hostile_text_is_escaped_in_the_claims_file(tmp_path: Path) -> None:
    name = 'x" = 1 }\n[[claim]]\nsuite = "gpqa"\u001b[2J<script>'
    import_claims(
        write_corpus(tmp_path, record(name, score(source_data={"url": ["javascript:alert(1)"]}))),
        tmp_path / "results",
    )
    (claim,) = read_claims(tmp_path)
    assert claim.suite == "mmlu-pro"
    assert "\x1b" not in claim.model
    assert claim.source == "TIGER-Lab"


@pytest.mark.parametrize("value", [-0.1, 1.5, 1e30])
def test_scores_outside_0_to_1_are_not_imported(tmp_path: Path, value: float) -> None:
    with raises(UsageError):
        import_claims(write_corpus(tmp_path, record("a/one", score(value=value))), tmp_path / "results")


def test_other_json_files_are_skipped_and_invalid_json_is_an_error(tmp_path: Path) -> None:
    source = write_corpus(tmp_path, record(), {"other": 1})
    assert import_claims(source, tmp_path / "results").skipped == {"other JSON files": 1}
    (source / "broken.json").write_text("{")
    with raises(DataError):
        import_claims(source, tmp_path / "results")


def test_imported_claims_are_listed_and_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    source = write_corpus(tmp_path, record())
    outcome = evals("claims", "import", "every-eval-ever", source, "--results", tmp_path / "results")
    assert outcome.status == 0, outcome.err
    assert "1 published number\n" in outcome.out
    listed = evals("claims", "list", "--suite", "mmlu-pro", "--results", tmp_path / "results", "--json")
    assert "01-ai/yi-1.5-34b-chat" in listed.out
    outcome = evals(
        "claims", "import", "every-eval-ever", tmp_path / "nothing", "--results", tmp_path / "results"
    )
    outcome.assert_usage_error()
