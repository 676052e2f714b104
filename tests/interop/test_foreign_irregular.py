"""Imported files with common irregularities: misspelt fields, duplicate rows, editors' backup files, byte order marks."""

from __future__ import annotations

import json
import zipfile
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evals import load
from evals.data import Data
from evals.interop import inspect
from evals.interop.foreign import Item, Source, divide_into_runs, import_all
from evals.interop.replies import ImportRequest
from evals.run.plan import read_samples
from evals.types import Sampling
from tests.support.command import Outcome, evals

SUITE = load.suite("mmlu-pro")[0]


def sample_ids() -> list[str]:
    samples, _ = read_samples(SUITE, Data(suite="mmlu-pro", sample=True))
    return list(samples.ids)


def import_replies(path: Path, *lines: Any) -> Outcome:
    content = b"".join(
        line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines
    )
    path.write_bytes(content)
    return evals("import", "replies", path, "--suite", "mmlu-pro", "--model", "m", "--sample", "--json")


FIRST_ID = sample_ids()[0]
VALID_LINE = {"id": FIRST_ID, "text": "ANSWER: A"}


@pytest.mark.parametrize(
    "line",
    [
        pytest.param({"id": FIRST_ID, "response": "ANSWER: A"}, id="response"),
        pytest.param({"id": FIRST_ID, "completion": "ANSWER: A"}, id="completion"),
        pytest.param({"id": FIRST_ID, "txet": "ANSWER: A"}, id="txet"),
        pytest.param({"ID": FIRST_ID, "text": "ANSWER: A"}, id="ID"),
        pytest.param({"id": FIRST_ID, "Text": "ANSWER: A"}, id="Text"),
        pytest.param({"id": FIRST_ID, "respnse": "ANSWER: A"}, id="respnse"),
        pytest.param({"id": FIRST_ID, "text": "ANSWER: A", "finsh_reason": "stop"}, id="finsh_reason"),
        pytest.param({"question_id": FIRST_ID, "text": "A"}, id="question_id"),
        pytest.param({"id": FIRST_ID, "text": "A", "finish_reason": "stop"}, id="finish_reason"),
        pytest.param({"id": FIRST_ID, "text": "A", "xyz": 1}, id="xyz"),
        pytest.param({"id": FIRST_ID}, id="no text"),
        pytest.param({"id": FIRST_ID, "text": 7}, id="text is a number"),
        pytest.param({"id": FIRST_ID, "text": None}, id="text is null"),
        pytest.param({"id": FIRST_ID, "text": "A", "failure": "timeout"}, id="text and failure"),
        pytest.param({"id": FIRST_ID, "text": "A", "seconds": -1}, id="negative seconds"),
        pytest.param({"id": FIRST_ID, "text": "A", "stop": "eos"}, id="unknown stop"),
        pytest.param({"id": FIRST_ID, "text": "A", "repeat": 1_000_000_000}, id="impossible repeat"),
        pytest.param({"id": FIRST_ID, "text": "A", "repeat": 70}, id="repeat beyond the replies"),
        pytest.param({"id": FIRST_ID, "text": "A", "repeat": -1}, id="negative repeat"),
        pytest.param({"id": "x" * 5000, "text": "A"}, id="long id"),
        pytest.param(["a"], id="list"),
    ],
)
def test_an_invalid_line_is_a_usage_error_and_nothing_is_written(here: Path, line: Any) -> None:
    import_replies(Path("r.jsonl"), line).assert_usage_error()
    assert not Path("results").exists()


@pytest.mark.parametrize(
    "line",
    [VALID_LINE, {"id": FIRST_ID, "response": "A"}, {"question_id": FIRST_ID, "output": "A"}],
    ids=["text", "response", "output"],
)
def test_lines_with_an_id_and_a_text_are_detected_as_replies_even_with_other_field_names(
    here: Path, line: dict[str, str]
) -> None:
    Path("r.jsonl").write_text(json.dumps(line) + "\n")
    evals("import", "r.jsonl").assert_usage_error()
    outcome = evals("import", "r.jsonl", "--suite", "mmlu-pro", "--model", "m", "--sample")
    if line is VALID_LINE:
        assert outcome.status == 0, outcome.err
    else:
        outcome.assert_usage_error()


def test_replies_with_a_byte_order_mark_and_a_lone_surrogate_are_read(here: Path) -> None:
    lines = [
        b"\xef\xbb\xbf" + json.dumps(VALID_LINE).encode() + b"\n",
        b'{"id": "%s", "text": "x \\ud83d"}\n' % sample_ids()[1].encode(),
    ]
    outcome = import_replies(Path("r.jsonl"), *lines)
    assert outcome.status == 0, outcome.err
    assert outcome.json["runs"][0]["counts"]["absent"] == len(sample_ids()) - 2


def test_data_rows_with_a_byte_order_mark_and_a_lone_surrogate_are_read(tmp_path: Path) -> None:
    from evals.data.sources import read_file

    for name, raw in (
        ("a.jsonl", b'\xef\xbb\xbf{"q": "x \\ud83d"}\n'),
        ("a.json", b'\xef\xbb\xbf[{"q": "x \\ud83d"}]'),
    ):
        (tmp_path / name).write_bytes(raw)
        assert list(read_file(tmp_path / name)) == [{"q": "x \ufffd"}]


def mmlu_pro_rows() -> list[dict[str, Any]]:
    data = Data(suite="mmlu-pro", sample=True)
    from evals.suites.mmlu_pro import TEST

    return [
        {**row, "model_outputs": f"The answer is ({'AB'[n % 2]}).", "pred": "AB"[n % 2]}
        for n, row in enumerate(data.rows(TEST))
    ]


def import_mmlu_pro(path: Path) -> Outcome:
    return evals("import", "mmlu-pro", path, "--model", "m", "--sample", "--json")


def test_a_duplicate_row_is_left_out_with_a_note(here: Path) -> None:
    rows = mmlu_pro_rows()
    Path("biology_result.json").write_text(json.dumps([*rows, rows[3]]))
    outcome = import_mmlu_pro(Path("biology_result.json"))
    assert outcome.status == 0, outcome.err
    (card,) = outcome.json["runs"]
    assert (card["coverage"], card["expected"]) == (1.0, len(rows))
    assert any("1 duplicate record left out: " in note for note in card["notes"])


def test_a_file_with_every_row_twice_has_two_repeats(here: Path) -> None:
    rows = mmlu_pro_rows()
    Path("biology_result.json").write_text(json.dumps([*rows, *rows]))
    (card,) = import_mmlu_pro(Path("biology_result.json")).json["runs"]
    assert (card["coverage"], card["expected"]) == (1.0, 2 * len(rows))
    assert not any("duplicates" in note for note in card["notes"])


HIDDEN_FOLDERS = (".ipynb_checkpoints", "@eaDir", "__MACOSX", ".hidden")


@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
def test_hidden_files_of_editors_and_file_managers_are_ignored(here: Path, zipped: bool) -> None:
    rows = json.dumps(mmlu_pro_rows())
    files = {"all_result.json": rows, "._all_result.json": "\x00", ".DS_Store": "x", "Thumbs.db": "x"}
    files |= {f"{folder}/all_result.json": rows for folder in HIDDEN_FOLDERS}
    source = Path("out")
    for name, content in files.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(content)
    if zipped:
        with zipfile.ZipFile("out.zip", "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        source = Path("out.zip")
    outcome = import_mmlu_pro(source)
    assert outcome.status == 0, outcome.err
    (card,) = outcome.json["runs"]
    assert (card["coverage"], card["expected"]) == (1.0, len(sample_ids()))


def test_notebook_checkpoints_of_lm_eval_samples_are_ignored(here: Path) -> None:
    from evals.interop.files import glob_visible

    for name in ("m/samples_a.jsonl", "m/.ipynb_checkpoints/samples_a-checkpoint.jsonl", "._samples_a.jsonl"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    assert list(glob_visible(Path(), "**/samples_*.json*")) == [Path("m/samples_a.jsonl")]


def import_raw_replies(lines: list[bytes]) -> Any:
    Path("replies.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    return evals("import", "replies", "replies.jsonl", "--suite", "aime:2025", "--model", "m", "--sample")


AIME_LINE = b'{"id": "sample-2025-I-1", "text": "\\\\boxed{272}"}'


def test_duplicate_lines_of_replies_are_left_out_with_a_message(here: Path) -> None:
    outcome = import_raw_replies([AIME_LINE] * 3)
    assert outcome.status == 0
    assert "2 lines repeat earlier ones and are left out: 2, 3" in outcome.out + outcome.err
    (card,) = evals("show", "--json").json["runs"]
    assert card["counts"] == {"right": 1, "absent": 11}


def test_a_lone_surrogate_encoded_as_bytes_is_read(here: Path) -> None:
    outcome = import_raw_replies([AIME_LINE.replace(b"272", b"272\xed\xa0\xbd\xed\xb8\x80 \xed\xa0\xbd")])
    assert outcome.status == 0, outcome.err


def test_a_merged_run_starts_at_the_earliest_stated_time(here: Path) -> None:
    items = [Item(location=f"line {n}", id=id_, text="ANSWER: A") for n, id_ in enumerate(sample_ids(), 1)]
    sources = [
        Source(
            format="test",
            tasks=(f"mmlu_pro_{n}",),
            model="m",
            items=partial(iter, [items[n]]),
            started=started,
        )
        for n, started in enumerate((0.0, 1.7e9, 1.6e9))  # 0: not stated
    ]
    (card,), _ = import_all(Path("x"), sources, ImportRequest(sample=True))
    assert card.started == 1.6e9


@pytest.mark.parametrize("repeat", [None, 0], ids=["without repeats", "with repeats"])
@pytest.mark.parametrize("failed_first", [True, False])
def test_a_call_that_was_made_again_after_a_failure_counts_once(
    here: Path, repeat: int | None, failed_first: bool
) -> None:
    first, *others = sample_ids()
    failed = Item(location="line 1", id=first, repeat=repeat, failure="timeout")
    reply = Item(location="line 9", id=first, repeat=repeat, text="ANSWER: A", score=1.0)
    items = [failed, reply] if failed_first else [reply, failed]
    items += [Item(location="other", id=id_, repeat=repeat, text="ANSWER: A") for id_ in others]
    source = Source(format="test", tasks=("mmlu_pro",), model="m", items=partial(iter, items))
    (card,), notes = import_all(Path("x"), [source], ImportRequest(sample=True))
    assert (card.coverage, card.expected, card.config.repeats) == (1.0, len(others) + 1, 1)
    assert any(note.startswith("1 duplicate record left out: line 1") for note in notes)
    folder = Path("results") / SUITE.folder / "m" / card.run
    stated = [json.loads(line) for line in (folder / "theirs.jsonl").read_text().splitlines()]
    assert [(line["repeat"], line["score"]) for line in stated if line["sample"] == first] == [(0, 1.0)]


def test_of_four_repeats_without_numbers_failures_are_kept(here: Path) -> None:
    items = [
        Item(location=f"{id_}/{n}", id=id_, text=None if n == 1 else "ANSWER: A")
        for id_ in sample_ids()
        for n in range(4)
    ]
    source = Source(format="test", tasks=("mmlu_pro",), model="m", items=partial(iter, items))
    (card,), _ = import_all(Path("x"), [source], ImportRequest(sample=True))
    assert (card.coverage, card.config.repeats) == (0.75, 4)


@pytest.mark.parametrize(
    ("input_tokens", "read", "written", "total"),
    [(10, 5, 2, 17), (10, None, None, 10), (10, -5, 0, 10), (-10, 15, 0, None), (10, 0, -3, 10)],
)
def test_negative_token_counts_of_inspect_are_no_counts(
    input_tokens: int, read: int | None, written: int | None, total: int | None
) -> None:
    usage = inspect._usage(
        SimpleNamespace(
            input_tokens=input_tokens,
            input_tokens_cache_read=read,
            input_tokens_cache_write=written,
            output_tokens=-1,
            reasoning_tokens=None,
        )
    )
    assert (usage.input, usage.output) == (total, None)


@pytest.mark.parametrize(
    ("starts", "expected"),
    [
        pytest.param("a1 a2 b2 c2", ["a2 b2 c2", "a1"], id="a trial of one task before the whole run"),
        pytest.param("a1 b2 c3", ["a1 b2 c3"], id="each task on its own"),
        pytest.param("a1 b1 a2 b2", ["a1 b1", "a2 b2"], id="two whole runs"),
        pytest.param("a0 b0 a0", ["a0 b0", "a0"], id="unknown starts"),
        pytest.param("a1 b2~", ["a1", "b2~"], id="other sampling settings"),
    ],
)
def test_a_run_has_each_task_once_and_tasks_started_together_stay_together(
    starts: str, expected: list[str]
) -> None:
    sources = [
        Source(
            format="x",
            tasks=(name[0],),
            model=name,
            items=lambda: iter(()),
            started=float(name[1]),
            sampling=Sampling(temperature=1.0 if "~" in name else None),
        )
        for name in starts.split()
    ]
    assert [" ".join(source.model for source in run) for run in divide_into_runs(sources)] == expected
