"""Measure a run on 304 real images against a bare script with the same calls: `python -m tests.performance.bench_images`.

The command prints ratios to the script's times, which are CPU seconds of the process and its children. `whole` includes start
and end; for `per_call`, the time for a single item is subtracted from both, which leaves encoding, calling and recording.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from tests.performance.workbench import ZERO, Mock, bench_folder, measure_command, mock

BARE_SCRIPT = """
import asyncio, base64, json, sys
import aiohttp

async def main(url, folder, count):
    rows = [json.loads(line) for line in open(f"{folder}/testmini.jsonl")][:count]
    limit = asyncio.Semaphore(64)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        async def call(row):
            async with limit:
                content_bytes = open(f"{folder}/{row['image']}", "rb").read()
                image_url = "data:image/jpeg;base64," + base64.b64encode(content_bytes).decode()
                content = [{"type": "image_url", "image_url": {"url": image_url}}, {"type": "text", "text": row["question"]}]
                body = json.dumps({"model": "mock", "messages": [{"role": "user", "content": content}]}).encode()
                async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as response:
                    await response.read()
        await asyncio.gather(*map(call, rows))

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def measure_script_and_command(server: Mock, folder: Path, count: int) -> tuple[float, float, float]:
    """Return the CPU seconds of the script and of the command, and the peak memory of the command in MB."""
    url = f"http://127.0.0.1:{server.port}/v1/chat/completions"
    script = measure_command([sys.executable, "-W", "ignore", "-c", BARE_SCRIPT, url, folder, count])
    with tempfile.TemporaryDirectory() as results:
        command = measure_command(
            [Path(sys.executable).with_name("evals"), "run", "mathvision", "--data", folder, "-m", server.model, "--limit", count,
             "--protocol", "official", "--concurrency", 64, "--results", results, "--quiet"]
        )  # fmt: skip
    assert script.status == command.status == 0, (script.err, command.err)
    return script.cpu_s, command.cpu_s, command.peak_mb


def main() -> dict[str, float]:
    """Measure three times and return the ratios and the minima."""
    folder = bench_folder().parent / "data" / "mathvision"
    with mock() as server:
        server.configure(ZERO)
        all_items = [measure_script_and_command(server, folder, 304) for _ in range(3)]
        one_item = [measure_script_and_command(server, folder, 1) for _ in range(3)]
    bare_s, evals_s, peak_mb = (min(values) for values in zip(*all_items, strict=True))
    bare_one_s, evals_one_s, _ = (min(values) for values in zip(*one_item, strict=True))
    return {
        "whole": evals_s / bare_s,
        "per_call": (evals_s - evals_one_s) / (bare_s - bare_one_s),
        "bare_cpu_s": bare_s,
        "evals_cpu_s": evals_s,
        "peak_mb": peak_mb,
    }


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
