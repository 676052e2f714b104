r"""SMolInstruct: 14 tasks on small molecules (Yu et al. 2024, arXiv 2402.09391), one run per task.

`official` asks as the authors do and scores by their rules (evals/scorers/upstream/llm4chem.py). `intern-s1` is what
OpenCompass computes, behind the column of the Intern-S1 tables (evals/scorers/upstream/opencompass.py): asked zero-shot
with a hint in its own words (`intern-s1~`: in ours), with a mean over the 14 tasks. `strict` is ours: molecules by
structure with stereo, names as names, balanced accuracy where one class is rare, RMSE over what was answered.

The hub's repository needs a loading script that nobody should run; its one archive is read here directly.
`--data` takes that archive (`data.zip`), the folder it unpacks to, or files of the columns that the script
gives, one per task (`name_conversion-i2s.jsonl`, .parquet, ...).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from math import sqrt
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from msgspec import Struct

from evals.data import Data, Row, Split
from evals.data.archive import Tree
from evals.errors import DataError
from evals.extract import stated_yes_no, tagged
from evals.extract.reading import Reading
from evals.extract.units import DIMENSIONLESS
from evals.prompts import ask, plain_text
from evals.prompts.upstream import OURS, Words
from evals.report.metrics import mean_value
from evals.report.statistics import Interval, mean_of_independent
from evals.scorers import labels, number
from evals.scorers.formula import Formula
from evals.scorers.molecule import AtLeast, Molecule
from evals.scorers.names import Name, opsin_installed
from evals.scorers.text import Caption, CorpusBleu, synonyms
from evals.scorers.upstream import llm4chem, opencompass
from evals.scorers.upstream.llm4chem import Part, Valid
from evals.suite import INTERN_S1, Suite
from evals.types import Metric, Point, Prompt, Sample, Sampling, Scorer, Text


class Task(NamedTuple):
    """One task: its name on the hub, rows in the test split, kind of answer, tag, and what is asked for."""

    name: str
    rows: int
    kind: str
    tag: str
    wants: str


TASKS = {
    "NC-I2F": Task("name_conversion-i2f", 2993, "formula", "MOLFORMULA", "the molecular formula of the named compound"),
    "NC-I2S": Task("name_conversion-i2s", 2993, "molecule", "SMILES", "the SMILES of the named compound"),
    "NC-S2F": Task("name_conversion-s2f", 2993, "formula", "MOLFORMULA", "the molecular formula of the compound"),
    "NC-S2I": Task("name_conversion-s2i", 2993, "name", "IUPAC", "the IUPAC name of the compound"),
    "PP-ESOL": Task("property_prediction-esol", 112, "number", "NUMBER", "the log solubility (mol/L) of the compound"),
    "PP-Lipo": Task("property_prediction-lipo", 420, "number", "NUMBER", "the octanol/water distribution (logD) at pH 7.4"),
    "PP-BBBP": Task("property_prediction-bbbp", 197, "boolean", "BOOLEAN", "whether it crosses the blood-brain barrier"),
    "PP-ClinTox": Task("property_prediction-clintox", 144, "boolean", "BOOLEAN", "whether the compound is toxic"),
    "PP-HIV": Task("property_prediction-hiv", 4107, "boolean", "BOOLEAN", "whether it inhibits the replication of HIV"),
    "PP-SIDER": Task("property_prediction-sider", 2860, "boolean", "BOOLEAN", "whether it has such side effects"),
    "MC": Task("molecule_captioning", 2538, "caption", "", "a description of the molecule"),
    "MG": Task("molecule_generation", 2493, "molecule", "SMILES", "the SMILES of a molecule that fits the description"),
    "FS": Task("forward_synthesis", 4062, "molecules", "SMILES", "the SMILES of the product of the reaction"),
    "RS": Task("retrosynthesis", 4156, "molecules", "SMILES", "the SMILES of all reactants and reagents, joined by dots"),
}  # fmt: skip
VARIANTS = {
    "NC-I2F": 2_993, "NC-I2S": 2_993, "NC-S2F": 2_993, "NC-S2I": 2_993, "PP-ESOL": 112, "PP-Lipo": 420, "PP-BBBP": 197,
    "PP-ClinTox": 144, "PP-HIV": 4_107, "PP-SIDER": 2_860, "MC": 2_538, "MG": 2_493, "FS": 4_062, "RS": 4_156,
}  # fmt: skip
"""A literal, so that listing suites need not import this file; the rows of `TASKS`."""
NUMBERS = {
    "property_prediction-esol": number.AbsoluteError(unit="log10(mol/L)", possible=(-20, 5)),
    "property_prediction-lipo": number.AbsoluteError(unit=DIMENSIONLESS, possible=(-15, 20)),
}
"""By task: the unit that answers are converted to, and what the property can physically be."""
PROTOCOLS = ("strict", "official", "intern-s1", "intern-s1~")
VERSION = "2"
NEEDS: frozenset[str] = frozenset()
GATED = False
HUB, REVISION = "osunlp/SMolInstruct", "b3e028007c6abc043f62ed0aef4824dc9e86bacc"


# --- data


def rows(data: Data, task: Task) -> Iterator[Row]:
    """Yield a task's test rows with the columns of the hub's loading script, from wherever they lie."""
    tree = _tree(data, task)
    found: Iterator[Row]
    if tree is None:
        split = Split(hub=HUB, revision=REVISION, stems=(task.name, "test"), rows=task.rows)
        found = (
            row
            for row in data.rows(split, required=("sample_id", "raw_output"))
            if row.get("task", task.name) == task.name
        )
    else:
        found = _from_tree(tree, task)
    count = 0
    for row in found:
        count += 1
        yield row
    if data.origin == "hub" and count != task.rows:
        raise DataError(f"smolinstruct: {HUB} has {count} rows of {task.name}, expected {task.rows}")


def _tree(data: Data, task: Task) -> Tree | None:
    """Find the archive or the folder it unpacks to; None: the rows lie in files of their own."""
    if data.origin == "hub":
        return Tree(_download())
    if data.sample:
        return None
    local = data.local
    if local is not None and local.is_file():
        return Tree(local) if local.suffix == ".zip" else None
    folder = data.folder()
    for root in (folder / "data.zip", folder / "data", folder):
        if root.is_file() or (root / "raw").is_dir():
            return Tree(root)
    return None


def _download() -> Path:
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError:
        raise DataError(
            f"smolinstruct: reading {HUB} from the hub needs `pip install 'science-evals[hub]'`; "
            "or give its data.zip with --data, or try --sample"
        ) from None
    try:
        return Path(hf_hub_download(HUB, "data.zip", repo_type="dataset", revision=REVISION))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise DataError(
            f"smolinstruct: cannot load {HUB} from the hub; go online once (`evals data smolinstruct`), "
            f"or give its data.zip with --data ({reason})"
        ) from error


def _from_tree(tree: Tree, task: Task) -> Iterator[Row]:
    """Join raw data, choice of samples and templates as the hub's loading script does (v1.3.1)."""
    plan = tree.json(f"sample/instruction_tuning/test/{task.name}.json")
    templates = tree.json(f"template/{plan['template_name']}/{task.name}.json")
    tags = tree.json(f"core_tag/{task.name}.json")
    raw = list(tree.lines(f"raw/test/{task.name}.jsonl"))
    for chosen in plan["samples"]:
        item, template = raw[chosen["idx"]], templates[chosen["template_id"]]
        target = chosen.get("target") if isinstance(item["output"], dict) else None
        output = item["output"] if target is None else item["output"][target]
        yield {
            "sample_id": f"{task.name}.test.{chosen['idx']}.{target}",
            "input": template["input"].replace("<INPUT>", _wrapped(tags["input"], item["input"])),
            "output": template["output"].replace("<OUTPUT>", _wrapped(tags["output"], output)),
            "raw_input": item["input"],
            "raw_output": output,
            "target": target,
            "task": task.name,
        }


def _wrapped(tags: Sequence[str | None], text: str) -> str:
    return text if tags[0] is None else f"{tags[0]} {text} {tags[1]}"


def samples(data: Data, variant: str) -> Iterator[Sample]:
    """Yield a task's samples; other gold answers to the same input go to `meta["also"]`."""
    task = TASKS[variant]
    found = list(rows(data, task))
    golds: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
    for row in found:
        golds[_key(row)][str(row["raw_output"])] = None
    inputs: dict[str, int] = defaultdict(int)
    for row in found:
        inputs[str(row.get("raw_input") or "")] += 1
    training = _training(data, task) if task.kind == "number" else {}
    for row in found:
        own, asked = str(row["raw_output"]).strip(), str(row.get("raw_input") or "")
        also = (
            [gold for gold in golds[_key(row)] if gold.strip() != own]
            if asked and task.kind not in ("boolean", "number")
            else []
        )
        meta: dict[str, Any] = {"also": also} if also else dict(training)
        if task.kind == "caption" and row.get("output"):
            meta["output"] = row["output"]
        if task.kind == "name" and asked:
            meta["smiles"] = asked.replace(";", ".")
        yield Sample(
            id=str(row["sample_id"]),
            question=(Text(str(row["input"])),) if row.get("input") else (),
            target=_target(task, own, row),
            unit="",
            group=str(row.get("target") or ""),
            cluster=asked if inputs[asked] > 1 and asked else "",
            meta=meta,
        )


def _training(data: Data, task: Task) -> dict[str, float]:
    """Mean and range of the training answers, where the archive is at hand: what a missing answer may count as."""
    tree = _tree(data, task)
    name = f"raw/train/{task.name}.jsonl"
    if tree is None or not tree.has(name):
        return {}
    values = [float(row["output"]) for row in tree.lines(name)]
    return {"train_mean": fmean(values), "train_low": min(values), "train_high": max(values)}


def _key(row: Row) -> tuple[str, str]:
    return str(row.get("raw_input") or ""), str(row.get("target") or "")


def _target(task: Task, gold: str, row: Row) -> str | float:
    if task.kind == "number":
        try:
            return float(gold)
        except ValueError:
            raise DataError(
                f"smolinstruct: {row['sample_id']}: the gold answer {gold!r} is no number"
            ) from None
    return gold.lower() if task.kind == "boolean" else gold


# --- asking


def _plain(sample: Sample, repeat: int) -> Prompt:
    return ask(plain_text(sample.question))


def _asker(task: Task, protocol: str) -> Callable[[Sample, int], Prompt]:
    """Give the function that asks: the bare input (`official`), or with a hint how to answer."""
    if protocol == "official":
        return _plain
    how = {
        "number": "State it as \\boxed{number}.",
        "boolean": "Your reply must be Yes or No and nothing else.",
        "caption": "Reply with the description alone, in plain English.",
    }.get(task.kind, f"Write it between <{task.tag}> and </{task.tag}>, and write nothing else.")
    lead = f"You are an expert chemist. Your task is to give {task.wants}. {how} It must make chemical sense."
    if protocol == "intern-s1":
        return lambda sample, repeat: ask(f"{lead}\nQuestion: {plain_text(sample.question)}\nAnswer: ")
    return lambda sample, repeat: ask(f"{plain_text(sample.question)}\n\n{lead}")


def _row(sample: Sample, prompt: Prompt, question: str) -> Row:
    """Give the columns that OpenCompass' loader makes (datasets/smolinstruct.py)."""
    return {"input": question, "output": ""}


PARTS = {
    "NC": ("nc", "nc_0shot_infer_cfg"),
    "PP-ESOL": ("rmse", "pp_rmse_0shot_infer_cfg"),
    "PP-Lipo": ("rmse", "pp_rmse_0shot_infer_cfg"),
    "PP": ("pp_acc", "pp_acc_infer_cfg"),
    "MC": ("meteor", "meteor_0shot_infer_cfg"),
}
"""Task, or beginning of its name -> part of OpenCompass' file name, variable in it; all others are `fts`."""


def _words(variant: str) -> Words:
    """Give one task's words, the turn of its file's loop by which OpenCompass calls it."""
    kind, _, name = variant.partition("-")
    part, variable = PARTS.get(variant) or PARTS.get(kind) or ("fts", "fts_0shot_infer_cfg")
    shot = "0_shot" if part == "pp_acc" else "0shot"
    return Words(
        file=f"SmolInstruct/smolinstruct_{part}_{shot}_instruct.py",
        asks=f"{variable}.prompt_template.template",
        given=(("_name", name or kind),),
        row=_row,
        gold="output",
    )


def _ideal(task: Task, protocol: str, sample: Sample) -> str:
    if task.kind == "caption":
        return (
            str(sample.meta.get("output") or sample.target) if protocol == "intern-s1" else str(sample.target)
        )
    if task.kind == "number":
        exact = f"{Decimal(repr(sample.target)):f}"
        return f"<NUMBER> {exact} </NUMBER>" if protocol == "official" else f"\\boxed{{{exact}}}"
    return f"<{task.tag}> {sample.target} </{task.tag}>"


# --- scoring


def label(text: str) -> Reading | None:
    """Read yes or no: in the last <BOOLEAN> tag, else as stated."""
    tag = tagged(text, "BOOLEAN")
    found = stated_yes_no(tag or text)
    if found is None:
        return None
    place = text.rfind(tag) if tag else 0
    form, begin, end = ("tag" if tag else found.form), found.begin + place, found.end + place
    return Reading("yes" if found.value else "no", form, begin, end)


class RootMeanSquare(Struct, frozen=True):
    """Root mean square error in which a missing answer makes the error of a stand-in, a part of the score."""

    part: str

    def __call__(self, points: Sequence[Point]) -> float:
        """Reduce; raises ValueError where nothing was asked or a stand-in is not known."""
        errors = [point.parts.get(self.part) if point.value is None else point.value for point in points]
        known = [error for error in errors if error is not None]
        if not known or len(known) < len(errors):
            raise ValueError(f"{self.part} is not known for every missing answer")
        return sqrt(fmean(error * error for error in known))


def _scorer(task: Task, protocol: str) -> Scorer:
    table: dict[str, dict[str, Callable[[], Scorer]]] = {
        "strict": {
            "formula": Formula,
            "name": lambda: Name(structure=opsin_installed()),
            "molecule": Molecule,
            "molecules": lambda: Molecule(
                several=True, side="reactants" if task.name == "retrosynthesis" else "products"
            ),
            "number": lambda: NUMBERS[task.name],
            "boolean": lambda: labels.Label(label),
            "caption": lambda: Caption(synonyms=synonyms()),
        },
        "official": {
            "formula": llm4chem.ElementMatch,
            "name": llm4chem.SplitMatch,
            "molecule": llm4chem.ExactMatch,
            "molecules": llm4chem.ExactMatch,
            "number": llm4chem.Number,
            "boolean": llm4chem.Boolean,
            "caption": lambda: Caption(headline="meteor", synonyms=synonyms()),
        },
        "intern-s1": {
            "formula": opencompass.Elements,
            "name": opencompass.Strings,
            "molecule": opencompass.Strings if task.name.startswith("name") else opencompass.Similarity,
            "molecules": opencompass.Similarity,
            "number": opencompass.Errors,
            "boolean": opencompass.YesNo,
            "caption": lambda: opencompass.Meteor(synonyms=synonyms()),
        },
    }
    return table[protocol][task.kind]()


def _mean(
    name: str, of: Callable[[Sequence[Point]], float] = mean_value, *, headline: bool = False
) -> Metric:
    return Metric(name=name, of=of, headline=headline)


def _whole(name: str, of: Callable[[Sequence[Point]], float], *, headline: bool = False) -> Metric:
    return Metric(name=name, of=of, pool="whole", headline=headline)


def _error(name: str, of: Callable[[Sequence[Point]], float], *, headline: bool = False) -> Metric:
    return Metric(
        name=name, of=of, pool="whole", unit="log10", better="lower", headline=headline, bounds=None
    )


def _metrics(task: Task, protocol: str) -> tuple[Metric, ...]:
    """Give what is reported; the first is the headline."""
    if task.kind == "caption":
        return _caption_metrics(protocol)
    if task.kind == "number":
        if protocol == "intern-s1":
            return (_error("mae_unread_as_0", number.mae, headline=True),)
        return (  # the headline rests on what was answered; `answered` says how much that is
            _error("rmse", number.rmse, headline=True),
            _error("rmse_imputed", RootMeanSquare("error_imputed")),
            _error("rmse_worst", RootMeanSquare("error_worst")),
            _error("mae", number.mae),
            _mean("answered", number.answered),
        )
    if task.kind == "boolean":
        return _boolean_metrics(protocol)
    if (task.kind, protocol) == ("name", "strict"):
        return _name_metrics()
    if task.kind in ("formula", "name"):
        return (_mean("accuracy", headline=True),)
    return _molecule_metrics(task, protocol)


def _name_metrics() -> tuple[Metric, ...]:
    """Say in the headline's name whether OPSIN was there to read the names."""
    names = (_mean("same_string", Part("string", 0.0)),)
    if not opsin_installed():
        return (_mean("accuracy_by_name", headline=True), *names)
    return (
        _mean("accuracy_by_structure", headline=True),
        _mean("accuracy_by_name", Part("name", 0.0)),
        *names,
    )


def _molecule_metrics(task: Task, protocol: str) -> tuple[Metric, ...]:
    valid = _mean("validity", Part("valid", 0.0))
    if protocol == "intern-s1":
        return (
            (_mean("accuracy", headline=True),)
            if task.name.startswith("name")
            else (_mean("morgan_bits", headline=True), valid)
        )
    similar = tuple(_mean(f"{name}_of_valid", Part(name)) for name in ("morgan", "rdk", "maccs"))
    if protocol == "official":
        sets = (
            tuple(_mean(name, Part(name, 0.0)) for name in ("subset", "intersection"))
            if task.name == "retrosynthesis"
            else ()
        )
        return (_mean("exact_match", headline=True), valid, *similar, *sets)
    rungs = tuple(
        _mean(f"same_{rung}", AtLeast(rung)) for rung in ("canonical", "no_stereo", "parent", "tautomer")
    )
    shares = (_mean("components_f1", Part("components", 0.0)),) if task.kind == "molecules" else ()
    return (
        _mean("accuracy", headline=True),
        *shares,
        *rungs,
        _mean("same_skeleton", Part("skeleton", 0.0)),
        valid,
        _mean("morgan", Part("morgan", 0.0)),
        *similar,
    )


def _boolean_metrics(protocol: str) -> tuple[Metric, ...]:
    plain = _mean("accuracy", headline=protocol != "strict")
    if protocol == "intern-s1":
        return (plain,)
    on: Callable[[Callable[[Sequence[Point]], float]], Callable[[Sequence[Point]], float]] = (
        Valid if protocol == "official" else lambda of: of
    )
    return (
        _whole("balanced_accuracy", on(labels.balanced_accuracy), headline=protocol == "strict"),
        plain,
        _whole("mcc", on(labels.mcc)),
        _whole("f1", on(labels.f1)),
    )


def _caption_metrics(protocol: str) -> tuple[Metric, ...]:
    name = "meteor" if synonyms() else "meteor_without_synonyms"
    if protocol == "intern-s1":
        return (_mean(name, Part(name, 0.0), headline=True),)
    official = protocol == "official"
    absent, on = (None, "_on_words") if official else (0.0, "")  # upstream's are on SciBERT's word pieces
    return (
        _mean(f"{name}{on}", Part(name, absent), headline=official),
        *(
            _mean(rouge, Part(rouge, absent), headline=(protocol, rouge) == ("strict", "rouge_l"))
            for rouge in ("rouge_1", "rouge_2", "rouge_l")
        ),
        _whole(f"bleu_2{on}", CorpusBleu(2, silence=not official)),
        _whole(f"bleu_4{on}", CorpusBleu(4, silence=not official)),
    )


def suite(variant: str = "NC-I2F", protocol: str = "strict") -> Suite:
    """Give one task under a protocol."""
    task = TASKS[variant]
    samplings = {
        "strict": Sampling(temperature=0.0, max_tokens=32_768),
        "official": Sampling(temperature=0.0, max_tokens=1024),
        "intern-s1": INTERN_S1,
    }
    return Suite(
        name="smolinstruct",
        variant=variant,
        protocol=protocol,
        version=VERSION,
        samples=lambda data: samples(data, variant),
        prompter=lambda data: _asker(task, protocol),
        ideal=lambda sample, prompt: _ideal(task, protocol, sample),
        scorers={task.kind: _scorer(task, protocol)},
        metrics=_metrics(task, protocol),
        sampling=samplings[protocol],
        needs=NEEDS,
        words=_words(variant) if protocol == "intern-s1" else None,
        verbatim=protocol == "official",
        chance=0.5 if (task.kind, protocol) == ("boolean", "strict") else None,
        licence="CC-BY-4.0",
        cite="arXiv 2402.09391",
    )


def aggregate(protocol: str, cards: Mapping[str, Any]) -> dict[str, Any] | None:
    """Combine the 14 tasks as OpenCompass does for `intern-s1`; None under the other protocols.

    Source: opencompass 0.5.4, configs/summarizers/groups/smolinstruct.py: the plain mean, with the two errors x
    turned into max((2 - x) / 2, 0) for ESOL and max((1.2 - x) / 1.2, 0) for Lipo. The interval takes the tasks
    as independent, each with its own two sides; there is none if a task has none.
    """
    if protocol.removesuffix(OURS) != "intern-s1":
        return None
    found = {name: _headline(cards[name]) for name in VARIANTS if name in cards}
    missing = [name for name in VARIANTS if name not in found]
    shares = [_share(name, one) for name, one in found.items()]
    known = [share for share in shares if share is not None]
    entry: dict[str, Any] = {"value": None, "low": None, "high": None, "missing": missing}
    entry["runs"] = [cards[name].run for name in found]
    if len(known) == len(VARIANTS):
        entry["value"], entry["low"], entry["high"], _ = mean_of_independent(known)
    return entry


def _headline(card: Any) -> Any:
    return next((one for one in card.estimates if one.headline and not one.group), None)


def _share(name: str, one: Any) -> Interval | None:
    """Turn a task's headline into a share, with its own limits; an error's fall as the error grows."""
    scale = {"PP-ESOL": 2.0, "PP-Lipo": 1.2}.get(name)
    if one is None or one.value is None or scale is None:
        return (
            None if one is None or one.value is None else Interval(one.value, one.low, one.high, one.method)
        )
    ends = (one.value, one.high, one.low)
    value, low, high = (None if end is None else max((scale - end) / scale, 0.0) for end in ends)
    return Interval(value or 0.0, low, high, one.method)
