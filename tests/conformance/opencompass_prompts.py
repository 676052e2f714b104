"""Word prompts by OpenCompass' own code; run by its own interpreter (an environment of its own).

    ITS_PYTHON opencompass_prompts.py FOLDER < jobs.json > prompts.json

A job is {file, abbr, loader, rows}: the data set of that name in a configuration, and rows in the form that the data set
is published in, each with the candidate's text under `prediction`. Its loaders, its configurations, its templates and
its parser for models behind an API are at work, the latter with the two roles that the published models were given. A
result is {asks: [messages of a row, ...], judges: [...]}; a message is [role, text].
"""

import csv
import json
import sys
from pathlib import Path

FOLDER = Path(sys.argv[1])
ROLES = {
    "round": [{"role": "HUMAN", "api_role": "HUMAN"}, {"role": "BOT", "api_role": "BOT", "generate": True}]
}


def loaded(loader, rows):
    """Let upstream's loader read the rows, wherever it wants them."""
    if loader == "mmlu_pro":
        from opencompass.datasets.mmlu_pro import _parse

        return [_parse(dict(row)) for row in rows]
    if loader == "gpqa":
        from opencompass.datasets.gpqa import GPQADataset

        with (FOLDER / "gpqa.csv").open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([[""] * 7 + row["cells"] for row in rows])
        return list(GPQADataset.load(path=str(FOLDER), name="gpqa.csv"))
    if loader == "chembench":
        from opencompass.datasets.chembench import ChemBenchDataset

        for split in ("dev", "test"):
            (FOLDER / split).mkdir(exist_ok=True)
            (FOLDER / split / "all_benchmark.json").write_text(json.dumps(rows), encoding="utf-8")
        return list(ChemBenchDataset.load(path=str(FOLDER), name="all")["test"])
    return rows


def dataset(config, abbr):
    """Find a data set in a configuration by its name, else the only kind that there is."""
    found = [
        one for value in config.values() if isinstance(value, list) for one in value if "infer_cfg" in one
    ]
    return next((one for one in found if one["abbr"] == abbr), found[0] if not abbr else None)


def worded(template, row, output):
    from opencompass.models.base_api import APITemplateParser
    from opencompass.openicl.icl_prompt_template import PromptTemplate

    made = PromptTemplate(**{name: value for name, value in template.items() if name != "type"})
    item = made.generate_item(row, output_field=output, output_field_replace_token="")
    return [[one["role"], one["prompt"]] for one in APITemplateParser(ROLES).parse_template(item, mode="gen")]


def result(job):
    import opencompass
    from mmengine.config import Config

    config = Config.fromfile(f"{opencompass.__path__[0]}/configs/datasets/{job['file']}")
    one = dataset(config, job["abbr"])
    rows = loaded(job["loader"], job["rows"])
    gold = one["reader_cfg"]["output_column"]
    found = {"asks": [worded(one["infer_cfg"]["prompt_template"], row, gold) for row in rows], "judges": []}
    evaluator = one["eval_cfg"]["evaluator"]
    evaluator = evaluator.get("llm_evaluator", evaluator)
    if "prompt_template" in evaluator:
        said = [{**row, "prediction": raw["prediction"]} for row, raw in zip(rows, job["rows"], strict=True)]
        said = [{**row, "obj_gold": row[gold], "reference": row[gold]} for row in said]
        found["judges"] = [worded(evaluator["prompt_template"], row, "reference") for row in said]
    return found


print(json.dumps([result(job) for job in json.load(sys.stdin)]))
