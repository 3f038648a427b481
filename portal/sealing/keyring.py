"""The master keys of an installation, and what is made with them.

`PORTAL_SECRET_KEY` holds one or more base64 keys of 32 bytes or more: the first seals, all of them open. To rotate, put
a new key in front, seal again (`reseal`), and keep the oldest key last for ever: keyed hashes of addresses are stored,
compared and never made again, so the key behind them cannot change in place.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from portal.errors import PortalError, SettingsError
from portal.settings import Settings

KEY_BYTES = 32
# sealed = format (1 byte) | key id (4 bytes) | nonce (12 bytes) | AES-GCM ciphertext with its tag (16 bytes)
FORMAT = b"\x01"
KEY_ID_BYTES = 4
NONCE_BYTES = 12
HEADER_BYTES = len(FORMAT) + KEY_ID_BYTES

log = logging.getLogger(__name__)


class WrongKey(PortalError):
    """A sealed value cannot be opened: its key is not in the ring, it was altered, or it was moved to another row."""

    code = "wrong_key"


class Keyring:
    """Seals and opens values bound to their place, and derives keys by purpose."""

    def __init__(self, master_keys: Sequence[bytes]) -> None:
        if not master_keys or any(len(key) < KEY_BYTES for key in master_keys):
            raise ValueError(f"a keyring needs at least one key of {KEY_BYTES} bytes")
        self._masters = list(master_keys)
        self._ciphers = {_key_id(key): AESGCM(_hkdf(key, "sealing")) for key in self._masters}
        self.key_ids = [_key_id(key).hex() for key in self._masters]

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The ring of this installation.

        Without `PORTAL_SECRET_KEY` an embedded installation makes `secret.key` in its data folder and says so; any
        other raises `SettingsError`, because two machines would make two keys.
        """
        if settings.secret_key:
            return cls(_decode(settings.secret_key, "PORTAL_SECRET_KEY"))
        if settings.embedded_database:
            return cls(_decode(_generated(settings.data_path / "secret.key"), "secret.key"))
        raise SettingsError(
            "PORTAL_SECRET_KEY: needed when PORTAL_DATABASE_URL is set, the same on every machine. Make one with: "
            "python3 -c 'import base64, os; print(base64.b64encode(os.urandom(32)).decode())'"
        )

    def seal(self, plaintext: bytes, *, table: str, row: str, field: str, key_id: str | None = None) -> bytes:
        """`plaintext`, encrypted and bound to this field of this row: it opens nowhere else. The first key seals."""
        name = bytes.fromhex(key_id or self.key_ids[0])
        nonce, cipher = os.urandom(NONCE_BYTES), self._ciphers[name]
        return FORMAT + name + nonce + cipher.encrypt(nonce, plaintext, _place(table, row, field))

    def open(self, sealed: bytes, *, table: str, row: str, field: str) -> bytes:
        """What was sealed for this field of this row; raises `WrongKey`."""
        cipher = self._ciphers.get(sealed[len(FORMAT) : HEADER_BYTES]) if sealed[:1] == FORMAT else None
        if cipher is None:
            raise WrongKey("A sealed value was made with a key that PORTAL_SECRET_KEY does not hold.")
        nonce, ciphertext = sealed[HEADER_BYTES : HEADER_BYTES + NONCE_BYTES], sealed[HEADER_BYTES + NONCE_BYTES :]
        try:
            return cipher.decrypt(nonce, ciphertext, _place(table, row, field))
        except (InvalidTag, ValueError):
            raise WrongKey("A sealed value was altered or belongs to another row.") from None

    def reseal(self, sealed: bytes, *, table: str, row: str, field: str) -> bytes | None:
        """The same value under the first key, or None when it is already; the step of a rotation."""
        if sealed[len(FORMAT) : HEADER_BYTES] == next(iter(self._ciphers)):
            return None
        return self.seal(self.open(sealed, table=table, row=row, field=field), table=table, row=row, field=field)

    def derive(self, purpose: str) -> bytes:
        """32 bytes for one purpose (`sessions`, `links`, `audit`, `hashes`); `hashes` comes from the oldest key."""
        return _hkdf(self._masters[-1] if purpose == "hashes" else self._masters[0], purpose)

    def derive_all(self, purpose: str) -> list[bytes]:
        """The keys of a purpose from every master key, the current one first: to check what was signed before."""
        return [_hkdf(key, purpose) for key in self._masters]


def make_secret_key() -> str:
    """A new master key, as `PORTAL_SECRET_KEY` wants it."""
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def _hkdf(key: bytes, purpose: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"push-portal/" + purpose.encode()).derive(key)


def _key_id(key: bytes) -> bytes:
    """A name for the key that tells nothing about it."""
    return hmac.new(key, b"push-portal/key-id", hashlib.sha256).digest()[:KEY_ID_BYTES]


def _place(table: str, row: str, field: str) -> bytes:
    return f"{table}\0{row}\0{field}".encode()


def _decode(text: str, name: str) -> list[bytes]:
    keys = []
    for part in text.split(","):
        try:
            keys.append(
                base64.b64decode(part.strip(), altchars=b"-_" if set("-_") & set(part) else None, validate=True)
            )
        except (binascii.Error, ValueError):
            raise SettingsError(f"{name}: expected base64, several keys separated by commas.") from None
    if any(len(key) < KEY_BYTES for key in keys):
        raise SettingsError(f"{name}: expected keys of {KEY_BYTES} bytes or more.")
    return keys


def _generated(path: Path) -> str:
    """The text of `path`; made first when it is not there. Two processes that start together end with one key."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(make_secret_key() + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
            log.warning("made %s: whatever is sealed in the database opens only with it; keep a copy", path)
        except FileExistsError:
            log.debug("another process made %s first", path)
        finally:
            draft.unlink()
    if path.stat().st_mode & 0o077:
        raise SettingsError(f"{path}: other accounts of this machine can read it; run: chmod 600 {path}")
    return path.read_text()
