"""Tokenizer compression: ratios of sums against tokenizers that are trained here, and every kind of source."""

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
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level BPE trained on half of the bundled SMILES."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    trainer = BpeTrainer(vocab_size=400, initial_alphabet=ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(texts("smiles")[::2], trainer)
    place = tmp_path_factory.mktemp("smiles-bpe")
    tokenizer.save(str(place / "tokenizer.json"))
    return place


def run(*words: object, results: Path) -> Outcome:
    return evals("run", *words, "--results", results, "--quiet", "--json")


def values(outcome: Outcome) -> dict[str, dict[str, float]]:
    assert outcome.status == 0, outcome.err
    return {
        entry["suite"]: {e["metric"]: e["value"] for e in entry["estimates"]}
        for entry in outcome.json["runs"]
    }


def test_a_byte_is_a_character_of_every_domain_in_ascii(tmp_path: Path) -> None:
    found = values(run("compression", "-m", "tokens:bytes", results=tmp_path))
    assert set(found) == {f"compression:{domain}" for domain in SUITE.variants}
    assert {figures["characters_per_token"] for figures in found.values()} == {1.0}


def test_the_ratio_is_one_of_sums(folder: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    found = values(
        run("compression:smiles", "compression:english", "-m", f"tokens:{folder}", results=tmp_path)
    )
    for domain in ("smiles", "english"):
        strings = texts(domain)
        tokens = sum(len(tokenizer.encode(text).ids) for text in strings)
        figures = found[f"compression:{domain}"]
        assert figures["characters_per_token"] == pytest.approx(sum(map(len, strings)) / tokens)
        assert figures["tokens_per_character"] == pytest.approx(tokens / sum(map(len, strings)))
    assert (
        found["compression:smiles"]["characters_per_token"]
        > 1.3 * found["compression:english"]["characters_per_token"]
    )


def test_tags_are_counted_and_not(folder: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    (figures,) = values(
        run("compression:smiles", "--protocol", "tagged", "-m", f"tokens:{folder}", results=tmp_path)
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


def test_libraries_and_rdkit_belong_to_the_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("compression:smiles", "-m", f"tokens:{folder}")
    assert run(*words, results=tmp_path).status == 0
    with_rdkit = f"tokenizers {version('tokenizers')}, rdkit {version('rdkit')}"
    assert engines(tmp_path) == {with_rdkit}

    def installed(package: str) -> str:
        if package == "rdkit":
            raise PackageNotFoundError(package)
        return version(package)

    monkeypatch.setattr("evals.model_adapters.tokens.version", installed)
    without = evals("run", *words, "--results", tmp_path)
    assert without.status == 0, without.err
    assert "a new run, since engine is" in without.err + without.out
    assert engines(tmp_path) == {with_rdkit, f"tokenizers {version('tokenizers')}, no rdkit"}


def gpt2_folder(folder: Path, place: Path) -> Path:
    """The trained tokenizer as the files of a class of transformers, without tokenizer.json."""
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    place.mkdir()
    (place / "vocab.json").write_text(json.dumps(model["vocab"]))
    (place / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    config = {"tokenizer_class": "GPT2Tokenizer", "model_max_length": 100_000}
    (place / "tokenizer_config.json").write_text(json.dumps(config))
    return place


def test_a_folder_without_tokenizer_json_goes_through_transformers(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip(
        "transformers",
        reason="AUTOTOKENIZER IS NOT TESTED: transformers is not installed",
        exc_type=ImportError,
    )
    place = gpt2_folder(folder, tmp_path / "gpt2")
    found = values(run("compression:smiles", "-m", f"tokens:{place}", results=tmp_path / "r"))
    assert found == values(run("compression:smiles", "-m", f"tokens:{folder}", results=tmp_path / "s"))
    (engine,) = engines(tmp_path / "r")
    assert engine.startswith(f"transformers {version('transformers')}, tokenizers ")


def test_a_tokenizer_of_the_folder_s_own_code_runs_if_it_is_trusted(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip(
        "transformers",
        reason="AUTOTOKENIZER IS NOT TESTED: transformers is not installed",
        exc_type=ImportError,
    )
    place = gpt2_folder(folder, tmp_path / "own")
    config = {"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["own.Own", None]}}
    (place / "tokenizer_config.json").write_text(json.dumps(config))
    (place / "own.py").write_text(
        "from pathlib import Path\nfrom transformers import GPT2Tokenizer\n"
        f"Path({str(tmp_path / 'ran')!r}).touch()\n\n\nclass Own(GPT2Tokenizer):\n    pass\n"
    )
    words = ("compression:smiles", "-m", f"tokens:{place}")
    refused = evals("run", *words, "--results", tmp_path / "r")
    assert "read it, then add --trust-remote-code" in refused.error_line
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "r").exists()
    trusted = run(*words, "--trust-remote-code", results=tmp_path / "r")
    assert values(trusted) == values(
        run("compression:smiles", "-m", f"tokens:{folder}", results=tmp_path / "s")
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


def counted_by_tiktoken(spec: str, tmp_path: Path, **env: str) -> Outcome:
    """Run in a process of its own: tiktoken looks for its encodings once."""
    words = ("run", "compression:smiles", "-m", spec, "--results", tmp_path / "r", "--quiet", "--json")
    return wait(start(*words, env={**os.environ, **env}), timeout_s=120)


def test_an_encoding_of_tiktoken_from_a_local_file(tmp_path: Path) -> None:
    pytest.importorskip("tiktoken", reason="TIKTOKEN IS NOT TESTED: it is not installed")
    package = tmp_path / "tiktoken_ext"
    package.mkdir()
    (package / "toy.py").write_text(TOY_ENCODING)
    pieces = [*(bytes([byte]) for byte in range(256)), b"CC", b"c1"]
    table = (f"{b64encode(piece).decode()} {rank}\n" for rank, piece in enumerate(pieces))
    (package / "toy.tiktoken").write_text("".join(table))
    path = os.pathsep.join([str(tmp_path), str(ROOT), os.environ.get("PYTHONPATH", "")])
    (figures,) = values(counted_by_tiktoken("tokens:toy_base", tmp_path, PYTHONPATH=path)).values()
    strings = texts("smiles")
    pairs = sum(_pairs(text, ("CC", "c1")) for text in strings)
    characters = sum(map(len, strings))
    assert figures["characters_per_token"] == pytest.approx(characters / (characters - pairs))
    (engine,) = engines(tmp_path / "r")
    assert engine.startswith(f"tiktoken {version('tiktoken')}, ")


def _pairs(text: str, merged: tuple[str, ...]) -> int:
    """Count the pairs that merge, from the left, the first of `merged` before the others."""
    for number, pair in enumerate(merged):
        text = text.replace(pair, chr(0xE000 + number))
    return sum(0xE000 <= ord(letter) < 0xE000 + len(merged) for letter in text)


def test_a_table_that_cannot_be_downloaded_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("tiktoken", reason="TIKTOKEN IS NOT TESTED: it is not installed")
    nowhere = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"), "http://127.0.0.1:9")
    done = counted_by_tiktoken(
        "tokens:gpt-4o", tmp_path, TIKTOKEN_CACHE_DIR=str(tmp_path / "cache"), PYTHONPATH=str(ROOT), **nowhere
    )
    assert "tokens:gpt-4o: its vocabulary cannot be loaded" in done.error_line
    assert not (tmp_path / "r").exists()


def test_two_tokenizers_compare(folder: Path, tmp_path: Path) -> None:
    for name, spec in (("a", "tokens:bytes"), ("b", f"tokens:{folder}")):
        assert run("compression:smiles", "-m", spec, "--run", name, results=tmp_path).status == 0
    done = evals("compare", "a", "b", "--results", tmp_path)
    assert done.status == 0, done.err
    assert "better on compression:smiles" in done.out


class TokenizeServer(FaultyServer):
    """Answers `/tokenize` beside the `/v1` of the chat."""

    def answer(self, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        if path != "/tokenize":
            return error(404, f"no such path: {path}")
        return self.behave(Call(0, json.loads(body), headers))


def vllm(call: Call) -> Answer:
    text = call.body["prompt"]
    return Answer(200, json.dumps({"count": len(text) // 2, "max_model_len": 10, "tokens": []}).encode())


def llama(call: Call) -> Answer:
    return Answer(200, json.dumps({"tokens": list(call.body["content"])}).encode())


@pytest.mark.parametrize(("behaviour", "at_least"), [(vllm, 1.99), (llama, 0.99)])
def test_a_server_counts(behaviour: object, at_least: float, tmp_path: Path) -> None:
    with TokenizeServer(behaviour) as server:
        base = server.model.removeprefix("server:").partition("#")[0]
        (figures,) = values(run("compression:smiles", "-m", f"tokens:{base}#m", results=tmp_path)).values()
    assert at_least < figures["characters_per_token"] < at_least + 0.2


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error(404, "no such path"), "404"),
        (Answer(200, b'{"ids": 3}'), "no token count"),
        (Answer(200, b'{"count": -1}'), "count"),
    ],
)
def test_a_server_without_counts_is_a_failure(answer: Answer, kind: str, tmp_path: Path) -> None:
    with TokenizeServer(lambda call: answer) as server:
        base = server.model.removeprefix("server:").partition("#")[0]
        done = evals("run", "compression:code", "-m", f"tokens:{base}#m", "--results", tmp_path, "--quiet")
    assert done.status != 0
    assert kind in done.err + done.out
    assert "Traceback" not in done.err


def broken(folder: Path, **files: str) -> Path:
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{name}.json").write_text(text)
    return folder


def test_bad_sources_are_one_line(tmp_path: Path) -> None:
    code = broken(
        tmp_path / "code", tokenizer_config='{"auto_map": {"AutoTokenizer": ["t.T", null]}}', tokenizer="{}"
    )
    (code / "t.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    for spec, line in (
        (f"tokens:{code}", "--trust-remote-code"),
        (f"tokens:{broken(tmp_path / 'torn', tokenizer='{')}", "tokenizer.json"),
        (f"tokens:{broken(tmp_path / 'empty')}", "no tokenizer there"),
        (f"tokens:{tmp_path / 'nowhere'}", "no such folder"),
        ("tokens:o200k_bas", "o200k_base"),
    ):
        done = evals("run", "compression:smiles", "-m", spec, "--results", tmp_path / "results")
        assert done.status == 2, (spec, done.err)
        assert line in done.error_line
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "results").exists()


def test_models_and_tokenizers_are_not_mixed_up(tmp_path: Path) -> None:
    asked = evals("run", "mmlu-pro", "--sample", "-m", "tokens:bytes", "--results", tmp_path)
    assert (asked.status, "can only run compression" in asked.error_line) == (2, True)
    counted = evals("run", "compression:smiles", "-m", "scripted:A", "--results", tmp_path)
    assert (counted.status, "tokens:NAME" in counted.error_line) == (2, True)
    tagless = evals(
        "run", "compression:english", "--protocol", "tagged", "-m", "tokens:bytes", "--results", tmp_path
    )
    assert (tagless.status, "compression:science" in tagless.error_line) == (2, True)


def test_strings_of_ones_own(tmp_path: Path) -> None:
    rows = tmp_path / "strings.jsonl"
    rows.write_text('{"domain": "smiles", "text": "CCO"}\n{"domain": "smiles", "text": "é"}\n')
    (figures,) = values(
        run("compression:smiles", "--data", rows, "-m", "tokens:bytes", results=tmp_path / "r")
    ).values()
    assert figures["characters_per_token"] == 4 / 5
    told = evals(
        "run", "compression:smiles", "--data", rows, "-m", "tokens:bytes", "--results", tmp_path / "t"
    )
    assert "another version of the data, or part of it: the rows hash to " in told.err + told.out
    ours = run("compression:smiles", "-m", "tokens:bytes", "--run", "ours", results=tmp_path / "t")
    assert ours.status == 0
    (other,) = (card.parent.name for card in (tmp_path / "t").rglob("card.json") if "ours" not in str(card))
    refused = evals("compare", "ours", other, "--results", tmp_path / "t")
    assert "not comparable: compression:smiles: data_sha256 differs" in refused.err + refused.out
    done = evals("run", "compression:cif", "--data", rows, "-m", "tokens:bytes", "--results", tmp_path / "r")
    assert "no row of the data has the domain 'cif'" in done.error_line


def test_the_bundled_strings_are_what_they_are_called() -> None:
    from rdkit import Chem
    from rdkit.Chem.rdMolDescriptors import CalcMolFormula

    molecules = [Chem.MolFromSmiles(text) for text in texts("smiles")]
    assert all(molecules)
    assert [CalcMolFormula(molecule) for molecule in molecules] == texts("formula")
    assert all(set(text) <= set("ACDEFGHIKLMNPQRSTVWY") for text in texts("fasta"))
    assert {domain: len(texts(domain)) for domain in SUITE.variants} == {
        domain: variant.rows for domain, variant in SUITE.variants.items()
    }
