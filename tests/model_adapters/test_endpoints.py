"""Several servers of one model: they share the work, and one that is lost, slow or refuses costs no sample."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import pytest
from aiohttp import web

from evals import load
from evals.errors import Disconnected, Fatal, RateLimit, ServerFault, UsageError
from evals.model_adapters import server
from evals.model_adapters.common.addresses import Addresses, split_urls
from evals.model_adapters.common.endpoints import Endpoints
from evals.records.store import Run
from evals.run.job import Job
from evals.run.runner import Runner
from evals.types import Likelihood, Prompt, Reply, Sampling
from tests.support import toy
from tests.support.command import evals


class Simulated:
    """A server in this process with `slots` places, each of which takes `seconds` a call."""

    accepts = frozenset({"image"})

    def __init__(self, seconds: float = 0.005, *, slots: int = 16) -> None:
        self.seconds, self._slots = seconds, asyncio.Semaphore(slots)
        self.fault: Exception | None = None
        self.asked = 0
        self.notes: list[str] = []
        self.headers: dict[str, str] = {}
        self.closed = False

    def add_headers(self, headers: Mapping[str, str]) -> None:
        self.headers |= headers

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        self.asked += 1
        async with self._slots:
            await asyncio.sleep(self.seconds)
            if self.fault is not None:
                raise self.fault
        return Reply(text="A")

    async def logprobs(self, prompt: str, continuations: Sequence[str]) -> tuple[Likelihood, ...]:
        raise NotImplementedError

    async def close(self) -> None:
        self.closed = True


class Made:
    """What a run left."""

    def __init__(self, job: Job, model: Endpoints, seconds: float) -> None:
        self.job, self.model, self.seconds = job, model, seconds
        self.records = list(Run(job.writer.path).records())

    @property
    def replies(self) -> Counter[str]:
        """How often each sample has a reply."""
        return Counter(record.sample for record in self.records if isinstance(record.outcome, Reply))

    @property
    def once(self) -> bool:
        """Whether each sample was recorded once, with a reply."""
        return self.replies == dict.fromkeys(self.job.samples.ids, 1) and len(self.records) == len(
            self.replies
        )


def several(*servers: Simulated) -> Endpoints:
    """A model on these servers, named http://s0/v1 and so on."""
    named = {f"http://s{number}/v1": each for number, each in enumerate(servers)}
    return Endpoints("m", Addresses(",".join(named), lambda url: None), lambda url: named[url])


async def run(folder: Path, model: Endpoints, count: int = 120, **options: object) -> Made:
    job = toy.job(folder, toy.suite(count), model="m")
    began = time.perf_counter()
    try:
        await Runner(model, [job], **options).run()  # type: ignore[arg-type]
    finally:
        seconds = time.perf_counter() - began
        await model.close()
        toy.close_job(job)
    return Made(job, model, seconds)


def after(server: Simulated | Real, asked: int, act: Callable[[], object]) -> None:
    """Do something once a server was asked so often."""
    if server.asked >= asked:
        act()
    else:
        asyncio.get_running_loop().call_later(0.001, after, server, asked, act)


async def test_all_servers_share_the_work_and_the_card_says_who_answered_how_many(tmp_path: Path) -> None:
    servers = [Simulated() for _ in range(3)]
    made = await run(tmp_path, several(*servers), concurrency=12)
    assert made.once
    assert [each.asked for each in servers] == pytest.approx([40] * 3, abs=6)
    assert made.model.notes == [
        f"endpoint http://s{n}/v1: {each.asked} replies" for n, each in enumerate(servers)
    ]
    assert all(each.closed for each in servers)


@pytest.mark.parametrize(
    "fault", [Disconnected("connection reset"), Disconnected("refused", unreachable=True), ServerFault("500")]
)
async def test_of_a_server_that_dies_each_sample_is_recorded_once(tmp_path: Path, fault: Exception) -> None:
    servers = [Simulated() for _ in range(3)]
    after(servers[0], 20, lambda: setattr(servers[0], "fault", fault))
    made = await run(tmp_path, several(*servers), concurrency=12)
    assert made.once
    assert "lost once" in made.model.notes[0]
    assert servers[0].asked < 60


async def test_a_server_that_comes_back_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("evals.model_adapters.common.endpoints.MIN_PAUSE_S", 0.02)
    servers = [Simulated(), Simulated()]
    servers[0].fault = Disconnected("refused", unreachable=True)
    after(servers[1], 40, lambda: setattr(servers[0], "fault", None))
    made = await run(tmp_path, several(*servers), count=300, concurrency=8)
    assert made.once
    assert Counter(made.model.notes[0].split())["replies,"] == 1
    said = capsys.readouterr().err.splitlines()
    assert [line.split(" (")[0] for line in said] == [
        "endpoints: http://s0/v1 is lost",
        "endpoints: http://s0/v1 responds again",
    ]


async def test_a_server_that_rejects_every_call_is_left_out_and_noted(tmp_path: Path) -> None:
    servers = [Simulated(), Simulated()]
    servers[0].fault = Fatal("HTTP 401: wrong key")
    made = await run(tmp_path, several(*servers), concurrency=8)
    assert made.once
    assert made.model.notes[0].endswith("not called again: HTTP 401: wrong key")
    assert servers[0].asked <= 8


async def test_if_no_server_is_left_the_error_is_theirs(tmp_path: Path) -> None:
    servers = [Simulated(), Simulated()]
    for each in servers:
        each.fault = Fatal("HTTP 401: wrong key")
    with pytest.raises(Fatal, match="wrong key"):
        await run(tmp_path, several(*servers), concurrency=8)


async def test_a_rate_limit_slows_one_server_down_and_the_others_take_over(tmp_path: Path) -> None:
    servers = [Simulated(), Simulated()]
    servers[0].fault = RateLimit("HTTP 429", retry_after_s=60.0)
    made = await run(tmp_path, several(*servers))
    assert made.once
    assert servers[0].asked <= 20
    assert made.seconds < 30  # nobody waits for it
    assert servers[1].asked >= 100


@pytest.mark.slow
async def test_three_servers_are_nearly_three_times_as_fast_as_one(tmp_path: Path) -> None:
    alone = await run(tmp_path / "1", several(Simulated(0.1)), count=480, concurrency=16)
    three = await run(
        tmp_path / "3", several(*(Simulated(0.1) for _ in range(3))), count=1440, concurrency=48
    )
    assert alone.once
    assert three.once
    assert 3 * alone.seconds / three.seconds > 2.5  # 2.9 at rest: see tests/performance/bench_endpoints.py


async def test_calls_of_a_slow_server_move_to_an_idle_one(tmp_path: Path) -> None:
    """By the servers' rates 2.1 x 16 samples in .05 s; without moving, the slow one holds its last ones for .5 s."""
    servers = [Simulated(0.05), Simulated(0.05), Simulated(5.0)]
    made = await run(tmp_path, several(*servers), count=200, concurrency=48)
    assert made.once
    assert made.seconds < 4.0
    assert servers[2].asked == 16


@pytest.mark.parametrize("interrupted", [False, True])
async def test_a_call_that_is_moved_can_still_be_cancelled(*, interrupted: bool) -> None:
    servers = [Simulated(5.0), Simulated(0.0)]
    model = several(*servers)
    task = asyncio.create_task(model.reply(Prompt(), Sampling()))
    await asyncio.sleep(0)
    (call,) = next(iter(model._endpoints.values())).calls
    call.move()
    if interrupted:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        assert (await task).text == "A"
        assert task.cancelling() == 0
    assert [each.asked for each in servers] == [1, 0 if interrupted else 1]
    await model.close()


async def test_a_file_of_addresses_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evals.model_adapters.common.addresses.CHECK_INTERVAL_S", 0.0)
    servers = {f"http://s{n}/v1": Simulated() for n in range(3)}
    path = tmp_path / "addresses.txt"
    path.write_text("# the first two\nhttp://s0/v1  # a comment\n\nhttp://s1/v1\n")
    model = Endpoints("m", Addresses(f"@{path}", lambda url: None), lambda url: servers[url])
    model.add_headers({"X": "1"})
    first, last = servers["http://s0/v1"], servers["http://s2/v1"]
    after(first, 20, lambda: path.write_text("http://s1/v1\nhttp://s2/v1\n"))
    made = await run(tmp_path / "run", model, count=300, concurrency=8)
    assert made.once
    assert first.asked < 60
    assert last.asked > 60
    assert last.headers == {"X": "1"}


async def test_a_file_of_addresses_that_vanishes_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("evals.model_adapters.common.addresses.CHECK_INTERVAL_S", 0.0)
    path = tmp_path / "addresses.txt"
    path.write_text("http://s0/v1\n")
    only = Simulated()
    model = Endpoints("m", Addresses(f"@{path}", lambda url: None), lambda url: only)
    after(only, 20, path.unlink)
    made = await run(tmp_path / "run", model, concurrency=8)
    assert made.once
    assert capsys.readouterr().err.count("cannot read the addresses") == 1


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("server:http://a/v1,ftp://b/v1#m", "is not a valid http URL"),
        ("server:http://a/v1,gpu8:8000/v1#m", "write a full URL after each comma"),
        ("server:@absent.txt#m", "cannot read the addresses in absent.txt"),
        ("server:@empty.txt#m", "lists no address"),
        ("server:@odd.txt#m", "is not a valid http URL"),
    ],
)
def test_wrong_addresses_are_one_line(here: Path, spec: str, message: str) -> None:
    (here / "empty.txt").write_text("# nothing yet\n")
    (here / "odd.txt").write_text("gpu7:8000\n")
    with pytest.raises(UsageError, match=message) as error:
        load.model(spec)
    assert "\n" not in str(error.value)


def test_no_secret_of_any_address_is_shown() -> None:
    spec = "server:http://u:hunter2@a/v1,https://v:swordfish@b/v1?sig=x#m"
    assert load.without_secrets(spec) == "server:http://a/v1,https://b/v1#m"
    assert split_urls("http://a/v1?x=1,2,http://b/v1") == ["http://a/v1?x=1,2", "http://b/v1"]


class Real:
    """A real HTTP server of a model."""

    def __init__(self, name: str = "m") -> None:
        self.name, self.asked, self.url = name, 0, ""
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._answer)
        app.router.add_get("/v1/models", self._list)
        self._runner = web.AppRunner(app, shutdown_timeout=0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/v1"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        await asyncio.sleep(0.005)
        choice = {"message": {"role": "assistant", "content": "A"}, "finish_reason": "stop"}
        return web.json_response({"choices": [choice], "model": self.name})

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": self.name}]})


async def served(names: Sequence[str], act: Callable[[list[Real]], Awaitable[None]]) -> None:
    servers = [Real(name) for name in names]
    for each in servers:
        await each.start()
    try:
        await act(servers)
    finally:
        for each in servers:
            await each.stop()


async def test_a_real_server_that_is_shut_down_costs_no_sample(tmp_path: Path) -> None:
    async def act(servers: list[Real]) -> None:
        model = server.model(",".join(each.url for each in servers) + "#m")
        assert isinstance(model, Endpoints)

        stopping: list[asyncio.Task[None]] = []
        after(servers[0], 30, lambda: stopping.append(asyncio.create_task(servers[0].stop())))
        made = await run(tmp_path, model, count=200, concurrency=12)
        await stopping[0]
        assert made.once
        assert "lost once" in made.model.notes[0]
        assert servers[1].asked + servers[2].asked >= 150

    await served(["m", "m", "m"], act)


async def test_without_a_name_all_servers_must_list_one_model(here: Path) -> None:
    async def act(servers: list[Real]) -> None:
        urls = [each.url for each in servers]
        same = await asyncio.to_thread(server.model, f"{urls[0]},{urls[1]}")
        assert same.name == "m"
        await same.close()
        with pytest.raises(
            UsageError, match=r"serves m and .* serves other: all servers of a run must serve the same model"
        ):
            await asyncio.to_thread(server.model, ",".join(urls))

    await served(["m", "m", "other"], act)


async def test_the_command_takes_several_servers(here: Path) -> None:
    async def act(servers: list[Real]) -> None:
        (here / "addresses.txt").write_text("\n".join(each.url for each in servers))
        done = await asyncio.to_thread(
            evals,
            "run",
            "mmlu-pro",
            "--sample",
            "-m",
            "server:@addresses.txt#m",
            "--header",
            "X=XVALUE",
            env={"XVALUE": "1"},
        )
        assert done.status == 0, done.err
        shown = await asyncio.to_thread(evals, "show", "last", "--json")
        notes = shown.json["runs"][0]["notes"]
        assert sum(note.startswith("endpoint http://127.0.0.1:") for note in notes) == 2
        assert all(each.asked for each in servers)

    await served(["m", "m"], act)
