"""A judge model whose replies must have a fixed form, because the judged text may contain instructions.

Our templates are in `templates/`: a line `allowed:` with the verdicts, then the prompt. They ask for the verdict in a
single JSON object that contains the case id, a hash of question, reference and candidate, so that a candidate cannot
contain a valid verdict on itself; upstream's prompts ask for a bare letter or number. After any other reply the judge is
called again; after the last attempt the scorer fails.
"""

from __future__ import annotations

import asyncio
import re
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any, Literal, NoReturn

from msgspec import Struct, structs

from evals.calls.backoff import wait_s
from evals.calls.pace import spacing_of
from evals.errors import Context, Fatal, ModelError, Rejected, ScorerError, Transient, Unreadable, UsageError
from evals.extract import bare_number, bare_verdict, extracted_answer, extracted_number, verdict
from evals.profiles import Price
from evals.prompts import LETTERS, ask, plain_text
from evals.seams import slots_of
from evals.types import Judgement, Model, Prompt, Reply, Sample, Sampling, Usage

SAMPLING = Sampling(temperature=0.0, max_tokens=8192)
RETRY_TEMPERATURES = (0.0, 0.5, 1.0)
"""Temperature of each attempt; at 0 a repeated prompt would return the same unreadable reply."""
MAX_CALL_ATTEMPTS = 6
"""Maximum number of attempts per call if the server fails."""
MAX_CONCURRENT_CALLS = 32
DEADLINE_S = 600.0
"""Maximum duration of a call."""
MAX_CANDIDATE_CHARS = 60_000
"""Number of characters at the end of a candidate that the judge sees."""
KINDS = ("number", "text", "option")
"""Kinds of template whose header names the kind instead of a fixed set of verdicts."""
_PLACEHOLDER = re.compile(r"\{(case|question|reference|candidate)\}")


class Template(Struct, frozen=True, kw_only=True):
    """The prompt template of a judge, and the allowed verdicts."""

    name: str
    allowed: tuple[str, ...]
    """Allowed verdicts; empty if they are not a fixed set (see `kind`)."""
    text: str
    sha256: str
    kind: Literal["verdict", "number", "text", "option", "points"] = "verdict"
    """What the judge returns: a grade (`verdict`, `points`), or the answer that it extracts from the reply."""
    is_upstream: bool = False
    """Whether this is upstream's own prompt, filled by `evals.prompts.upstream` and answered by a bare letter or number."""

    def with_options(self, count: int) -> Template:
        """Return an `option` template that allows the letters of `count` options and `Z` (none of them); any other template unchanged."""
        if self.kind != "option":
            return self
        return structs.replace(self, allowed=(*LETTERS.removesuffix("Z")[:count], "Z"))

    def fill(self, question: str, reference: str, candidate: str) -> tuple[str, str]:
        """Return the prompt and the case id; placeholders within the three texts are not expanded."""
        candidate = candidate[-MAX_CANDIDATE_CHARS:]
        case = sha256("\x1f".join((question, reference, candidate)).encode(errors="replace")).hexdigest()[:12]
        fields = {"case": case, "question": question, "reference": reference, "candidate": candidate}
        text = _PLACEHOLDER.sub(lambda match: fields[match[1]], self.text)
        return text.encode(errors="replace").decode(), case

    def read(self, text: str, case: str) -> str | float | None:
        """Return the verdict in a judge's reply; None if it contains no valid one."""
        if self.is_upstream:
            return bare_verdict(text, self.allowed) if self.allowed else bare_number(text)
        if self.allowed:
            return verdict(text, case, self.allowed)
        return extracted_answer(text, case) if self.kind == "text" else extracted_number(text, case)

    def schema(self, case: str) -> dict[str, Any]:
        """Return request options with the verdict's JSON schema, for constrained decoding; empty for upstream's prompts."""
        if self.is_upstream:
            return {}
        field: dict[str, Any] = {"verdict": {"enum": list(self.allowed)}}
        if self.kind == "number":
            field = {"number": {"anyOf": [{"type": "number"}, {"enum": ["none"]}]}}
        elif self.kind == "text":
            field = {"answer": {"type": "string"}}
        properties = {"case": {"enum": [case]}, **field}
        schema = {"type": "object", "properties": properties, "required": [*properties]}
        json_schema = {"name": "verdict", "strict": True, "schema": schema | {"additionalProperties": False}}
        return {"response_format": {"type": "json_schema", "json_schema": json_schema}}


@cache
def template(name: str) -> Template:
    """Return the judge template with this name."""
    text = (files("evals.scorers.judge") / "templates" / f"{name}.md").read_text(encoding="utf-8")
    header, _, prompt_text = text.partition("\n\n")
    words = tuple(header.removeprefix("allowed:").split())
    kind, allowed = (words[0], ()) if words[0] in KINDS else ("verdict", words)
    return Template(name=name, allowed=allowed, kind=kind, text=prompt_text, sha256=digest(text))  # type: ignore[arg-type]


def upstream_template(name: str, kind: Literal["verdict", "number", "option", "points"]) -> Template:
    """Return the template for upstream's own prompt, which `evals.prompts.upstream` fills."""
    allowed = {"verdict": ("A", "B"), "points": tuple("0123456789")}.get(kind, ())
    return Template(name=name, allowed=allowed, text="", sha256="", kind=kind, is_upstream=True)


class Judge:
    """A judge model, shared by all suites and models of a command."""

    def __init__(self, model: Model, *, spec: str, price: Price | None = None) -> None:
        """Wrap a model; `spec` is its name on the command line, without secrets."""
        self.model, self.spec, self.price = model, spec, price
        self.calls = 0
        self._users = 0
        self._has_replied = False
        self._is_constrained = True
        self._spacing = spacing_of(model)
        self._semaphore = self._new_semaphore()

    def _new_semaphore(self) -> asyncio.Semaphore:
        slots = slots_of(self.model) or MAX_CONCURRENT_CALLS
        return asyncio.Semaphore(min(MAX_CONCURRENT_CALLS, slots))

    async def ask_until_verdict(
        self, judge_template: Template, text: str, case: str
    ) -> tuple[str | float, Judgement]:
        """Call the judge until its reply contains a verdict; raises Unreadable, or ScorerError if the calls fail."""
        usage, answer = Usage(), ""
        async with self._semaphore:
            for attempt, temperature in enumerate(RETRY_TEMPERATURES, 1):
                reply = await self._call(text, judge_template.schema(case), temperature)
                usage, answer = _add_usage(usage, reply.usage), reply.text
                if (verdict := judge_template.read(answer, case)) is not None:
                    return verdict, Judgement(
                        judge=self.spec,
                        asked=digest(text),
                        text=answer[:MAX_CANDIDATE_CHARS],
                        model=reply.model,
                        usage=usage,
                        attempts=attempt,
                    )
        tokens = f"{usage.input or 0} input and {usage.output or 0} output tokens"
        raise Unreadable(
            f"no verdict from {self.spec} in {len(RETRY_TEMPERATURES)} attempts ({tokens}); last reply: {answer[:1000]!r}",
            tokens=structs.asdict(usage),
        )

    async def _call(self, text: str, schema: dict[str, Any], temperature: float) -> Reply:
        """Call the judge, retrying after transient errors; raises UsageError if no call has succeeded or can succeed, else ScorerError."""
        for attempt in range(1, MAX_CALL_ATTEMPTS + 1):
            self.calls += 1
            extra = schema if self._is_constrained else {}
            sampling = structs.replace(SAMPLING, temperature=temperature, extra=extra)
            if self._spacing is not None:
                await self._spacing.wait()
            try:
                async with asyncio.timeout(DEADLINE_S):
                    reply = await self.model.reply(ask(text), sampling)
            except Rejected as error:
                if not extra or isinstance(error, Context):
                    raise ScorerError(f"the judge's server rejects the request: {error}") from error
                self._is_constrained = False  # it probably does not support `response_format`
            except (Transient, TimeoutError) as error:
                if attempt == MAX_CALL_ATTEMPTS:
                    self._give_up(error)
                await asyncio.sleep(wait_s(attempt, error))
            except ModelError as error:
                self._give_up(error)
            else:
                self._has_replied = True
                return reply
        raise ScorerError("the judge gave no reply")

    def _give_up(self, error: Exception) -> NoReturn:
        """Raise UsageError if the error is fatal or no call has succeeded, else ScorerError."""
        if isinstance(error, Fatal) or not self._has_replied:
            raise UsageError(f"judge {self.spec}: {error or type(error).__name__}") from error
        raise ScorerError(f"the judge gave no reply: {error or type(error).__name__}") from error

    def share(self) -> None:
        """Register another user; the connections stay open until every user has called `close`."""
        self._users += 1

    async def close(self) -> None:
        """Close the connections if no other user remains; another event loop may open them again."""
        self._users = max(self._users - 1, 0)
        if self._users:
            return
        await self.model.close()
        self._semaphore = self._new_semaphore()


def digest(text: str) -> str:
    """Return the SHA-256 of a text, such as a prompt as sent."""
    return sha256(text.encode()).hexdigest()


def _add_usage(first: Usage, second: Usage) -> Usage:
    def add(a: int | None, b: int | None) -> int | None:
        return b if a is None else a if b is None else a + b

    return Usage(
        **{f: add(getattr(first, f), getattr(second, f)) for f in ("input", "output", "reasoning", "cached")}
    )


def question_of(sample: Sample, prompt: Prompt) -> str:
    """Return the question as the model saw it, or the sample's question if the prompt was not recorded."""
    text = "\n\n".join(plain_text(message.parts) for message in prompt.messages)
    return text or plain_text(sample.question) or "(not recorded)"
