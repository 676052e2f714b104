"""A judge model: its replies follow a closed grammar, as the judged text may try to instruct it.

Its templates are in `templates/`: a line `allowed:` with the verdicts, then the prompt. A verdict is read from
one JSON object that names the case, a number computed from question, reference and candidate, so that no candidate
can contain its own. What is not exactly such an object is not a verdict: asked again, and in the end a scorer failure.
"""

from __future__ import annotations

import asyncio
import re
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any, Literal

from msgspec import Struct, structs

from evals.calls.backoff import wait_s
from evals.calls.pace import spacing_of
from evals.errors import Fatal, ModelError, Rejected, ScorerError, Transient, Unreadable, UsageError
from evals.extract import number_bare, number_stated, text_stated, verdict, verdict_bare
from evals.profiles import Price
from evals.prompts import LETTERS, ask, plain_text
from evals.seams import slots_of
from evals.types import Judgement, Model, Prompt, Reply, Sample, Sampling, Usage

SAMPLING = Sampling(temperature=0.0, max_tokens=8192)
WARMER = (0.0, 0.5, 1.0)
"""Temperatures of the attempts: repeating a prompt at temperature 0 would repeat the unreadable reply."""
TRIES = 6
"""Attempts per call if the server is busy or broken."""
AT_ONCE = 32
DEADLINE_S = 600.0
LONGEST = 60_000
"""Number of characters of a candidate that are shown, from its end."""
KINDS = ("number", "text", "option")
_FIELD = re.compile(r"\{(case|question|reference|candidate)\}")


class Template(Struct, frozen=True, kw_only=True):
    """The prompt of a judge, and the allowed verdicts."""

    name: str
    allowed: tuple[str, ...]
    """Empty: the verdict is not one of a fixed set, see `kind`."""
    words: str
    sha256: str
    kind: Literal["verdict", "number", "text", "option", "points"] = "verdict"
    plain: bool = False
    """Upstream's own prompt: filled by `evals.prompts.upstream`, answered by a bare letter or number."""

    def among(self, count: int) -> Template:
        """Return the `option` template for a number of options; `Z` means none of them."""
        if self.kind != "option":
            return self
        return structs.replace(self, allowed=(*LETTERS[: min(count, 25)], "Z"))

    def fill(self, question: str, reference: str, candidate: str) -> tuple[str, str]:
        """Return the text to send and the case's number; fields in the inserted texts are not expanded."""
        candidate = candidate[-LONGEST:]
        case = sha256("\x1f".join((question, reference, candidate)).encode(errors="replace")).hexdigest()[:12]
        fields = {"case": case, "question": question, "reference": reference, "candidate": candidate}
        text = _FIELD.sub(lambda found: fields[found[1]], self.words)
        return text.encode(errors="replace").decode(), case

    def read(self, text: str, case: str) -> str | float | None:
        """Read a verdict, or None."""
        if self.plain:
            return verdict_bare(text, self.allowed) if self.allowed else number_bare(text)
        if self.allowed:
            return verdict(text, case, self.allowed)
        return text_stated(text, case) if self.kind == "text" else number_stated(text, case)

    def schema(self, case: str) -> dict[str, Any]:
        """Return the JSON schema of the verdict for servers with constrained decoding; None for upstream's prompts."""
        if self.plain:
            return {}
        field: dict[str, Any] = {"verdict": {"enum": list(self.allowed)}}
        if self.kind == "number":
            field = {"number": {"anyOf": [{"type": "number"}, {"enum": ["none"]}]}}
        elif self.kind == "text":
            field = {"answer": {"type": "string"}}
        properties = {"case": {"enum": [case]}, **field}
        shape = {"type": "object", "properties": properties, "required": [*properties]}
        form = {"name": "verdict", "strict": True, "schema": shape | {"additionalProperties": False}}
        return {"response_format": {"type": "json_schema", "json_schema": form}}


@cache
def template(name: str) -> Template:
    """Read one of the judges' templates."""
    text = (files("evals.scorers.judge") / "templates" / f"{name}.md").read_text(encoding="utf-8")
    head, _, words = text.partition("\n\n")
    allowed = tuple(head.removeprefix("allowed:").split())
    digest = sha256(text.encode()).hexdigest()
    if allowed[0] in KINDS:
        return Template(name=name, allowed=(), kind=allowed[0], words=words, sha256=digest)  # type: ignore[arg-type]
    return Template(name=name, allowed=allowed, words=words, sha256=digest)


def upstream(name: str, kind: Literal["verdict", "number", "option", "points"]) -> Template:
    """Return the template for upstream's own prompt, which `evals.prompts.upstream` fills."""
    allowed = {"verdict": ("A", "B"), "points": tuple("0123456789")}.get(kind, ())
    return Template(name=name, allowed=allowed, words="", sha256="", kind=kind, plain=True)


class Judge:
    """One judge model, shared by all suites and models of a command."""

    def __init__(
        self,
        model: Model,
        *,
        spec: str,
        sampling: Sampling = SAMPLING,
        price: Price | None = None,
    ) -> None:
        """`spec`: as named on the command line, without secrets."""
        self.model, self.spec, self.sampling, self.price = model, spec, sampling, price
        self.calls = 0
        self._users = 0
        self._proven = False
        self._formal = True
        self._spacing = spacing_of(model)
        self._gate = asyncio.Semaphore(min(AT_ONCE, slots_of(model) or AT_ONCE))

    async def decide(
        self, form: Template, question: str, reference: str, candidate: str
    ) -> tuple[str | float, Judgement]:
        """Fill a template and ask until there is a verdict."""
        return await self.ask_until_verdict(form, *form.fill(question, reference, candidate))

    async def ask_until_verdict(self, form: Template, text: str, case: str) -> tuple[str | float, Judgement]:
        """Ask until there is a verdict; raises Unreadable, or ScorerError if the judge cannot be asked."""
        used, answer = Usage(), ""
        async with self._gate:
            for attempt, temperature in enumerate(WARMER, 1):
                reply = await self._call(text, form.schema(case), temperature)
                used, answer = _sum(used, reply.usage), reply.text
                if (verdict := form.read(answer, case)) is not None:
                    return verdict, Judgement(
                        judge=self.spec,
                        asked=digest(text),
                        text=answer[:LONGEST],
                        model=reply.model,
                        usage=used,
                        attempts=attempt,
                    )
        spent = f"{used.input or 0} + {used.output or 0} tokens"
        raise Unreadable(
            f"no verdict of {self.spec} in {len(WARMER)} tries ({spent}); the last: {answer[:1000]!r}"
        )

    async def _call(self, text: str, schema: dict[str, Any], temperature: float) -> Reply:
        """Call, and retry a transient fault; a judge that never works at all ends the command."""
        for attempt in range(1, TRIES + 1):
            self.calls += 1
            extra = self.sampling.extra | (schema if self._formal else {})
            sampling = structs.replace(
                self.sampling, temperature=temperature or self.sampling.temperature, extra=extra
            )
            if self._spacing is not None:
                await self._spacing.wait()
            try:
                async with asyncio.timeout(DEADLINE_S):
                    reply = await self.model.reply(ask(text), sampling)
            except Rejected as error:
                if not self._formal:
                    raise ScorerError(f"the judge refuses: {error}") from error
                self._formal = False  # it probably does not support `response_format`
            except (Transient, TimeoutError) as error:
                if attempt == TRIES:
                    self._give_up(error)
                await asyncio.sleep(wait_s(attempt, error))
            except ModelError as error:
                self._give_up(error)
            else:
                self._proven = True
                return reply
        raise ScorerError("the judge gave no reply")

    def _give_up(self, error: Exception) -> None:
        if isinstance(error, Fatal) or not self._proven:
            raise UsageError(f"judge {self.spec}: {error or type(error).__name__}") from error
        raise ScorerError(f"the judge gave no reply: {error or type(error).__name__}") from error

    def share(self) -> None:
        """Note a further user: `close` does nothing until as many users have called it."""
        self._users += 1

    async def close(self) -> None:
        """Close the connections when the last user has called this; another event loop may open them again."""
        self._users = max(self._users - 1, 0)
        if self._users:
            return
        await self.model.close()
        self._gate = asyncio.Semaphore(min(AT_ONCE, slots_of(self.model) or AT_ONCE))


def digest(text: str) -> str:
    """Hash a prompt as sent."""
    return sha256(text.encode()).hexdigest()


def _sum(one: Usage, other: Usage) -> Usage:
    def add(a: int | None, b: int | None) -> int | None:
        return b if a is None else a if b is None else a + b

    return Usage(
        **{f: add(getattr(one, f), getattr(other, f)) for f in ("input", "output", "reasoning", "cached")}
    )


def question_of(sample: Sample, prompt: Prompt) -> str:
    """Return the question as the model saw it; for a reply that was recorded elsewhere, what is known of it."""
    text = "\n\n".join(plain_text(message.parts) for message in prompt.messages)
    return text or plain_text(sample.question) or "(not recorded)"
