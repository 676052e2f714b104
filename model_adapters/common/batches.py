"""The batch endpoints of OpenAI and Anthropic: half the price, results within a day. Used by `evals/run/batch.py`."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec import Struct

from evals.data.loose_json import to_strict_json
from evals.errors import BadReply, Expired, Filtered, ModelError, Rejected, from_status
from evals.model_adapters.common.faults import STATUSES, fault_message, parse_fault
from evals.seams import BatchState
from evals.types import Prompt, Reply, Sampling

if TYPE_CHECKING:
    from evals.model_adapters.common.http_model import HttpModel

MAX_CLOCK_SKEW_S = 3600.0
"""Allowed difference between the vendor's clock and ours."""
METADATA_KEY = "science_evals"
ENDPOINT = "/v1/chat/completions"
"""OpenAI's endpoint to which a batch's requests are sent."""
_CUSTOM_ID = re.compile(rb'"custom_id"\s*:\s*"([\w-]{1,64})"')
"""The name of a request in a line of results that cannot be decoded."""
MAX_RESULTS_BYTES = 4 << 30
"""Size limit of a batch's results in bytes: enough for a hundred thousand replies with reasoning."""
_encode = msgspec.json.Encoder().encode


class _ResultLine(Struct):
    custom_id: str


L = TypeVar("L", bound=_ResultLine)


class _VendorBatches:
    """Base class of both endpoints; builds requests without the fields that the vendor has rejected."""

    def __init__(self, model: HttpModel) -> None:
        self._model, self._client = model, model.client
        self._undecodable: dict[str, bytes] = {}
        """Name of a results file in which a line could not be decoded -> SHA-256 of its content."""

    @property
    def left_out(self) -> dict[str, str]:
        """See `BatchEndpoint`."""
        return self._model.rejected_fields.left_out

    async def omit_rejected_field(self, error: Rejected, prompt: Prompt, sampling: Sampling) -> bool:
        """See `BatchEndpoint`."""
        body = await self._model.body(prompt, sampling)
        return self._model.rejected_fields.add_from_error(error, body, self._model.fields_to_keep(sampling))

    async def _request_body(self, prompt: Prompt, sampling: Sampling) -> dict[str, Any]:
        return self._model.rejected_fields.without(await self._model.body(prompt, sampling))

    def _decode_results(
        self, name: str, raw: bytes, kind: type[L], parse: Callable[[L], Reply | Exception]
    ) -> dict[str, Reply | Exception]:
        """Return the results in a JSON Lines file by the name of their request; a line that cannot be decoded becomes an error.

        Raises BadReply if a line cannot be decoded and the same content was not received before, since the transfer may have
        failed, or if no line names a request.
        """
        outcomes: dict[str, Reply | Exception] = {}
        fault: BadReply | None = None
        for line in filter(bytes.strip, raw.splitlines()):
            try:
                result = _decode(line, kind)
            except BadReply as error:
                fault = fault or error
                if match := _CUSTOM_ID.search(line):
                    outcomes.setdefault(match[1].decode(), error)
            else:
                outcomes[result.custom_id] = parse(result)
        if fault is not None:
            previous, digest = self._undecodable.get(name), sha256(raw).digest()
            self._undecodable[name] = digest
            if previous != digest or not outcomes:
                raise fault
        return outcomes


def _parse_outcome(model: HttpModel, status: int, raw: bytes, sampling: Sampling) -> Reply | Exception:
    """Return the reply or the error that the same call would have produced outside a batch."""
    try:
        if 200 <= status < 300:
            return model.parse_response(raw, sampling, seconds=0.0)
        fault = parse_fault(raw)
        raise from_status(status, model.client.without_key(fault.message), codes=fault.codes)
    except Filtered as error:
        return Reply(text=str(error), stop="filter", model=model.name)
    except ModelError as error:
        return error


class _Errors(Struct):
    data: list[dict[str, Any]] | None = None


class _Counts(Struct):
    completed: int = 0
    failed: int = 0


class _Batch(Struct):
    id: str
    status: str = ""
    created_at: float = 0.0
    metadata: dict[str, str] | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: _Errors | None = None
    request_counts: _Counts | None = None


class _Page(Struct):
    data: list[_Batch]
    has_more: bool = False


class _Response(Struct):
    status_code: int
    body: msgspec.Raw = msgspec.Raw(b"{}")


class _Line(_ResultLine):
    response: _Response | None = None
    error: dict[str, Any] | None = None


class _File(Struct):
    id: str


class OpenAIBatches(_VendorBatches):
    """OpenAI's batches: requests and results are files, and a batch is identified by its metadata."""

    max_requests = 50_000
    max_bytes = 100_000_000
    """Half of the vendor's limit."""

    async def encode_request(self, name: str, prompt: Prompt, sampling: Sampling) -> bytes:
        """Encode one request of a batch."""
        body = await self._request_body(prompt, sampling)
        return _encode({"custom_id": name, "method": "POST", "url": ENDPOINT, "body": body}) + b"\n"

    async def start(self, label: str, lines: Sequence[bytes]) -> str:
        """Upload the requests and create a batch; return its id."""
        import aiohttp

        form = aiohttp.FormData()
        form.add_field("purpose", "batch")
        form.add_field("file", b"".join(lines), filename=f"{label}.jsonl", content_type="application/jsonl")
        file = _decode(await self._client.send("POST", "/files", data=form), _File)
        fields = {"input_file_id": file.id, "endpoint": ENDPOINT, "completion_window": "24h"}
        raw, _ = await self._client.post("/batches", {**fields, "metadata": {METADATA_KEY: label}})
        return _decode(raw, _Batch).id

    async def find(self, label: str, *, since: float, requests: int, excluded: Sequence[str]) -> str | None:
        """Return the id of the newest batch with this label; None if there is none."""
        cursor = ""
        while True:
            page = _decode(await self._client.send("GET", f"/batches?limit=100{cursor}"), _Page)
            for batch in page.data:
                if (batch.metadata or {}).get(METADATA_KEY) == label:
                    return batch.id
            if not page.has_more or not page.data or page.data[-1].created_at < since - MAX_CLOCK_SKEW_S:
                return None
            cursor = f"&after={page.data[-1].id}"

    async def state(self, batch_id: str) -> BatchState:
        """Return the progress of a batch."""
        batch = _decode(await self._client.send("GET", f"/batches/{batch_id}"), _Batch)
        done = batch.request_counts.completed + batch.request_counts.failed if batch.request_counts else 0
        if batch.status == "failed":
            errors = (batch.errors.data if batch.errors else None) or [{}]
            message = " ".join(str(errors[0].get("message") or "no reason given").split())
            return BatchState(ended=True, done=done, fault=self._client.without_key(message))
        return BatchState(ended=batch.status in ("completed", "expired", "cancelled"), done=done)

    async def results(self, batch_id: str, sampling: Sampling) -> dict[str, Reply | Exception]:
        """Return the results of both files: replies, and failed or expired requests."""
        batch = _decode(await self._client.send("GET", f"/batches/{batch_id}"), _Batch)
        if not batch.output_file_id and batch.request_counts and batch.request_counts.completed:
            raise BadReply(f"the file with {batch.request_counts.completed} replies is not available yet")
        outcomes: dict[str, Reply | Exception] = {}
        for file_id in filter(None, (batch.output_file_id, batch.error_file_id)):
            path = f"/files/{file_id}/content"
            raw = await self._client.send("GET", path, max_bytes=MAX_RESULTS_BYTES)
            outcomes |= self._decode_results(
                file_id, raw, _Line, lambda line: self._parse_result(line, sampling)
            )
        return outcomes

    def _parse_result(self, line: _Line, sampling: Sampling) -> Reply | Exception:
        if line.response is not None:
            return _parse_outcome(self._model, line.response.status_code, bytes(line.response.body), sampling)
        error = line.error or {}
        message = self._client.without_key(str(error.get("message") or "no result"))
        return (Expired if error.get("code") == "batch_expired" else Rejected)(message)


class _AnthropicBatch(Struct):
    id: str
    processing_status: str = ""
    created_at: str = ""
    request_counts: dict[str, int] = {}


class _AnthropicPage(Struct):
    data: list[_AnthropicBatch]
    has_more: bool = False


class _AnthropicResult(Struct):
    type: str
    message: msgspec.Raw = msgspec.Raw(b"{}")
    error: msgspec.Raw = msgspec.Raw(b"{}")


class _AnthropicLine(_ResultLine):
    result: _AnthropicResult


class AnthropicBatches(_VendorBatches):
    """Anthropic's batches: created in one call, without metadata; `find` identifies them by size and the names in their results."""

    max_requests = 100_000
    max_bytes = 128_000_000
    """Half of the vendor's limit."""
    path = "/v1/messages/batches"

    async def encode_request(self, name: str, prompt: Prompt, sampling: Sampling) -> bytes:
        """Encode one request of a batch."""
        return _encode({"custom_id": name, "params": await self._request_body(prompt, sampling)})

    async def start(self, label: str, lines: Sequence[bytes]) -> str:
        """Submit all requests; return the id of the batch."""
        requests = b'{"requests":[' + b",".join(lines) + b"]}"
        headers = {"Content-Type": "application/json"}
        raw = await self._client.send("POST", self.path, data=requests, headers=headers)
        return _decode(raw, _AnthropicBatch).id

    async def find(self, label: str, *, since: float, requests: int, excluded: Sequence[str]) -> str | None:
        """Return the id of a batch with this number of requests; if it has ended, its request names must match the label."""
        async for batch in self._newest_batches(since):
            if sum(batch.request_counts.values()) != requests or batch.id in excluded:
                continue
            if batch.processing_status != "ended":
                return batch.id
            if f'"{label}-'.encode() in await self._fetch_results(batch.id):
                return batch.id
        return None

    async def _newest_batches(self, since: float) -> AsyncIterator[_AnthropicBatch]:
        cursor = ""
        while True:
            page = _decode(await self._client.send("GET", f"{self.path}?limit=100{cursor}"), _AnthropicPage)
            for batch in page.data:
                if _parse_timestamp(batch.created_at) < since - MAX_CLOCK_SKEW_S:
                    return
                yield batch
            if not page.has_more or not page.data:
                return
            cursor = f"&after_id={page.data[-1].id}"

    async def state(self, batch_id: str) -> BatchState:
        """Return the progress of a batch."""
        batch = _decode(await self._client.send("GET", f"{self.path}/{batch_id}"), _AnthropicBatch)
        done = sum(count for kind, count in batch.request_counts.items() if kind != "processing")
        return BatchState(ended=batch.processing_status == "ended", done=done)

    async def results(self, batch_id: str, sampling: Sampling) -> dict[str, Reply | Exception]:
        """Return the results, fetched from the known base URL rather than from `results_url`, since the key is sent along."""
        raw = await self._fetch_results(batch_id)
        return self._decode_results(
            batch_id, raw, _AnthropicLine, lambda line: self._parse_result(line.result, sampling)
        )

    async def _fetch_results(self, batch_id: str) -> bytes:
        return await self._client.send("GET", f"{self.path}/{batch_id}/results", max_bytes=MAX_RESULTS_BYTES)

    def _parse_result(self, result: _AnthropicResult, sampling: Sampling) -> Reply | Exception:
        if result.type == "succeeded":
            return _parse_outcome(self._model, 200, bytes(result.message), sampling)
        if result.type == "errored":
            raw = bytes(result.error)
            codes = parse_fault(raw).codes.split()
            status = next((STATUSES[code] for code in codes if code in STATUSES), 400)
            return _parse_outcome(self._model, status, raw, sampling)
        return Expired(f"the batch ended before this request was processed ({result.type})")


def _parse_timestamp(text: str) -> float:
    """Return a time in seconds since 1970; infinity, so that a batch never seems too old, if the text is not a time."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return float("inf")


T = TypeVar("T")


def _decode(raw: bytes, kind: type[T]) -> T:
    """Decode a response or a line of results, as leniently as a direct call's response; raises BadReply."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        with suppress(ValueError, RecursionError):
            value = json.loads(to_strict_json(raw), strict=False, parse_constant=lambda _: None)
            return msgspec.json.decode(json.dumps(value), type=kind)
        raise BadReply(
            f"HTTP 200, but the body could not be decoded: {error}; {fault_message(raw)}"
        ) from None
