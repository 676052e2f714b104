"""SMolInstruct's rows: from the hub's one archive, the folder it unpacks to, or a file per task.

The hub's repository needs a loading script, which is not run; its archive is read here directly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from evals.data.archive import Tree
from evals.data.sources import Data, Row, Split
from evals.errors import DataError, install

HUB, REVISION = "osunlp/SMolInstruct", "b3e028007c6abc043f62ed0aef4824dc9e86bacc"


def rows(data: Data, task: str, expected: int) -> Iterator[Row]:
    """Yield a task's test rows with the columns of the hub's loading script, from wherever they lie."""
    tree = archive(data)
    found: Iterator[Row]
    if tree is None:
        split = Split(hub=HUB, revision=REVISION, stems=(task, "test"), rows=expected)
        found = (
            row
            for row in data.rows(split, required=("sample_id", "raw_output"))
            if row.get("task", task) == task
        )
    else:
        found = _from_tree(tree, task)
    count = 0
    for row in found:
        count += 1
        yield row
    if data.origin == "hub" and count != expected:
        raise DataError(f"smolinstruct: {HUB} has {count} rows of {task}, expected {expected}")


def archive(data: Data) -> Tree | None:
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
            f"smolinstruct: reading {HUB} from the hub needs `{install('hub')}`; "
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


def _from_tree(tree: Tree, task: str) -> Iterator[Row]:
    """Join raw data, choice of samples and templates as the hub's loading script does (v1.3.1)."""
    plan = tree.json(f"sample/instruction_tuning/test/{task}.json")
    templates = tree.json(f"template/{plan['template_name']}/{task}.json")
    tags = tree.json(f"core_tag/{task}.json")
    raw = list(tree.lines(f"raw/test/{task}.jsonl"))
    for chosen in plan["samples"]:
        item, template = raw[chosen["idx"]], templates[chosen["template_id"]]
        target = chosen.get("target") if isinstance(item["output"], dict) else None
        output = item["output"] if target is None else item["output"][target]
        yield {
            "sample_id": f"{task}.test.{chosen['idx']}.{target}",
            "input": template["input"].replace("<INPUT>", _wrapped(tags["input"], item["input"])),
            "output": template["output"].replace("<OUTPUT>", _wrapped(tags["output"], output)),
            "raw_input": item["input"],
            "raw_output": output,
            "target": target,
            "task": task,
        }


def _wrapped(tags: Sequence[str | None], text: str) -> str:
    return text if tags[0] is None else f"{tags[0]} {text} {tags[1]}"
