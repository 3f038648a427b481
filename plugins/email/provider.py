"""Any mail server that speaks SMTP, over a few connections that are kept.

Sources: RFC 5321 (SMTP), RFC 3463 (enhanced codes), RFC 3207 (STARTTLS), RFC 8314 (TLS from the start).
"""

import asyncio
import re
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import parseaddr
from typing import Annotated, Literal

import aiosmtplib
from aiosmtplib import SMTP, SMTPResponseException, SMTPServerDisconnected, SMTPTimeoutError
from msgspec import Meta, Struct

from plugins.email.channel import Email
from plugins.email.compose import compose
from portal.sdk import Context, Message, Provider, Receipt, SendFailed, secret

IDLE_SECONDS = 30.0
MESSAGES_PER_CONNECTION = 200
ENHANCED = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
# The mailbox does not exist, has moved away or is disabled: the address must not be used again.
DEAD_MAILBOX = frozenset({"5.1.1", "5.1.6", "5.1.10", "5.2.1"})
# Our credentials or our TLS, not this message: trying later, or on another account, can succeed.
ACCOUNT_CODES = frozenset({530, 534, 535, 538, 454})


class SmtpSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One account on a mail server. Certificates are always verified where TLS is used."""

    host: Annotated[str, Meta(title="Server", description="Host name or address.", min_length=1, max_length=253)]
    port: Annotated[int, Meta(title="Port", ge=1, le=65535, description="587 with STARTTLS, 465 with TLS, 25.")] = 587
    tls: Annotated[
        Literal["none", "starttls", "tls"],
        Meta(title="Encryption", description="none, starttls (required, never skipped), or tls from the start."),
    ] = "starttls"
    username: Annotated[str, Meta(title="User name", max_length=200)] = ""
    password: Annotated[str, secret("Password", max_length=500)] = ""
    sender: Annotated[
        str, Meta(title="Sender", description='As in "Example <noreply@example.com>".', min_length=3, max_length=300)
    ]
    bounce_address: Annotated[
        str, Meta(title="Bounce address", description="Envelope sender; empty: the sender's address.", max_length=254)
    ] = ""
    ca_file: Annotated[
        str, Meta(title="CA file", description="PEM file on the server, for a private authority.", max_length=500)
    ] = ""
    connections: Annotated[
        int, Meta(title="Connections", ge=1, le=50, description="Most connections of one process.")
    ] = 4

    def __post_init__(self) -> None:
        _check_address("sender", parseaddr(self.sender)[1])
        if self.bounce_address:
            _check_address("bounce_address", self.bounce_address)
        if self.password and self.tls == "none" and self.host not in ("localhost", "127.0.0.1", "::1"):
            raise ValueError("tls: A password is not sent without encryption; choose starttls or tls.")


def _check_address(field: str, address: str) -> None:
    try:
        Email().normalise(address)
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from None


class _Kept:
    """An idle connection, and what it has done."""

    def __init__(self, client: SMTP) -> None:
        self.client = client
        self.sent = 0
        self.idle_since = time.monotonic()

    @property
    def reusable(self) -> bool:
        fresh = time.monotonic() - self.idle_since < IDLE_SECONDS
        return fresh and self.client.is_connected and self.sent < MESSAGES_PER_CONNECTION


class Smtp(Provider):
    """One mail per transaction, one transaction at a time per connection."""

    name = "smtp"
    title = "SMTP server"
    channel = "email"
    settings_type = SmtpSettings

    settings: SmtpSettings

    def __init__(self, settings: SmtpSettings) -> None:
        super().__init__(settings)
        self._envelope = settings.bounce_address or parseaddr(settings.sender)[1]
        self._slots = asyncio.Semaphore(settings.connections)
        self._idle: list[_Kept] = []
        self._tls: ssl.SSLContext | None = None

    async def open(self, ctx: Context) -> None:
        """Read the certificates once; connections are made when they are needed."""
        if self.settings.tls != "none":
            self._tls = await asyncio.to_thread(self._context)

    async def close(self) -> None:
        """Say goodbye on every idle connection."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(_quit(kept.client) for kept in idle), return_exceptions=True)

    async def send(self, message: Message, ctx: Context) -> Receipt:
        """One mail. What the server says decides: 4xx later, 5xx never, no such mailbox: never to this address."""
        mail = compose(message, self.settings.sender, ctx.now()).as_bytes()
        async with self._connection(ctx) as client:
            _refuse_too_large(client, mail)
            try:
                await client.rcpt(message.address)
            except SMTPResponseException as error:
                raise failure(error, recipient=True) from None
            except (SMTPServerDisconnected, SMTPTimeoutError) as error:
                raise SendFailed(f"The mail server went away: {type(error).__name__}.") from None
            return await _data(client, mail)

    async def check(self, ctx: Context) -> str:
        """Connect, sign in and say goodbye."""
        client = await self._connect(ctx)
        secured = "without encryption" if self.settings.tls == "none" else "with TLS"
        signed_in = f", signed in as {self.settings.username}" if self.settings.username else ""
        await _quit(client)
        return f"Reached {self.settings.host}:{self.settings.port} {secured}{signed_in}."

    @asynccontextmanager
    async def _connection(self, ctx: Context) -> AsyncIterator[SMTP]:
        """A connection on which the server took our MAIL FROM; kept afterwards unless something is unclear about it."""
        async with self._slots:
            kept = await self._begin(ctx)
            try:
                yield kept.client
            except SendFailed as failed:
                # A refusal is an orderly answer; after anything else nobody knows what the server still expects.
                if failed.code is None or failed.ambiguous or not await _reset(kept.client):
                    kept.client.close()
                    raise
                self._keep(kept)
                raise
            except BaseException:
                kept.client.close()
                raise
            self._keep(kept)

    def _keep(self, kept: _Kept) -> None:
        kept.sent += 1
        kept.idle_since = time.monotonic()
        self._idle.append(kept)

    async def _begin(self, ctx: Context) -> _Kept:
        while self._idle:
            kept = self._idle.pop()
            if not kept.reusable:
                kept.client.close()
                continue
            try:
                await kept.client.mail(self._envelope)
            except (SMTPServerDisconnected, SMTPTimeoutError):
                kept.client.close()  # the server ended an idle connection, as it may; nothing was handed over yet
                continue
            except SMTPResponseException as error:
                kept.client.close()
                if error.code == 421:
                    continue
                raise failure(error) from None
            return kept
        client = await self._connect(ctx)
        try:
            await client.mail(self._envelope)
        except SMTPResponseException as error:
            client.close()
            raise failure(error) from None
        except (SMTPServerDisconnected, SMTPTimeoutError) as error:
            client.close()
            raise SendFailed(f"The mail server went away: {type(error).__name__}.") from None
        return _Kept(client)

    async def _connect(self, ctx: Context) -> SMTP:
        settings = self.settings
        if settings.tls != "none" and self._tls is None:
            await self.open(ctx)
        sock = await ctx.socket(settings.host, settings.port)
        client = SMTP(
            hostname=settings.host,
            sock=sock,
            use_tls=settings.tls == "tls",
            start_tls=settings.tls == "starttls",
            tls_context=self._tls,
            username=settings.username or None,
            password=settings.password or None,
            local_hostname=parseaddr(settings.sender)[1].rpartition("@")[2],
            timeout=30,
        )
        try:
            await client.connect()
        except BaseException as error:
            client.close()
            sock.close()
            raise _connect_failure(error) from None
        return client

    def _context(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self.settings.ca_file or None)
        except (OSError, ssl.SSLError) as error:
            raise SendFailed(f"The CA file cannot be read: {error.strerror or 'not a PEM file'}.") from None


def _refuse_too_large(client: SMTP, mail: bytes) -> None:
    limit = client.esmtp_extensions.get("size", "")
    if limit.isdecimal() and 0 < int(limit) < len(mail):
        reason = f"The mail has {len(mail)} bytes; the server takes at most {limit}."
        raise SendFailed(reason, permanent=True, code="552")


async def _data(client: SMTP, mail: bytes) -> Receipt:
    try:
        response = await client.data(mail)
    except SMTPResponseException as error:
        raise failure(error) from None
    except (SMTPServerDisconnected, SMTPTimeoutError) as error:
        # The final dot may have arrived. The library does not tell how far it came, so this says the safe thing.
        reason = f"The mail server went away before it answered: {type(error).__name__}."
        raise SendFailed(reason, ambiguous=True) from None
    return Receipt(vendor_id=_queue_id(response.message), detail=f"{response.code} {response.message[:200]}")


def _queue_id(answer: str) -> str | None:
    """What most servers call the mail: "queued as 4Xyz…", "OK id=1q…", "<id> Queued"."""
    found = re.search(r"\b(?:queued as|id[ =])\s*<?([A-Za-z0-9.@_-]{2,100})", answer, re.IGNORECASE)
    return found.group(1) if found else None


def failure(error: SMTPResponseException, *, recipient: bool = False) -> SendFailed:
    """The server's answer as a failure with its class; `recipient` when it is about the address."""
    text = error.message.replace("\n", " ")
    enhanced = ENHANCED.search(text)
    code = f"{error.code} {enhanced.group(0)}" if enhanced else str(error.code)
    reason = f"The mail server answered {error.code} {text[:200]}".rstrip()
    if error.code in ACCOUNT_CODES or error.code < 500:
        return SendFailed(reason, code=code)
    dead = recipient and enhanced is not None and enhanced.group(0) in DEAD_MAILBOX
    return SendFailed(reason, permanent=True, suppress=dead, code=code)


def _connect_failure(error: BaseException) -> BaseException:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return SendFailed(f"The mail server's certificate is not trusted: {cause.verify_message}.", code="tls")
        cause = cause.__cause__
    if isinstance(error, SMTPResponseException):
        return failure(error)
    if isinstance(error, aiosmtplib.SMTPException):
        return SendFailed(f"The mail server cannot be used: {type(error).__name__}: {str(error)[:200]}")
    return error


async def _reset(client: SMTP) -> bool:
    try:
        await client.rset(timeout=5)
    except (aiosmtplib.SMTPException, OSError):
        return False
    return True


async def _quit(client: SMTP) -> None:
    try:
        await client.quit(timeout=2)
    except (aiosmtplib.SMTPException, OSError):
        client.close()
