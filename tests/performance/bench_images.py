"""What 304 real images cost: `python -m tests.performance.bench_images` prints ratios to the same calls made bare.

`whole` is one command against one bare script, start and end included; `per call` takes from both what they need for a
single item, so that it is the encoding, asking and recording alone. CPU seconds of the process and its children.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from tests.performance.workbench import ZERO, Mock, bench_folder, measured, mock

BARE = """
import asyncio, base64, json, sys
import aiohttp

async def main(url, folder, many):
    rows = [json.loads(line) for line in open(f"{folder}/testmini.jsonl")][:many]
    gate = asyncio.Semaphore(64)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        async def one(row):
            async with gate:
                raw = open(f"{folder}/{row['image']}", "rb").read()
                url_ = "data:image/jpeg;base64," + base64.b64encode(raw).decode()
                content = [{"type": "image_url", "image_url": {"url": url_}}, {"type": "text", "text": row["question"]}]
                body = json.dumps({"model": "mock", "messages": [{"role": "user", "content": content}]}).encode()
                async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as response:
                    await response.read()
        await asyncio.gather(*map(one, rows))

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def cost(server: Mock, folder: Path, many: int) -> tuple[float, float, float]:
    """Give CPU seconds bare and of the command, and the command's peak memory in MB."""
    url = f"http://127.0.0.1:{server.port}/v1/chat/completions"
    bare = measured([sys.executable, "-W", "ignore", "-c", BARE, url, folder, many])
    with tempfile.TemporaryDirectory() as results:
        ours = measured(
            [Path(sys.executable).with_name("evals"), "run", "mathvision", "--data", folder, "-m", server.model, "--limit", many,
             "--protocol", "official", "--concurrency", 64, "--results", results, "--quiet"]
        )  # fmt: skip
    assert bare.status == ours.status == 0, (bare.err, ours.err)
    return bare.cpu_s, ours.cpu_s, ours.peak_mb


def main() -> dict[str, float]:
    """Measure three times and take the least of each."""
    folder = bench_folder().parent / "data" / "mathvision"
    with mock() as server:
        server.configure(ZERO)
        all_of_them = [cost(server, folder, 304) for _ in range(3)]
        one = [cost(server, folder, 1) for _ in range(3)]
    bare, ours, memory = (min(found) for found in zip(*all_of_them, strict=True))
    bare_1, ours_1, _ = (min(found) for found in zip(*one, strict=True))
    return {
        "whole": ours / bare,
        "per_call": (ours - ours_1) / (bare - bare_1),
        "bare_cpu_s": bare,
        "evals_cpu_s": ours,
        "peak_mb": memory,
    }


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
