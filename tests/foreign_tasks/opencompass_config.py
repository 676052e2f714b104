"""An OpenCompass configuration for our sample items; `make_foreign.py` replaces DATA and URL."""

from opencompass.datasets import CustomDataset
from opencompass.models import OpenAISDK
from opencompass.openicl.icl_evaluator import AccEvaluator
from opencompass.openicl.icl_inferencer import GenInferencer
from opencompass.openicl.icl_prompt_template import PromptTemplate
from opencompass.openicl.icl_retriever import ZeroRetriever
from opencompass.utils.text_postprocessors import match_answer_pattern

question_prompt = (
    "Answer the question.\n\nQuestion:\n{question}\n\nOptions:\n{options_str}\n\nEnd with a line ANSWER: X."
)
datasets = [
    {
        "abbr": "mmlu_pro_ours",
        "type": CustomDataset,
        "path": "DATA",
        "reader_cfg": {"input_columns": ["question", "options_str"], "output_column": "answer"},
        "infer_cfg": {
            "prompt_template": {
                "type": PromptTemplate,
                "template": {"round": [{"role": "HUMAN", "prompt": question_prompt}]},
            },
            "retriever": {"type": ZeroRetriever},
            "inferencer": {"type": GenInferencer, "max_out_len": 512},
        },
        "eval_cfg": {
            "evaluator": {"type": AccEvaluator},
            "pred_postprocessor": {
                "type": match_answer_pattern,
                "answer_pattern": r"(?i)ANSWER\s*:\s*([A-P])",
            },
        },
    }
]
models = [
    {
        "type": OpenAISDK,
        "abbr": "standin-1",
        "path": "standin-1",
        "key": "none",
        "openai_api_base": "URL",
        "tokenizer_path": "gpt-4",
        "query_per_second": 50,
        "max_seq_len": 8192,
        "batch_size": 4,
        "retry": 1,
        "temperature": 0.6,
        "meta_template": {
            "round": [
                {"role": "HUMAN", "api_role": "HUMAN"},
                {"role": "BOT", "api_role": "BOT", "generate": True},
            ]
        },
    }
]
