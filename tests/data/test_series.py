"""Time series and structures in prompts: stored once, sent as arrays or as text, and rejected if invalid."""

from __future__ import annotations

import asyncio
import math
from base64 import b64decode
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from evals.data import Data
from evals.data.series import MAX_TEXT_CHARS, inline_text_media, series, structure
from evals.errors import DataError, ModelError, Rejected, UsageError
from evals.model_adapters import server
from evals.model_adapters.openai import body, encode_as_data_urls
from evals.model_adapters.scripted import Scripted
from evals.prompts import plain_text
from evals.run import plan
from evals.run.job import Options
from evals.run.runner import Runner, drive
from evals.suite import Suite
from evals.types import Failure, Media, Message, Prompt, Reply, Sample, Sampling, Text
from tests.support import toy
from tests.support.error_messages import raises

CIF = """data_salt
_cell_length_a 5.64
_cell_length_b 5.64
_cell_length_c 5.64
loop_
_atom_site_label
_atom_site_fract_x
Na 0.0
Cl 0.5
"""
WAVE = [math.sin(n / 3) for n in range(40)]


def data_source(tmp_path: Path, *, accepts_series: bool = False) -> Data:
    (tmp_path / "toy").mkdir(exist_ok=True)
    kinds = frozenset({"time_series"}) if accepts_series else frozenset()
    return Data(suite="toy", local=tmp_path, media=tmp_path / "media", model_inputs=kinds)


def npy(array: Any) -> bytes:
    stream = BytesIO()
    np.save(stream, np.array(array))
    return stream.getvalue()


def not_none(media: Media | None) -> Media:
    assert media is not None
    return media


def prompt_with(*media: Media) -> Prompt:
    return Prompt(messages=(Message("user", (Text("Look: "), *media, Text(" What is it?"))),))


def test_a_series_in_different_formats_is_stored_once_as_the_same_bytes(tmp_path: Path) -> None:
    data, channels = data_source(tmp_path), [WAVE, [2 * v for v in WAVE]]
    rows = np.array(channels).T
    (tmp_path / "toy" / "a.npy").write_bytes(npy(rows))
    (tmp_path / "toy" / "a.csv").write_text(
        "\n".join(",".join(repr(float(v)) for v in row) for row in rows) + "\n"
    )
    forms = [channels, npy(rows), "a.npy", "a.csv", npy(np.asfortranarray(rows))]
    stored = {not_none(series(data, form, rate_hz=100.0, channels=("Z", "N"))) for form in forms}
    assert len(stored) == 1
    (media,) = stored
    assert (media.kind, media.length, media.channels, media.rate_hz) == ("time_series", 40, ("Z", "N"), 100.0)
    path = tmp_path / "media" / media.sha256
    assert [p.name for p in (tmp_path / "media").iterdir()] == [media.sha256]
    assert path.stat().st_size == media.size
    assert np.array_equal(np.load(path, allow_pickle=False), rows)
    scoring_data = structs.replace(data, media=None)  # scoring stores no series
    assert series(scoring_data, channels, rate_hz=1.0) is None


def test_a_model_that_does_not_accept_series_is_sent_text_and_the_record_says_so(tmp_path: Path) -> None:
    media = not_none(series(data_source(tmp_path), [WAVE, WAVE], rate_hz=50.0, channels=("Z", "N")))
    (message,) = inline_text_media(prompt_with(media)).messages
    text = plain_text(message.parts)
    assert "40 values per channel, 50 samples per second" in text
    assert f"\nZ: 0, {WAVE[1]:.6g}, " in text
    assert text.count("\nN: ") == 1
    series_part = message.parts[1]
    assert isinstance(series_part, Text)
    assert media.sent == f"text {len(series_part.text.strip())} characters"


def test_a_model_that_accepts_series_is_sent_the_array(tmp_path: Path) -> None:
    media = not_none(series(data_source(tmp_path, accepts_series=True), WAVE, rate_hz=50.0))
    assert media.sent == ""
    prompt = prompt_with(media)
    assert inline_text_media(prompt) == prompt
    urls = asyncio.run(encode_as_data_urls(prompt))
    content = body("m", prompt, Sampling(), urls)["messages"][0]["content"]
    assert [part["type"] for part in content] == ["text", "time_series_url", "text"]
    assert content[1]["time_series_url"]["sampling_rate"] == 50.0
    prefix, _, encoded = content[1]["time_series_url"]["url"].partition(";base64,")
    assert prefix == "data:time_series/npy"
    assert np.load(BytesIO(b64decode(encoded)), allow_pickle=False).shape == (40, 1)


@pytest.mark.parametrize(
    ("name", "accepts_series"),
    [("internlm/Intern-S1-Pro", True), ("intern-s2-preview", True), ("Intern-S1", False), ("qwen", False)],
)
def test_series_are_accepted_by_served_models_with_a_series_encoder(name: str, accepts_series: bool) -> None:
    assert ("time_series" in server.model(f"http://127.0.0.1:9/v1#{name}").accepts) == accepts_series


FAULTS: dict[str, tuple[Any, float, tuple[str, ...]]] = {
    "nan": ([1.0, math.nan], 1.0, ()),
    "infinite": ([[1.0, 2.0], [3.0, math.inf]], 1.0, ()),
    "ragged": ([[1.0, 2.0], [3.0]], 1.0, ()),
    "empty": ([], 1.0, ()),
    "no numbers": (["a", "b"], 1.0, ()),
    "complex": (npy([1j, 2j]), 1.0, ()),
    "three axes": (npy(np.zeros((2, 2, 2))), 1.0, ()),
    "no rate": ([1.0], 0.0, ()),
    "rate is nan": ([1.0], math.nan, ()),
    "names": ([1.0], 1.0, ("Z", "N")),
    "pickle": (npy(np.array([{}], dtype=object)), 1.0, ()),
    "truncated": (npy([1.0, 2.0])[:-3], 1.0, ()),
    "other bytes": (b"<html>", 1.0, ()),
    "csv": (b"1,2\n3\n", 1.0, ()),
}


@pytest.mark.parametrize(("value", "rate", "names"), FAULTS.values(), ids=FAULTS)
def test_an_invalid_series_is_rejected_with_a_message_of_one_line(
    tmp_path: Path, value: Any, rate: float, names: tuple[str, ...]
) -> None:
    media = not_none(series(data_source(tmp_path), value, rate_hz=rate, channels=names))
    assert media.sent.startswith("refused: ")
    with raises(Rejected):
        inline_text_media(prompt_with(media))


def test_a_series_too_long_to_send_as_text_is_an_error_when_it_is_read(tmp_path: Path) -> None:
    long = [0.125] * MAX_TEXT_CHARS
    with raises(DataError):
        series(data_source(tmp_path), long, rate_hz=1.0, name="quake-7")
    assert not_none(series(data_source(tmp_path, accepts_series=True), long, rate_hz=1.0)).sent == ""


def test_a_structure_is_sent_as_text_to_every_model(tmp_path: Path) -> None:
    data = data_source(tmp_path, accepts_series=True)
    (tmp_path / "toy" / "salt.cif").write_text(CIF)
    media = not_none(structure(data, CIF))
    assert {media, structure(data, "salt.cif"), structure(data, CIF.encode())} == {media}
    assert (media.kind, media.sent, media.size) == (
        "structure",
        f"text {len(CIF.strip())} characters",
        len(CIF),
    )
    assert f"```cif\n{CIF.strip()}\n```" in plain_text(
        inline_text_media(prompt_with(media)).messages[0].parts
    )
    with raises(ModelError):
        body("m", prompt_with(media), Sampling(), {})


@pytest.mark.parametrize(
    "text",
    ["Na Cl\n", "data_x\nloop_\n", CIF + "\x1b[31m\n", CIF + "# " + "x" * MAX_TEXT_CHARS + "\n", CIF.encode() + b"\xff\xfe"],
    ids=["no data block", "no atoms", "control character", "too long", "not UTF-8"],
)  # fmt: skip
def test_an_invalid_structure_is_rejected(tmp_path: Path, text: str | bytes) -> None:
    with raises(Rejected):
        inline_text_media(prompt_with(not_none(structure(data_source(tmp_path), text))))


def test_missing_files_and_files_outside_the_data_folder_are_errors(tmp_path: Path) -> None:
    for name in ("../a.npy", "/etc/hostname", "absent.csv"):
        with raises(DataError):
            series(data_source(tmp_path), name, rate_hz=1.0)


# --- a whole run --------------------------------------------------------------------------------------------


def suite_of_series(values: list[list[float]]) -> Suite:
    def samples(data: Data) -> Any:
        for number, value in enumerate(values):
            media = series(data, value, rate_hz=10.0, name=f"q{number}")
            parts = (Text("Up or down?"), *([media] if media else ()))
            yield Sample(id=f"q{number}", question=parts, target="A", choices=("up", "down"))

    def prompt(sample: Sample, repeat: int) -> Prompt:
        return Prompt(messages=(Message("user", sample.question),))

    return toy.suite(0, samples=samples, prompter=lambda data: prompt, needs=frozenset({"time_series"}))


class RecordingModel(Scripted):
    """A model that records the types of the prompt parts it is sent."""

    def __init__(self, accepts: frozenset[str]) -> None:
        super().__init__(self._record)
        self.accepts, self.part_types = accepts, []

    def _record(self, prompt: Prompt) -> str:
        self.part_types.append([type(part).__name__ for part in prompt.messages[0].parts])
        return "A"


@pytest.mark.parametrize(
    ("accepts", "part_type", "sent"),
    [(frozenset(), "Text", "text"), (frozenset({"time_series"}), "Media", "")],
)
def test_the_record_states_what_was_sent_without_the_values(
    tmp_path: Path, accepts: frozenset[str], part_type: str, sent: str
) -> None:
    model = RecordingModel(accepts)
    options = Options(results=tmp_path, sample=True)
    job = plan.prepare(
        suite_of_series([WAVE, [math.nan]]), options, model="toy", spec="scripted:toy", accepts=accepts
    )
    asyncio.run(drive(lambda: Runner(model, [job])))
    records = {record.sample: record for record in plan.store.Run(job.writer.path).records()}
    assert model.part_types == [["Text", part_type]]
    part = records["q0"].prompt.messages[0].parts[1]
    assert isinstance(part, Media)
    assert part.sent[:4] == sent
    assert isinstance(records["q0"].outcome, Reply)
    refused = records["q1"].outcome
    assert isinstance(refused, Failure)
    assert (refused.kind, "nan" in refused.message) == ("rejected", True)
    assert f"{WAVE[5]:.6g}" not in str(records["q0"])
    toy.close_job(job)


def test_a_series_too_long_to_send_as_text_ends_the_command(tmp_path: Path) -> None:
    options = Options(results=tmp_path, sample=True)
    with raises(UsageError):
        plan.prepare(suite_of_series([[0.125] * MAX_TEXT_CHARS]), options, model="toy", spec="scripted:toy")
