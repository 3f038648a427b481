"""One function answers every POST of a notification, whichever door it came through.

The fast door (`portal.notifications.fast_door`) and the Litestar handler both call `Intake.answer`, so that they cannot
differ. Everything before the flush comes from process memory.
"""

from __future__ import annotations

import hashlib
import time
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from portal.access import ApiKeyEntry, KeyCache
from portal.db import Database, new_id
from portal.errors import InvalidInput, NotAllowed, NotSignedIn, PortalError, TooLarge, TooMany
from portal.kv import Limiter, Verdict
from portal.ledger.packing import Member, encode_content, encode_member, to_microseconds
from portal.message_templates import TemplateEntry, Templates
from portal.notifications.accept import Acceptor, Request
from portal.notifications.approval import Singles
from portal.notifications.attachments import check_attachments
from portal.notifications.decode import decode
from portal.notifications.schemas import NotificationIn
from portal.notifications.validate import Validator
from portal.web.problems import problem

Headers = dict[bytes, bytes]
JSON = (b"content-type", b"application/json")
BEARER = b"Bearer "
SCOPE = "notifications:send"

_decoder = msgspec.json.Decoder(NotificationIn)
canonical = msgspec.json.Encoder(order="sorted")


class Answer(NamedTuple):
    """An HTTP answer without a framework: status, headers, body."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Draft(NamedTuple):
    """A checked notification that has no id yet. `due` is None for now."""

    member: Member
    lane: str
    due: datetime | None

    def request(self, id_: UUID, application_id: UUID, key: str | None, fingerprint: bytes) -> Request:
        """The request with this id, for the acceptor."""
        self.member.id = id_.bytes
        return Request(
            id=id_,
            application_id=application_id,
            lane=self.lane,
            member=encode_member(self.member),
            due=self.due,
            key=key,
            fingerprint=fingerprint,
        )


class Intake:
    """Everything that is needed to answer, bound once per process."""

    def __init__(
        self,
        *,
        db: Database,
        keys: KeyCache,
        limiter: Limiter,
        templates: Templates,
        validator: Validator,
        acceptor: Acceptor,
        max_body: int,
        rate: float,
        burst_seconds: float = 2.0,
    ) -> None:
        self._db = db
        self._keys = keys
        self._singles = Singles(db)
        self._limiter = limiter
        self._templates = templates
        self._validator = validator
        self._acceptor = acceptor
        self._max_body = max_body
        self._rate = rate
        self._burst_seconds = burst_seconds

    async def answer(self, headers: Headers, body: bytes) -> Answer:
        """Accept one notification: 202 after its commit, or a problem that names the field and the remedy.

        `headers` have lower-case names.
        """
        limits: list[tuple[bytes, bytes]] = []
        try:
            key = await self.authenticate(headers)
            limits = await self.limit(key)
            if len(body) > self._max_body:
                raise TooLarge(f"The body has {len(body)} bytes; {self._max_body} are allowed.", limit=self._max_body)
            request, member = await self.request(key, decode(body, _decoder), headers.get(b"idempotency-key"))
            answering = await self._acceptor.submit(request)
        except PortalError as error:
            status_code, extra, body = problem(error)
            return Answer(status_code, [*extra, *limits], body)
        head = [JSON, *limits]
        status = b"scheduled" if request.due else b"accepted"
        if answering != request.id:
            head.append((b"idempotent-replayed", b"true"))
        elif key.mode == "live":
            self._singles.count(key.application_id, member.template, member.category)
        return Answer(202, head, b'{"id":"%b","status":"%b"}' % (str(answering).encode(), status))

    async def authenticate(self, headers: Headers) -> ApiKeyEntry:
        """The key of the `Authorization` header; raises `NotSignedIn` or `NotAllowed`."""
        authorization = headers.get(b"authorization", b"")
        if not authorization.startswith(BEARER):
            raise NotSignedIn("Send an API key: Authorization: Bearer pp_live_…")
        try:
            token = authorization[len(BEARER) :].decode("ascii")
        except UnicodeDecodeError:
            raise NotSignedIn("This API key is not valid.") from None
        key = self._keys.find(token) or await self._keys.look_up(token)
        if key is None:
            raise NotSignedIn("This API key is not valid: it is unknown, expired or revoked.")
        if SCOPE not in key.scopes:
            raise NotAllowed(f"This API key lacks the scope {SCOPE}.")
        return key

    async def limit(self, key: ApiKeyEntry) -> list[tuple[bytes, bytes]]:
        """Take a token from the key's bucket and from its application's; the headers tell the tighter one."""
        tightest: Verdict | None = None
        for name, rate in self._buckets(key):
            burst = max(1, int(rate * self._burst_seconds))
            verdict = self._limiter.take(name, rate, burst) or await self._limiter.admit(name, rate, burst)
            if not verdict.allowed:
                raise TooMany(
                    f"More than {rate:g} requests per second.", retry_after=verdict.retry_after, code="rate_limited"
                )
            if tightest is None or verdict.remaining < tightest.remaining:
                tightest = verdict
        if tightest is None:
            return []
        return [
            (b"ratelimit-limit", b"%d" % tightest.limit),
            (b"ratelimit-remaining", b"%d" % tightest.remaining),
            (b"ratelimit-reset", b"%d" % int(tightest.reset_seconds + 0.999)),
        ]

    def _buckets(self, key: ApiKeyEntry) -> list[tuple[str, float]]:
        buckets = [(f"application:{key.application_id}", key.application_rate or self._rate)]
        if key.rate_per_second:
            buckets.append((f"key:{key.id}", key.rate_per_second))
        return buckets

    async def request(
        self, key: ApiKeyEntry, ask: NotificationIn, idempotency_key: bytes | str | None
    ) -> tuple[Request, Member]:
        """A checked request for the acceptor, and the member that is packed in it."""
        template = await self.template(ask.template)
        draft = self.draft(key, ask, template, time.time())
        if ask.attachments:
            async with self._db.read() as conn:
                await check_attachments(conn, key.application_id, ask.attachments, draft.due)
        given = None if idempotency_key is None else check_idempotency_key(idempotency_key)
        return draft.request(new_id(), key.application_id, given, fingerprint(ask) if given else b""), draft.member

    def draft(self, key: ApiKeyEntry, ask: NotificationIn, template: TemplateEntry, now_seconds: float) -> Draft:
        """The request checked and packed but for its id; raises `InvalidInput` or `NotAllowed`."""
        checked = self._validator.check(ask, template, key, datetime.fromtimestamp(now_seconds, UTC))
        try:
            content = encode_content(checked.content)
        except OverflowError:
            raise InvalidInput({"data": "expected integers of at most 64 bits; send larger ones as text"}) from None
        created = int(now_seconds * 1_000_000)
        member = Member(
            id=b"",
            version_id=template.version_id.bytes,
            template=template.key,
            category=checked.category,
            mode=key.mode,
            created=created,
            due=to_microseconds(checked.due) if checked.due else created,
            expires=to_microseconds(checked.expires_at) if checked.expires_at else None,
            reference=ask.reference,
            replay_of=None,
            metadata=ask.metadata or None,
            content=content,
        )
        return Draft(member, checked.lane, checked.due)

    async def close(self) -> None:
        """Write what is counted but not written yet."""
        await self._singles.close()

    async def template(self, key: str) -> TemplateEntry:
        """The published template of this key; raises `InvalidInput`."""
        template = self._templates.find(key) or await self._templates.resolve(key)
        if template is None:
            raise self.no_template(key)
        return template

    def known_template(self, key: str) -> TemplateEntry | None:
        """The published template of this key if this process knows it."""
        return self._templates.find(key)

    @staticmethod
    def no_template(key: str) -> InvalidInput:
        """What somebody hears who names a template that is not published."""
        return InvalidInput({"template": f"there is no published template {key!r}"}, code="unknown_template")


def check_idempotency_key(given: bytes | str) -> str:
    """The key as text; raises `InvalidInput`. Blanks around it would be lost in one database and kept in another."""
    text = given.decode("latin-1") if isinstance(given, bytes) else given
    if not 1 <= len(text) <= 255 or not text.isprintable() or text != text.strip():
        raise InvalidInput({"Idempotency-Key": "expected 1 to 255 printable characters without blanks around them"})
    return text


def fingerprint(ask: NotificationIn) -> bytes:
    """The same for every spelling of the same request: key order and white space do not count."""
    return hashlib.sha256(canonical.encode(ask)).digest()
