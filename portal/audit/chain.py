"""The arithmetic of the chain: pure, the same for sealing and for verifying."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from portal.sealing import Keyring

START = "0" * 64

_encoder = msgspec.json.Encoder(order="sorted")


def entry_hash(previous: str, seq: int, row: Any) -> str:
    """SHA-256 over the hash before and every field of the entry, hexadecimal."""
    fields = [
        previous,
        seq,
        str(row.id),
        row.created_at.isoformat(timespec="microseconds"),
        row.actor_kind,
        str(row.actor_id),
        row.actor_name,
        row.action,
        row.target,
        row.before,
        row.after,
    ]
    return hashlib.sha256(_encoder.encode(fields)).hexdigest()


def sign_head(keyring: Keyring, seq: int, head: str) -> str:
    """The signature of a head, hexadecimal."""
    return Ed25519PrivateKey.from_private_bytes(keyring.derive("audit")).sign(_line(seq, head)).hex()


def is_our_head(keyring: Keyring, seq: int, head: str, signature: str) -> bool:
    """True when this installation signed the head, with its present key or an earlier one."""
    for key in keyring.derive_all("audit"):
        try:
            public = Ed25519PrivateKey.from_private_bytes(key).public_key()
            public.verify(bytes.fromhex(signature), _line(seq, head))
        except (InvalidSignature, ValueError):
            continue
        return True
    return False


def _line(seq: int, head: str) -> bytes:
    return f"push-portal audit {seq} {head}".encode()
