"""Check the command lines with which engines are started by the engines' own argument parsers, without CUDA.

    python -m tools.engine_parsers                         fetch SGLang's and LMDeploy's sources, 150 MB, once
    ENGINE_PYTHON tools/engine_parsers.py ENGINE < LINES   JSON list of command lines -> JSON list of verdicts

vLLM's parser is that of `vllm_environment.py`, whose torch the other two import as well; of their wheels only the
Python files are kept. A verdict is {error, values}: what the parser said, and what it read where it said nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn
from zipfile import ZipFile

from tools import vllm_environment

WHEELS = ("sglang==0.5.23", "lmdeploy==0.18.0")
IMPORTED = (
    "addict",
    "ipython",
    "mmengine",
    "orjson",
    "platformdirs",
    "shortuuid",
    "termcolor",
    "traitlets",
    "yapf",
)
"""By them, before they parse anything."""


def folder() -> Path:
    """Return the folder of the sources; it may not exist."""
    recipe = repr((sys.version_info[:2], WHEELS, IMPORTED))
    return vllm_environment.folder().parent / f"parsers-{sha256(recipe.encode()).hexdigest()[:12]}"


def make() -> Path:
    """Download the sources if they are missing."""
    work_folder, engine = folder(), vllm_environment.make()
    if not (work_folder / "ready").exists():
        shutil.rmtree(work_folder, ignore_errors=True)
        vllm_environment.pip(engine, "install", "--no-deps", "--target", str(work_folder), *IMPORTED)
        with tempfile.TemporaryDirectory() as wheels:
            vllm_environment.pip(engine, "download", "--no-deps", "--dest", wheels, *WHEELS)
            for wheel in Path(wheels).glob("*.whl"):
                with ZipFile(wheel) as archive:
                    archive.extractall(
                        work_folder, [name for name in archive.namelist() if name.endswith(".py")]
                    )
        (work_folder / "ready").touch()
    return work_folder


class Refused(Exception):
    """A parser's error message, raised instead of ending the process."""


def refuse(_: argparse.ArgumentParser, message: str) -> NoReturn:
    raise Refused(message)


def vllm() -> Callable[[list[str]], argparse.Namespace]:
    from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
    from vllm.reasoning import ReasoningParserManager
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser = make_arg_parser(FlexibleArgumentParser())

    def parse(words: list[str]) -> argparse.Namespace:
        found: argparse.Namespace = parser.parse_args(words)
        validate_parsed_serve_args(found)
        if found.reasoning_parser:
            ReasoningParserManager.get_reasoning_parser(found.reasoning_parser)
        return found

    return parse


def sglang() -> Callable[[list[str]], argparse.Namespace]:
    from sglang.srt.server_args import ServerArgs

    parser = argparse.ArgumentParser()
    ServerArgs.add_cli_args(parser)
    return parser.parse_args


def lmdeploy() -> Callable[[list[str]], argparse.Namespace]:
    from lmdeploy.cli.cli import CLI
    from lmdeploy.cli.serve import SubCliServe
    from lmdeploy.serve.parsers.response_parser import validate_parser_names

    SubCliServe.add_parsers()

    def parse(words: list[str]) -> argparse.Namespace:
        found: argparse.Namespace = CLI.parser.parse_args(words)
        validate_parser_names(found.reasoning_parser, found.tool_call_parser)
        return found

    return parse


def verdict(parse: Callable[[list[str]], argparse.Namespace], words: list[str]) -> dict[str, Any]:
    """Return the parser's verdict on a command line."""
    try:
        options = vars(parse(words))
    except (Refused, ValueError, KeyError, TypeError) as error:
        return {"error": str(error), "values": {}}
    plain = (str, int, float, bool, list, type(None))
    return {
        "error": "",
        "values": {name: value for name, value in options.items() if isinstance(value, plain)},
    }


def main() -> None:
    """Download the sources, or check command lines."""
    if len(sys.argv) == 1:
        print(make())
        return
    out = os.dup(1)
    os.dup2(2, 1)  # what they print while they are imported
    setattr(argparse.ArgumentParser, "error", refuse)  # noqa: B010 - mypy forbids the assignment
    parse = {"vllm": vllm, "sglang": sglang, "lmdeploy": lmdeploy}[sys.argv[1]]()
    verdicts = [verdict(parse, words) for words in json.load(sys.stdin)]
    os.write(out, json.dumps(verdicts, default=str).encode())


if __name__ == "__main__":
    main()
