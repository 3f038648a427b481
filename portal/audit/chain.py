"""How entries hang together: each hash covers the entry and the hash before it."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import msgspec

START = bytes(32)
PURPOSE = "audit"

_encoder = msgspec.json.Encoder(order="sorted")


def entry_hash(before: bytes, n: int, entry: Any) -> bytes:
    """SHA-256 over the previous hash, the place in the chain and every field of the entry."""
    fields = {
        "n": n,
        "id": entry.id,
        "at": entry.at,
        "actor_kind": entry.actor_kind,
        "actor_id": entry.actor_id,
        "actor_name": entry.actor_name,
        "action": entry.action,
        "target": entry.target,
        "before": entry.before,
        "after": entry.after,
    }
    return hashlib.sha256(before + _encoder.encode(fields)).digest()


def signature(key: bytes, n: int, head: bytes) -> bytes:
    """HMAC-SHA-256 of a head, by a key that is derived from the installation's secret."""
    return hmac.new(key, b"audit head %d " % n + head, hashlib.sha256).digest()


def is_signed(keys: list[bytes], n: int, head: bytes, given: bytes) -> bool:
    """Whether one of the keys (the present one and those before it) made the signature."""
    return any(hmac.compare_digest(signature(key, n, head), given) for key in keys)
