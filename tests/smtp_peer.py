"""A real SMTP server for tests: plain, STARTTLS and TLS doors, sign-in, and answers that a test scripts."""

from __future__ import annotations

import ssl
from collections import deque
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.services import free_port

USER, PASSWORD = "portal", "a password"


@dataclass
class Received:
    """One message as it arrived."""

    sender: str
    recipients: list[str]
    content: bytes
    tls: bool
    signed_in_as: str | None
    peer: Any

    @property
    def message(self) -> EmailMessage:
        """The parsed message."""
        parsed = message_from_bytes(self.content, policy=policy.default)
        assert isinstance(parsed, EmailMessage)
        return parsed


@dataclass
class SmtpPeer:
    """Three doors on loopback; `received` is what came in, `answers` what the next DATA commands are told."""

    host: str
    plain_port: int
    starttls_port: int
    tls_port: int
    ca_path: Path
    user: str = USER
    password: str = PASSWORD
    received: list[Received] = field(default_factory=list)
    answers: deque[str] = field(default_factory=deque)
    rcpt_answers: deque[str] = field(default_factory=deque)
    connections: int = 0

    def clear(self) -> None:
        """Forget what came in and what was scripted."""
        self.received.clear()
        self.answers.clear()
        self.rcpt_answers.clear()
        self.connections = 0


class _Handler:
    def __init__(self, peer: SmtpPeer) -> None:
        self.peer = peer

    async def handle_RCPT(  # noqa: N802 - the name is aiosmtpd's
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if self.peer.rcpt_answers and not (answer := self.peer.rcpt_answers.popleft()).startswith("2"):
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.peer.answers and not (answer := self.peer.answers.popleft()).startswith("2"):
            return answer
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        tls = session.ssl is not None or isinstance(
            getattr(server.transport, "get_extra_info", lambda _: None)("ssl_object"), ssl.SSLObject
        )
        login = session.auth_data.login.decode() if isinstance(session.auth_data, LoginPassword) else None
        received = Received(envelope.mail_from or "", list(envelope.rcpt_tos), content, tls, login, session.peer)
        self.peer.received.append(received)
        return f"250 OK queued as {len(self.peer.received)}"


class _Door(Controller):
    """A controller that counts its connections."""

    def __init__(self, peer: SmtpPeer, **options: Any) -> None:
        self.peer = peer
        super().__init__(_Handler(peer), **options)

    def factory(self) -> SMTP:
        self.peer.connections += 1
        return super().factory()


def _sign_in(_server: SMTP, _session: Session, _envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    accepted = mechanism in ("LOGIN", "PLAIN") and data == LoginPassword(USER.encode(), PASSWORD.encode())
    # Unhandled failures are answered by the server itself with 535.
    return AuthResult(success=accepted, handled=accepted, auth_data=data if accepted else None)


def start_smtp(folder: Path) -> tuple[SmtpPeer, list[Controller]]:
    """Start the three doors; the caller stops the controllers."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    ports = [free_port() for _ in range(3)]
    peer = SmtpPeer("127.0.0.1", *ports, folder / "ca.pem")
    common: dict[str, Any] = {"hostname": "127.0.0.1", "authenticator": _sign_in, "enable_SMTPUTF8": True}
    doors = [
        _Door(peer, port=ports[0], auth_require_tls=False, **common),
        _Door(peer, port=ports[1], tls_context=context, require_starttls=True, **common),
        # The whole connection is encrypted, so sign-in needs no STARTTLS.
        _Door(peer, port=ports[2], ssl_context=context, auth_require_tls=False, **common),
    ]
    for door in doors:
        door.start()
    peer.connections = 0  # a controller knocks once at its own door to see that it opened
    return peer, doors
