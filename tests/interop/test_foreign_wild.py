"""Files as they come in the wild: mistyped fields, doubled rows, what editors leave behind, marks before the first byte."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from evals import load
from evals.data import Data
from evals.run.plan import read_samples
from tests.support.command import Outcome, evals

SUITE = load.suite("mmlu-pro")[0]


def ids() -> list[str]:
    samples, _ = read_samples(SUITE, Data(suite="mmlu-pro", sample=True))
    return list(samples.ids)


def replies(path: Path, *lines: Any) -> Outcome:
    raw = b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines)
    path.write_bytes(raw)
    return evals("import", "replies", path, "--suite", "mmlu-pro", "--model", "m", "--sample", "--json")


FIRST = ids()[0]
GOOD = {"id": FIRST, "text": "ANSWER: A"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"id": FIRST, "response": "ANSWER: A"}, "unknown field 'response'; did you mean text?"),
        ({"id": FIRST, "completion": "ANSWER: A"}, "unknown field 'completion'; did you mean text?"),
        ({"id": FIRST, "txet": "ANSWER: A"}, "unknown field 'txet'; did you mean text?"),
        ({"ID": FIRST, "text": "ANSWER: A"}, "unknown field 'ID'; did you mean id?"),
        ({"id": FIRST, "Text": "ANSWER: A"}, "unknown field 'Text'; did you mean text?"),
        ({"id": FIRST, "respnse": "ANSWER: A"}, "unknown field 'respnse'; did you mean text?"),
        ({"id": FIRST, "text": "ANSWER: A", "finsh_reason": "stop"}, "unknown field 'finsh_reason'; did you mean stop?"),
        ({"question_id": FIRST, "text": "A"}, "unknown field 'question_id'; did you mean id?"),
        ({"id": FIRST, "text": "A", "finish_reason": "stop"}, "unknown field 'finish_reason'; did you mean stop?"),
        ({"id": FIRST, "text": "A", "xyz": 1}, "unknown field 'xyz'; known: id, repeat, text"),
        ({"id": FIRST}, "neither `text` nor `failure`"),
        ({"id": FIRST, "text": 7}, "Expected `str | null`, got `int` - at `$.text`"),
        ({"id": FIRST, "text": "A", "stop": "eos"}, "stop is 'eos'; known: stop, length, filter"),
        ({"id": FIRST, "text": "A", "repeat": 1_000_000_000}, "repeat is 1000000000; expected 0 to 9999"),
        ({"id": FIRST, "text": "A", "repeat": 70}, "repeat 70 in a file of 1 reply"),
        ({"id": FIRST, "text": "A", "repeat": -1}, "repeat is -1"),
        ({"id": "x" * 5000, "text": "A"}, "the id has 5000 characters"),
        (["a"], "expected an object with id and text, got list"),
    ],
)  # fmt: skip
def test_a_mistyped_line_is_refused_and_nothing_is_written(here: Path, line: Any, said: str) -> None:
    assert said in replies(Path("r.jsonl"), line).error_line
    assert not Path("results").exists()


@pytest.mark.parametrize(
    "line", [GOOD, {"id": FIRST, "response": "A"}, {"question_id": FIRST, "output": "A"}]
)
def test_lines_of_an_id_and_a_text_are_replies_however_their_fields_are_called(
    here: Path, line: dict[str, str]
) -> None:
    Path("r.jsonl").write_text(json.dumps(line) + "\n")
    assert (
        "r.jsonl contains recorded replies: add --suite NAME --model NAME"
        in evals("import", "r.jsonl").error_line
    )
    done = evals("import", "r.jsonl", "--suite", "mmlu-pro", "--model", "m", "--sample")
    assert done.status == (0 if line is GOOD else 2)
    if line is not GOOD:
        assert (
            f"unknown field {next(name for name in line if name not in GOOD)!r}; did you mean"
            in done.error_line
        )


def test_a_bom_and_half_an_emoji_are_read(here: Path) -> None:
    lines = [
        b"\xef\xbb\xbf" + json.dumps(GOOD).encode() + b"\n",
        b'{"id": "%s", "text": "x \\ud83d"}\n' % ids()[1].encode(),
    ]
    done = replies(Path("r.jsonl"), *lines)
    assert done.status == 0, done.err
    assert done.json["runs"][0]["counts"]["absent"] == len(ids()) - 2


def test_rows_of_data_with_a_bom_and_half_an_emoji_are_read(tmp_path: Path) -> None:
    from evals.data.sources import read_file

    for name, raw in (
        ("a.jsonl", b'\xef\xbb\xbf{"q": "x \\ud83d"}\n'),
        ("a.json", b'\xef\xbb\xbf[{"q": "x \\ud83d"}]'),
    ):
        (tmp_path / name).write_bytes(raw)
        assert list(read_file(tmp_path / name)) == [{"q": "x \ufffd"}]


def mmlu_pro_rows() -> list[dict[str, Any]]:
    rows = Data(suite="mmlu-pro", sample=True)
    from evals.suites.mmlu_pro import TEST

    return [
        {**row, "model_outputs": f"The answer is ({'AB'[n % 2]}).", "pred": "AB"[n % 2]}
        for n, row in enumerate(rows.rows(TEST))
    ]


def imported(path: Path) -> Outcome:
    return evals("import", "mmlu-pro", path, "--model", "m", "--sample", "--json")


def test_a_doubled_row_is_left_out_and_named(here: Path) -> None:
    rows = mmlu_pro_rows()
    Path("biology_result.json").write_text(json.dumps([*rows, rows[3]]))
    done = imported(Path("biology_result.json"))
    assert done.status == 0, done.err
    (card,) = done.json["runs"]
    assert (card["coverage"], card["expected"]) == (1.0, len(rows))
    assert any("1 duplicate record left out: " in note for note in card["notes"])


def test_a_file_that_holds_every_row_twice_is_two_repeats(here: Path) -> None:
    rows = mmlu_pro_rows()
    Path("biology_result.json").write_text(json.dumps([*rows, *rows]))
    (card,) = imported(Path("biology_result.json")).json["runs"]
    assert (card["coverage"], card["expected"]) == (1.0, 2 * len(rows))
    assert not any("duplicates" in note for note in card["notes"])


NOISE = (".ipynb_checkpoints", "@eaDir", "__MACOSX", ".hidden")


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_what_editors_and_file_managers_leave_behind_is_no_run(here: Path, packed: bool) -> None:
    rows = json.dumps(mmlu_pro_rows())
    files = {"all_result.json": rows, "._all_result.json": "\x00", ".DS_Store": "x", "Thumbs.db": "x"}
    files |= {f"{folder}/all_result.json": rows for folder in NOISE}
    source = Path("out")
    for name, content in files.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(content)
    if packed:
        with zipfile.ZipFile("out.zip", "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        source = Path("out.zip")
    done = imported(source)
    assert done.status == 0, done.err
    (card,) = done.json["runs"]
    assert (card["coverage"], card["expected"]) == (1.0, len(ids()))


def test_lm_evals_notebook_copies_are_no_further_runs(here: Path) -> None:
    from evals.interop.files import glob_visible

    for name in ("m/samples_a.jsonl", "m/.ipynb_checkpoints/samples_a-checkpoint.jsonl", "._samples_a.jsonl"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    assert list(glob_visible(Path(), "**/samples_*.json*")) == [Path("m/samples_a.jsonl")]


def raw_replies(lines: list[bytes]) -> Any:
    Path("replies.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    return evals("import", "replies", "replies.jsonl", "--suite", "aime:2025", "--model", "m", "--sample")


LINE = b'{"id": "sample-2025-I-1", "text": "\\\\boxed{272}"}'


def test_a_line_of_replies_that_repeats_another_is_left_out_and_named(here: Path) -> None:
    done = raw_replies([LINE, LINE, LINE])
    assert done.status == 0
    assert "2 lines repeat earlier ones and are left out: lines 2, 3" in done.out + done.err
    (card,) = evals("show", "--json").json["runs"]
    assert card["counts"] == {"right": 1, "absent": 11}


def test_half_an_emoji_in_bytes_is_read(here: Path) -> None:
    done = raw_replies([LINE.replace(b"272", b"272\xed\xa0\xbd\xed\xb8\x80 \xed\xa0\xbd")])
    assert done.status == 0, done.err
