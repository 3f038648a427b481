"""The checks that every provider and every channel adapter passes; derive a class, say what is under test, run pytest.

```python
class TestAcme(HttpProviderContract):
    provider = Acme
    settings = {"token": "a-token-for-tests"}
    message = sample_message(channel="sms", address="+442079460018", parts={"text": "Hello"})
    accepted = httpx2.Response(200, json={"message_id": "abc"})
```

`ProviderContract` is for any provider (override `context` when it does not speak HTTP), `HttpProviderContract` adds what an
HTTP vendor can answer, `ChannelContract` is for adapters. Needs pytest and pytest-asyncio.
"""

import ast
import asyncio
import importlib.util
import inspect
import re
import socket
import ssl
import sys
import tomllib
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import httpx2
import msgspec
import pytest
from msgspec import Struct

from portal.sdk import (
    API_VERSION,
    EVERY_CHANNEL,
    MAX_RETRY_AFTER,
    CallbackRefused,
    CallbackRequest,
    Capabilities,
    ChannelAdapter,
    Measure,
    Message,
    Part,
    Provider,
    Receipt,
    SendFailed,
    implements,
)

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
SECRET_WORDS = re.compile(r"secret|password|token|api_?key|private|credential")
FORBIDDEN_IMPORTS = {"litestar", "sqlalchemy", "arq", "redis", "jinja2", "requests", "urllib3", "smtplib"}
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def sample_message(**changes: Any) -> Message:
    """A message with everything that is always there; `channel`, `address` and `parts` are yours."""
    return Message(**{"id": "0197f3a2-7c1e-7d3a-9f61-5f5e7a1b2c3d", **changes})


class ContextForTests:
    """A `Context` over a mocked HTTP vendor, with sockets to this machine, that keeps what it is told.

    `handler` answers the requests; `requests` has them. `lines` is the log, `kept` what the provider kept.
    """

    def __init__(self, handler: Callable[[httpx2.Request], httpx2.Response] | None = None) -> None:
        self.requests: list[httpx2.Request] = []
        self.lines: list[str] = []
        self.kept: list[Message] = []
        self.tokens: dict[str, str] = {}
        self.time = NOW
        self.log = self
        self._handler = handler or (lambda _: httpx2.Response(200, json={}))
        self.http = httpx2.AsyncClient(transport=httpx2.MockTransport(self._answer), trust_env=False)

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return self._handler(request)

    def _line(self, event: str, **facts: Any) -> None:
        self.lines.append(" ".join((event, *(f"{name}={value}" for name, value in facts.items()))))

    debug = info = warning = error = _line

    async def connect(
        self, host: str, port: int, tls: ssl.SSLContext | bool = False
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        context = tls if isinstance(tls, ssl.SSLContext) else ssl.create_default_context() if tls else None
        return await asyncio.open_connection(host, port, ssl=context)

    async def socket(self, host: str, port: int) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (host, port))
        return sock

    async def token(self, key: str, fetch: Callable[[], Awaitable[str]], ttl: float) -> str:
        if key not in self.tokens:
            self.tokens[key] = await fetch()
        return self.tokens[key]

    async def forget_token(self, key: str, value: str) -> None:
        if self.tokens.get(key) == value:
            del self.tokens[key]

    def now(self) -> datetime:
        return self.time

    def keep(self, message: Message, **facts: Any) -> None:
        self.kept.append(message)


def texts_of(failure: SendFailed) -> str:
    """Everything of a failure that is stored and shown."""
    return f"{failure.reason} {failure.code or ''} {failure!r}"


class ProviderContract:
    """What holds for every provider. Set `provider`, `settings` and `message`; override `context` for other protocols."""

    provider: ClassVar[type[Provider]]
    settings: ClassVar[dict[str, Any]] = {}
    message: ClassVar[Message]
    # What the provider refuses in its settings, besides unknown names and wrong types.
    wrong_settings: ClassVar[list[dict[str, Any]]] = []

    @pytest.fixture
    def context(self) -> ContextForTests:
        """A vendor that accepts everything."""
        return ContextForTests()

    def make(self, **changes: Any) -> Provider:
        """The provider with the settings of this test."""
        return self.provider(msgspec.convert({**self.settings, **changes}, self.provider.settings_type))

    def secrets(self) -> list[str]:
        """The values that must never be seen."""
        return [
            str(self.settings[name])
            for name, spec in self.fields().items()
            if spec.get("secret") and self.settings.get(name)
        ]

    def fields(self) -> dict[str, dict[str, Any]]:
        """The declared fields, as JSON schema."""
        schema = msgspec.json.schema(self.provider.settings_type)
        declared: dict[str, dict[str, Any]] = schema["$defs"][self.provider.settings_type.__name__]["properties"]
        return declared

    # What it declares

    def test_it_has_a_name_a_title_and_a_channel(self) -> None:
        assert issubclass(self.provider, Provider)
        assert NAME.fullmatch(self.provider.name), "name: lower case letters, digits, underscores"
        assert self.provider.title.strip(), "title: how people call the vendor"
        assert self.provider.channel == EVERY_CHANNEL or NAME.fullmatch(self.provider.channel)
        assert self.provider.channel in (EVERY_CHANNEL, self.message.channel), "the sample message has another channel"

    def test_its_settings_are_a_frozen_struct_that_refuses_unknown_names(self) -> None:
        config = self.provider.settings_type.__struct_config__
        assert issubclass(self.provider.settings_type, Struct)
        assert config.frozen, "settings: frozen=True"
        assert config.forbid_unknown_fields, "settings: forbid_unknown_fields=True"
        with pytest.raises(msgspec.ValidationError):
            self.make(no_such_setting_anywhere=1)

    def test_every_setting_has_a_title(self) -> None:
        untitled = [name for name, spec in self.fields().items() if not spec.get("title")]
        assert not untitled, f"Meta(title=…) is missing on {untitled}"

    def test_every_setting_can_be_a_form_field(self) -> None:
        for name, spec in self.fields().items():
            kinds = {spec.get("type")} | {option.get("type") for option in spec.get("anyOf", [])}
            plain = kinds & {"string", "integer", "number", "boolean", "array"}
            assert plain or "enum" in spec, f"{name} is of a kind that no form can show"

    def test_what_is_named_like_a_secret_is_marked_as_one(self) -> None:
        for name, spec in self.fields().items():
            if SECRET_WORDS.search(name):
                assert spec.get("secret"), f"{name} looks like a secret: annotate it with secret(…)"

    def test_the_sample_settings_are_valid(self) -> None:
        assert self.make().settings is not None

    def test_a_missing_required_setting_is_refused(self) -> None:
        for field in msgspec.structs.fields(self.provider.settings_type):
            if field.required:
                given = {name: value for name, value in self.settings.items() if name != field.encode_name}
                with pytest.raises(msgspec.ValidationError, match=field.encode_name):
                    msgspec.convert(given, self.provider.settings_type)

    def test_a_setting_of_a_wrong_type_is_refused(self) -> None:
        for name in self.fields():
            with pytest.raises(msgspec.ValidationError):
                self.make(**{name: {"not": ["a", "value"]}})

    def test_settings_that_cannot_work_are_refused(self) -> None:
        for wrong in self.wrong_settings:
            with pytest.raises(msgspec.ValidationError):
                self.make(**wrong)

    def test_its_capabilities_are_what_it_implements(self) -> None:
        can = self.provider.capabilities
        assert isinstance(can, Capabilities)
        assert can.batch >= 1
        assert can.idempotency_hours >= 0
        assert (can.batch > 1) == implements(self.provider, "send_many")
        assert can.lookup == implements(self.provider, "lookup")
        assert can.polls == implements(self.provider, "poll")
        assert can.receipts == implements(self.provider, "parse_callback")

    def test_its_methods_are_async_where_the_contract_says_so(self) -> None:
        for name in ("send", "send_many", "open", "close", "lookup", "poll", "check", "recall"):
            assert inspect.iscoroutinefunction(getattr(self.provider, name)), name

    def test_settings_of_this_version_pass_through_upgrade(self) -> None:
        upgraded = self.provider.upgrade(dict(self.settings), self.provider.settings_version)
        assert msgspec.convert(upgraded, self.provider.settings_type) == self.make().settings

    # What it imports, and its folder

    def test_it_imports_nothing_of_the_portal_but_the_sdk(self) -> None:
        for module in self._imports():
            assert not module.startswith("portal") or module == "portal.sdk" or module.startswith("portal.sdk."), module

    def test_it_brings_no_web_framework_database_or_blocking_client(self) -> None:
        assert not {module.partition(".")[0] for module in self._imports()} & FORBIDDEN_IMPORTS

    def test_its_folder_says_what_it_is(self) -> None:
        manifest = self._folder() / "plugin.toml"
        if manifest.is_file():
            declared = tomllib.loads(manifest.read_text(encoding="utf-8"))
            assert declared["name"] == self._folder().name
            assert declared["sdk"] == API_VERSION
            assert (self._folder() / "README.md").is_file(), (
                "README.md: what it does, its settings, its limits, sources"
            )

    def _folder(self) -> Path:
        return Path(inspect.getfile(self.provider)).parent

    def _imports(self) -> Iterator[str]:
        for path in self._folder().glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    yield from (alias.name for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    yield node.module

    # Its life

    @pytest.mark.asyncio
    async def test_it_opens_sends_and_closes(self, context: ContextForTests) -> None:
        provider = self.make()
        await provider.open(context)
        receipt = await provider.send(self.message, context)
        await provider.close()
        assert type(receipt) is Receipt
        vendor_id: Any = receipt.vendor_id
        assert vendor_id is None or (type(vendor_id) is str and 0 < len(vendor_id) <= 200)
        detail: Any = receipt.detail
        assert detail is None or type(detail) is str

    @pytest.mark.asyncio
    async def test_it_can_be_closed_twice_and_without_having_been_used(self, context: ContextForTests) -> None:
        await self.make().close()
        provider = self.make()
        await provider.open(context)
        await provider.close()
        await provider.close()

    @pytest.mark.asyncio
    async def test_many_sends_may_run_at_once(self, context: ContextForTests) -> None:
        provider = self.make()
        await provider.open(context)
        messages = [msgspec.structs.replace(self.message, id=f"delivery-{n}") for n in range(20)]
        receipts = await asyncio.gather(*(provider.send(message, context) for message in messages))
        await provider.close()
        assert all(type(receipt) is Receipt for receipt in receipts)

    @pytest.mark.asyncio
    async def test_a_send_can_be_cancelled(self, context: ContextForTests) -> None:
        provider = self.make()
        await provider.open(context)
        task = asyncio.create_task(provider.send(self.message, context))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await provider.close()

    @pytest.mark.asyncio
    async def test_a_batch_has_one_result_per_message_in_order(self, context: ContextForTests) -> None:
        if self.provider.capabilities.batch == 1:
            return
        provider = self.make()
        await provider.open(context)
        for size in (1, 2, self.provider.capabilities.batch):
            messages = [msgspec.structs.replace(self.message, id=f"delivery-{n}") for n in range(size)]
            results = await provider.send_many(messages, context)
            assert len(results) == size
            assert all(type(result) is Receipt or isinstance(result, SendFailed) for result in results)
        await provider.close()

    @pytest.mark.asyncio
    async def test_text_of_every_script_gets_through(self, context: ContextForTests) -> None:
        provider = self.make()
        await provider.open(context)
        single = {name: text for name, text in self.message.parts.items() if text[:1] not in "{["}
        parts = {**self.message.parts, **{name: f"{text} – 你好 שלום 👩‍👩‍👧" for name, text in single.items()}}
        receipt = await provider.send(msgspec.structs.replace(self.message, parts=parts), context)
        await provider.close()
        assert type(receipt) is Receipt

    @pytest.mark.asyncio
    async def test_a_message_with_everything_optional_set_is_sent(self, context: ContextForTests) -> None:
        provider = self.make()
        await provider.open(context)
        full = msgspec.structs.replace(
            self.message,
            priority="high",
            locale="de-CH",
            category="invoices",
            expires_at=NOW + timedelta(hours=1),
            reply_to="help@example.com",
            unsubscribe_url="https://example.com/u/abc",
            metadata={"order": "17"},
        )
        receipt = await provider.send(full, context)
        await provider.close()
        assert type(receipt) is Receipt

    @pytest.mark.asyncio
    async def test_a_header_that_would_smuggle_another_is_refused_for_good(self, context: ContextForTests) -> None:
        provider = self.make()
        await provider.open(context)
        for value in ("a\r\nBcc: x@example.com", "a\nb", "a\0b", "=?utf-8?q?a=0AX-Evil:_1?="):
            message = msgspec.structs.replace(self.message, headers={"X-Note": value})
            try:
                await provider.send(message, context)
            except SendFailed as failed:
                assert failed.permanent
                assert value not in texts_of(failed)
        for request in getattr(context, "requests", []):
            assert "x-evil" not in {name.lower() for name in request.headers}
        await provider.close()

    @pytest.mark.asyncio
    async def test_the_log_has_no_secret_no_content_and_no_address(self, context: ContextForTests) -> None:
        provider = self.make()
        await provider.open(context)
        await provider.send(self.message, context)
        await provider.close()
        log = "\n".join(context.lines)
        for hidden in (*self.secrets(), self.message.address, *self.message.parts.values()):
            assert hidden not in log

    @pytest.mark.asyncio
    async def test_the_check_says_a_sentence(self, context: ContextForTests) -> None:
        if not implements(self.provider, "check"):
            return
        provider = self.make()
        await provider.open(context)
        found = await provider.check(context)
        await provider.close()
        assert found.strip().endswith(".")
        assert not any(secret in found for secret in self.secrets())

    def test_an_estimate_is_a_cost_or_nothing(self) -> None:
        cost = self.make().estimate(self.message)
        assert cost is None or (cost.amount >= 0 and len(cost.currency) == 3 and cost.units >= 1)

    def test_a_callback_that_nobody_signed_is_refused(self) -> None:
        if not self.provider.capabilities.receipts:
            return
        for body in (b"", b"{}", b"\xff\xfe", b"[" * 10_000):
            request = CallbackRequest(method="POST", url="https://p.example/c", headers={}, query={}, body=body)
            with pytest.raises(CallbackRefused):
                list(self.make().parse_callback(request))


class HttpProviderContract(ProviderContract):
    """What holds for every provider that makes one HTTP request per message. Set `accepted`, the vendor's yes.

    `transient` and `permanent` list the statuses that are tried; override them where the vendor means something else.
    """

    accepted: ClassVar[httpx2.Response] = httpx2.Response(200, json={})
    transient: ClassVar[tuple[int, ...]] = (408, 425, 429, 500, 502, 503, 504)
    permanent: ClassVar[tuple[int, ...]] = (400, 403, 404, 413, 422)
    gone: ClassVar[tuple[int, ...]] = (410,)

    @pytest.fixture
    def context(self) -> ContextForTests:
        """A vendor that accepts everything."""
        return ContextForTests(lambda _: self.copy_of(self.accepted))

    @staticmethod
    def copy_of(response: httpx2.Response) -> httpx2.Response:
        """A fresh answer, since each can be read once."""
        return httpx2.Response(response.status_code, headers=response.headers, content=response.content)

    async def outcome(self, answer: httpx2.Response | Exception) -> tuple[Receipt | SendFailed, ContextForTests]:
        """What one send makes of this answer, with the context that saw it."""

        def handler(_: httpx2.Request) -> httpx2.Response:
            if isinstance(answer, Exception):
                raise answer
            return self.copy_of(answer)

        context, provider = ContextForTests(handler), self.make()
        await provider.open(context)
        try:
            return await provider.send(self.message, context), context
        except SendFailed as failed:
            return failed, context
        finally:
            await provider.close()

    async def failure(self, answer: httpx2.Response) -> SendFailed:
        """The failure that one send makes of this answer, after exactly one request."""
        outcome, context = await self.outcome(answer)
        assert isinstance(outcome, SendFailed), f"{answer.status_code} is not an acceptance"
        assert len(context.requests) == 1, "a provider never retries; the core does"
        return outcome

    @pytest.mark.asyncio
    async def test_one_send_is_one_request(self) -> None:
        outcome, context = await self.outcome(self.accepted)
        assert type(outcome) is Receipt
        assert len(context.requests) == 1

    @pytest.mark.asyncio
    async def test_answers_that_pass_are_transient(self) -> None:
        for status in self.transient:
            failed = await self.failure(httpx2.Response(status))
            assert not failed.permanent, status
            assert not failed.suppress, status

    @pytest.mark.asyncio
    async def test_refusals_are_permanent_and_do_not_suppress(self) -> None:
        for status in self.permanent:
            failed = await self.failure(httpx2.Response(status))
            assert failed.permanent, status
            assert not failed.suppress, status

    @pytest.mark.asyncio
    async def test_an_address_that_is_gone_is_suppressed(self) -> None:
        for status in self.gone:
            assert (await self.failure(httpx2.Response(status))).suppress, status

    @pytest.mark.asyncio
    async def test_a_redirect_is_a_refusal(self) -> None:
        for status in (301, 302, 307, 308):
            redirect = httpx2.Response(status, headers={"Location": "http://169.254.169.254/"})
            assert (await self.failure(redirect)).permanent

    @pytest.mark.asyncio
    async def test_retry_after_in_seconds_is_honoured(self) -> None:
        failed = await self.failure(httpx2.Response(429, headers={"Retry-After": "17"}))
        assert failed.retry_after == pytest.approx(17)

    @pytest.mark.asyncio
    async def test_retry_after_as_a_date_is_honoured(self) -> None:
        when = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
        failed = await self.failure(httpx2.Response(503, headers={"Retry-After": when}))
        assert failed.retry_after == pytest.approx(90, abs=5)

    @pytest.mark.asyncio
    async def test_a_retry_after_that_makes_no_sense_does_no_harm(self) -> None:
        for value in ("-5", "soon", "99999999999999999999", "NaN", "inf", "1e9", "Mon, 99 Foo 2026 99:99:99 GMT"):
            failed = await self.failure(httpx2.Response(429, headers={"Retry-After": value}))
            assert failed.retry_after is None or 0 <= failed.retry_after <= MAX_RETRY_AFTER, value

    @pytest.mark.asyncio
    async def test_an_acceptance_that_cannot_be_read_is_still_one(self) -> None:
        for body in (b"", b"not json", b"[]", b"null", b"\xff\xfe\x00", b'{"id": {"not": "text"}}'):
            outcome, _ = await self.outcome(httpx2.Response(self.accepted.status_code, content=body))
            assert type(outcome) is Receipt, f"sent once and accepted, whatever the body says: {body!r}"

    @pytest.mark.asyncio
    async def test_a_refusal_with_a_strange_body_is_read_without_a_crash(self) -> None:
        for body in (b"", b"<html>" + b"x" * 100_000, b"\xff\xfe", b'{"error": 5}', b"[1]", b"null"):
            failed = await self.failure(httpx2.Response(400, content=body))
            assert len(failed.reason) <= 1000, "the reason is one sentence, not the vendor's page"

    @pytest.mark.asyncio
    async def test_a_broken_connection_is_never_permanent(self) -> None:
        for error in (httpx2.ConnectError("x"), httpx2.ReadTimeout("x"), httpx2.RemoteProtocolError("x")):
            try:
                outcome, _ = await self.outcome(error)
            except httpx2.TransportError:
                continue  # the core classes it
            assert isinstance(outcome, SendFailed)
            assert not outcome.permanent

    @pytest.mark.asyncio
    async def test_no_secret_is_in_an_address_or_in_a_reason(self) -> None:
        for status in (200, 400, 401, 500):
            outcome, context = await self.outcome(httpx2.Response(status, json={"error": "no"}))
            seen = " ".join(str(request.url) for request in context.requests) + " ".join(context.lines)
            seen += texts_of(outcome) if isinstance(outcome, SendFailed) else str(outcome.detail)
            assert not any(secret in seen for secret in self.secrets())

    @pytest.mark.asyncio
    async def test_no_content_is_in_a_reason(self) -> None:
        echo = " ".join(self.message.parts.values())
        failed = await self.failure(httpx2.Response(400, json={"error": echo, "message": echo}))
        assert not any(text in texts_of(failed) for text in self.message.parts.values())

    @pytest.mark.asyncio
    async def test_a_second_try_carries_the_same_id(self) -> None:
        if not self.provider.capabilities.idempotency_hours:
            return
        for _ in range(2):
            _, context = await self.outcome(self.accepted)
            request = context.requests[0]
            raw = str(request.url) + repr(request.headers.raw) + request.content.decode("utf-8", "replace")
            assert self.message.id in raw, "the vendor swallows doubles only when it is given the message's id"


class ChannelContract:
    """What holds for every channel adapter. Set `channel`, `good` (address → its one form), `bad` and `parts`."""

    channel: ClassVar[type[ChannelAdapter]]
    good: ClassVar[dict[str, str]]
    bad: ClassVar[list[str]]
    parts: ClassVar[dict[str, str]]

    def make(self) -> ChannelAdapter:
        """The adapter."""
        return self.channel()

    def test_it_has_a_name_and_a_title(self) -> None:
        assert NAME.fullmatch(self.channel.name)
        assert self.channel.title.strip()

    def test_it_declares_its_parts(self) -> None:
        assert self.channel.parts
        for name, part in self.channel.parts.items():
            assert NAME.fullmatch(name)
            assert isinstance(part, Part)
            assert part.kind in ("text", "html", "markdown", "json")
            assert part.max_length is None or part.max_length > 0

    def test_its_preview_and_needs_are_known_words(self) -> None:
        assert self.channel.preview in ("mail", "bubble", "text", "json")
        assert all(isinstance(need, str) for need in self.channel.needs)

    def test_its_example_is_a_good_address(self) -> None:
        assert self.channel.address_example, "address_example: shown in the form"
        assert self.make().normalise(self.channel.address_example)

    def test_good_addresses_get_their_one_form(self) -> None:
        for address, normal in self.good.items():
            assert self.make().normalise(address) == normal

    def test_the_one_form_stays_itself(self) -> None:
        for normal in self.good.values():
            assert self.make().normalise(normal) == normal

    def test_surrounding_space_is_not_part_of_an_address(self) -> None:
        for address, normal in self.good.items():
            assert self.make().normalise(f"  {address} ") == normal

    def test_bad_addresses_are_refused_with_a_sentence(self) -> None:
        for address in self.bad:
            with pytest.raises(ValueError, match=r"\w") as refused:
                self.make().normalise(address)
            assert str(refused.value).endswith((".", ")")), f"{refused.value!r} is not a sentence"

    def test_rubbish_is_refused_and_never_crashes(self) -> None:
        for rubbish in ("", " ", "\0", "\r\n", "a\r\nb", "\ud800", "é" * 10_000, "@", "x" * 100_000, "٣٤٥", "💥"):
            with pytest.raises(ValueError, match=r"\w") as refused:
                self.make().normalise(rubbish)
            assert type(refused.value) is ValueError, "a plain ValueError, not the library's own"
            assert len(str(refused.value)) < 500

    def test_line_breaks_never_survive_in_an_address(self) -> None:
        for address in self.good:
            for smuggled in (f"{address}\r\nX: y", f"{address}\0", address[:2] + "\n" + address[2:]):
                try:
                    normal = self.make().normalise(smuggled)
                except ValueError:
                    continue
                assert not any(mark in normal for mark in "\r\n\0")

    def test_a_masked_address_is_not_the_address(self) -> None:
        for normal in self.good.values():
            masked = self.make().mask(normal)
            assert masked.strip()
            assert masked != normal
            assert "•" in masked

    def test_good_parts_may_be_sent(self) -> None:
        assert self.make().validate(self.parts) == {}

    def test_a_missing_required_part_is_named(self) -> None:
        for name, part in self.channel.parts.items():
            if part.required:
                assert name in self.make().validate({**self.parts, name: " "})
                assert name in self.make().validate({key: text for key, text in self.parts.items() if key != name})

    def test_an_unknown_part_is_named(self) -> None:
        assert "no_such_part" in self.make().validate({**self.parts, "no_such_part": "x"})

    def test_a_part_that_is_too_long_is_named(self) -> None:
        for name, part in self.channel.parts.items():
            if part.max_length is not None:
                assert name in self.make().validate({**self.parts, name: "x" * (part.max_length + 1)})

    def test_a_line_break_in_a_single_line_part_is_named(self) -> None:
        for name, part in self.channel.parts.items():
            if part.single_line:
                for mark in "\r\n\0":
                    assert name in self.make().validate({**self.parts, name: f"a{mark}b"})

    def test_json_that_is_none_is_named(self) -> None:
        for name, part in self.channel.parts.items():
            if part.kind == "json":
                assert name in self.make().validate({**self.parts, name: "{not json"})

    def test_a_message_has_a_size(self) -> None:
        size = self.make().measure(self.parts)
        assert isinstance(size, Measure)
        assert size.amount >= 1
        assert size.unit
        assert size.limit is None or size.limit >= size.amount

    def test_more_text_is_never_smaller(self) -> None:
        longer = {name: text * 3 for name, text in self.parts.items()}
        assert self.make().measure(longer).amount >= self.make().measure(self.parts).amount

    def test_it_has_no_state(self) -> None:
        assert not vars(self.make()), "one instance serves all: nothing is kept on it"


def import_plugin(folder: Path) -> ModuleType:
    """Make the plugin in this folder importable as `plugins.<folder>`, wherever it lies, as the portal does."""
    name = f"plugins.{folder.name}"
    if name in sys.modules:
        return sys.modules[name]
    if importlib.util.find_spec("plugins") is None:
        sys.modules["plugins"] = ModuleType("plugins")
        sys.modules["plugins"].__path__ = []
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
