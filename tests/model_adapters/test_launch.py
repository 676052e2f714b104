"""Starting, monitoring and stopping an inference server, with a fake engine (`standin.py`).

`test_vllm.py` tests the launcher with real vLLM; LMDeploy and SGLang need CUDA.
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
from tests.support.error_messages import raises
from tests.support.faults import GOOD, FaultyServer
from tests.support.sizes import tiers

ENGINES = ("vllm", "lmdeploy", "sglang")
H100 = Gpu("NVIDIA H100 80GB HBM3", 85.5)
H200 = Gpu("NVIDIA H200", 150.7)


@pytest.fixture
def engine(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield the fake engine's folder; fail if a process that it started is still running after the test."""
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
    assert remaining_processes(folder) == []


def remaining_processes(folder: Path, *, within_s: float = 5.0) -> list[int]:
    """Wait until the processes that the fake engine started have ended; return those that have not."""
    pids = [int(pid) for pid in (folder / "pids").read_text().split()] if (folder / "pids").exists() else []
    end = time.monotonic() + within_s
    while (running := [pid for pid in pids if is_running(pid)]) and time.monotonic() < end:
        time.sleep(0.05)
    return running


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def logged_requests(folder: Path) -> list[dict[str, Any]]:
    """Return the bodies of the requests that the fake engine received."""
    return [json.loads(line) for line in (folder / "requests.jsonl").read_text().splitlines()]


def run(model: str = "vllm:weights/tiny", *arguments: object) -> Any:
    return evals("run", "mmlu-pro", "--sample", "--max-tokens", 64, "-m", model, "--json", *arguments)


def start_process(*arguments: object, **env: str) -> subprocess.Popen[str]:
    """Start the command as a separate process, which tests can stop by signals."""
    return subprocess.Popen(
        [sys.executable, "-c", "from evals.cli import main; main()", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | env, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # ignored if the tests run under nohup
    )  # fmt: skip


def wait_until(condition: Callable[[], Any], within_s: float = 30.0) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


# --- runs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", tiers(ENGINES, fast=lambda name: name == "vllm", slow=lambda _: True))
def test_a_run_starts_and_stops_a_fake_engine(engine, name):
    outcome = run(f"{name}:weights/tiny")
    assert outcome.status == 0, outcome.err
    (card,) = outcome.json["runs"]
    assert (card["coverage"], card["model"]) == (1.0, "tiny")
    arguments = json.loads((engine / "command.json").read_text())
    assert standin.flag(arguments, "--host", "--server-name") == "127.0.0.1"
    assert any(note.startswith(f"server: {name} 0.99: ") for note in card["notes"])
    run_folder = store.find_one(Path("results"), card["run"]).path
    assert (run_folder / f"{name}.log").read_text().startswith("# 20")
    assert logged_requests(engine)[0]["messages"][0]["content"] == "Say yes."  # a probe before the samples
    assert len(logged_requests(engine)) == 1 + card["expected"]


def test_a_fake_engine_does_not_get_the_user_s_api_keys(engine, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("EVALS_SERVER_KEY", "secret")
    monkeypatch.setenv("HF_TOKEN", "hf_for_gated_weights")
    assert run().status == 0
    environment = json.loads((engine / "environment.json").read_text())
    assert not {"OPENAI_API_KEY", "EVALS_SERVER_KEY"} & set(environment)
    assert environment["HF_TOKEN"] == "hf_for_gated_weights"
    assert environment["VLLM_NO_USAGE_STATS"] == "1"


@pytest.mark.slow
def test_other_engine_options_start_a_new_run_with_a_fake_engine(engine, monkeypatch):
    first = run().json["runs"][0]
    monkeypatch.setenv("EVALS_ENGINE_ARGS", "--quantization fp8")
    outcome = run()
    assert outcome.json["runs"][0]["run"] != first["run"]
    assert "engine is --quantization fp8 and was not set" in outcome.err


@pytest.mark.slow
@pytest.mark.parametrize("name", ENGINES)
def test_the_thinking_switch_is_sent_in_each_engine_s_own_field_to_a_fake_engine(engine, name):
    assert run(f"{name}:weights/tiny", "--no-thinking", "--limit", 1).status == 0
    body = logged_requests(engine)[-1]
    if name == "lmdeploy":
        assert (body["enable_thinking"], "chat_template_kwargs" in body) == (False, False)
    else:
        assert (body["chat_template_kwargs"], "enable_thinking" in body) == (
            {"enable_thinking": False},
            False,
        )


@pytest.mark.slow
@pytest.mark.parametrize("max_tokens", [4050, 32_768])  # more than the prompt leaves; more than the context
@pytest.mark.parametrize("name", ENGINES)
def test_max_tokens_that_exceed_the_context_are_noted_and_not_sent_to_a_fake_engine(engine, name, max_tokens):
    (card,) = run(f"{name}:weights/tiny", "--max-tokens", max_tokens).json["runs"]
    assert card["coverage"] == 1.0
    assert "max_tokens" not in logged_requests(engine)[-1]
    assert any(
        f"prompt and max_tokens {max_tokens} exceed the context of 4096" in note for note in card["notes"]
    )


@pytest.mark.slow
def test_a_run_fails_if_all_prompts_exceed_the_context_of_a_fake_engine(engine, monkeypatch):
    monkeypatch.setenv("STANDIN", "narrow")
    outcome = run("sglang:weights/tiny")
    outcome.assert_usage_error()


@pytest.mark.slow
def test_a_fake_engine_that_dies_is_restarted_once(engine, monkeypatch):
    monkeypatch.setenv("STANDIN", "once")
    monkeypatch.setenv("STANDIN_AGAIN_S", "4")  # longer than the retries of a call last
    monkeypatch.setattr(backoff, "FIRST_S", 0.05)
    outcome = run("vllm:weights/tiny", "--concurrency", 2)
    assert outcome.status == 0, outcome.err
    (card,) = outcome.json["runs"]
    assert card["coverage"] == 1.0
    assert "server: it died during the run and was restarted" in card["notes"]
    assert len((engine / "pids").read_text().split()) == 2


def test_a_fake_engine_that_dies_twice_ends_the_run_and_the_same_command_continues_it(engine, monkeypatch):
    monkeypatch.setenv("STANDIN", "mortal:4")
    outcome = run("vllm:weights/tiny", "--concurrency", 1)
    assert outcome.status == 1, outcome.err
    (card,) = outcome.json["runs"]
    # samples that were not run are not recorded as failures
    assert set(card["counts"]) <= {"right", "wrong", "absent"}
    assert 0 < card["coverage"] < 1
    assert "died again: RuntimeError: the engine's heart stopped" in outcome.err
    assert "\x1b" not in outcome.err  # escape sequences in a log do not reach the terminal
    monkeypatch.setenv("STANDIN", "")
    continued = run("vllm:weights/tiny", "--concurrency", 1)
    assert continued.json["runs"][0]["run"] == card["run"]
    assert continued.json["runs"][0]["coverage"] == 1.0


# --- how runs end -------------------------------------------------------------------------------------------


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
def test_no_process_of_a_fake_engine_outlives_a_command_that_is_stopped_by_a_signal(
    engine, signum, behaviour
):
    """`deaf`: stopped during the start. `stubborn`: stopped during the run; ignores SIGTERM and has a child outside its process group."""
    arguments = ("run", "mmlu-pro", "--sample", "-m", "vllm:weights/tiny")
    command = start_process(*arguments, STANDIN=behaviour, STANDIN_S="0.2")
    process_count = 2 if behaviour == "stubborn" else 1
    wait_until(
        lambda: (engine / "pids").exists() and len((engine / "pids").read_text().split()) == process_count
    )
    if behaviour == "stubborn":
        wait_until(lambda: (engine / "requests.jsonl").exists() and len(logged_requests(engine)) > 2)
    command.send_signal(signum)
    _, err = command.communicate(timeout=60)
    assert remaining_processes(engine, within_s=20.0) == []
    assert "Traceback" not in err, err
    if signum in (signal.SIGINT, signal.SIGTERM):
        assert command.returncode == 130, err


@pytest.mark.slow
def test_a_fake_engine_is_stopped_if_its_watchdog_is_killed(engine):
    command = start_process(
        "run", "mmlu-pro", "--sample", "-m", "vllm:weights/tiny", STANDIN="stubborn", STANDIN_S="0.2"
    )
    wait_until(lambda: (engine / "requests.jsonl").exists() and len(logged_requests(engine)) > 2)
    engine_pid = int((engine / "pids").read_text().split()[0])
    watchdog = int(Path(f"/proc/{engine_pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(watchdog, signal.SIGKILL)
    wait_until(lambda: not is_running(engine_pid), within_s=10.0)
    command.send_signal(signal.SIGINT)
    command.communicate(timeout=60)
    pids = [int(pid) for pid in (engine / "pids").read_text().split()]
    for pid in pids:  # without the watchdog, nothing finds a child outside the process group
        if is_running(pid):
            assert os.getsid(pid) == pid
            os.kill(pid, signal.SIGKILL)


# --- faults and bad input -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "behaviour",
    [
        "oom",
        "gated",
        "remote-code",
        "no-model",
        "offline",
        "odd",
        "mute",
        "dumb",
        "mortal:0",
    ],
)
def test_a_failure_of_a_fake_engine_is_reported_in_one_line_and_no_process_remains(
    engine, monkeypatch, behaviour
):
    monkeypatch.setenv("STANDIN", behaviour)
    run().assert_usage_error()
    assert remaining_processes(engine) == []


@pytest.mark.slow
def test_the_user_s_proxy_is_not_used_for_a_fake_engine_on_this_machine(engine, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("EVALS_ENGINE_START_S", "20")
    assert run().json["runs"][0]["coverage"] == 1.0


def test_a_service_that_does_not_speak_http_serves_no_models(engine):
    def greet(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(b"SSH-2.0-OpenSSH_9.3\r\n")

    with socket.create_server((launch.HOST, 0)) as listener:
        greeting = threading.Thread(target=greet, args=(listener,))
        greeting.start()
        assert server_process.served_models(f"http://{launch.HOST}:{listener.getsockname()[1]}/v1") == {}
        greeting.join()


@pytest.mark.slow
def test_a_fake_engine_that_is_never_ready_is_reported_in_one_line(engine, monkeypatch):
    monkeypatch.setenv("STANDIN", "deaf")
    monkeypatch.setenv("EVALS_ENGINE_START_S", "1")
    run().assert_usage_error()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EVALS_ENGINE_START_S", "soon"),
        ("EVALS_ENGINE_START_S", "nan"),
        ("EVALS_ENGINE_START_S", "-1"),
        ("EVALS_ENGINE_ARGS", "--x 'y"),
    ],
)
def test_an_invalid_setting_is_named_in_one_line(engine, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    run().assert_usage_error()


@pytest.mark.slow
def test_a_fake_engine_is_started_on_another_port_if_the_first_is_taken(engine, monkeypatch):
    monkeypatch.setenv("STANDIN", "taken")
    assert run().json["runs"][0]["coverage"] == 1.0


@pytest.mark.parametrize(
    "model",
    [
        "vllm:./weights/none",
        "vllm:./weights",
        "sglang:nothing",
        "vllm:",
    ],
)
def test_an_invalid_model_path_is_reported_in_one_line(engine, model):
    run(model).assert_usage_error()


def test_a_missing_engine_is_reported_in_one_line(engine, monkeypatch):
    monkeypatch.setenv("STANDIN", "lacks")
    run("sglang:weights/tiny").assert_usage_error()
    for python in ("/nowhere/python", "/bin/false"):
        monkeypatch.setenv("EVALS_ENGINE_PYTHON", python)
        run().assert_usage_error()


def test_a_model_without_image_input_is_refused_before_its_server_is_started(engine):
    outcome = evals("run", "mathvision", "--sample", "-m", "vllm:weights/blind")
    outcome.assert_usage_error()
    assert not (engine / "pids").exists()


@pytest.mark.parametrize("command", ["run", "serve"])
def test_the_gpus_are_checked_before_the_engine_s_package(engine, monkeypatch, command):
    monkeypatch.setenv("STANDIN", "lacks")
    monkeypatch.setattr(gpus, "visible_gpus", lambda: [H100] * 2)
    arguments = ("run", "mmlu-pro", "--sample", "-m") if command == "run" else ("serve",)
    evals(*arguments, "vllm:internlm/Intern-S1-FP8").assert_usage_error()
    monkeypatch.setattr(gpus, "visible_gpus", lambda: [H100] * 4)
    evals(*arguments, "vllm:internlm/Intern-S1-FP8").assert_usage_error()


def test_doctor_reports_a_missing_engine_only_for_models_that_the_gpus_can_hold(engine, monkeypatch):
    monkeypatch.setattr(gpus, "visible_gpus", lambda: [H100])
    findings = {row["what"]: row for row in evals("doctor", "--json").json["findings"]}
    assert findings["Intern-S1-mini"]["detail"] == "the GPUs suffice; vllm 0.99, sglang 0.99, lmdeploy 0.99"
    monkeypatch.setenv("STANDIN", "lacks")
    findings = {row["what"]: row for row in evals("doctor", "--json").json["findings"]}
    mini = findings["Intern-S1-mini"]
    assert (mini["ok"], "no engine is installed" in mini["detail"]) == (False, True)
    assert "needs 8 x 80 GB" in findings["Intern-S1"]["detail"]


# --- serve and reuse ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_serve_prints_the_url_of_a_fake_engine_that_run_reuses_and_leaves_running(engine):
    serving = start_process("serve", "vllm:weights/tiny", "--log", "here.log")
    assert serving.stdout is not None
    url = serving.stdout.readline().strip()
    assert url.startswith("http://127.0.0.1:")
    assert url.endswith("/v1#tiny")
    outcome = run()
    assert outcome.json["runs"][0]["coverage"] == 1.0
    assert any(
        "already running and not started for this run" in note for note in outcome.json["runs"][0]["notes"]
    )
    assert len((engine / "pids").read_text().split()) == 1
    assert serving.poll() is None
    assert run("sglang:weights/tiny", "--limit", 1).status == 0  # another engine is started separately
    assert len((engine / "pids").read_text().split()) == 2
    serving.send_signal(signal.SIGINT)
    _, err = serving.communicate(timeout=30)
    assert serving.returncode == 130, err
    assert list((Path("cache") / "science-evals" / "servers").iterdir()) == []
    assert "Traceback" not in err


@pytest.mark.slow
def test_serve_passes_options_to_a_fake_engine(engine, monkeypatch):
    monkeypatch.setenv("EVALS_ENGINE_ARGS", "--seed 1")
    serving = start_process(
        "serve", "vllm:weights/tiny", "--trust-remote-code", "--", "--gpu-memory-utilization", "0.8"
    )
    assert serving.stdout is not None
    serving.stdout.readline()
    arguments = json.loads((engine / "command.json").read_text())
    assert arguments[-5:] == ["--trust-remote-code", "--seed", "1", "--gpu-memory-utilization", "0.8"]
    serving.terminate()
    serving.communicate(timeout=30)


def test_serve_refuses_what_it_cannot_start_in_one_line(engine, monkeypatch):
    for model in ("scripted:A", "smollm2", "hf:internlm/Intern-S1-mini"):
        evals("serve", model).assert_usage_error()
    evals("serve", "vlm:a/b").assert_usage_error()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        evals("serve", "vllm:weights/tiny", "--port", port).assert_usage_error()
    monkeypatch.setenv("STANDIN", "oom")
    evals("serve", "vllm:weights/tiny").assert_usage_error()


def test_the_registry_entry_of_a_process_that_ended_is_removed(engine):
    spec = launch.launch_spec(load.engine("vllm"), "org/name", None)
    path = registry.register(spec, "http://127.0.0.1:1/v1")
    process = subprocess.Popen(["true"])
    process.wait()
    path.write_bytes(path.read_bytes().replace(str(os.getpid()).encode(), str(process.pid).encode()))
    assert registry.registered_servers("vllm") == []
    assert not path.exists()


def test_a_registry_entry_is_not_attributed_to_a_later_process_with_the_same_id(engine):
    spec = launch.launch_spec(load.engine("vllm"), "org/name", None)
    path = registry.register(spec, "http://127.0.0.1:1/v1")
    assert registry.registered_servers("vllm")
    entry = json.loads(path.read_bytes())
    assert entry["began"]
    path.write_text(json.dumps(entry | {"began": "1"}))
    assert registry.registered_servers("vllm") == []
    assert not path.exists()


def test_a_run_of_weights_that_were_overwritten_is_not_resumed(engine):
    first = run("vllm:weights/tiny", "--limit", 2).json["runs"][0]["run"]
    assert run("vllm:weights/tiny", "--limit", 2).json["runs"][0]["run"] == first
    later = time.time_ns() + 3600 * 10**9
    Path("weights/tiny/eval.json").write_text("{}")
    os.utime("weights/tiny/eval.json", ns=(later, later))  # no part of the weights
    assert run("vllm:weights/tiny", "--limit", 2).json["runs"][0]["run"] == first
    os.utime("weights/tiny/config.json", ns=(later, later))
    outcome = run("vllm:weights/tiny", "--limit", 2)
    assert outcome.json["runs"][0]["run"] != first
    assert f"a new run, since the weights were older in {first}" in outcome.err


def test_a_server_whose_weights_were_overwritten_is_not_reused(engine, capsys):
    spec = launch.launch_spec(load.engine("vllm"), "weights/tiny", None)
    with FaultyServer(GOOD, serves=("tiny",)) as server:
        registry.register(spec, f"http://127.0.0.1:{server.port}/v1")
        assert registry.find_server(spec) is not None
        os.utime("weights/tiny/config.json", ns=(1, time.time_ns() + 10**9))
        assert registry.find_server(spec) is None
    assert "has changed" in capsys.readouterr().err


@pytest.mark.slow
def test_a_server_that_has_other_weights_or_is_not_registered_is_not_reused(engine):
    serving = start_process("serve", "vllm:weights/tiny", "--log", "here.log")
    assert serving.stdout is not None
    url = serving.stdout.readline().strip()
    try:
        same_name = Path("other") / "tiny"
        same_name.mkdir(parents=True)
        (same_name / "config.json").write_bytes(Path("weights/tiny/config.json").read_bytes())
        outcome = run("vllm:other/tiny")
        assert not any("already running" in note for note in outcome.json["runs"][0]["notes"])
        assert len((engine / "pids").read_text().split()) == 2
        entry = next((Path("cache") / "science-evals" / "servers").iterdir())
        entry.unlink()
        assert not any(
            "already running" in note
            for note in run("vllm:weights/tiny", "--limit", 1).json["runs"][0]["notes"]
        )
        assert url.endswith("#tiny")
    finally:
        serving.terminate()
        serving.communicate(timeout=30)


@pytest.mark.parametrize(
    ("description", "trusted"),
    [
        ("internlm/Intern-S1-mini", True),
        ("Intern-S1-mini", True),
        ("some-org/Intern-S1-mini", False),
        ("Shanghai_AI_Laboratory/Intern-S1-mini", False),
        ("./here/Intern-S1-mini", False),
        ("internlm/Intern-S1-mini as a folder", False),
    ],
)
def test_the_code_of_weights_is_trusted_only_under_their_full_name_on_the_hub(
    description, trusted, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    name = description.removesuffix(" as a folder")
    if name != description or name.startswith("."):
        Path(name).mkdir(parents=True)
    profile = profiles.find(f"vllm:{name}")
    assert profile is not None
    spec = launch.launch_spec(load.engine("vllm"), profiles.full_name(name, profile), profile)
    assert ("--trust-remote-code" in launch.command_line(spec, port=1)) is trusted
    trusting_spec = launch.launch_spec(
        load.engine("vllm"), profiles.full_name(name, profile), profile, trust_remote_code=True
    )
    assert launch.command_line(trusting_spec, port=1).count("--trust-remote-code") == 1


@pytest.mark.parametrize(
    "engine_arguments",
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
def test_a_secret_among_the_engine_s_options_is_refused_and_not_shown(engine_arguments, monkeypatch):
    monkeypatch.setenv("EVALS_ENGINE_ARGS", engine_arguments)
    monkeypatch.setenv("MY_SERVICE_KEY", "value-of-a-variable-hf_x")
    with raises(UsageError) as caught:
        launch.launch_spec(load.engine("vllm"), "a/b", None)
    assert "hf_x" not in str(caught.value)
    monkeypatch.setenv("EVALS_ENGINE_ARGS", "--hf-token 'hf_x")
    with raises(UsageError) as caught:
        launch.launch_spec(load.engine("vllm"), "a/b", None)
    assert "hf_x" not in str(caught.value)
    harmless = (
        "--max-num-batched-tokens 8 --tokenizer x --image-token-id 3 --max-model-len 9 --ssl-keyfile k.pem "
        """--hf-overrides '{"eos_token": "x", "num_key_value_heads": 4, "api_key": null}' """
        "--limit-mm-per-prompt image=4 --lora-modules a=b"
    )
    monkeypatch.setenv("EVALS_ENGINE_ARGS", harmless)
    assert len(launch.launch_spec(load.engine("vllm"), "a/b", None).arguments) == 16


def test_the_only_secret_that_an_engine_gets_is_the_token_for_weights(monkeypatch):
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
    environment = server_process._environment(load.engine("vllm"))
    assert {name for name in environment if environment[name] == "x"} == {"HF_TOKEN"}
    assert "DATABASE_URL" not in environment
    assert "HTTPS_PROXY" in environment  # weights are downloaded through it
    assert environment["TOKENIZERS_PARALLELISM"] == "false"


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


def option_set(arguments: list[str], *, after: str) -> set[tuple[str, ...]]:
    """Return the options of a command line with their values: those after the option `after`, or all if it is absent."""
    rest = arguments[arguments.index(after) + 2 :] if after in arguments else arguments
    options: list[tuple[str, ...]] = []
    for word in rest:
        if word.startswith("--"):
            options.append((word,))
        else:
            options[-1] += (word,)
    return set(options)


@pytest.mark.parametrize(("engine_name", "model"), GUIDE)
def test_the_command_line_has_the_options_of_the_model_s_deployment_guide(monkeypatch, engine_name, model):
    monkeypatch.setattr(gpus, "visible_gpus", lambda: [H100] * 8)
    arguments = _command_line(engine_name, model)
    assert option_set(arguments, after=_port_option(engine_name)) == option_set(
        GUIDE[engine_name, model].split(), after=""
    )
    assert f"internlm/{model}" in arguments


@pytest.mark.parametrize("engine_name", GUIDE_PRO)
def test_the_command_line_of_pro_has_the_options_of_its_deployment_guide(monkeypatch, engine_name):
    monkeypatch.setattr(gpus, "visible_gpus", lambda: [H200] * 16)
    arguments = _command_line(engine_name, "Intern-S1-Pro")
    assert option_set(arguments, after=_port_option(engine_name)) == option_set(
        GUIDE_PRO[engine_name].split(), after=""
    )


def test_a_model_is_split_over_all_gpus_that_are_visible(monkeypatch):
    monkeypatch.setattr(gpus, "visible_gpus", lambda: [H200] * 4)
    assert standin.flag(_command_line("vllm", "Intern-S1"), "--tensor-parallel-size") == "4"


def _node_command(monkeypatch: pytest.MonkeyPatch, engine_name: str, rank: int) -> list[str]:
    monkeypatch.setattr(gpus, "visible_gpus", lambda: [H200] * 8)
    for name, value in (("NODES", "2"), ("RANK", str(rank)), ("MASTER", "10.0.0.1:29500")):
        monkeypatch.setenv(f"EVALS_ENGINE_{name}", value)
    return _command_line(engine_name, "Intern-S1-Pro")


def test_pro_is_split_over_two_nodes_with_vllm(monkeypatch):
    """By vLLM's own processes instead of Ray's workers: the server is not a Ray actor, so it has no placement group."""
    first, second = (_node_command(monkeypatch, "vllm", rank) for rank in (0, 1))
    for rank, arguments in enumerate((first, second)):
        line = " ".join(arguments)
        assert f"--nnodes 2 --node-rank {rank} --master-addr 10.0.0.1 --master-port 29500" in line
        assert "--tensor-parallel-size 16" in line
        assert (
            arguments[len(arguments) - 1 - arguments[::-1].index("--distributed-executor-backend") + 1]
            == "mp"
        )
    assert "--port" in first
    assert "--headless" not in first
    assert "--port" not in second
    assert second[1:5] == ["-m", "vllm.entrypoints.cli.main", "serve", "internlm/Intern-S1-Pro"]
    assert "--headless" in second


def test_pro_is_split_over_two_nodes_with_sglang(monkeypatch):
    for rank in (0, 1):
        line = " ".join(_node_command(monkeypatch, "sglang", rank))
        assert f"--nnodes 2 --node-rank {rank} --dist-init-addr 10.0.0.1:29500" in line
        assert "--tp 16" in line


def test_lmdeploy_on_two_nodes_is_refused_in_one_line(monkeypatch):
    monkeypatch.setenv("EVALS_ENGINE_NODES", "2")
    monkeypatch.setenv("EVALS_ENGINE_MASTER", "10.0.0.1:29500")
    with raises(UsageError):
        load.model("lmdeploy:a/b", results=Path())


def test_a_model_without_a_profile_is_split_over_the_gpus_of_its_replica(monkeypatch):
    monkeypatch.setenv("EVALS_ENGINE_GPUS", "4")
    spec = launch.launch_spec(load.engine("vllm"), "a/b", None)
    assert standin.flag(launch.command_line(spec, port=1), "--tensor-parallel-size") == "4"


def _command_line(engine_name: str, model: str) -> list[str]:
    profile = profiles.find(f"{engine_name}:{model}")
    assert profile is not None
    spec = launch.launch_spec(load.engine(engine_name), f"internlm/{model}", profile)
    return launch.command_line(spec, port=1234)


def _port_option(engine_name: str) -> str:
    return "--server-port" if engine_name == "lmdeploy" else "--port"


@pytest.mark.parametrize("name", ["EVALS_ENGINE_ARGS", "EVALS_ENGINE_START_S", "EVALS_ENGINE_NODES"])
def test_invalid_settings_are_refused_in_one_line(monkeypatch, name):
    monkeypatch.setenv(name, "'")
    with raises(UsageError):
        launch.launch_spec(load.engine("vllm"), "a/b", None)


# --- logs ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_only_the_end_of_a_huge_log_is_read(tmp_path):
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
    ("log", "cause"),
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
def test_the_cause_of_a_failure_is_found_in_the_log(log, cause):
    assert logs.cause(log) == cause


@pytest.mark.slow
def test_a_fake_engine_that_dies_at_the_first_sample_is_restarted(engine, monkeypatch):
    """A refused connection before the first reply would end the run, but the server is known to have died."""
    monkeypatch.setenv("STANDIN", "once:1")
    outcome = run("vllm:weights/tiny", "--concurrency", 2)
    assert outcome.status == 0, outcome.err
    assert outcome.json["runs"][0]["coverage"] == 1.0


# --- several models in one command --------------------------------------------------------------------------


@pytest.mark.slow
def test_fake_engines_on_this_machine_run_one_after_the_other_and_other_models_at_the_same_time(
    engine, monkeypatch
):
    started: list[server_process.ServerProcess] = []
    start = server_process.ServerProcess.start

    def record_and_start(self: server_process.ServerProcess) -> None:
        assert not any(process.alive for process in started)
        started.append(self)
        start(self)

    monkeypatch.setattr(server_process.ServerProcess, "start", record_and_start)
    outcome = run("vllm:weights/tiny", "-m", "demo:careful", "-m", "vllm:weights/blind")
    assert outcome.status == 0, outcome.err
    cards = {card["model"]: card for card in outcome.json["runs"]}
    assert list(cards) == ["tiny", "careful", "blind"]
    assert len(started) == 2
    assert cards["careful"]["finished"] < cards["blind"]["finished"]
    for name in ("tiny", "blind"):
        run_folder = store.find_one(Path("results"), cards[name]["run"]).path
        assert f"served-model-name {name}" in " ".join(cards[name]["notes"])
        assert (run_folder / "vllm.log").is_file()
