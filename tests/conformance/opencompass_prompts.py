"""Build prompts with OpenCompass' own code; run with the Python of its environment.

    PYTHON opencompass_prompts.py FOLDER < jobs.json > prompts.json

A job is {file, abbr, loader, rows}: a configuration file, the name of a data set in it (may be empty), the name of a loader,
and rows in the data set's published format, each with the candidate's reply under `prediction`. OpenCompass' loaders,
configurations, templates and parser for API models build the prompts; the parser gets the two roles of the published models.
A result is {asks: [messages of a row, ...], judges: [...]}, where a message is [role, text]. FOLDER: for temporary files.
"""

import csv
import json
import sys
from pathlib import Path

FOLDER = Path(sys.argv[1])
ROLES = {
    "round": [{"role": "HUMAN", "api_role": "HUMAN"}, {"role": "BOT", "api_role": "BOT", "generate": True}]
}


def load_rows(loader, rows):
    """Return the rows as upstream's loader returns them, after writing them to the files that it reads."""
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
    """Return the data set named `abbr` in a configuration, or its first data set if the name is empty."""
    datasets = [
        entry
        for value in config.values()
        if isinstance(value, list)
        for entry in value
        if "infer_cfg" in entry
    ]
    return next((entry for entry in datasets if entry["abbr"] == abbr), datasets[0] if not abbr else None)


def messages(template, row, output):
    """Return the messages of a row; `output` is the column that the template leaves empty."""
    from opencompass.models.base_api import APITemplateParser
    from opencompass.openicl.icl_prompt_template import PromptTemplate

    prompt_template = PromptTemplate(**{name: value for name, value in template.items() if name != "type"})
    item = prompt_template.generate_item(row, output_field=output, output_field_replace_token="")
    return [
        [turn["role"], turn["prompt"]] for turn in APITemplateParser(ROLES).parse_template(item, mode="gen")
    ]


def build_prompts(job):
    import opencompass
    from mmengine.config import Config

    config = Config.fromfile(f"{opencompass.__path__[0]}/configs/datasets/{job['file']}")
    data_config = dataset(config, job["abbr"])
    rows = load_rows(job["loader"], job["rows"])
    gold = data_config["reader_cfg"]["output_column"]
    prompt_template = data_config["infer_cfg"]["prompt_template"]
    prompts = {"asks": [messages(prompt_template, row, gold) for row in rows], "judges": []}
    evaluator = data_config["eval_cfg"]["evaluator"]
    evaluator = evaluator.get("llm_evaluator", evaluator)
    if "prompt_template" in evaluator:
        judged_rows = [
            {**row, "prediction": raw["prediction"], "obj_gold": row[gold], "reference": row[gold]}
            for row, raw in zip(rows, job["rows"], strict=True)
        ]
        prompts["judges"] = [messages(evaluator["prompt_template"], row, "reference") for row in judged_rows]
    return prompts


print(json.dumps([build_prompts(job) for job in json.load(sys.stdin)]))
