"""Base64 encoding of a prompt's media for requests."""

from __future__ import annotations

import asyncio
from base64 import b64encode

from evals.types import Media, Prompt


async def encode_media(prompt: Prompt, *kinds: str) -> dict[str, tuple[str, str]]:
    """Return a prompt's media of these kinds as (MIME type, base64), by SHA-256; raises Rejected if one cannot be sent."""
    parts = [part for message in prompt.messages for part in message.parts]
    media = [part for part in parts if isinstance(part, Media) and part.kind in kinds]
    if not media:
        return {}
    from evals.data.media import payload, stored_path

    encoded = {}
    for part in media:
        if part.kind == "image":
            mime_type, raw = await payload(part)
        else:
            mime_type, raw = "time_series/npy", await asyncio.to_thread(stored_path(part).read_bytes)
        encoded[part.sha256] = (mime_type, b64encode(raw).decode())
    return encoded
