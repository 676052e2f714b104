"""Finish reasons: one table for all adapters.

Servers and vendors use more than a hundred words for the same few meanings. An unknown reason is stored with the reply and
counted on the run's card; it is never silently treated as a normal stop.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Literal, NamedTuple, cast

from evals.errors import ServerFault
from evals.types import TOOL_CALLS, UNKNOWN_FINISH

Meaning = Literal["stop", "length", "filter", "tools", "abort", "error"]


def _meaning_by_reason(**rows: str) -> dict[str, Meaning]:
    return {reason: cast("Meaning", meaning) for meaning, words in rows.items() for reason in words.split()}


MEANINGS: dict[str, Meaning] = _meaning_by_reason(
    stop="stop end_turn stop_sequence eos eos_token eos_token_id end end_of_text end_of_turn complete completed "
    "finished done normal stop_str stop_token matched_stop succeeded success natural_stop stopped word",
    length="length max_tokens model_length max_length max_output_tokens max_completion_tokens max_new_tokens "
    "max_tokens_reached token_limit token_limit_reached context_length context_length_exceeded context_window_exceeded "
    "model_context_window_exceeded max_context_length max_model_len output_limit limit truncated incomplete "
    "length_limit max_total_tokens out_of_tokens error_limit repetition",
    filter="content_filter content_filtered content_policy content_policy_violation filter filtered refusal refused "
    "safety recitation blocklist blocked prohibited_content spii language image_safety escalation model_armor "
    "sensitive guardrail guardrail_intervened moderation moderated flagged error_toxic",
    tools="tool_calls tool_call function_call tool_use functions",
    abort="abort aborted cancel cancelled canceled client_disconnected disconnected interrupted preempted evicted "
    "shutdown killed timeout timed_out deadline_exceeded time_limit",
    error="error errored internal_error server_error failed failure insufficient_system_resource network_error "
    "malformed_response malformed_function_call unexpected_tool_call too_many_tool_calls missing_thought_signature "
    "other no_image image_other engine_error unavailable overloaded",
)
"""Reason in lower case, words joined by `_` -> meaning.

Covers OpenAI, Azure, vLLM, SGLang, LMDeploy, llama.cpp, TGI, Mistral (`model_length`), Cohere (`COMPLETE`, `ERROR_TOXIC`),
Anthropic, Google, DeepSeek (`insufficient_system_resource`), Zhipu (`sensitive`, `network_error`), Bedrock. `repetition`:
vLLM has stopped a reply that repeats itself, which counts as truncated.
"""
_PATTERNS: dict[Meaning, str] = {
    "abort": r"abort|cancel|disconnect|interrupt|preempt|shutdown|kill|timed?_?out|deadline|max_time|expired|terminated|"
    r"connection|(?:stream|socket|client)_(?:closed|lost|gone)|in_progress|queued|pending",
    "error": r"error|fail|crash|exception|out_of_memory|(?:^|_)oom(?:_|$)|dead|died|rate_limit|quota|overload|unavailable|(?:^|_)nan(?:_|$)",
    "filter": r"filter|safety|moderat|guardrail|refus|prohibit|polic|blocked|declin|harm|unsafe|toxic|jailbreak|nsfw|"
    r"responsible|copyright|(?:^|_)risk",
    "tools": r"(?:^|_)tool|function_|_call$",
    "length": r"length|token.*(limit|budget|max|exceed|reach)|(max|exceed|limit).*token|max_(seq|len|gen|new)|maxlen|"
    r"(?:^|_)n(um)?_predict|context|truncat|too_long|budget|^(?:output_|size_)?limit_(reached|exceeded|hit)|"
    r"(cache|ctx|window)_(full|exceeded|exhausted)",
    "stop": r"(?:^|_)(?:eos|eot|im_end)(?:_|$)|end_?of_?(?:text|turn|seq|message)|^stop_(?:str|word|seq|token)|^s$|natural|complete",
}
"""Meaning -> pattern for reasons that are not in the table; the first match applies."""
MAX_REASON_LENGTH = 40
"""Maximum length of a stored reason, in characters."""


class FinishReason(NamedTuple):
    """The normalised finish reason of a reply."""

    stop: Literal["stop", "length", "filter"]
    finish: str = ""
    """See `Reply.finish`."""


@lru_cache(maxsize=1000)
def meaning(reason: str) -> Meaning | None:
    """Return the meaning of a finish reason; None if it is unknown.

    >>> meaning("MAX_TOKENS"), meaning("FinishReason.STOP"), meaning("endTurn"), meaning("user_cancel"), meaning("odd")
    ('length', 'stop', 'stop', 'abort', None)
    """
    snake_case = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", reason[:100]).lower()
    word = re.sub(r"[^a-z0-9]+", "_", snake_case).strip("_")
    if (known_meaning := MEANINGS.get(word)) is not None:
        return known_meaning
    reason_alone = re.sub(r"^(?:(?:finish(?:ed)?|stop(?:ped)?)_)?(?:reason_)?", "", word)
    if (known_meaning := MEANINGS.get(reason_alone)) is not None:
        return known_meaning
    return next((kind for kind, pattern in _PATTERNS.items() if re.search(pattern, word)), None)


def parse_finish_reason(reason: Any, url: str, *, detail: str = "") -> FinishReason:
    """Return the normalised finish reason; raises ServerFault if the server aborted the reply or reports an error.

    `reason`: as sent by the server; some servers wrap it in an object with a `type`. `detail`: the server's explanation.
    """
    if isinstance(reason, dict):
        reason = next((reason[name] for name in ("type", "reason", "name") if reason.get(name)), None)
    if reason is None or reason == "":
        return FinishReason("stop", f"{UNKNOWN_FINISH}none given")
    word = str(reason)[:MAX_REASON_LENGTH]
    word_meaning = meaning(word)
    if word_meaning == "abort" or word_meaning == "error":
        event = "the server aborted the reply" if word_meaning == "abort" else "the reply broke off"
        raise ServerFault(f"{event}: {f'{word} {detail}'.strip()} ({url})")
    if word_meaning == "tools":
        return FinishReason("stop", TOOL_CALLS)
    if word_meaning is None:
        return FinishReason("stop", f"{UNKNOWN_FINISH}{word}")
    return FinishReason(word_meaning)
