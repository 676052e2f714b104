"""Tokenizer compression: ratios of sums, compared with a tokenizer trained here, and every kind of tokenizer source."""

from __future__ import annotations

import json
import os
from base64 import b64encode
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer

from evals.data import Data
from evals.records.store import Run
from evals.suites import compression
from tests.support.command import Outcome, evals, start, wait
from tests.support.faults import Answer, Call, FaultyServer, error
from tests.support.paths import ROOT

SUITE = compression.BENCHMARK


def texts(domain: str) -> list[str]:
    samples = SUITE.suite(domain, "bare").samples(Data(suite="compression", sample=True))
    return [sample.question[0].text for sample in samples]


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a byte-level BPE tokenizer that is trained on half of the bundled SMILES."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    trainer = BpeTrainer(vocab_size=400, initial_alphabet=ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(texts("smiles")[::2], trainer)
    folder = tmp_path_factory.mktemp("smiles-bpe")
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def run(*arguments: object, results: Path) -> Outcome:
    return evals("run", *arguments, "--results", results, "--quiet", "--json")


def values(outcome: Outcome) -> dict[str, dict[str, float]]:
    assert outcome.status == 0, outcome.err
    return {
        entry["suite"]: {e["metric"]: e["value"] for e in entry["estimates"]}
        for entry in outcome.json["runs"]
    }


def test_all_bundled_strings_are_ascii_so_that_a_byte_is_a_character(tmp_path: Path) -> None:
    values_by_suite = values(run("compression", "-m", "tokens:bytes", results=tmp_path))
    assert set(values_by_suite) == {f"compression:{domain}" for domain in SUITE.variants}
    assert {figures["characters_per_token"] for figures in values_by_suite.values()} == {1.0}


def test_ratios_are_computed_from_sums_over_all_strings(tokenizer_folder: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_file(str(tokenizer_folder / "tokenizer.json"))
    values_by_suite = values(
        run("compression:smiles", "compression:english", "-m", f"tokens:{tokenizer_folder}", results=tmp_path)
    )
    for domain in ("smiles", "english"):
        strings = texts(domain)
        tokens = sum(len(tokenizer.encode(text).ids) for text in strings)
        figures = values_by_suite[f"compression:{domain}"]
        assert figures["characters_per_token"] == pytest.approx(sum(map(len, strings)) / tokens)
        assert figures["tokens_per_character"] == pytest.approx(tokens / sum(map(len, strings)))
    assert (
        values_by_suite["compression:smiles"]["characters_per_token"]
        > 1.3 * values_by_suite["compression:english"]["characters_per_token"]
    )


def test_ratios_are_reported_with_and_without_tags(tokenizer_folder: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_file(str(tokenizer_folder / "tokenizer.json"))
    (figures,) = values(
        run(
            "compression:smiles", "--protocol", "tagged", "-m", f"tokens:{tokenizer_folder}", results=tmp_path
        )
    ).values()
    strings = texts("smiles")
    tagged = [f"<SMILES>{text}</SMILES>" for text in strings]
    tokens = sum(len(tokenizer.encode(text).ids) for text in tagged)
    tags = len(strings) * len(tokenizer.encode("<SMILES></SMILES>").ids)
    assert figures["characters_per_token"] == pytest.approx(sum(map(len, tagged)) / tokens)
    assert figures["characters_per_token_without_tags"] == pytest.approx(
        sum(map(len, strings)) / (tokens - tags)
    )


def engines(results: Path) -> set[str]:
    return {Run(card.parent).card.config.engine for card in results.rglob("card.json")}


def test_a_run_with_other_library_versions_is_a_new_run(
    tokenizer_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("compression:smiles", "-m", f"tokens:{tokenizer_folder}")
    assert run(*arguments, results=tmp_path).status == 0
    with_rdkit = f"tokenizers {version('tokenizers')}, rdkit {version('rdkit')}"
    assert engines(tmp_path) == {with_rdkit}

    def version_without_rdkit(package: str) -> str:
        if package == "rdkit":
            raise PackageNotFoundError(package)
        return version(package)

    monkeypatch.setattr("evals.model_adapters.tokens.version", version_without_rdkit)
    without_rdkit = evals("run", *arguments, "--results", tmp_path)
    assert without_rdkit.status == 0, without_rdkit.err
    assert "a new run, since engine is" in without_rdkit.err + without_rdkit.out
    assert engines(tmp_path) == {with_rdkit, f"tokenizers {version('tokenizers')}, no rdkit"}


def write_gpt2_folder(tokenizer_folder: Path, folder: Path) -> Path:
    """Write the trained tokenizer as the files of transformers' GPT2Tokenizer, without tokenizer.json."""
    model = json.loads((tokenizer_folder / "tokenizer.json").read_text())["model"]
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    config = {"tokenizer_class": "GPT2Tokenizer", "model_max_length": 100_000}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def test_a_folder_without_tokenizer_json_is_loaded_with_transformers(
    tokenizer_folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip(
        "transformers",
        reason="AUTOTOKENIZER IS NOT TESTED: transformers is not installed",
        exc_type=ImportError,
    )
    gpt2_folder = write_gpt2_folder(tokenizer_folder, tmp_path / "gpt2")
    gpt2_values = values(run("compression:smiles", "-m", f"tokens:{gpt2_folder}", results=tmp_path / "r"))
    assert gpt2_values == values(
        run("compression:smiles", "-m", f"tokens:{tokenizer_folder}", results=tmp_path / "s")
    )
    (engine,) = engines(tmp_path / "r")
    assert engine.startswith(f"transformers {version('transformers')}, tokenizers ")


def test_a_tokenizer_with_code_of_its_own_requires_trust_remote_code(
    tokenizer_folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip(
        "transformers",
        reason="AUTOTOKENIZER IS NOT TESTED: transformers is not installed",
        exc_type=ImportError,
    )
    folder_with_code = write_gpt2_folder(tokenizer_folder, tmp_path / "own")
    config = {"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["own.Own", None]}}
    (folder_with_code / "tokenizer_config.json").write_text(json.dumps(config))
    (folder_with_code / "own.py").write_text(
        "from pathlib import Path\nfrom transformers import GPT2Tokenizer\n"
        f"Path({str(tmp_path / 'ran')!r}).touch()\n\n\nclass Own(GPT2Tokenizer):\n    pass\n"
    )
    arguments = ("compression:smiles", "-m", f"tokens:{folder_with_code}")
    refused = evals("run", *arguments, "--results", tmp_path / "r")
    refused.assert_usage_error()
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "r").exists()
    trusted = run(*arguments, "--trust-remote-code", results=tmp_path / "r")
    assert values(trusted) == values(
        run("compression:smiles", "-m", f"tokens:{tokenizer_folder}", results=tmp_path / "s")
    )
    assert (tmp_path / "ran").exists()


TOY_ENCODING = """
from pathlib import Path

from tiktoken.load import load_tiktoken_bpe


def toy():
    ranks = load_tiktoken_bpe(str(Path(__file__).with_name("toy.tiktoken")))
    return {"name": "toy_base", "pat_str": ".+", "mergeable_ranks": ranks, "special_tokens": {"<|end|>": len(ranks)}}


ENCODING_CONSTRUCTORS = {"toy_base": toy}
"""


def run_with_tiktoken(spec: str, tmp_path: Path, **env: str) -> Outcome:
    """Run in a separate process, since tiktoken looks for its encodings only once."""
    arguments = ("run", "compression:smiles", "-m", spec, "--results", tmp_path / "r", "--quiet", "--json")
    return wait(start(*arguments, env={**os.environ, **env}), timeout_s=120)


def test_an_encoding_that_is_registered_with_tiktoken_is_used(tmp_path: Path) -> None:
    pytest.importorskip("tiktoken", reason="TIKTOKEN IS NOT TESTED: it is not installed")
    package = tmp_path / "tiktoken_ext"
    package.mkdir()
    (package / "toy.py").write_text(TOY_ENCODING)
    pieces = [*(bytes([byte]) for byte in range(256)), b"CC", b"c1"]
    table = (f"{b64encode(piece).decode()} {rank}\n" for rank, piece in enumerate(pieces))
    (package / "toy.tiktoken").write_text("".join(table))
    path = os.pathsep.join([str(tmp_path), str(ROOT), os.environ.get("PYTHONPATH", "")])
    (figures,) = values(run_with_tiktoken("tokens:toy_base", tmp_path, PYTHONPATH=path)).values()
    strings = texts("smiles")
    pairs = sum(_merged_pairs(text, ("CC", "c1")) for text in strings)
    characters = sum(map(len, strings))
    assert figures["characters_per_token"] == pytest.approx(characters / (characters - pairs))
    (engine,) = engines(tmp_path / "r")
    assert engine.startswith(f"tiktoken {version('tiktoken')}, ")


def _merged_pairs(text: str, pairs: tuple[str, ...]) -> int:
    """Return how many pairs are merged from the left, with the first of `pairs` before the others."""
    for number, pair in enumerate(pairs):
        text = text.replace(pair, chr(0xE000 + number))
    return sum(0xE000 <= ord(letter) < 0xE000 + len(pairs) for letter in text)


def test_a_failed_download_of_a_vocabulary_is_reported_in_one_line(tmp_path: Path) -> None:
    pytest.importorskip("tiktoken", reason="TIKTOKEN IS NOT TESTED: it is not installed")
    unreachable_proxies = dict.fromkeys(
        ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"), "http://127.0.0.1:9"
    )
    outcome = run_with_tiktoken(
        "tokens:gpt-4o",
        tmp_path,
        TIKTOKEN_CACHE_DIR=str(tmp_path / "cache"),
        PYTHONPATH=str(ROOT),
        **unreachable_proxies,
    )
    outcome.assert_usage_error()
    assert not (tmp_path / "r").exists()


def test_two_tokenizers_can_be_compared(tokenizer_folder: Path, tmp_path: Path) -> None:
    for name, spec in (("a", "tokens:bytes"), ("b", f"tokens:{tokenizer_folder}")):
        assert run("compression:smiles", "-m", spec, "--run", name, results=tmp_path).status == 0
    outcome = evals("compare", "a", "b", "--results", tmp_path)
    assert outcome.status == 0, outcome.err
    assert "better on compression:smiles" in outcome.out


class TokenizeServer(FaultyServer):
    """A server that answers `/tokenize`, which is not below `/v1`."""

    def answer(self, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        if path != "/tokenize":
            return error(404, f"no such path: {path}")
        return self.behave(Call(0, json.loads(body), headers))


def vllm_counts(call: Call) -> Answer:
    text = call.body["prompt"]
    return Answer(200, json.dumps({"count": len(text) // 2, "max_model_len": 10, "tokens": []}).encode())


def llama_cpp_tokens(call: Call) -> Answer:
    return Answer(200, json.dumps({"tokens": list(call.body["content"])}).encode())


@pytest.mark.parametrize(("behaviour", "at_least"), [(vllm_counts, 1.99), (llama_cpp_tokens, 0.99)])
def test_tokens_are_counted_by_a_server(behaviour: object, at_least: float, tmp_path: Path) -> None:
    with TokenizeServer(behaviour) as server:
        base = server.model.removeprefix("server:").partition("#")[0]
        (figures,) = values(run("compression:smiles", "-m", f"tokens:{base}#m", results=tmp_path)).values()
    assert at_least < figures["characters_per_token"] < at_least + 0.2


@pytest.mark.parametrize(
    "answer",
    [error(404, "no such path"), Answer(200, b'{"ids": 3}'), Answer(200, b'{"count": -1}')],
    ids=["HTTP 404", "no count", "negative"],
)
def test_a_server_without_valid_counts_is_reported_as_a_failure(answer: Answer, tmp_path: Path) -> None:
    with TokenizeServer(lambda call: answer) as server:
        base = server.model.removeprefix("server:").partition("#")[0]
        outcome = evals("run", "compression:code", "-m", f"tokens:{base}#m", "--results", tmp_path, "--quiet")
    outcome.assert_usage_error()


def write_folder(folder: Path, **files: str) -> Path:
    """Write JSON files into a new folder; `files`: stem -> content."""
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{name}.json").write_text(text)
    return folder


def test_invalid_tokenizer_sources_are_reported_in_one_line(tmp_path: Path) -> None:
    code_folder = write_folder(
        tmp_path / "code", tokenizer_config='{"auto_map": {"AutoTokenizer": ["t.T", null]}}', tokenizer="{}"
    )
    (code_folder / "t.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    for spec in (
        f"tokens:{code_folder}",
        f"tokens:{write_folder(tmp_path / 'malformed', tokenizer='{')}",
        f"tokens:{write_folder(tmp_path / 'empty')}",
        f"tokens:{tmp_path / 'nowhere'}",
        "tokens:o200k_bas",
    ):
        outcome = evals("run", "compression:smiles", "-m", spec, "--results", tmp_path / "results")
        outcome.assert_usage_error()
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "results").exists()


def test_models_and_tokenizers_are_rejected_for_each_others_suites(tmp_path: Path) -> None:
    for arguments in (
        ("mmlu-pro", "--sample", "-m", "tokens:bytes"),
        ("compression:smiles", "-m", "scripted:A"),
        ("compression:english", "--protocol", "tagged", "-m", "tokens:bytes"),
    ):
        evals("run", *arguments, "--results", tmp_path).assert_usage_error()


def test_the_users_strings_are_scored_but_not_comparable_with_the_bundled_ones(tmp_path: Path) -> None:
    rows = tmp_path / "strings.jsonl"
    rows.write_text('{"domain": "smiles", "text": "CCO"}\n{"domain": "smiles", "text": "é"}\n')
    (figures,) = values(
        run("compression:smiles", "--data", rows, "-m", "tokens:bytes", results=tmp_path / "r")
    ).values()
    assert figures["characters_per_token"] == 4 / 5
    warned = evals(
        "run", "compression:smiles", "--data", rows, "-m", "tokens:bytes", "--results", tmp_path / "t"
    )
    assert "another version of the data, or part of it: the rows hash to " in warned.err + warned.out
    bundled = run("compression:smiles", "-m", "tokens:bytes", "--run", "bundled", results=tmp_path / "t")
    assert bundled.status == 0
    names = {card.parent.name for card in (tmp_path / "t").rglob("card.json")}
    (run_on_user_strings,) = names - {"bundled"}
    refused = evals("compare", "bundled", run_on_user_strings, "--results", tmp_path / "t")
    assert "not comparable: compression:smiles: data_sha256 differs" in refused.err + refused.out
    outcome = evals(
        "run", "compression:cif", "--data", rows, "-m", "tokens:bytes", "--results", tmp_path / "r"
    )
    outcome.assert_usage_error()


def test_the_bundled_strings_belong_to_their_domains() -> None:
    from rdkit import Chem
    from rdkit.Chem.rdMolDescriptors import CalcMolFormula

    molecules = [Chem.MolFromSmiles(text) for text in texts("smiles")]
    assert all(molecules)
    assert [CalcMolFormula(molecule) for molecule in molecules] == texts("formula")
    assert all(set(text) <= set("ACDEFGHIKLMNPQRSTVWY") for text in texts("fasta"))
    assert {domain: len(texts(domain)) for domain in SUITE.variants} == {
        domain: variant.rows for domain, variant in SUITE.variants.items()
    }
