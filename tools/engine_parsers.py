"""Check the command lines that start engines with the engines' own argument parsers, without CUDA.

    python -m tools.engine_parsers                         download the sources of SGLang and LMDeploy (150 MB) once
    ENGINE_PYTHON -m tools.engine_parsers ENGINE < LINES   JSON list of command lines -> JSON list of verdicts

vLLM's parser is imported from the environment `vllm` (`environments.py`), whose torch the other two parsers import as well;
only the Python files in the wheels of SGLang and LMDeploy are kept. A verdict is {error, values}: the parser's error
message, or the parsed values.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn
from zipfile import ZipFile

from tools.environments import VLLM, cache_folder, pip

WHEELS = ("sglang==0.5.23", "lmdeploy==0.18.0")
PARSER_DEPENDENCIES = (
    "addict", "ipython", "mmengine", "orjson", "platformdirs", "shortuuid", "termcolor", "traitlets", "yapf",
)  # fmt: skip
"""Packages that the parsers of SGLang and LMDeploy import."""


def folder() -> Path:
    """Return the folder of the sources; it may not exist."""
    return cache_folder("parsers", WHEELS, PARSER_DEPENDENCIES)


def make() -> Path:
    """Download the sources if they are missing; return their folder."""
    sources, environment = folder(), VLLM.make().parent.parent
    if not (sources / "ready").exists():
        shutil.rmtree(sources, ignore_errors=True)
        pip(environment, "install", "--no-deps", "--target", str(sources), *PARSER_DEPENDENCIES)
        with tempfile.TemporaryDirectory() as wheels:
            pip(environment, "download", "--no-deps", "--dest", wheels, *WHEELS)
            for wheel in Path(wheels).glob("*.whl"):
                with ZipFile(wheel) as archive:
                    archive.extractall(sources, [name for name in archive.namelist() if name.endswith(".py")])
        (sources / "ready").touch()
    return sources


class ParserError(Exception):
    """An error message of a parser, which would otherwise end the process."""


def raise_error(_: argparse.ArgumentParser, message: str) -> NoReturn:
    """Raise ParserError; replaces `ArgumentParser.error`."""
    raise ParserError(message)


def vllm() -> Callable[[list[str]], argparse.Namespace]:
    """Return vLLM's parser, with its validation."""
    from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
    from vllm.reasoning import ReasoningParserManager
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser = make_arg_parser(FlexibleArgumentParser())

    def parse(arguments: list[str]) -> argparse.Namespace:
        options: argparse.Namespace = parser.parse_args(arguments)
        validate_parsed_serve_args(options)
        if options.reasoning_parser:
            ReasoningParserManager.get_reasoning_parser(options.reasoning_parser)
        return options

    return parse


def sglang() -> Callable[[list[str]], argparse.Namespace]:
    """Return SGLang's parser."""
    from sglang.srt.server_args import ServerArgs

    parser = argparse.ArgumentParser()
    ServerArgs.add_cli_args(parser)
    return parser.parse_args


def lmdeploy() -> Callable[[list[str]], argparse.Namespace]:
    """Return LMDeploy's parser, with its validation."""
    from lmdeploy.cli.cli import CLI
    from lmdeploy.cli.serve import SubCliServe
    from lmdeploy.serve.parsers.response_parser import validate_parser_names

    SubCliServe.add_parsers()

    def parse(arguments: list[str]) -> argparse.Namespace:
        options: argparse.Namespace = CLI.parser.parse_args(arguments)
        validate_parser_names(options.reasoning_parser, options.tool_call_parser)
        return options

    return parse


def verdict(parse: Callable[[list[str]], argparse.Namespace], arguments: list[str]) -> dict[str, Any]:
    """Return the parser's verdict on a command line."""
    try:
        options = vars(parse(arguments))
    except (ParserError, ValueError, KeyError, TypeError) as error:
        return {"error": str(error), "values": {}}
    json_types = (str, int, float, bool, list, type(None))
    values = {name: value for name, value in options.items() if isinstance(value, json_types)}
    return {"error": "", "values": values}


def main() -> None:
    """Download the sources, or check command lines."""
    if len(sys.argv) == 1:
        print(make())
        return
    out = os.dup(1)
    os.dup2(2, 1)  # engines print to standard output while they are imported
    setattr(argparse.ArgumentParser, "error", raise_error)  # noqa: B010 - mypy forbids the assignment
    parse = {"vllm": vllm, "sglang": sglang, "lmdeploy": lmdeploy}[sys.argv[1]]()
    verdicts = [verdict(parse, arguments) for arguments in json.load(sys.stdin)]
    os.write(out, json.dumps(verdicts, default=str).encode())


if __name__ == "__main__":
    main()
