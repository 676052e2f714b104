"""Starting, watching and stopping an inference server, against a stand-in for the engine (`standin.py`).

What the real engines do on this launcher is in `test_vllm.py`; LMDeploy and SGLang run only where CUDA is.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evals import gpus, load, profiles
from evals.calls import backoff
from evals.errors import UsageError
from evals.gpus import Gpu
from evals.model_adapters.common import launch, logs, registry, server_process
from evals.records import store
from tests.support import standin
from tests.support.command import evals

ENGINES = ("vllm", "lmdeploy", "sglang")
H100 = Gpu("NVIDIA H100 80GB HBM3", 85.5)
H200 = Gpu("NVIDIA H200", 150.7)


@pytest.fixture
def engine(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The stand-in's folder; nothing that it started may be left in the end."""
    folder = here / "standin"
    monkeypatch.setenv("EVALS_ENGINE_PYTHON", str(standin.install(folder)))
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "cache"))
    for name in ("EVALS_ENGINE_ARGS", "EVALS_ENGINE_START_S", "STANDIN"):
        monkeypatch.delenv(name, raising=False)
    weights = here / "weights" / "tiny"
    weights.mkdir(parents=True)
    (weights / "config.json").write_text('{"vision_config": {}}')
    (here / "weights" / "blind").mkdir()
    (here / "weights" / "blind" / "config.json").write_text("{}")
    yield folder
    assert left(folder) == []


def left(folder: Path, *, within_s: float = 5.0) -> list[int]:
    """What the stand-in started and still runs."""
    pids = [int(pid) for pid in (folder / "pids").read_text().split()] if (folder / "pids").exists() else []
    until = time.monotonic() + within_s
    while (living := [pid for pid in pids if runs(pid)]) and time.monotonic() < until:
        time.sleep(0.05)
    return living


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def asked(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "requests.jsonl").read_text().splitlines()]


def run(model: str = "vllm:weights/tiny", *words: object) -> Any:
    return evals("run", "mmlu-pro", "--sample", "--max-tokens", 64, "-m", model, "--json", *words)


def process(*words: object, **env: str) -> subprocess.Popen[str]:
    """The command as a process of its own, to be stopped in unkind ways."""
    return subprocess.Popen(
        [sys.executable, "-c", "from evals.cli import main; main()", *map(str, words)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | env, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # whoever started the tests with nohup
    )  # fmt: skip


def until(true: Callable[[], Any], within_s: float = 30.0) -> None:
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


# --- the way of a run ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ENGINES)
def test_a_run_starts_a_server_and_stops_it_on_a_standin(engine, name):
    done = run(f"{name}:weights/tiny")
    assert done.status == 0, done.err
    (card,) = done.json["runs"]
    assert (card["coverage"], card["model"]) == (1.0, "tiny")
    words = json.loads((engine / "command.json").read_text())
    assert standin.flag(words, "--host", "--server-name") == "127.0.0.1"
    assert any(note.startswith(f"server: {name} 0.99: ") for note in card["notes"])
    found = store.find_one(Path("results"), card["run"]).path
    assert (found / f"{name}.log").read_text().startswith("# 20")
    assert asked(engine)[0]["messages"][0]["content"] == "Say yes."  # proof of life, no sample
    assert len(asked(engine)) == 1 + card["expected"]


def test_no_key_of_ours_reaches_the_server_of_a_standin(engine, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("EVALS_SERVER_KEY", "secret")
    monkeypatch.setenv("HF_TOKEN", "hf_for_gated_weights")
    assert run().status == 0
    environment = json.loads((engine / "environment.json").read_text())
    assert not {"OPENAI_API_KEY", "EVALS_SERVER_KEY"} & set(environment)
    assert environment["HF_TOKEN"] == "hf_for_gated_weights"
    assert environment["VLLM_NO_USAGE_STATS"] == "1"


@pytest.mark.slow
def test_other_options_of_the_server_make_another_run_on_a_standin(engine, monkeypatch):
    first = run().json["runs"][0]
    monkeypatch.setenv("EVALS_ENGINE_ARGS", "--quantization fp8")
    done = run()
    assert done.json["runs"][0]["run"] != first["run"]
    assert "engine is --quantization fp8 and was not set" in done.err


@pytest.mark.slow
@pytest.mark.parametrize("name", ENGINES)
def test_the_thinking_switch_is_the_server_s_own_on_a_standin(engine, name):
    assert run(f"{name}:weights/tiny", "--no-thinking", "--limit", 1).status == 0
    body = asked(engine)[-1]
    if name == "lmdeploy":
        assert (body["enable_thinking"], "chat_template_kwargs" in body) == (False, False)
    else:
        assert (body["chat_template_kwargs"], "enable_thinking" in body) == (
            {"enable_thinking": False},
            False,
        )


@pytest.mark.slow
@pytest.mark.parametrize("max_tokens", [4050, 32_768])  # the prompt leaves less; more than the context itself
@pytest.mark.parametrize("name", ENGINES)
def test_max_tokens_beyond_the_context_are_the_context_s_rest_and_noted_on_a_standin(
    engine, name, max_tokens
):
    (card,) = run(f"{name}:weights/tiny", "--max-tokens", max_tokens).json["runs"]
    assert card["coverage"] == 1.0
    assert "max_tokens" not in asked(engine)[-1]
    assert any(f"max_tokens {max_tokens} exceeds the context of 4096" in n for n in card["notes"])


@pytest.mark.slow
def test_a_context_that_is_too_small_is_the_sample_s_failure_on_a_standin(engine, monkeypatch):
    monkeypatch.setenv("STANDIN", "narrow")
    done = run("sglang:weights/tiny")
    assert done.status == 2
    assert "maximum context length" in done.err


@pytest.mark.slow
def test_a_server_that_dies_is_started_again_once_on_a_standin(engine, monkeypatch):
    monkeypatch.setenv("STANDIN", "once")
    monkeypatch.setenv("STANDIN_AGAIN_S", "4")  # longer than a call would be tried again
    monkeypatch.setattr(backoff, "FIRST_S", 0.05)
    done = run("vllm:weights/tiny", "--concurrency", 2)
    assert done.status == 0, done.err
    (card,) = done.json["runs"]
    assert card["coverage"] == 1.0
    assert "server: it died during the run and was restarted" in card["notes"]
    assert len((engine / "pids").read_text().split()) == 2


def test_a_server_that_dies_twice_ends_the_run_and_its_samples_stay_open_on_a_standin(engine, monkeypatch):
    monkeypatch.setenv("STANDIN", "mortal:4")
    done = run("vllm:weights/tiny", "--concurrency", 1)
    assert done.status == 1, done.err
    (card,) = done.json["runs"]
    assert set(card["counts"]) <= {"right", "wrong", "absent"}  # no failure is made up
    assert 0 < card["coverage"] < 1
    assert "died again: RuntimeError: the engine's heart stopped" in done.err
    assert "\x1b" not in done.err  # a log's escapes reach no terminal
    monkeypatch.setenv("STANDIN", "")
    again = run("vllm:weights/tiny", "--concurrency", 1)  # the same command goes on
    assert again.json["runs"][0]["run"] == card["run"]
    assert again.json["runs"][0]["coverage"] == 1.0


# --- every way out ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behaviour", "signum"),
    [
        ("deaf", signal.SIGINT),
        ("deaf", signal.SIGTERM),
        ("deaf", signal.SIGKILL),
        ("deaf", signal.SIGHUP),
        pytest.param("stubborn", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("stubborn", signal.SIGKILL, marks=pytest.mark.slow),
    ],
)
def test_no_orphan_whatever_ends_the_run_of_a_standin(engine, signum, behaviour):
    """`deaf`: while it starts. `stubborn`: in mid-run, deaf to SIGTERM, with a child that left its group."""
    words = ("run", "mmlu-pro", "--sample", "-m", "vllm:weights/tiny")
    running = process(*words, STANDIN=behaviour, STANDIN_S="0.2")
    wanted = 2 if behaviour == "stubborn" else 1
    until(lambda: (engine / "pids").exists() and len((engine / "pids").read_text().split()) == wanted)
    if behaviour == "stubborn":
        until(lambda: (engine / "requests.jsonl").exists() and len(asked(engine)) > 2)
    running.send_signal(signum)
    _, err = running.communicate(timeout=60)
    assert left(engine, within_s=20.0) == []
    assert "Traceback" not in err, err
    if signum in (signal.SIGINT, signal.SIGTERM):
        assert running.returncode == 130, err


@pytest.mark.slow
def test_no_orphan_when_the_watchdog_is_killed_beside_a_standin(engine):
    running = process(
        "run", "mmlu-pro", "--sample", "-m", "vllm:weights/tiny", STANDIN="stubborn", STANDIN_S="0.2"
    )
    until(lambda: (engine / "requests.jsonl").exists() and len(asked(engine)) > 2)
    first = int((engine / "pids").read_text().split()[0])
    dog = int(Path(f"/proc/{first}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(dog, signal.SIGKILL)
    until(lambda: not runs(first), within_s=10.0)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    pids = [int(pid) for pid in (engine / "pids").read_text().split()]
    for pid in pids:  # what had left the group as well is the one that nothing can find without its watchdog
        if runs(pid):
            assert os.getsid(pid) == pid
            os.kill(pid, signal.SIGKILL)


# --- what bad input gets ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("behaviour", "line"),
    [
        ("oom", "vllm:weights/tiny ended before it served anything: out of memory"),
        ("gated", "its weights are gated"),
        ("remote-code", "add --trust-remote-code if you trust its authors"),
        ("no-model", "no such model on the hub"),
        ("offline", "the hub cannot be reached"),
        ("odd", "KeyError: 'layers.0.experts'"),
        ("mute", "its log is empty"),
        (
            "dumb",
            "vllm:weights/tiny is running, but cannot reply: HTTP 500: no kernel image is available (log: ",
        ),
        (
            "mortal:0",
            "vllm:weights/tiny ended during its first call: RuntimeError: the engine's heart stopped",
        ),
    ],
)
def test_a_server_that_fails_is_one_line_and_nothing_is_left_of_a_standin(
    engine, monkeypatch, behaviour, line
):
    monkeypatch.setenv("STANDIN", behaviour)
    assert line in run().error_line
    assert left(engine) == []


@pytest.mark.slow
def test_a_proxy_of_the_user_s_is_not_asked_for_a_server_of_this_machine_on_a_standin(engine, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("EVALS_ENGINE_START_S", "20")
    assert run().json["runs"][0]["coverage"] == 1.0


def test_what_speaks_no_http_on_the_usual_port_is_no_server_of_the_model(engine):
    def greet(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(b"SSH-2.0-OpenSSH_9.3\r\n")

    with socket.create_server((launch.HOST, 0)) as other:
        greeting = threading.Thread(target=greet, args=(other,))
        greeting.start()
        assert server_process.served_models(f"http://{launch.HOST}:{other.getsockname()[1]}/v1") == {}
        greeting.join()


@pytest.mark.slow
def test_a_server_that_never_gets_healthy_is_one_line_on_a_standin(engine, monkeypatch):
    monkeypatch.setenv("STANDIN", "deaf")
    monkeypatch.setenv("EVALS_ENGINE_START_S", "1")
    assert "is not ready after 1 s: loading shards" in run().error_line


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("EVALS_ENGINE_START_S", "soon", "EVALS_ENGINE_START_S=soon: not a number of seconds"),
        ("EVALS_ENGINE_START_S", "nan", "EVALS_ENGINE_START_S=nan: not a number of seconds"),
        ("EVALS_ENGINE_START_S", "-1", "EVALS_ENGINE_START_S=-1: not a number of seconds"),
        ("EVALS_ENGINE_ARGS", "--x 'y", "EVALS_ENGINE_ARGS cannot be split into words: No closing quotation"),
    ],
)
def test_a_setting_that_cannot_be_read_is_one_line_that_names_it(engine, monkeypatch, name, value, line):
    monkeypatch.setenv(name, value)
    assert run().error_line == line


@pytest.mark.slow
def test_a_port_that_somebody_took_is_another_one_on_a_standin(engine, monkeypatch):
    monkeypatch.setenv("STANDIN", "taken")
    assert run().json["runs"][0]["coverage"] == 1.0


@pytest.mark.parametrize(
    ("model", "line"),
    [
        ("vllm:./weights/none", "no such folder"),
        ("vllm:./weights", "no weights there"),
        ("sglang:nothing", "write ORGANISATION/NAME as on the hub, or a folder"),
        ("vllm:", "has no name"),
    ],
)
def test_a_wrong_model_path_is_one_line(engine, model, line):
    assert line in run(model).error_line


def test_an_engine_that_is_not_installed_is_one_line(engine, monkeypatch):
    monkeypatch.setenv("STANDIN", "lacks")
    assert "sglang is not installed for" in run("sglang:weights/tiny").error_line
    monkeypatch.setenv("EVALS_ENGINE_PYTHON", "/nowhere/python")
    assert "EVALS_ENGINE_PYTHON=/nowhere/python: it cannot be run" in run().error_line


def test_a_model_that_cannot_see_is_refused_before_it_is_started(engine):
    done = evals("run", "mathvision", "--sample", "-m", "vllm:weights/blind")
    assert "needs a model that takes image" in done.error_line
    assert not (engine / "pids").exists()


@pytest.mark.parametrize("command", ["run", "serve"])
def test_the_gpus_are_looked_at_before_the_engine_s_package(engine, monkeypatch, command):
    monkeypatch.setenv("STANDIN", "lacks")
    monkeypatch.setattr(gpus, "visible_gpus", lambda: [H100] * 2)
    words = ("run", "mmlu-pro", "--sample", "-m") if command == "run" else ("serve",)
    line = evals(*words, "vllm:internlm/Intern-S1-FP8").error_line
    assert line.startswith("Intern-S1-FP8 needs 4 x 80 GB or 2 x 141 GB; found 2 x NVIDIA H100")
    monkeypatch.setattr(gpus, "visible_gpus", lambda: [H100] * 4)
    assert "vllm is not installed" in evals(*words, "vllm:internlm/Intern-S1-FP8").error_line


def test_doctor_asks_for_the_engine_where_the_gpus_suffice(engine, monkeypatch):
    monkeypatch.setattr(gpus, "visible_gpus", lambda: [H100])
    found = {f["what"]: f for f in evals("doctor", "--json").json["findings"]}
    assert found["Intern-S1-mini"]["detail"] == "the GPUs suffice; vllm 0.99, sglang 0.99, lmdeploy 0.99"
    monkeypatch.setenv("STANDIN", "lacks")
    found = {f["what"]: f for f in evals("doctor", "--json").json["findings"]}
    assert (found["Intern-S1-mini"]["ok"], "no engine is installed" in found["Intern-S1-mini"]["detail"]) == (
        False,
        True,
    )
    assert "needs 8 x 80 GB" in found["Intern-S1"]["detail"]


# --- serve and reuse ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_serve_prints_a_url_that_run_reuses_and_leaves_running_on_a_standin(engine):
    serving = process("serve", "vllm:weights/tiny", "--log", "here.log")
    assert serving.stdout is not None
    url = serving.stdout.readline().strip()
    assert url.startswith("http://127.0.0.1:")
    assert url.endswith("/v1#tiny")
    done = run()
    assert done.json["runs"][0]["coverage"] == 1.0
    assert any("already running and not started for this run" in n for n in done.json["runs"][0]["notes"])
    assert len((engine / "pids").read_text().split()) == 1
    assert serving.poll() is None
    assert run("sglang:weights/tiny", "--limit", 1).status == 0  # another engine starts its own
    assert len((engine / "pids").read_text().split()) == 2
    serving.send_signal(signal.SIGINT)
    _, err = serving.communicate(timeout=30)
    assert serving.returncode == 130, err
    assert list((Path("cache") / "science-evals" / "servers").iterdir()) == []
    assert "Traceback" not in err


@pytest.mark.slow
def test_serve_passes_options_on_to_a_standin(engine, monkeypatch):
    monkeypatch.setenv("EVALS_ENGINE_ARGS", "--seed 1")
    serving = process(
        "serve", "vllm:weights/tiny", "--trust-remote-code", "--", "--gpu-memory-utilization", "0.8"
    )
    assert serving.stdout is not None
    serving.stdout.readline()
    words = json.loads((engine / "command.json").read_text())
    assert words[-5:] == ["--trust-remote-code", "--seed", "1", "--gpu-memory-utilization", "0.8"]
    serving.terminate()
    serving.communicate(timeout=30)


def test_serve_says_what_it_cannot(engine, monkeypatch):
    for model in ("scripted:A", "smollm2", "hf:internlm/Intern-S1-mini"):
        assert "has no server to start" in evals("serve", model).error_line
    assert "did you mean vllm:?" in evals("serve", "vlm:a/b").error_line
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert evals("serve", "vllm:weights/tiny", "--port", port).error_line == f"--port {port} is taken"
    monkeypatch.setenv("STANDIN", "oom")
    assert "out of memory" in evals("serve", "vllm:weights/tiny").error_line


def test_what_a_dead_owner_left_in_the_register_is_removed(engine):
    order = launch.launch_spec(load.engine("vllm"), "org/name", None)
    path = registry.register(order, "http://127.0.0.1:1/v1")
    dead = subprocess.Popen(["true"])
    dead.wait()
    path.write_bytes(path.read_bytes().replace(str(os.getpid()).encode(), str(dead.pid).encode()))
    assert registry.registered_servers("vllm") == []
    assert not path.exists()


def test_an_entry_of_a_process_that_ended_is_not_another_ones_with_its_id(engine):
    order = launch.launch_spec(load.engine("vllm"), "org/name", None)
    path = registry.register(order, "http://127.0.0.1:1/v1")
    assert registry.registered_servers("vllm")
    entry = json.loads(path.read_bytes())
    assert entry["began"]
    path.write_text(json.dumps(entry | {"began": "1"}))
    assert registry.registered_servers("vllm") == []
    assert not path.exists()


@pytest.mark.slow
def test_a_server_of_other_weights_or_of_a_stranger_is_not_reused(engine):
    serving = process("serve", "vllm:weights/tiny", "--log", "here.log")
    assert serving.stdout is not None
    url = serving.stdout.readline().strip()
    try:
        twin = Path("other") / "tiny"
        twin.mkdir(parents=True)
        (twin / "config.json").write_bytes(Path("weights/tiny/config.json").read_bytes())
        done = run("vllm:other/tiny")
        assert not any("already running" in n for n in done.json["runs"][0]["notes"])
        assert len((engine / "pids").read_text().split()) == 2
        entry = next((Path("cache") / "science-evals" / "servers").iterdir())
        entry.unlink()  # what nobody of ours announced is a stranger
        assert not any(
            "already running" in n for n in run("vllm:weights/tiny", "--limit", 1).json["runs"][0]["notes"]
        )
        assert url.endswith("#tiny")
    finally:
        serving.terminate()
        serving.communicate(timeout=30)


@pytest.mark.parametrize(
    ("words", "trusted"),
    [
        ("internlm/Intern-S1-mini", True),
        ("Intern-S1-mini", True),
        ("some-org/Intern-S1-mini", False),
        ("Shanghai_AI_Laboratory/Intern-S1-mini", False),
        ("./here/Intern-S1-mini", False),
        ("internlm/Intern-S1-mini as a folder", False),
    ],
)
def test_code_of_weights_is_trusted_by_the_full_name_of_the_makers_alone(
    words, trusted, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    name = words.removesuffix(" as a folder")
    if name != words or name.startswith("."):
        Path(name).mkdir(parents=True)
    profile = profiles.find(f"vllm:{name}")
    assert profile is not None
    order = launch.launch_spec(load.engine("vllm"), profiles.full_name(name, profile), profile)
    assert ("--trust-remote-code" in launch.command_line(order, port=1)) is trusted
    told = launch.launch_spec(
        load.engine("vllm"), profiles.full_name(name, profile), profile, trust_remote_code=True
    )
    assert launch.command_line(told, port=1).count("--trust-remote-code") == 1


@pytest.mark.parametrize(
    "words",
    [
        "--hf-token hf_x",
        "--hf-token=hf_x",
        "--api-key hf_x",
        "--admin-api-key hf_x",
        "--api_key=hf_x",
        "--apikey hf_x",
        """--kv-transfer-config '{"kv_connector_extra_config": {"redis_password": "hf_x"}}'""",
        """--kv-transfer-config='{"a": [{"secretKey" : "hf_x"}]}'""",
        "--kv-transfer-config.kv_connector_extra_config.auth_token hf_x",
        "--env AWS_SECRET_ACCESS_KEY=hf_x",
        "--env=HF_TOKEN=hf_x",
        "PASSWORD=hf_x",
        "--config 'password: hf_x'",
        "--kv redis://me:hf_x@cache/0",
        "--download hf_xABCDEFGHIJKLMNOPQRSTUVWX",
        "--note aw-value-of-a-variable-hf_x",
    ],
)
def test_a_secret_among_the_engines_options_is_refused_unseen(words, monkeypatch):
    monkeypatch.setenv("EVALS_ENGINE_ARGS", words)
    monkeypatch.setenv("MY_SERVICE_KEY", "value-of-a-variable-hf_x")
    with pytest.raises(UsageError, match="environment") as caught:
        launch.launch_spec(load.engine("vllm"), "a/b", None)
    assert "hf_x" not in str(caught.value)
    monkeypatch.setenv("EVALS_ENGINE_ARGS", "--hf-token 'hf_x")
    with pytest.raises(UsageError) as caught:
        launch.launch_spec(load.engine("vllm"), "a/b", None)
    assert "hf_x" not in str(caught.value)
    usual = (
        "--max-num-batched-tokens 8 --tokenizer x --image-token-id 3 --max-model-len 9 --ssl-keyfile k.pem "
        """--hf-overrides '{"eos_token": "x", "num_key_value_heads": 4, "api_key": null}' """
        "--limit-mm-per-prompt image=4 --lora-modules a=b"
    )
    monkeypatch.setenv("EVALS_ENGINE_ARGS", usual)
    assert len(launch.launch_spec(load.engine("vllm"), "a/b", None).arguments) == 16


def test_an_engine_sees_no_secret_but_those_for_weights(monkeypatch):
    for name in (
        "AWS_SECRET_ACCESS_KEY",
        "GITHUB_TOKEN",
        "OPENAI_API_KEY",
        "DB_PASSWORD",
        "HF_TOKEN",
        "PGPASSWORD",
        "OPENAI_APIKEY",
    ):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    monkeypatch.setenv("DATABASE_URL", "postgres://me:word@db/x")
    monkeypatch.setenv("HTTPS_PROXY", "http://me:word@proxy:3128")
    seen = server_process._environment(load.engine("vllm"))
    assert {n for n in seen if seen[n] == "x"} == {"HF_TOKEN"}
    assert "DATABASE_URL" not in seen
    assert "HTTPS_PROXY" in seen  # weights are downloaded through it
    assert seen["TOKENIZERS_PARALLELISM"] == "false"


# --- the command line ---------------------------------------------------------------------------------------

GUIDE = {
    ("vllm", "Intern-S1"): "--tensor-parallel-size 8 --trust-remote-code",
    ("lmdeploy", "Intern-S1"): "--reasoning-parser intern-s1 --tp 8",
    ("sglang", "Intern-S1"): "--trust-remote-code --tp 8 --grammar-backend none",
    ("vllm", "Intern-S1-FP8"): "--tensor-parallel-size 4 --trust-remote-code",
    ("vllm", "Intern-S1-mini"): "--trust-remote-code",
    ("vllm", "Intern-S2-Preview"): "--trust-remote-code --tensor-parallel-size 2 --reasoning-parser qwen3",
    (
        "lmdeploy",
        "Intern-S2-Preview",
    ): "--trust-remote-code --backend pytorch --tp 2 --reasoning-parser default",
}
GUIDE_PRO = {
    "vllm": "--tensor-parallel-size 16 --enable-expert-parallel --distributed-executor-backend ray "
    "--max-model-len 65536 --trust-remote-code --reasoning-parser deepseek_r1",
    "lmdeploy": "--backend pytorch --tp 16 --reasoning-parser intern-s1 --session-len 65536",
    "sglang": "--tp 16 --ep 16 --mem-fraction-static 0.85 --trust-remote-code --attention-backend fa3 "
    "--mm-attention-backend fa3 --reasoning-parser qwen3 --context-length 65536",
}


def options(words: list[str], *, after: str) -> set[tuple[str, ...]]:
    """The options of a command line with their values, from behind the port's."""
    rest = words[words.index(after) + 2 :] if after in words else words
    found: list[tuple[str, ...]] = []
    for word in rest:
        if word.startswith("--"):
            found.append((word,))
        else:
            found[-1] += (word,)
    return set(found)


@pytest.mark.parametrize(("engine_name", "model"), GUIDE)
def test_the_command_line_is_the_makers_guide_s(monkeypatch, engine_name, model):
    monkeypatch.setattr(gpus, "visible_gpus", lambda: [H100] * 8)
    found = _words(engine_name, model)
    assert options(found, after=_port_option(engine_name)) == options(
        GUIDE[engine_name, model].split(), after=""
    )
    assert f"internlm/{model}" in found


@pytest.mark.parametrize("engine_name", GUIDE_PRO)
def test_the_command_line_of_pro_is_the_makers_guide_s(monkeypatch, engine_name):
    monkeypatch.setattr(gpus, "visible_gpus", lambda: [H200] * 16)
    found = _words(engine_name, "Intern-S1-Pro")
    assert options(found, after=_port_option(engine_name)) == options(
        GUIDE_PRO[engine_name].split(), after=""
    )


def test_fewer_of_a_larger_gpu_are_shared_over(monkeypatch):
    monkeypatch.setattr(gpus, "visible_gpus", lambda: [H200] * 4)
    assert standin.flag(_words("vllm", "Intern-S1"), "--tensor-parallel-size") == "4"


def _part(monkeypatch: pytest.MonkeyPatch, engine_name: str, rank: int) -> list[str]:
    monkeypatch.setattr(gpus, "visible_gpus", lambda: [H200] * 8)
    for name, value in (("NODES", "2"), ("RANK", str(rank)), ("MASTER", "10.0.0.1:29500")):
        monkeypatch.setenv(f"EVALS_ENGINE_{name}", value)
    return _words(engine_name, "Intern-S1-Pro")


def test_pro_over_two_nodes_of_vllm(monkeypatch):
    """vLLM's own processes and not Ray's workers: the server is no Ray actor, so it would see no placement group."""
    first, second = (_part(monkeypatch, "vllm", rank) for rank in (0, 1))
    for rank, words in enumerate((first, second)):
        said = " ".join(words)
        assert f"--nnodes 2 --node-rank {rank} --master-addr 10.0.0.1 --master-port 29500" in said
        assert "--tensor-parallel-size 16" in said
        assert words[len(words) - 1 - words[::-1].index("--distributed-executor-backend") + 1] == "mp"
    assert "--port" in first
    assert "--headless" not in first
    assert "--port" not in second
    assert second[1:5] == ["-m", "vllm.entrypoints.cli.main", "serve", "internlm/Intern-S1-Pro"]
    assert "--headless" in second


def test_pro_over_two_nodes_of_sglang(monkeypatch):
    for rank in (0, 1):
        words = " ".join(_part(monkeypatch, "sglang", rank))
        assert f"--nnodes 2 --node-rank {rank} --dist-init-addr 10.0.0.1:29500" in words
        assert "--tp 16" in words


def test_lmdeploy_over_two_nodes_is_refused_in_one_line(monkeypatch):
    monkeypatch.setenv("EVALS_ENGINE_NODES", "2")
    monkeypatch.setenv("EVALS_ENGINE_MASTER", "10.0.0.1:29500")
    with pytest.raises(UsageError, match="only vllm: and sglang: can span several nodes"):
        load.model("lmdeploy:a/b", results=Path())


def test_gpus_that_a_replica_was_given_are_shared_over_without_a_profile(monkeypatch):
    monkeypatch.setenv("EVALS_ENGINE_GPUS", "4")
    wanted = launch.launch_spec(load.engine("vllm"), "a/b", None)
    assert standin.flag(launch.command_line(wanted, port=1), "--tensor-parallel-size") == "4"


def _words(engine_name: str, model: str) -> list[str]:
    profile = profiles.find(f"{engine_name}:{model}")
    assert profile is not None
    wanted = launch.launch_spec(load.engine(engine_name), f"internlm/{model}", profile)
    return launch.command_line(wanted, port=1234)


def _port_option(engine_name: str) -> str:
    return "--server-port" if engine_name == "lmdeploy" else "--port"


@pytest.mark.parametrize("name", ["EVALS_ENGINE_ARGS", "EVALS_ENGINE_START_S", "EVALS_ENGINE_NODES"])
def test_settings_that_cannot_be_read_are_one_line(monkeypatch, name):
    monkeypatch.setenv(name, "'")
    with pytest.raises(UsageError, match=name):
        launch.launch_spec(load.engine("vllm"), "a/b", None)


# --- logs ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_of_a_log_without_end_the_end_is_read(tmp_path):
    weights = tmp_path / "tiny"
    weights.mkdir()
    (weights / "config.json").write_text("{}")
    process = server_process.ServerProcess(
        launch.LaunchSpec(engine=load.engine("vllm"), model=str(weights)), tmp_path / "log"
    )
    with process.log.open("wb") as stream:
        stream.seek(50 * server_process.MAX_LOG_BYTES)
        stream.write(b"\nRuntimeError: the end\n")
    assert process.describe_end("died").endswith(f"died: RuntimeError: the end (log: {process.log})")


@pytest.mark.parametrize(
    ("log", "why"),
    [
        ("(EngineCore pid=1) ERROR 11-25 12:00:00 [core.py:8] ValueError: no such quantization\nlater", "ValueError: no such quantization"),
        ("INFO 11-25 12:00:00 [config.py:1] trust_remote_code=True, dtype=bfloat16\nbye", "bye"),
        ("If you are trying to access a private or gated repo, log in.\nOSError: a/b is not a local folder and is not a valid model identifier", "no such model on the hub (if it is private, set HF_TOKEN)"),
        ("OSError: You are trying to access a gated repo.", "its weights are gated: accept their terms on the hub and set HF_TOKEN"),
        ("x" * 1000, "x" * 300),
        ("", "its log is empty"),
        ("KeyError: 'x' was mended\nkilled by signal 9 (SIGKILL)\n", "killed by signal 9 (SIGKILL)"),
        ("ValidationError: 1 error for Config\n  Value error, no such architecture\n  more", "ValidationError: 1 error for Config Value error, no such architecture"),
    ],
)  # fmt: skip
def test_a_log_is_read_for_its_cause(log, why):
    assert logs.cause(log) == why


@pytest.mark.slow
def test_a_server_that_dies_at_its_first_sample_is_started_again_on_a_standin(engine, monkeypatch):
    """Before any reply a refused connection would end the run; here it is known to be the server's death."""
    monkeypatch.setenv("STANDIN", "once:1")
    done = run("vllm:weights/tiny", "--concurrency", 2)
    assert done.status == 0, done.err
    assert done.json["runs"][0]["coverage"] == 1.0


# --- several models of one command --------------------------------------------------------------------------


@pytest.mark.slow
def test_servers_of_this_machine_take_turns_beside_other_models_on_a_standin(engine, monkeypatch):
    started: list[server_process.ServerProcess] = []
    start = server_process.ServerProcess.start

    def noted(self: server_process.ServerProcess) -> None:
        assert not any(process.alive for process in started)
        started.append(self)
        start(self)

    monkeypatch.setattr(server_process.ServerProcess, "start", noted)
    done = run("vllm:weights/tiny", "-m", "demo:careful", "-m", "vllm:weights/blind")
    assert done.status == 0, done.err
    cards = {card["model"]: card for card in done.json["runs"]}
    assert list(cards) == ["tiny", "careful", "blind"]
    assert len(started) == 2
    assert cards["careful"]["finished"] < cards["blind"]["finished"]
    for name in ("tiny", "blind"):
        found = store.find_one(Path("results"), cards[name]["run"]).path
        assert f"served-model-name {name}" in " ".join(cards[name]["notes"])
        assert (found / "vllm.log").is_file()
