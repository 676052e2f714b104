"""Cut, broken and hostile files of every format: one line and exit status 2, or a run that is whole; never a traceback.

Files of lm-eval, Inspect, evalscope, lighteval, HELM and most of OpenCompass' are those that the tools wrote; the others are made here in the
documented shape. What is changed is drawn with a seed, so that a case can be repeated.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from tests.support.command import evals
from tests.support.lazy import lazy
from tests.support.paths import ROOT, TESTS

openpyxl = lazy("openpyxl")

FOREIGN = TESTS / "foreign"
SAMPLES = ROOT / "suites" / "samples"
ITEMS = [json.loads(row) for row in (SAMPLES / "mmlu_pro" / "test.jsonl").read_text().splitlines()]
DEEP = "\0deep"
"""Stands for a list within lists, so deep that no parser that recurses comes through."""
VALUES = (
    None, True, -1, 0.5, 10**40, -(10**400), 1e308, "", "x", "=1+1", "\x00\x1b[2J\u202e", "\ud800", "A" * 100_000, [], {},
    [[]], {"": None}, [None], "attachment://none", "NaN", DEEP,
)  # fmt: skip


class Specimen(NamedTuple):
    """A file that is mangled: its format, its place in what is imported, and what that is."""

    form: str
    file: str
    root: Callable[[Path], Path]

    @property
    def name(self) -> str:
        return f"{self.form}:{self.file.rpartition('/')[2].partition('_2026')[0]}"


def copied(path: str) -> Callable[[Path], Path]:
    def place(folder: Path) -> Path:
        if (FOREIGN / path).is_file():
            return Path(shutil.copy(FOREIGN / path, folder))
        return Path(shutil.copytree(FOREIGN / path, folder / "in"))

    return place


def real(form: str, path: str, *patterns: str) -> Iterator[Specimen]:
    """Files of one imported folder, or the one file that is imported."""
    for pattern in patterns or ("",):
        (found,) = (FOREIGN / path).glob(pattern) if pattern else [FOREIGN / path]
        yield Specimen(form, str(found.relative_to(FOREIGN / path)) if pattern else found.name, copied(path))


def opencompass(folder: Path) -> Path:
    for part, content in {
        "predictions": {
            str(n): {
                "origin_prompt": [{"role": "HUMAN", "prompt": f"Q: {row['question']}"}],
                "prediction": "ANSWER: A",
            }
            for n, row in enumerate(ITEMS)
        },
        "results": {"accuracy": 10.0, "details": [{"pred": "A", "correct": False} for _ in ITEMS]},
    }.items():
        (folder / "in" / part / "m").mkdir(parents=True)
        (folder / "in" / part / "m" / "mmlu_pro.json").write_text(json.dumps(content))
    return folder / "in"


def rows() -> list[dict[str, Any]]:
    return [
        {"index": row["question_id"], "question": row["question"], "prediction": "ANSWER: A", "hit": 0}
        for row in ITEMS
    ]


def table(ending: str) -> Callable[[Path], Path]:
    def place(folder: Path) -> Path:
        path = folder / f"m_MMStar.{ending}"
        lines = [list(rows()[0]), *(list(row.values()) for row in rows())]
        if ending == "xlsx":
            book = openpyxl.Workbook()
            for line in lines:
                book.active.append(line)
            book.save(path)
            still(path)
        elif ending == "tsv":
            path.write_text("".join("\t".join(map(str, line)) + "\n" for line in lines))
        else:
            path.write_text(json.dumps(rows()))
        return path

    return place


def still(path: Path) -> None:
    """Write a workbook again without the time at which it was made, so that its bytes are the same on every day."""
    with zipfile.ZipFile(path) as found:
        members = {name: found.read(name) for name in found.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as found:
        for name, content in members.items():
            timeless = re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", b"2026-01-01T00:00:00Z", content)
            found.writestr(zipfile.ZipInfo(name), timeless, zipfile.ZIP_DEFLATED)


def written(name: str, *, lines: bool, of: Callable[[dict[str, Any]], Any]) -> Callable[[Path], Path]:
    def place(folder: Path) -> Path:
        found = [of(row) for row in ITEMS]
        text = "".join(json.dumps(one) + "\n" for one in found) if lines else json.dumps(found)
        if not lines and name.startswith("output_"):
            text = json.dumps({one["pid"]: one for one in found})
        (folder / name).write_text(text)
        return folder / name

    return place


def mathvista(row: dict[str, Any]) -> Any:
    return {"pid": str(row["question_id"]), "response": "ANSWER: A", "extraction": "A", "true_false": False}


def mathvision(row: dict[str, Any]) -> Any:
    return {"id": row["question_id"], "response": "ANSWER: A", "model_answer": "A", "correct": False}


def mmlu_pro(row: dict[str, Any]) -> Any:
    return row | {"pred": "A", "model_outputs": "ANSWER: A"}


def mmmu(row: dict[str, Any]) -> Any:
    return {"id": str(row["question_id"]), "response": "ANSWER: A", "pred_indexs": ["A"], "if_right": [False]}


def chembench(row: dict[str, Any]) -> Any:
    said = {"name": str(row["question_id"]), "output": {"text": "ANSWER: A"}, "metrics": {"all_correct": 0}}
    return {"path": "x", "report": [said]}


def chembench_question(row: dict[str, Any]) -> Any:
    return {"name": str(row["question_id"]), "output": {"text": "ANSWER: A"}, "metrics": {"hamming": 0.0}}


def older_lm_eval(row: dict[str, Any]) -> Any:
    return {
        "doc": row,
        "arguments": [[row["question"], {}]],
        "resps": [["ANSWER: A"]],
        "metrics": ["em"],
        "em": 1.0,
    }


def weighed(folder: Path) -> Path:
    rows_ = {
        str(n): {
            "label: A": {"testing input": row["question"], "PPL": 1.0},
            "prediction": {"A": 0.5, "B": 0.7},
        }
        for n, row in enumerate(ITEMS)
    }
    (folder / "mmlu_pro.json").write_text(json.dumps(rows_))
    return folder / "mmlu_pro.json"


def chembench_report(folder: Path) -> Path:
    results = [
        {
            "uuid": str(row["question_id"]),
            "results": [{"metrics": {"all_correct": False}, "completion": "ANSWER: A"}],
        }
        for row in ITEMS
    ]
    (folder / "law_report.json").write_text(json.dumps({"topic": "law", "results": results}))
    return folder / "law_report.json"


def replies(row: dict[str, Any]) -> Any:
    return {
        "id": row["question_id"],
        "repeat": 0,
        "text": "ANSWER: A",
        "reasoning": "x",
        "stop": "stop",
        "usage": {},
    }


SPECIMENS = (
    *real("lm-eval", "lm-eval/standin-1", "samples_mmlu_pro*", "results_*"),
    *real("inspect", "inspect/aime2025.json"),
    *real("inspect", "inspect/mmlu-pro-shuffled.eval"),
    *real("evalscope", "evalscope", "predictions/*/mmlu_pro_physics.jsonl", "reviews/*/mmlu_pro_physics.jsonl",
          "reports/*/mmlu_pro.json", "configs/task_config.yaml"),
    *real("lighteval", "lighteval", "details/**/*mmlu_pro*.parquet", "results/**/results_*.json"),
    *(
        specimen
        for run in (FOREIGN / "helm" / "runs" / "ours").glob("mmlu_pro*")
        for specimen in real("helm", str(run.relative_to(FOREIGN)), "scenario_state.json", "run_spec.json", "stats.json",
                             "per_instance_stats.json")
    ),
    *real("opencompass", "opencompass/20260101_000000", "predictions/*/*.json", "results/*/*.json"),
    Specimen("opencompass", "predictions/m/mmlu_pro.json", opencompass),
    Specimen("opencompass", "results/m/mmlu_pro.json", opencompass),
    Specimen("vlmevalkit", "m_MMStar.xlsx", table("xlsx")),
    Specimen("vlmevalkit", "m_MMStar.tsv", table("tsv")),
    Specimen("vlmevalkit", "m_MMStar.json", table("json")),
    Specimen("chembench", "m.jsonl", written("m.jsonl", lines=True, of=chembench)),
    Specimen("chembench", "law_report.json", chembench_report),
    Specimen("chembench", "x.json", written("x.json", lines=False, of=chembench_question)),
    Specimen("lm-eval", "m_mmlu_pro.jsonl", written("m_mmlu_pro.jsonl", lines=False, of=older_lm_eval)),
    Specimen("opencompass", "mmlu_pro.json", weighed),
    Specimen("mathvista", "output_m.json", written("output_m.json", lines=False, of=mathvista)),
    Specimen("mathvision", "m.jsonl", written("m.jsonl", lines=True, of=mathvision)),
    Specimen("mmlu-pro", "model_outputs_m.json", written("model_outputs_m.json", lines=False, of=mmlu_pro)),
    Specimen("mmmu", "m_standard.jsonl", written("m_standard.jsonl", lines=True, of=mmmu)),
    Specimen("replies", "m.jsonl", written("m.jsonl", lines=True, of=replies)),
)  # fmt: skip


def survives(specimen: Specimen, change: Callable[[bytes], bytes], folder: Path) -> int:
    """Import with one file changed; gives the exit status."""
    work = folder / "work"
    work.mkdir()
    root = specimen.root(work)
    path = root if root.is_file() else root / specimen.file
    path.write_bytes(change(path.read_bytes()))
    suite = "aime:2025" if "aime" in specimen.file else "mmlu-pro"
    words = ("--suite", suite, "--sample", "--model", "m", "--results", folder / "r")
    before = {one: one.stat().st_size for one in work.rglob("*")}
    done = evals("import", specimen.form, root, *words)
    assert {one: one.stat().st_size for one in work.rglob("*")} == before
    if done.status:
        assert len(done.error_line) < 1500
        assert list(folder.glob("r/**/*.*")) == []
    else:
        (card,) = folder.glob("r/**/card.json")
        assert json.loads(card.read_text())["status"] in ("finished", "partial")
    shutil.rmtree(work)
    shutil.rmtree(folder / "r", ignore_errors=True)
    return done.status


def cut(seed: int) -> Callable[[bytes], bytes]:
    return lambda raw: raw[: random.Random(seed).randrange(len(raw))]


def noise(seed: int) -> Callable[[bytes], bytes]:
    """Bytes here and there become others, which are no UTF-8 for the most part."""

    def change(raw: bytes) -> bytes:
        draw, found = random.Random(seed), bytearray(raw)
        for _ in range(draw.choice((1, 3, 30))):
            found[draw.randrange(len(found))] = draw.choice((0, 0xFF, 0x80, 0x22, 0x7B, draw.randrange(256)))
        return bytes(found)

    return change


def swapped(seed: int) -> Callable[[bytes], bytes]:
    """One value of a JSON text, or of one of its lines, becomes one of another kind."""

    def change(raw: bytes) -> bytes:
        draw = random.Random(seed)
        try:
            return _dumped(_swap(json.loads(raw), draw))
        except ValueError:
            lines = raw.splitlines(keepends=True)
            place = draw.randrange(len(lines))
            lines[place] = _dumped(_swap(json.loads(lines[place]), draw)) + b"\n"
            return b"".join(lines)

    return change


def _swap(found: Any, draw: random.Random) -> Any:
    """Walk to a value at random, the deeper the likelier, and put another one into its place."""
    if not isinstance(found, dict | list) or not found or draw.random() < 0.1:
        return draw.choice(VALUES)
    keys = list(found) if isinstance(found, dict) else range(len(found))
    key = draw.choice(keys)
    if isinstance(found, dict) and draw.random() < 0.1:
        del found[key]
    else:
        found[key] = _swap(found[key], draw)
    return found


def _dumped(found: Any) -> bytes:
    deep = "[" * 100_000 + "]" * 100_000
    return json.dumps(found).replace(json.dumps(DEEP), deep).encode()


def is_text(specimen: Specimen) -> bool:
    return specimen.file.endswith((".json", ".jsonl"))


CHANGES: dict[str, Callable[[int], Callable[[bytes], bytes]]] = {
    "cut": cut,
    "noise": noise,
    "swapped": swapped,
}


CHANGED = [
    pytest.param(specimen, change, id=f"{specimen.name}-{change}")
    for specimen in SPECIMENS
    for change in CHANGES
    if change != "swapped" or is_text(specimen)
]


def often(specimen: Specimen, change: str, seeds: range, folder: Path) -> None:
    for seed in seeds:
        try:
            survives(specimen, CHANGES[change](seed), folder)
        except BaseException as error:
            error.add_note(f"{specimen.name}, {change}({seed})")
            raise


@pytest.mark.slow
@pytest.mark.parametrize(("specimen", "change"), CHANGED)
def test_a_mangled_file_is_one_line_or_a_whole_run(specimen: Specimen, change: str, tmp_path: Path) -> None:
    often(specimen, change, range(1 if specimen.form == "inspect" else 2), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("specimen", "change"), CHANGED)
def test_a_file_mangled_in_many_ways(specimen: Specimen, change: str, tmp_path: Path) -> None:
    often(specimen, change, range(100, 104 if specimen.form == "inspect" else 116), tmp_path)


@pytest.mark.parametrize("specimen", SPECIMENS, ids=lambda specimen: specimen.name)
def test_the_specimens_themselves_are_imported(specimen: Specimen, tmp_path: Path) -> None:
    assert survives(specimen, lambda raw: raw, tmp_path) == 0


# --- archives ------------------------------------------------------------------------------------------------------


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as found:
        for name, content in members.items():
            found.writestr(name, content)
    return path


@pytest.mark.parametrize("name", ["m_MMStar.xlsx", "x.eval", "model_outputs_m.zip", "run.bundle.zip"])
def test_an_archive_of_a_version_that_nobody_knows_is_one_line(name: str, tmp_path: Path) -> None:
    raw = bytearray(
        archive(tmp_path / name, {"bundle.json" if "bundle" in name else "a.json": b"{}"}).read_bytes()
    )
    raw[raw.index(b"PK\x01\x02") + 6] = 0xFF
    (tmp_path / name).write_bytes(raw)
    if "bundle" in name:
        assert "zip file version 25.5" in evals("bundle", "verify", tmp_path / name).out
    else:
        done = evals("import", tmp_path / name, "--sample", "--results", tmp_path / "r")
        assert "zip file version 25.5" in done.error_line


def test_a_bomb_of_a_log_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.eval", {"header.json": b" " * (80 << 20)})
    assert (
        "it would unpack to 83,886,080 bytes" in evals("import", path, "--results", tmp_path / "r").error_line
    )


def test_a_log_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    content = zlib.compress(b" " * (80 << 20), 9)[2:-4]
    path = archive(tmp_path / "x.eval", {"header.json": b"{}"})
    raw = path.read_bytes()
    name = b"header.json"
    local = struct.pack(
        "<IHHHHHIIIHH", 0x04034B50, 20, 0, 8, 0, 0, zlib.crc32(b"{}"), len(content), 2, len(name), 0
    )
    central = bytearray(raw[raw.index(b"PK\x01\x02") : raw.index(b"PK\x05\x06")])
    central[20:24], central[24:28] = struct.pack("<I", len(content)), struct.pack("<I", 2)
    start = len(local) + len(name) + len(content)
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 1, 1, len(central), start, 0)
    path.write_bytes(local + name + content + bytes(central) + end)
    assert evals("import", path, "--results", tmp_path / "r").error_line


def test_paths_that_lead_out_of_an_archive_write_nothing(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    members = {
        f"{start}evil{end}.json": b"{}"
        for start, end in (("../../", ""), ("/", ""), ("samples/../../", "_epoch_1"))
    }
    path = archive(tmp_path / "in" / "x.eval", members)
    assert evals("import", path, "--results", tmp_path / "r").error_line
    assert [one.name for one in tmp_path.rglob("*") if one.is_file()] == ["x.eval"]


@pytest.mark.slow
def test_a_parquet_that_says_it_is_huge_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows_ = {
        "doc": [{"query": "q"}],
        "model_response": [{"text": ["A" * (1 << 20)]}],
        "metric": [{"em": 1.0}],
    }
    table_ = pa.concat_tables([pa.table(rows_)] * 4500)
    pq.write_table(table_, tmp_path / "details_mmlu_pro|0_2026-01-01T00-00-00.0.parquet", row_group_size=64)
    done = evals("import", tmp_path, "--sample", "--model", "m", "--results", tmp_path / "r")
    assert "it would decompress to" in done.error_line


def test_a_table_of_another_kind_names_the_columns_that_it_lacks(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": [1]}), tmp_path / "details_mmlu_pro|0_2026-01-01T00-00-00.0.parquet")
    done = evals("import", tmp_path, "--sample", "--model", "m", "--results", tmp_path / "r")
    assert "expected the columns doc, metric, model_response" in done.error_line


@pytest.mark.parametrize("form", ["evalscope", "lm-eval"])
def test_a_number_of_a_repeat_that_no_run_has_is_one_line(form: str, tmp_path: Path) -> None:
    if form == "evalscope":
        shutil.copytree(FOREIGN / "evalscope", tmp_path / "in")
        path = tmp_path / "in" / "reviews" / "standin-1" / "mmlu_pro_law.jsonl"
        path.write_text(
            path.read_text().replace('"generation_index": 1', '"generation_index": 1000000000000')
        )
    else:
        shutil.copytree(FOREIGN / "lm-eval" / "standin-1", tmp_path / "in")
        (path,) = (tmp_path / "in").glob("samples_mmlu*")
        first = json.loads(path.read_text().splitlines()[0]) | {
            "science_evals": [{"repeat": "x"}, {"repeat": 1}]
        }
        path.write_bytes(msgspec.json.encode(first))
    done = evals("import", tmp_path / "in", "--sample", "--results", tmp_path / "r")
    assert "is not a valid repeat" in done.error_line
    assert list(tmp_path.glob("r/**/card.json")) == []


@pytest.mark.parametrize("opening", ["[", '{"status": 1, "a\\"[": ', '[1, {"b": '])
def test_a_log_of_inspect_that_is_nested_deeply_holds_up_nothing(tmp_path: Path, opening: str) -> None:
    """Inspect's parser takes time that grows with the square of the depth."""
    pytest.importorskip("inspect_ai")
    (tmp_path / "log.json").write_text('{"version": 2, "status": "success", "eval": ' + opening * 100_000)
    began = time.process_time()
    done = evals("import", "inspect", tmp_path / "log.json", "--results", tmp_path / "r")
    assert "it is nested too deeply" in done.error_line
    assert time.process_time() - began < 10  # most of it the import of Inspect
