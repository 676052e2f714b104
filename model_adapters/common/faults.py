"""Parse error bodies in the formats of all servers, and errors reported in the body of a 200 response."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from evals.errors import BadReply, ModelError, from_status, is_loading
from evals.model_adapters.common.retry_after import wait_in_message_s

_CODES_BY_STATUS = {
    400: "invalid_request_error invalid_argument bad_request context_length_exceeded content_filter",
    401: "authentication_error invalid_api_key unauthenticated unauthorized",
    402: "billing_error insufficient_credits insufficient_quota insufficient_user_quota insufficient_balance "
    "insufficient_funds payment_required exceeded_current_quota_error billing_hard_limit_reached "
    "billing_not_active",
    403: "permission_error permission_denied forbidden",
    404: "not_found_error not_found model_not_found",
    413: "request_too_large",
    429: "rate_limit_error rate_limit_exceeded rate_limit rate_limited too_many_requests resource_exhausted "
    "throttling throttled",
    408: "request_timeout",
    500: "api_error server_error internal_error internal_server_error internal_server internal",
    502: "bad_gateway",
    504: "gateway_timeout timeout timeout_error deadline_exceeded",
    503: "unavailable service_unavailable server_overloaded model_overloaded engine_overloaded",
    529: "overloaded_error overloaded",
}
STATUSES = {code: status for status, codes in _CODES_BY_STATUS.items() for code in codes.split()}
"""Error code -> equivalent HTTP status. Anthropic's codes are documented at platform.claude.com/docs/en/api/errors, Google's as
google.rpc.Code."""
_SUCCESS_VALUES = frozenset({"", "0", "200", "ok", "success", "none", "null"})
_CODE_FIELDS = (
    "code",
    "status",
    "status_code",
    "statusCode",
    "http_status",
    "http_code",
    "error_code",
    "type",
    "error_type",
)
_MESSAGE_STATUSES = {
    r"insufficient (?:credit|balance|fund|quota)|not enough (?:credit|balance)|out of credits|payment required": 402,
    r"rate.?limit|too many requests|overloaded|at capacity|throttl|exceeded your current quota|quota exceeded|"
    r"(?:server|service|model|engine|system) is (?:currently )?(?:busy|unavailable)|temporarily unavailable": 429,
}
"""Pattern for the beginning of an error message -> equivalent HTTP status, for 200 responses without an error code."""
_STATUS_IN_MESSAGE = re.compile(
    r"(?<!\w)(?:http|error code|status|status code|[\"'](?:code|status)[\"'])(?: error)?[ :=]{1,2}[\"']?([45][0-9]{2})\b"
)
"""A status in a message: "Error code: 429 - ...", or the quoted error object of another server."""


class Envelope(Struct, kw_only=True):
    """Fields of a 200 response in which servers and gateways report an error instead of a reply."""

    error: Any = None
    errors: Any = None
    base_resp: Any = None
    """MiniMax."""
    object: Any = None
    type: Any = None
    status: Any = None
    code: Any = None
    status_code: Any = None
    success: Any = None

    def reports_error(self) -> bool:
        """Return whether one of the fields reports an error."""
        return (
            any(is_error(value) for value in (self.error, self.errors, self.base_resp))
            or any(value in ("error", "failed") for value in (self.object, self.type, self.status))
            or self.success is False
            or any(_as_status(value) is not None for value in (self.code, self.status, self.status_code))
        )


class Fault(NamedTuple):
    """A parsed error body."""

    message: str
    codes: str = ""
    """The error's codes, separated by spaces, as `from_status` expects them."""
    retry_after_s: float | None = None
    """Wait stated in the body rather than in a header."""
    param: str = ""
    """The request field at fault, if the body names it."""
    status: int | None = None
    """The HTTP status equivalent to the error's code; None if it has no known code."""

    @property
    def wait_s(self) -> float | None:
        """Return the wait stated in the body, or else in the message."""
        return self.retry_after_s if self.retry_after_s is not None else wait_in_message_s(self.message)


def parse_fault(raw: bytes) -> Fault:
    """Parse an error body; text in another format becomes the message itself."""
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        body = None
    if isinstance(body, list):  # from Google's OpenAI-compatible endpoint
        body = body[0] if body else {}
    if not isinstance(body, dict):
        return Fault(" ".join(raw[:200].decode(errors="replace").split()) or "no body")
    names = ("error", "errors", "detail", "base_resp")  # `base_resp`: MiniMax
    error = next((body[name] for name in names if body.get(name) is not None), None)
    if isinstance(error, list):
        error = {"message": _join_validation_errors(error), "param": _first_location(error)}
    top_level = {name: body.get(name) for name in ("code", "type", "status", "param")}
    fields: Mapping[str, Any] = error if isinstance(error, dict) else top_level
    while isinstance(inner := fields.get("error"), dict) and not fields.get("message"):
        fields = inner
    message_fields = ("message", "status_msg", "msg", "detail", "error")
    message = next((fields[name] for name in message_fields if fields.get(name)), None)
    if message is None and not isinstance(error, dict | bool):
        message = error
    message = str(message or body.get("message") or body.get("msg") or raw[:200].decode(errors="replace"))
    codes, retry_after_s = _codes_and_delay(fields)
    if retry_after_s is None:
        retry_after_s = _retry_after_s({**body, **fields})
    return Fault(
        " ".join(message.split())[:500],
        " ".join(codes),
        retry_after_s,
        str(fields.get("param") or ""),
        _find_status(fields, top_level, body.get("error"), body.get("errors")),
    )


def _codes_and_delay(fields: Mapping[str, Any]) -> tuple[list[str], float | None]:
    """Return an error's codes, including those of its details, and Google's retry delay in seconds."""
    codes = [fields.get(name) for name in ("code", "type", "status")]
    retry_after_s = None
    for detail in _details(fields):
        codes += [detail.get("reason"), detail.get("error_code")]
        delay = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]+)?)s?", str(detail.get("retryDelay") or ""))
        retry_after_s = float(delay[1]) if delay else retry_after_s
        violations = detail.get("violations")
        for violation in violations if isinstance(violations, list) else []:
            codes.append(violation.get("quotaId") if isinstance(violation, dict) else None)
    return [str(code) for code in codes if code], retry_after_s


def _details(fields: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    details = fields.get("details")
    yield from filter(
        lambda detail: isinstance(detail, dict), details if isinstance(details, list) else [details]
    )


def _retry_after_s(fields: Mapping[str, Any]) -> float | None:
    """Return the wait that a field states; `estimated_time`: until the model is loaded (Hugging Face)."""
    for name in ("retry_after_ms", "retry_after", "retry_after_seconds", "estimated_time"):
        value, unit = fields.get(name), 0.001 if name.endswith("_ms") else 1.0
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9:
            return unit * value
    return None


def _join_validation_errors(errors: list[Any]) -> str:
    """Format the list of validation errors that FastAPI sends: `body.seed: Extra inputs are not permitted`."""
    lines = []
    for error in errors[:5]:
        if isinstance(error, dict) and (message := error.get("msg") or error.get("message")):
            location = ".".join(map(str, error["loc"])) if isinstance(error.get("loc"), list) else ""
            lines.append(f"{location}: {message}" if location else str(message))
        else:
            lines.append(str(error))
    return "; ".join(lines)


def _first_location(errors: list[Any]) -> str:
    first = errors[0] if errors and isinstance(errors[0], dict) else {}
    location = first.get("loc")
    return str(location[-1]) if isinstance(location, list) and location else ""


def _find_status(*values: Any, depth: int = 0) -> int | None:
    """Return the HTTP status for the first known code, a number or a name; nested errors come last. None if there is none."""
    objects = [
        fields
        for location in values
        for fields in (location if isinstance(location, list) else [location])[:5]
    ]
    objects = [fields for fields in objects if isinstance(fields, dict)]
    for fields in objects:
        for name in _CODE_FIELDS:
            if (status := _as_status(fields.get(name))) is not None:
                return status
    if not objects or depth > 2:
        return None
    inner = [fields.get(name) for fields in objects for name in ("error", "errors", "metadata", "detail")]
    return _find_status(*inner, depth=depth + 1)


def _as_status(value: Any) -> int | None:
    """Return the HTTP status equivalent to a code; None if the code is unknown.

    >>> _as_status(429), _as_status("429 Too Many Requests"), _as_status("ThrottlingException"), _as_status("odd")
    (429, 429, 429, None)
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    text = str(value).strip()[:60]
    if re.fullmatch(r"[45][0-9]{2}(?:[ :].*)?", text):
        return int(text[:3])
    word = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", text).lower()).strip("_")
    for candidate in (word, re.sub(r"_?(?:exception|error)$", "", word)):
        if candidate in STATUSES:
            return STATUSES[candidate]
    return None


def _status_from_message(message: str) -> int | None:
    if match := _STATUS_IN_MESSAGE.search(message):
        return int(match[1])
    status = next(
        (status for pattern, status in _MESSAGE_STATUSES.items() if re.search(pattern, message)), None
    )
    return 503 if status is None and is_loading(message) else status


def fault_message(raw: bytes) -> str:
    """Return the message of an error body."""
    return parse_fault(raw).message


def invalid_response(raw: bytes, error: Exception, url: str) -> BadReply:
    """Return the error for the body of a 200 response that does not follow the protocol."""
    if not raw.strip():
        return BadReply(f"200 without a body from {url}")
    start = " ".join(raw[:60].decode(errors="replace").split())
    kind = "HTML" if raw.lstrip()[:1] == b"<" else "no completion"
    return BadReply(f"200 with {kind} from {url}: {error}; it begins {start!r}")


def is_error(value: Any) -> bool:
    """Return whether the value of a field `error` reports an error: not empty, and not a code for success.

    >>> is_error({"code": 429}), is_error({"code": None, "message": ""}), is_error({"code": 0}), is_error("None")
    (True, False, False, False)
    """
    if isinstance(value, list):
        return any(is_error(entry) for entry in value)
    if not isinstance(value, dict):
        return bool(value) and str(value).strip().lower() not in _SUCCESS_VALUES
    codes = [str(value[name]).lower() for name in _CODE_FIELDS if value.get(name) is not None]
    return any(value.values()) and not (codes and all(code in _SUCCESS_VALUES for code in codes))


def error_in_200(raw: bytes, url: str, *, description: str) -> ModelError:
    """Return the error reported in the body of a 200 response; `description`: used if the body states no status.

    A code or a known phrase is treated like the equivalent HTTP status, so that an overloaded server slows the run down and
    an exhausted quota ends it; any other error is a BadReply, which is retried.
    """
    fault = parse_fault(raw)
    status = _status_from_message(fault.message[:160].lower()) if fault.status is None else fault.status
    if status is None:
        return BadReply(f"200 {description} from {url}: {fault.message}")
    message = f"{fault.message} (in a 200 from {url})"
    return from_status(status, message, codes=fault.codes, retry_after_s=fault.wait_s, param=fault.param)
