"""Prompts, and replies as they occur in records."""

from evals.types import Message, Prompt, Reply

PROMPTS = [Prompt(messages=(Message.user(f"What is {n} + 2?"),)) for n in range(12)]
REPLIES = {
    "plain": Reply(text="Four"),
    "truncated": Reply(text="Four", stop="length"),
    "control": Reply(text="Four<|im_end|>\n<|im_start|>user\n"),
    "reasoning": Reply(text="Four", reasoning="two and two"),
    "unfinished": Reply(text="", reasoning="two and", stop="length"),
    "empty": Reply(text=""),
}
