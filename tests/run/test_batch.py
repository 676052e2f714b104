"""`--batch`: half the price, stopped and picked up, killed between handing in and noting, and nothing asked twice.

The vendors are stand-ins on loopback (`batch_vendors.py`); their own SDKs drive these at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evals import profiles
from evals.calls import backoff
from evals.records import store
from evals.run import batch, batch_log
from evals.seams import BatchState
from tests.support import protocols
from tests.support.batch_vendors import Vendor
from tests.support.command import Outcome, evals, start, wait
from tests.support.protocols import Completion

MODELS = {"openai": "openai:o3", "anthropic": "anthropic:claude-haiku-4-5"}
RUN = ("run", "aime:2025", "--sample", "--json", "--batch")
SAMPLES = 12


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> str:
    return MODELS[request.param]


@pytest.fixture
def vendor(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
    monkeypatch.setattr(batch, "POLL_S", 0.02)
    monkeypatch.setattr(backoff, "FIRST_S", 0.01)
    with Vendor() as found:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
        monkeypatch.setenv("OPENAI_BASE_URL", f"{found.base}/v1")
        monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
        monkeypatch.setenv("ANTHROPIC_BASE_URL", found.base)
        yield found


def counts(done: Outcome) -> dict[str, int]:
    (run,) = done.json["runs"]
    return dict(run["counts"])


def run_folder() -> Path:
    (path,) = Path("results").glob("*@*/*/*/card.json")
    return path.parent


def card() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run_folder() / "card.json").read_text())
    return found


def test_the_replies_are_those_of_single_calls(vendor: Vendor, model: str) -> None:
    done = evals(*RUN, "-m", model)
    assert done.status == 0, done.err
    assert len(vendor.request_texts) == len(set(vendor.request_texts)) == SAMPLES
    assert sum(counts(done).values()) == SAMPLES
    assert "failed" not in str(counts(done))
    run = store.Run(run_folder())
    for record in run.records():
        assert record.outcome.text.startswith("ANSWER: ")
        assert record.outcome.model == "served"
    assert not batch_log.pending_batches(run_folder())
    assert "sk-secret" not in "".join(path.read_text() for path in run_folder().glob("*.json*"))
    again = evals(*RUN, "-m", model)
    assert (again.status, len(vendor.request_texts)) == (0, SAMPLES)  # all done: nothing is handed in


def test_it_costs_half(vendor: Vendor, model: str) -> None:
    vendor.answers = lambda text: Completion("ANSWER: 1", input=1000, cached=400, output=100)
    evals(*RUN, "-m", model)
    price = profiles.price(model)
    assert price is not None
    cached = price.cached if price.cached is not None else price.input
    full = SAMPLES * (600 * price.input + 400 * cached + 100 * price.output) / 1e6
    assert card()["cost_usd"] == pytest.approx(full / 2)
    assert card()["batch_tokens"] == {
        "input": 1000 * SAMPLES,
        "cached": 400 * SAMPLES,
        "output": 100 * SAMPLES,
    }


def test_what_comes_one_by_one_later_costs_the_whole(vendor: Vendor, model: str) -> None:
    vendor.answers = lambda text: (
        "expired" if text == vendor.request_texts[0] else Completion("ANSWER: 1", input=1000, output=0)
    )
    first = evals(*RUN, "-m", model)
    assert counts(first)["failed:expired"] == 1
    half = card()["cost_usd"]
    assert card()["batch_tokens"]["input"] == 1000 * (SAMPLES - 1)
    vendor.answers = lambda text: Completion("ANSWER: 1", input=1000, output=0)
    evals(*RUN, "-m", model)  # by batch again
    assert card()["cost_usd"] == pytest.approx(half * SAMPLES / (SAMPLES - 1))


def test_stopped_while_it_runs_and_picked_up_later(vendor: Vendor, model: str) -> None:
    vendor.done = False
    with interrupted_at_the_first_poll():
        first = evals(*RUN, "-m", model)
    assert first.status == 130
    assert "1 batch is still pending: repeat the command" in first.err
    assert card()["status"] == "interrupted"
    (noted,) = batch_log.pending_batches(run_folder())
    assert noted.id in vendor.batches
    alone = evals("run", "aime:2025", "--sample", "-m", model)
    assert "is pending: add --batch to collect it" in alone.error_line
    assert card()["status"] == "interrupted"
    vendor.done = True
    second = evals(*RUN, "-m", model)
    assert second.status == 0
    assert (len(vendor.batches), len(vendor.request_texts)) == (1, SAMPLES)
    assert sum(counts(second).values()) == SAMPLES


def test_stopped_twice_it_leaves_at_once_and_is_picked_up_later(vendor: Vendor, model: str) -> None:
    with interrupted_at_the_first_poll(times=2):
        assert evals(*RUN, "-m", model).status == 130
    assert len(batch_log.pending_batches(run_folder())) == 1
    assert evals(*RUN, "-m", model).status == 0
    assert len(vendor.request_texts) == SAMPLES


@pytest.mark.parametrize("times", [1, 2])
def test_batches_of_several_models_are_waited_for_side_by_side(
    vendor: Vendor, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evals.model_adapters.common import batches

    signals = [signal.SIGINT] * times
    for kind in (batches.OpenAIBatches, batches.AnthropicBatches):

        async def state(self: Any, id_: str, real: Any = kind.state) -> Any:
            if len(vendor.batches) < 2:  # neither is waited for before the other is handed in
                return BatchState(ended=False)
            while signals:
                os.kill(os.getpid(), signals.pop())
                await asyncio.sleep(0.05)
            return await real(self, id_)

        monkeypatch.setattr(kind, "state", state)
    vendor.done = False
    models = [word for model in MODELS.values() for word in ("-m", model)]
    assert evals(*RUN, *models).status == 130
    pending = [batch_log.pending_batches(path.parent) for path in Path("results").glob("*@*/*/*/card.json")]
    assert [[bool(entry.id) for entry in entries] for entries in pending] == [[True], [True]]
    vendor.done = True
    second = evals(*RUN, *models)
    assert second.status == 0, second.err
    assert [run["coverage"] for run in second.json["runs"]] == [1.0, 1.0]
    assert (len(vendor.batches), len(vendor.request_texts)) == (2, 2 * SAMPLES)


@contextlib.contextmanager
def interrupted_at_the_first_poll(times: int = 1) -> Iterator[None]:
    from evals.model_adapters.common import batches

    with pytest.MonkeyPatch.context() as patch:
        for kind in (batches.OpenAIBatches, batches.AnthropicBatches):

            async def state(self: Any, id_: str, real: Any = kind.state) -> Any:
                for _ in range(times):
                    os.kill(os.getpid(), signal.SIGINT)
                    await asyncio.sleep(0.05)
                return await real(self, id_)

            patch.setattr(kind, "state", state)
        yield


def test_a_death_between_handing_in_and_noting_asks_nothing_twice(
    vendor: Vendor, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    others(vendor, model)
    real = batch_log.append

    def dies(run: Path, change: Any) -> None:
        if change.id:
            raise SystemExit(137)
        real(run, change)

    monkeypatch.setattr(batch, "append", dies)
    assert evals(*RUN, "-m", model).status == 137
    (noted,) = batch_log.pending_batches(run_folder())
    assert noted.id == ""
    monkeypatch.setattr(batch, "append", real)
    others(vendor, model)
    before = len(vendor.request_texts)
    done = evals(*RUN, "-m", model)
    assert done.status == 0
    assert len(vendor.request_texts) == before
    assert sum(counts(done).values()) == SAMPLES
    assert "failed" not in str(counts(done))


def others(vendor: Vendor, model: str, many: int = 3) -> None:
    """Batches of somebody else, as many requests in one of them as in ours."""
    for size in (1, SAMPLES, 2)[:many]:
        names = [f"theirs-{n}" for n in range(size)]
        if model.startswith("openai"):
            request = {
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {"messages": [{"content": "x"}]},
            }
            lines = [json.dumps({"custom_id": name, **request}) for name in names]
            vendor.files["theirs"] = "\n".join(lines).encode()
            fields = {
                "input_file_id": "theirs",
                "endpoint": "/v1/chat/completions",
                "completion_window": "24h",
            }
            vendor.create(fields)
        else:
            params = {"messages": [{"content": "x"}]}
            vendor.create_messages({"requests": [{"custom_id": name, "params": params} for name in names]})


def test_a_batch_that_looks_like_ours_and_is_not_is_given_back(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Anthropic shows no label: while a batch runs, only its time and size can be seen
    model = MODELS["anthropic"]
    vendor.done = False
    real = batch_log.append

    def dies(run: Path, change: Any) -> None:
        real(run, change)
        raise SystemExit(137)  # noted, and never handed in

    monkeypatch.setattr(batch, "append", dies)
    assert evals(*RUN, "-m", model).status == 137
    assert vendor.batches == {}
    others(vendor, model)
    monkeypatch.setattr(batch, "append", real)

    def ends() -> None:
        vendor.done = True

    _then(monkeypatch, ends)
    done = evals(*RUN, "-m", model)
    assert done.status == 0
    assert len(vendor.batches) == 4
    assert len(vendor.request_texts) == 1 + SAMPLES + 2 + SAMPLES
    assert "failed" not in str(counts(done))


def _then(monkeypatch: pytest.MonkeyPatch, ends: Any) -> None:
    """The vendor's batches end after the first poll."""
    from evals.model_adapters.common import batches

    real = batches.AnthropicBatches.state

    async def state(self: Any, id_: str) -> Any:
        found = await real(self, id_)
        ends()
        return found

    monkeypatch.setattr(batches.AnthropicBatches, "state", state)


def test_parts_that_fail_are_failures_and_are_asked_again(vendor: Vendor, model: str) -> None:
    overflow = (protocols.ANTHROPIC if "anthropic" in model else protocols.OPENAI).overflow
    filtered = (protocols.ANTHROPIC if "anthropic" in model else protocols.OPENAI).filtered
    fault = (
        500,
        (protocols.ANTHROPIC if "anthropic" in model else protocols.OPENAI).error(500, "api_error", "boom"),
    )
    kinds: list[Any] = ["expired", overflow, fault, filtered, Completion("ANSWER: 1", stop="length")]

    def answers(text: str) -> Any:
        place = vendor.request_texts.index(text)
        return kinds[place] if place < len(kinds) else Completion("ANSWER: 1")

    vendor.answers = answers
    done = evals(*RUN, "-m", model)
    assert done.status == 1
    found = counts(done)
    assert (found["failed:expired"], found["failed:context"], found["failed:modelerror"]) == (1, 1, 1)
    assert found["refused"] == 1
    assert sum(found.values()) == SAMPLES
    vendor.answers = lambda text: Completion("ANSWER: 1")
    again = evals(*RUN, "-m", model)
    assert again.status == 0
    assert len(vendor.request_texts) == SAMPLES + 3  # those three, and nothing else


def test_a_result_that_never_comes_is_a_failure(vendor: Vendor) -> None:
    vendor.answers = lambda text: None if text == vendor.request_texts[0] else Completion("ANSWER: 1")
    assert counts(evals(*RUN, "-m", MODELS["openai"]))["failed:expired"] == 1


def test_a_batch_that_is_refused_as_a_whole_is_one_line_and_stays_open(vendor: Vendor) -> None:
    vendor.rejection = "Enqueued token limit reached for o3.\nLimit: 90,000"
    done = evals(*RUN, "-m", MODELS["openai"])
    assert "was rejected: Enqueued token limit reached for o3. Limit: 90,000" in done.error_line
    vendor.rejection = ""
    assert evals(*RUN, "-m", MODELS["openai"]).status == 0
    assert len(vendor.batches) == 2


def test_all_that_fails_alike_says_so_once(vendor: Vendor, model: str) -> None:
    vendor.answers = lambda text: "expired"
    done = evals(*RUN, "-m", model)
    assert done.status == 2
    assert done.err.count("every call fails: ") == 1


REFUSED = {
    "openai:o3": (
        "max_completion_tokens",
        "Unsupported parameter: 'max_completion_tokens'. Use 'max_tokens' instead.",
        "max_completion_tokens is sent as max_tokens: the server rejects the field",
    ),
    "anthropic:claude-haiku-4-5": (
        "temperature",
        "temperature: Extra inputs are not permitted",
        "temperature is not sent: the server rejects the field",
    ),
}


def test_a_field_that_is_refused_by_name_is_left_out_of_the_next_batch(vendor: Vendor, model: str) -> None:
    field, message, note = REFUSED[model]
    fault = protocols.openai_error if model.startswith("openai") else protocols.anthropic_error
    refusal = (400, fault(400, "invalid_request_error", message))
    vendor.answers = lambda text: refusal if len(vendor.batches) == 1 else Completion("ANSWER: 1")
    done = evals(*RUN, "-m", model)
    assert done.status == 0, done.err
    assert len(vendor.batches) == 2
    key = "body" if model.startswith("openai") else "params"
    first, second = ([line[key] for line in one["lines"]] for one in vendor.batches.values())
    assert all(field in body for body in first)
    assert not any(field in body for body in second)
    assert note in done.json["runs"][0]["notes"]
    assert not batch_log.pending_batches(run_folder())


def test_faults_on_the_way_are_tried_again_and_hand_nothing_in_twice(vendor: Vendor, model: str) -> None:
    def breaks() -> None:
        vendor.next_errors[:] = [503, 500]  # while looking for it
        vendor.on_create = lambda: None
        raise ConnectionError  # the batch is there; who made it hears nothing

    vendor.on_create = breaks
    done = evals(*RUN, "-m", model)
    assert done.status == 0, done.err
    assert len(vendor.batches) == 1
    assert len(vendor.request_texts) == SAMPLES


@pytest.mark.parametrize("status", [401, 402])
def test_a_wrong_key_and_an_empty_account_are_one_line(vendor: Vendor, model: str, status: int) -> None:
    vendor.next_errors = [status] * 9
    assert evals(*RUN, "-m", model).error_line.startswith(f"HTTP {status}: as scripted")
    assert vendor.batches == {}
    vendor.next_errors = []
    assert evals(*RUN, "-m", model).status == 0
    assert len(vendor.request_texts) == SAMPLES


def test_more_than_fits_goes_in_several(vendor: Vendor, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from evals.model_adapters.common import batches

    monkeypatch.setattr(batches.OpenAIBatches, "max_requests", 5)
    monkeypatch.setattr(batches.AnthropicBatches, "max_requests", 5)
    assert evals(*RUN, "-m", model).status == 0
    assert (len(vendor.batches), len(vendor.request_texts)) == (3, SAMPLES)


def test_repeats_are_asked_as_often(vendor: Vendor, model: str) -> None:
    done = evals(*RUN, "-m", model, "--repeats", 3)
    assert done.status == 0
    assert len(vendor.request_texts) == 3 * SAMPLES
    assert sum(counts(done).values()) == 3 * SAMPLES


def test_several_suites_are_handed_in_together(vendor: Vendor, model: str) -> None:
    done = evals("run", "aime:2025", "gpqa", "--sample", "--limit", 4, "--json", "--batch", "-m", model)
    assert done.status == 0
    assert len(vendor.batches) == len(done.json["runs"])
    polls = [path for path in vendor.paths if path.startswith("GET") and "batch" in path]
    assert vendor.paths.index(polls[0]) > max(
        place for place, path in enumerate(vendor.paths) if path.startswith("POST")
    )


def test_words_that_changed_meanwhile_are_refused(vendor: Vendor, model: str) -> None:
    vendor.done = False
    with interrupted_at_the_first_poll():
        evals(*RUN, "-m", model)
    vendor.done = True
    notes = run_folder() / store.BATCHES
    lines = [json.loads(line) for line in notes.read_text().splitlines()]
    lines[0]["samples"][0][2] = "0" * 16
    notes.write_text("\n".join(map(json.dumps, lines)) + "\n")
    assert (
        "was submitted with prompts that differ from those of this version"
        in evals(*RUN, "-m", model).error_line
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("-m", "google:gemini-2.5-pro"),
            "--batch: google:gemini-2.5-pro has no batch endpoint; openai: and anthropic:",
        ),
        (("-m", "scripted:x"), "--batch: scripted:x has no batch endpoint"),
        (("-m", "openai:o3", "--max-cost", 1), "--batch and --max-cost cannot be combined"),
        (("-m", "openai:o3", "--concurrency", 2), "--batch and --concurrency cannot be combined"),
    ],
)
def test_what_cannot_be_a_batch_is_refused(
    vendor: Vendor, words: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "x")
    assert evals(*RUN, *words).error_line.startswith(said)
    assert not list(Path().rglob("card.json"))


def test_a_note_torn_by_a_kill_was_never_acted_upon(tmp_path: Path) -> None:
    batch_log.append(tmp_path, batch_log.LoggedChange("aa", at=1.0, samples=[("q1", 0, "k")]))
    notes = tmp_path / store.BATCHES
    notes.write_bytes(notes.read_bytes() + b'{"label":"bb","at":2.0,"samp')
    batch_log.append(tmp_path, batch_log.LoggedChange("aa", id="batch_1"))
    (found,) = batch_log.pending_batches(tmp_path)
    assert (found.label, found.id, found.samples) == ("aa", "batch_1", [("q1", 0, "k")])


@pytest.mark.slow
def test_kill_9_between_handing_in_and_noting(vendor: Vendor, model: str) -> None:
    started = start(*RUN, "-m", model)
    vendor.on_create = started.kill  # the batch exists, and its maker is dead before it hears so
    assert wait(started).status == -signal.SIGKILL
    vendor.on_create = lambda: None
    (noted,) = batch_log.pending_batches(run_folder())
    assert (noted.id, len(vendor.batches)) == ("", 1)
    done = evals(*RUN, "-m", model)
    assert done.status == 0, done.err
    assert (len(vendor.batches), len(vendor.request_texts)) == (1, SAMPLES)


@pytest.mark.slow
async def test_openais_own_sdk_drives_the_stand_in(vendor: Vendor) -> None:
    openai = pytest.importorskip("openai")
    body = {"model": "o3", "messages": [{"role": "user", "content": "Say 1"}]}
    line = {"custom_id": "a-0", "method": "POST", "url": "/v1/chat/completions", "body": body}
    async with openai.AsyncOpenAI(api_key="x", base_url=f"{vendor.base}/v1") as client:
        file = await client.files.create(file=("a.jsonl", json.dumps(line).encode()), purpose="batch")
        made = await client.batches.create(
            input_file_id=file.id,
            endpoint="/v1/chat/completions",
            completion_window="24h",
            metadata={"science_evals": "a"},
        )
        found = await client.batches.retrieve(made.id)
        assert (found.status, found.request_counts.completed) == ("completed", 1)
        assert [one.id async for one in client.batches.list()] == [made.id]
        (result,) = (await client.files.content(found.output_file_id)).text.splitlines()
        answer = openai.types.chat.ChatCompletion.model_validate(json.loads(result)["response"]["body"])
        assert answer.choices[0].message.content == "ANSWER: 1"


@pytest.mark.slow
async def test_anthropics_own_sdk_drives_the_stand_in(vendor: Vendor) -> None:
    anthropic = pytest.importorskip("anthropic")
    params = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "Say 1"}]}
    async with anthropic.AsyncAnthropic(api_key="x", base_url=vendor.base) as client:
        made = await client.messages.batches.create(requests=[{"custom_id": "a-0", "params": params}])
        found = await client.messages.batches.retrieve(made.id)
        assert (found.processing_status, found.request_counts.succeeded) == ("ended", 1)
        assert [one.id async for one in client.messages.batches.list()] == [made.id]
