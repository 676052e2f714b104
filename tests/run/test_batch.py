"""`--batch`: costs half the price, survives interruption and a kill at any point, and submits no request twice.

The vendors are stand-ins on loopback (`batch_vendors.py`); at the end, the vendors' own SDKs call them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evals import profiles
from evals.calls import backoff, pace
from evals.errors import UsageError
from evals.records import store
from evals.run import batch, batch_log
from evals.scorers.scoring import Scoring
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
    """The spec of a model of each vendor."""
    return MODELS[request.param]


@pytest.fixture
def vendor(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
    """The stand-in for both vendors, with keys and addresses set in the environment."""
    monkeypatch.setattr(batch, "POLL_S", 0.02)
    monkeypatch.setattr(backoff, "FIRST_S", 0.01)
    with Vendor() as stand_in:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
        monkeypatch.setenv("OPENAI_BASE_URL", f"{stand_in.base}/v1")
        monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
        monkeypatch.setenv("ANTHROPIC_BASE_URL", stand_in.base)
        yield stand_in


def counts(outcome: Outcome) -> dict[str, int]:
    (run,) = outcome.json["runs"]
    return dict(run["counts"])


def run_folder() -> Path:
    (path,) = Path("results").glob("*@*/*/*/card.json")
    return path.parent


def card() -> dict[str, Any]:
    fields: dict[str, Any] = json.loads((run_folder() / "card.json").read_text())
    return fields


def test_each_sample_is_requested_once_and_gets_a_reply(vendor: Vendor, model: str) -> None:
    outcome = evals(*RUN, "-m", model)
    assert outcome.status == 0, outcome.err
    assert len(vendor.request_texts) == len(set(vendor.request_texts)) == SAMPLES
    assert sum(counts(outcome).values()) == SAMPLES
    assert "failed" not in str(counts(outcome))
    run = store.Run(run_folder())
    for record in run.records():
        assert record.outcome.text.startswith("ANSWER: ")
        assert record.outcome.model == "served"
    assert not batch_log.pending_batches(run_folder())
    assert "sk-secret" not in "".join(path.read_text() for path in run_folder().glob("*.json*"))
    second = evals(*RUN, "-m", model)
    # all samples have replies: nothing is submitted
    assert (second.status, len(vendor.request_texts)) == (0, SAMPLES)


def test_batch_tokens_cost_half_the_price(vendor: Vendor, model: str) -> None:
    vendor.answers = lambda text: Completion("ANSWER: 1", input=1000, cached=400, output=100)
    evals(*RUN, "-m", model)
    price = profiles.price(model)
    assert price is not None
    cached = price.cached if price.cached is not None else price.input
    full_price = SAMPLES * (600 * price.input + 400 * cached + 100 * price.output) / 1e6
    assert card()["cost_usd"] == pytest.approx(full_price / 2)
    assert card()["batch_tokens"] == {
        "input": 1000 * SAMPLES,
        "cached": 400 * SAMPLES,
        "output": 100 * SAMPLES,
    }


@pytest.mark.parametrize("model", ["openai:gpt-4.1"])
def test_a_reply_to_an_equal_prompt_is_not_taken_from_another_batch(
    vendor: Vendor, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # both repeats have the same prompts and no seed; the second repeat's batch ends first
    from evals.model_adapters.common import batches

    monkeypatch.setattr(batches.OpenAIBatches, "max_requests", SAMPLES)
    original = batches.OpenAIBatches.state

    async def state(self: Any, id_: str) -> Any:
        if id_ == next(iter(vendor.batches)):
            return BatchState(ended=False)
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0.05)
        return await original(self, id_)

    monkeypatch.setattr(batches.OpenAIBatches, "state", state)
    run = (*RUN, "--repeats", 2, "--temperature", 0, "-m", model)
    assert evals(*run).status == 130
    assert {record.repeat for record in store.Run(run_folder()).records()} == {1}
    monkeypatch.setattr(batches.OpenAIBatches, "state", original)
    second = evals(*run)
    assert sum(counts(second).values()) == 2 * SAMPLES
    assert len(vendor.request_texts) == 2 * SAMPLES  # nothing is paid twice


def test_a_batch_that_is_submitted_again_is_not_mistaken_for_another_of_the_run(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Anthropic identifies a batch in progress only by its size
    from evals.model_adapters.common import batches

    monkeypatch.setattr(batches.AnthropicBatches, "max_requests", SAMPLES // 2)
    original = batches.AnthropicBatches.start

    async def start(self: Any, label: str, lines: Any) -> str:
        id_ = await original(self, label, lines)
        vendor.next_errors = [503] if len(vendor.batches) == 1 else []
        return id_

    monkeypatch.setattr(batches.AnthropicBatches, "start", start)
    vendor.done = False
    with interrupted_at_the_first_poll():
        evals(*RUN, "-m", MODELS["anthropic"])
    assert {entry.id for entry in batch_log.pending_batches(run_folder())} == set(vendor.batches)
    assert len(vendor.batches) == 2


def test_a_sample_that_expired_costs_half_the_price_in_the_next_batch(vendor: Vendor, model: str) -> None:
    vendor.answers = lambda text: (
        "expired" if text == vendor.request_texts[0] else Completion("ANSWER: 1", input=1000, output=0)
    )
    first = evals(*RUN, "-m", model)
    assert counts(first)["failed:expired"] == 1
    first_cost = card()["cost_usd"]
    assert card()["batch_tokens"]["input"] == 1000 * (SAMPLES - 1)
    vendor.answers = lambda text: Completion("ANSWER: 1", input=1000, output=0)
    evals(*RUN, "-m", model)  # another batch
    assert card()["cost_usd"] == pytest.approx(first_cost * SAMPLES / (SAMPLES - 1))


def test_a_run_interrupted_while_its_batch_is_pending_collects_it_later(vendor: Vendor, model: str) -> None:
    vendor.done = False
    with interrupted_at_the_first_poll():
        first = evals(*RUN, "-m", model)
    assert first.status == 130
    assert "1 batch is still pending: repeat the command" in first.err
    assert card()["status"] == "interrupted"
    (pending,) = batch_log.pending_batches(run_folder())
    assert pending.id in vendor.batches
    without_batch = evals("run", "aime:2025", "--sample", "-m", model)
    without_batch.assert_usage_error()
    assert card()["status"] == "interrupted"
    vendor.done = True
    second = evals(*RUN, "-m", model)
    assert second.status == 0
    assert (len(vendor.batches), len(vendor.request_texts)) == (1, SAMPLES)
    assert sum(counts(second).values()) == SAMPLES


def test_replies_that_strict_health_left_unrecorded_are_collected_later(
    vendor: Vendor, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "INITIAL_LIMIT", 1)
    vendor.answers = lambda text: Completion("The answer", stop="length")
    assert evals(*RUN, "-m", model, "--strict-health").status != 0
    assert 0 < sum(1 for _ in store.Run(run_folder()).records()) < SAMPLES
    assert len(batch_log.pending_batches(run_folder())) == 1
    second = evals(*RUN, "-m", model)
    assert sum(counts(second).values()) == SAMPLES
    assert len(vendor.request_texts) == SAMPLES
    assert not batch_log.pending_batches(run_folder())


def test_a_reply_that_ends_within_a_character_does_not_block_its_batch(vendor: Vendor, model: str) -> None:
    vendor.answers = lambda text: Completion("ANSWER: 1 \ud83d")
    assert evals(*RUN, "-m", model).status == 0
    assert {record.outcome.text for record in store.Run(run_folder()).records()} == {"ANSWER: 1 \ufffd"}


def _break_two_lines(raw: bytes) -> bytes:
    """Cut one line of the results within its body, and make another one illegible."""
    first, second, *lines = raw.split(b"\n")
    return b"\n".join([first[:-40], b"\0" * len(second), *lines])


def test_lines_that_cannot_be_decoded_are_failed_requests_and_the_others_are_kept(
    vendor: Vendor, model: str
) -> None:
    vendor.damage = _break_two_lines
    outcome = evals(*RUN, "-m", model)
    assert outcome.status == 1
    assert sum(n for name, n in counts(outcome).items() if name.startswith("failed")) == 2
    assert counts(outcome)["failed:expired"] == 1  # it cannot be told which request the line belongs to
    assert not batch_log.pending_batches(run_folder())
    vendor.damage = lambda raw: raw
    assert "failed" not in str(counts(evals(*RUN, "-m", model)))
    assert len(vendor.request_texts) == SAMPLES + 2


def test_results_whose_transfer_was_damaged_are_fetched_again(vendor: Vendor, model: str) -> None:
    damages = [lambda raw: raw[:-60], lambda raw: b"<html>Bad gateway</html>", lambda raw: raw[:-70]]
    vendor.damage = lambda raw: damages.pop()(raw) if damages else raw
    outcome = evals(*RUN, "-m", model)
    assert (outcome.status, "failed" in str(counts(outcome))) == (0, False)
    assert len(vendor.request_texts) == SAMPLES


def test_a_page_that_names_no_request_is_never_taken_for_results(vendor: Vendor, model: str) -> None:
    damages = [lambda raw: b"<html>Bad gateway</html>"] * 4
    vendor.damage = lambda raw: damages.pop()(raw) if damages else raw
    outcome = evals(*RUN, "-m", model)
    assert (outcome.status, "failed" in str(counts(outcome))) == (0, False)
    assert len(vendor.request_texts) == SAMPLES


def test_the_error_for_a_batch_that_the_vendor_no_longer_has_says_how_to_abandon_it(
    vendor: Vendor, model: str
) -> None:
    vendor.done = False
    with interrupted_at_the_first_poll():
        evals(*RUN, "-m", model)
    vendor.next_errors = [404]
    outcome = evals(*RUN, "-m", model)
    assert outcome.status == 2
    assert f"abandon it by deleting {run_folder() / store.BATCHES}" in outcome.err
    vendor.done = True
    assert evals(*RUN, "-m", model).status == 0
    assert len(vendor.request_texts) == SAMPLES


def test_a_run_interrupted_twice_exits_at_once_and_can_be_resumed(vendor: Vendor, model: str) -> None:
    with interrupted_at_the_first_poll(times=2):
        assert evals(*RUN, "-m", model).status == 130
    assert len(batch_log.pending_batches(run_folder())) == 1
    assert evals(*RUN, "-m", model).status == 0
    assert len(vendor.request_texts) == SAMPLES


@pytest.mark.parametrize("times", [1, 2])
def test_batches_of_several_models_are_awaited_concurrently(
    vendor: Vendor, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evals.model_adapters.common import batches

    signals = [signal.SIGINT] * times
    for kind in (batches.OpenAIBatches, batches.AnthropicBatches):

        async def state(self: Any, id_: str, original: Any = kind.state) -> Any:
            if len(vendor.batches) < 2:  # both must be submitted before either is awaited
                return BatchState(ended=False)
            while signals:
                os.kill(os.getpid(), signals.pop())
                await asyncio.sleep(0.05)
            return await original(self, id_)

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
    """Send SIGINT to this process `times` times when the state of a batch is first requested."""
    from evals.model_adapters.common import batches

    with pytest.MonkeyPatch.context() as patch:
        for kind in (batches.OpenAIBatches, batches.AnthropicBatches):

            async def state(self: Any, id_: str, original: Any = kind.state) -> Any:
                for _ in range(times):
                    os.kill(os.getpid(), signal.SIGINT)
                    await asyncio.sleep(0.05)
                return await original(self, id_)

            patch.setattr(kind, "state", state)
        yield


def test_nothing_is_submitted_twice_after_a_crash_between_submitting_and_logging(
    vendor: Vendor, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_foreign_batches(vendor, model)
    original = batch_log.append

    def append_and_die(run: Path, change: Any) -> None:
        if change.id:
            raise SystemExit(137)
        original(run, change)

    monkeypatch.setattr(batch, "append", append_and_die)
    assert evals(*RUN, "-m", model).status == 137
    (pending,) = batch_log.pending_batches(run_folder())
    assert pending.id == ""
    monkeypatch.setattr(batch, "append", original)
    add_foreign_batches(vendor, model)
    before = len(vendor.request_texts)
    outcome = evals(*RUN, "-m", model)
    assert outcome.status == 0
    assert len(vendor.request_texts) == before
    assert sum(counts(outcome).values()) == SAMPLES
    assert "failed" not in str(counts(outcome))


def add_foreign_batches(vendor: Vendor, model: str) -> None:
    """Create three batches of another user of the account, one of them with as many requests as the run's own."""
    for size in (1, SAMPLES, 2):
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


def test_a_batch_mistaken_for_the_runs_own_is_dropped_and_the_requests_are_submitted(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Anthropic stores no label: while a batch is processed, only its creation time and size are visible
    model = MODELS["anthropic"]
    vendor.done = False
    original = batch_log.append

    def append_and_die(run: Path, change: Any) -> None:
        original(run, change)
        raise SystemExit(137)  # logged, but never submitted

    monkeypatch.setattr(batch, "append", append_and_die)
    assert evals(*RUN, "-m", model).status == 137
    assert vendor.batches == {}
    add_foreign_batches(vendor, model)
    monkeypatch.setattr(batch, "append", original)

    def end_batches() -> None:
        vendor.done = True

    _call_after_each_poll(monkeypatch, end_batches)
    outcome = evals(*RUN, "-m", model)
    assert outcome.status == 0
    assert len(vendor.batches) == 4
    assert len(vendor.request_texts) == 1 + SAMPLES + 2 + SAMPLES
    assert "failed" not in str(counts(outcome))


def _call_after_each_poll(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Call `act` after each response to a poll."""
    from evals.model_adapters.common import batches

    original = batches.AnthropicBatches.state

    async def state(self: Any, id_: str) -> Any:
        batch_state = await original(self, id_)
        act()
        return batch_state

    monkeypatch.setattr(batches.AnthropicBatches, "state", state)


def test_failed_requests_of_a_batch_are_recorded_and_repeated_by_the_next_run(
    vendor: Vendor, model: str
) -> None:
    protocol = protocols.ANTHROPIC if "anthropic" in model else protocols.OPENAI
    fault = (500, protocol.error(500, "api_error", "boom"))
    results: list[Any] = [
        "expired",
        protocol.overflow,
        fault,
        protocol.filtered,
        Completion("ANSWER: 1", stop="length"),
    ]

    def answers(text: str) -> Any:
        index = vendor.request_texts.index(text)
        return results[index] if index < len(results) else Completion("ANSWER: 1")

    vendor.answers = answers
    outcome = evals(*RUN, "-m", model)
    assert outcome.status == 1
    tally = counts(outcome)
    assert (tally["failed:expired"], tally["failed:context"], tally["failed:modelerror"]) == (1, 1, 1)
    assert tally["refused"] == 1
    assert sum(tally.values()) == SAMPLES
    vendor.answers = lambda text: Completion("ANSWER: 1")
    second = evals(*RUN, "-m", model)
    assert second.status == 0
    assert len(vendor.request_texts) == SAMPLES + 3  # only the three failed requests are repeated


def test_a_missing_result_counts_as_expired(vendor: Vendor) -> None:
    vendor.answers = lambda text: None if text == vendor.request_texts[0] else Completion("ANSWER: 1")
    assert counts(evals(*RUN, "-m", MODELS["openai"]))["failed:expired"] == 1


def test_a_rejected_batch_gives_a_one_line_message_and_the_next_run_submits_it_again(
    vendor: Vendor,
) -> None:
    vendor.rejection = "Enqueued token limit reached for o3.\nLimit: 90,000"
    outcome = evals(*RUN, "-m", MODELS["openai"])
    outcome.assert_usage_error()
    vendor.rejection = ""
    assert evals(*RUN, "-m", MODELS["openai"]).status == 0
    assert len(vendor.batches) == 2


def test_when_every_request_expires_the_message_appears_once(vendor: Vendor, model: str) -> None:
    vendor.answers = lambda text: "expired"
    outcome = evals(*RUN, "-m", model)
    outcome.assert_usage_error()


REJECTED_FIELDS = {
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


def test_a_field_that_the_vendor_rejects_by_name_is_absent_from_the_next_batch(
    vendor: Vendor, model: str
) -> None:
    field, message, note = REJECTED_FIELDS[model]
    fault = protocols.openai_error if model.startswith("openai") else protocols.anthropic_error
    rejection = (400, fault(400, "invalid_request_error", message))
    vendor.answers = lambda text: rejection if len(vendor.batches) == 1 else Completion("ANSWER: 1")
    outcome = evals(*RUN, "-m", model)
    assert outcome.status == 0, outcome.err
    assert len(vendor.batches) == 2
    key = "body" if model.startswith("openai") else "params"
    first, second = ([line[key] for line in submitted["lines"]] for submitted in vendor.batches.values())
    assert all(field in body for body in first)
    assert not any(field in body for body in second)
    assert note in outcome.json["runs"][0]["notes"]
    assert not batch_log.pending_batches(run_folder())


def test_transient_faults_are_retried_and_nothing_is_submitted_twice(vendor: Vendor, model: str) -> None:
    def disconnect() -> None:
        vendor.next_errors[:] = [503, 500]  # for the requests that look for the batch
        vendor.on_create = lambda: None
        raise ConnectionError  # the batch exists, but the client gets no response

    vendor.on_create = disconnect
    outcome = evals(*RUN, "-m", model)
    assert outcome.status == 0, outcome.err
    assert len(vendor.batches) == 1
    assert len(vendor.request_texts) == SAMPLES


def test_a_vendor_that_does_not_respond_is_asked_again_and_nothing_is_submitted_twice(
    vendor: Vendor, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "DEADLINE_S", 1.0)
    responded = threading.Event()

    def hang() -> None:
        vendor.on_create = lambda: None
        responded.wait(10)  # the batch exists, but the client gets no response

    vendor.on_create = hang
    outcome = evals(*RUN, "-m", model)
    responded.set()
    assert outcome.status == 0, outcome.err
    assert len(vendor.request_texts) == SAMPLES


def test_replies_whose_file_is_available_later_than_their_count_are_not_requested_again(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, polls = vendor.openai, iter(range(100))

    def without_file_at_first(name: str) -> dict[str, Any]:
        return original(name) | ({"output_file_id": None} if next(polls) < 5 else {})

    monkeypatch.setattr(vendor, "openai", without_file_at_first)
    outcome = evals(*RUN, "-m", MODELS["openai"])
    assert outcome.status == 0, outcome.err
    assert "failed" not in str(counts(outcome))
    assert len(vendor.request_texts) == SAMPLES


@pytest.mark.parametrize("status", [401, 402])
def test_a_wrong_key_and_an_empty_account_give_a_one_line_message(
    vendor: Vendor, model: str, status: int
) -> None:
    vendor.next_errors = [status] * 9
    evals(*RUN, "-m", model).assert_usage_error()
    assert vendor.batches == {}
    vendor.next_errors = []
    assert evals(*RUN, "-m", model).status == 0
    assert len(vendor.request_texts) == SAMPLES


def test_requests_above_the_vendors_limit_are_split_over_several_batches(
    vendor: Vendor, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evals.model_adapters.common import batches

    monkeypatch.setattr(batches.OpenAIBatches, "max_requests", 5)
    monkeypatch.setattr(batches.AnthropicBatches, "max_requests", 5)
    assert evals(*RUN, "-m", model).status == 0
    assert (len(vendor.batches), len(vendor.request_texts)) == (3, SAMPLES)


def test_what_the_scorers_need_is_checked_before_a_batch_is_submitted(
    vendor: Vendor, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def not_installed(self: Scoring) -> None:
        raise UsageError("scoring molecules needs RDKit")

    monkeypatch.setattr(Scoring, "check", not_installed)
    evals(*RUN, "-m", model).assert_usage_error()
    assert vendor.request_texts == []


def test_each_repeat_is_a_request_of_its_own(vendor: Vendor, model: str) -> None:
    outcome = evals(*RUN, "-m", model, "--repeats", 3)
    assert outcome.status == 0
    assert len(vendor.request_texts) == 3 * SAMPLES
    assert sum(counts(outcome).values()) == 3 * SAMPLES


def test_batches_of_all_suites_are_submitted_before_the_first_poll(vendor: Vendor, model: str) -> None:
    outcome = evals("run", "aime:2025", "gpqa", "--sample", "--limit", 4, "--json", "--batch", "-m", model)
    assert outcome.status == 0
    assert len(vendor.batches) == len(outcome.json["runs"])
    polls = [path for path in vendor.paths if path.startswith("GET") and "batch" in path]
    assert vendor.paths.index(polls[0]) > max(
        index for index, path in enumerate(vendor.paths) if path.startswith("POST")
    )


def test_a_pending_batch_with_prompts_of_another_version_is_rejected(vendor: Vendor, model: str) -> None:
    vendor.done = False
    with interrupted_at_the_first_poll():
        evals(*RUN, "-m", model)
    vendor.done = True
    log = run_folder() / store.BATCHES
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    lines[0]["samples"][0][2] = "0" * 16
    log.write_text("\n".join(map(json.dumps, lines)) + "\n")
    evals(*RUN, "-m", model).assert_usage_error()


@pytest.mark.parametrize(
    "arguments",
    [
        ("-m", "google:gemini-2.5-pro"),
        ("-m", "scripted:x"),
        ("-m", "openai:o3", "--max-cost", 1),
        ("-m", "openai:o3", "--concurrency", 2),
    ],
    ids=["google", "scripted", "--max-cost", "--concurrency"],
)
def test_models_and_options_that_batches_do_not_support_are_rejected(
    vendor: Vendor, arguments: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "x")
    evals(*RUN, *arguments).assert_usage_error()
    assert not list(Path().rglob("card.json"))


def test_a_truncated_line_of_the_batch_log_is_ignored(tmp_path: Path) -> None:
    batch_log.append(tmp_path, batch_log.LoggedChange("aa", at=1.0, samples=[("q1", 0, "k")]))
    log = tmp_path / store.BATCHES
    log.write_bytes(log.read_bytes() + b'{"label":"bb","at":2.0,"samp')
    batch_log.append(tmp_path, batch_log.LoggedChange("aa", id="batch_1"))
    (pending,) = batch_log.pending_batches(tmp_path)
    assert (pending.label, pending.id, pending.samples) == ("aa", "batch_1", [("q1", 0, "k")])


@pytest.mark.slow
def test_nothing_is_submitted_twice_after_kill_9_between_submitting_and_logging(
    vendor: Vendor, model: str
) -> None:
    started = start(*RUN, "-m", model)
    vendor.on_create = started.kill  # the batch exists, but the client is killed before it gets the response
    assert wait(started).status == -signal.SIGKILL
    vendor.on_create = lambda: None
    (pending,) = batch_log.pending_batches(run_folder())
    assert (pending.id, len(vendor.batches)) == ("", 1)
    outcome = evals(*RUN, "-m", model)
    assert outcome.status == 0, outcome.err
    assert (len(vendor.batches), len(vendor.request_texts)) == (1, SAMPLES)


@pytest.mark.slow
async def test_the_stand_in_works_with_openais_own_sdk(vendor: Vendor) -> None:
    openai = pytest.importorskip("openai")
    body = {"model": "o3", "messages": [{"role": "user", "content": "Say 1"}]}
    line = {"custom_id": "a-0", "method": "POST", "url": "/v1/chat/completions", "body": body}
    async with openai.AsyncOpenAI(api_key="x", base_url=f"{vendor.base}/v1") as client:
        file = await client.files.create(file=("a.jsonl", json.dumps(line).encode()), purpose="batch")
        created = await client.batches.create(
            input_file_id=file.id,
            endpoint="/v1/chat/completions",
            completion_window="24h",
            metadata={"science_evals": "a"},
        )
        retrieved = await client.batches.retrieve(created.id)
        assert (retrieved.status, retrieved.request_counts.completed) == ("completed", 1)
        assert [listed.id async for listed in client.batches.list()] == [created.id]
        (result,) = (await client.files.content(retrieved.output_file_id)).text.splitlines()
        answer = openai.types.chat.ChatCompletion.model_validate(json.loads(result)["response"]["body"])
        assert answer.choices[0].message.content == "ANSWER: 1"


@pytest.mark.slow
async def test_the_stand_in_works_with_anthropics_own_sdk(vendor: Vendor) -> None:
    anthropic = pytest.importorskip("anthropic")
    params = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "Say 1"}]}
    async with anthropic.AsyncAnthropic(api_key="x", base_url=vendor.base) as client:
        created = await client.messages.batches.create(requests=[{"custom_id": "a-0", "params": params}])
        retrieved = await client.messages.batches.retrieve(created.id)
        assert (retrieved.processing_status, retrieved.request_counts.succeeded) == ("ended", 1)
        assert [listed.id async for listed in client.messages.batches.list()] == [created.id]
