"""Tokenizer compression: ratios of sums against tokenizers that are trained here, and every kind of source."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer

from evals.data import Data
from evals.records.store import Run
from evals.suites import compression
from tests.support.command import Outcome, evals
from tests.support.faults import Answer, Call, FaultyServer, error

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


def test_libraries_and_rdkit_belong_to_the_run(folder: Path, tmp_path: Path) -> None:
    assert run("compression:smiles", "-m", f"tokens:{folder}", results=tmp_path).status == 0
    (path,) = (card.parent for card in tmp_path.rglob("card.json"))
    engine = Run(path).card.config.engine
    assert "tokenizers " in engine
    assert "rdkit" in engine


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
        (Answer(200, b'{"ids": 3}'), "without a number"),
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
        assert line in done.complaint
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "results").exists()


def test_models_and_tokenizers_are_not_mixed_up(tmp_path: Path) -> None:
    asked = evals("run", "mmlu-pro", "--sample", "-m", "tokens:bytes", "--results", tmp_path)
    assert (asked.status, "answers compression alone" in asked.complaint) == (2, True)
    counted = evals("run", "compression:smiles", "-m", "scripted:A", "--results", tmp_path)
    assert (counted.status, "tokens:NAME" in counted.complaint) == (2, True)
    tagless = evals(
        "run", "compression:english", "--protocol", "tagged", "-m", "tokens:bytes", "--results", tmp_path
    )
    assert (tagless.status, "compression:science" in tagless.complaint) == (2, True)


def test_strings_of_ones_own(tmp_path: Path) -> None:
    rows = tmp_path / "strings.jsonl"
    rows.write_text('{"domain": "smiles", "text": "CCO"}\n{"domain": "smiles", "text": "é"}\n')
    (figures,) = values(
        run("compression:smiles", "--data", rows, "-m", "tokens:bytes", results=tmp_path / "r")
    ).values()
    assert figures["characters_per_token"] == 4 / 5
    done = evals("run", "compression:cif", "--data", rows, "-m", "tokens:bytes", "--results", tmp_path / "r")
    assert "no row of the data has the domain 'cif'" in done.complaint


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
