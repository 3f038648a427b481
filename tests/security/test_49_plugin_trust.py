"""Row 49: a hostile pack. What a plugin does wrong hurts that plugin alone; the documents say that it is trusted code."""

from __future__ import annotations

import asyncio
import locale
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from portal.access.actor import SYSTEM
from portal.db import Database, Revisions
from portal.plugin_loader import Registry, blame, forgive, load
from portal.plugin_loader.blame import FILE, LIMIT
from portal.providers import Accounts, OpenAccount, send_many, send_one
from portal.providers.context import AccountContext
from portal.providers.create import create_account
from portal.providers.schemas import AccountCreate
from portal.sdk import Context, Message, Receipt, SendFailed
from portal.sdk.testing import sample_message
from portal.sealing import Keyring
from portal.settings import Settings

HONEST = """
from portal.sdk import Provider, Receipt, hookimpl

class Honest(Provider):
    name, title, channel = "{name}", "Honest", "email"
    async def send(self, message, ctx):
        return Receipt("fine")

@hookimpl
def register_providers():
    return [Honest]
"""
AT_IMPORT = {
    "raises": "raise RuntimeError('no')",
    "exits": "raise SystemExit(3)",
    "interrupts": "raise KeyboardInterrupt",
    "base_exception": "class Odd(BaseException): pass\nraise Odd('odd')",
    "generator_exit": "raise GeneratorExit",
    "no_module": "import there_is_no_such_module_at_all",
    "syntax": "def broken(:",
    "not_utf8": None,
    "returns_none": "from portal.sdk import hookimpl\n@hookimpl\ndef register_providers(): return None",
    "returns_text": "from portal.sdk import hookimpl\n@hookimpl\ndef register_providers(): return 'abc'",
    "returns_numbers": "from portal.sdk import hookimpl\n@hookimpl\ndef register_channels(): return [1, 2]",
    "returns_base": "from portal.sdk import Provider, hookimpl\n@hookimpl\ndef register_providers(): return [Provider]",
    "hook_raises": "from portal.sdk import hookimpl\n@hookimpl\ndef register_channels(): raise KeyError('x')",
    "hook_exits": "from portal.sdk import hookimpl\n@hookimpl\ndef register_channels(): raise SystemExit",
    "unknown_hook": "from portal.sdk import hookimpl\n@hookimpl\ndef register_everything(): return []",
    "unknown_argument": "from portal.sdk import hookimpl\n@hookimpl\ndef register_channels(app): return []",
    "steals_a_name": HONEST.format(name="smtp"),
    "steals_the_sandbox": HONEST.format(name="sandbox"),
    "no_send": HONEST.format(name="no_send").replace("async def send", "async def sent"),
    "sync_send": HONEST.format(name="sync_send").replace("async def", "def"),
    "bad_name": HONEST.format(name="Bad Name!"),
    "lies": HONEST.format(name="lies").replace("    async", "    from portal.sdk import Capabilities\n    capabilities = Capabilities(batch=50)\n    async"),
    "bad_settings": HONEST.format(name="bad_settings").replace("    async", "    settings_type = dict\n    async"),
    "same_twice": HONEST.format(name="same_twice").replace("[Honest]", "[Honest, Honest]"),
    "init_raises": (
        "from portal.sdk import ChannelAdapter, Part, hookimpl\nclass C(ChannelAdapter):\n"
        "    name, title, parts = 'c', 'C', {'text': Part()}\n    def __init__(self): raise SystemExit\n"
        "    def normalise(self, address): return address\n@hookimpl\ndef register_channels(): return [C]"
    ),
    "meddles_and_raises": "import os\nos.chdir('/')\nraise ValueError('after the deed')",
}  # fmt: skip


def write(folder: Path, name: str, source: str | None, /, **manifest: object) -> None:
    """A plugin of this source; None makes one that is not text."""
    target = folder / name
    target.mkdir()
    lines = {"name": name, "title": name, "version": "1", "sdk": 1, **manifest}
    toml = "\n".join(
        f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}" for key, value in lines.items()
    )
    (target / "plugin.toml").write_text(toml)
    (target / "__init__.py").write_bytes(b"\xff\xfe\x00" if source is None else source.encode())


def loaded(folder: Path, *names: str, seconds: float = 20, **settings: Any) -> Registry:
    """What loads when these are enabled besides the built-in ones."""
    enabled = ["email", "sms", "webhook", "sandbox", *names]
    return load(Settings(plugins_dir=str(folder), plugins=enabled, **settings), import_seconds=seconds)


def problem(registry: Registry, name: str) -> str | None:
    return next(info.problem for info in registry.plugins if info.name == name)


def works(registry: Registry) -> None:
    """The built-in plugins are all there."""
    assert set(registry.channels) >= {"email", "sms", "webhook"}
    assert registry.providers["smtp"].__module__ == "plugins.email.provider"
    assert registry.providers["sandbox"].__module__ == "plugins.sandbox.provider"


def test_the_whole_pack_at_once_stops_nothing(tmp_path: Path) -> None:
    for name, source in AT_IMPORT.items():
        write(tmp_path, name, source)
    write(tmp_path, "honest", HONEST.format(name="honest"))
    registry = loaded(tmp_path, *AT_IMPORT, "honest")
    works(registry)
    assert problem(registry, "honest") is None
    assert "honest" in registry.providers
    for name in AT_IMPORT:
        assert problem(registry, name), f"{name} must be shown with its reason"
    given = {provider for info in registry.plugins for provider in info.providers}
    assert given == {"smtp", "sandbox", "webhook", "honest"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("raises", "RuntimeError: no"),
        ("no_module", "there_is_no_such_module"),
        ("steals_a_name", "smtp"),
        ("lies", "send_many"),
    ],
)
def test_the_reason_tells_what_to_mend(name: str, words: str, tmp_path: Path) -> None:
    write(tmp_path, name, AT_IMPORT[name])
    assert words in str(problem(loaded(tmp_path, name), name))


def test_an_import_that_never_ends_is_left_behind(tmp_path: Path) -> None:
    write(tmp_path, "hangs", "import threading\nthreading.Event().wait(30)")
    started = time.monotonic()
    registry = loaded(tmp_path, "hangs", seconds=0.5)
    assert time.monotonic() - started < 5
    assert "0.5 seconds" in str(problem(registry, "hangs"))
    works(registry)


def test_what_it_changes_in_the_process_is_put_back_and_told(tmp_path: Path) -> None:
    deeds = "import os, socket, locale\nos.chdir('/')\nos.umask(0)\nsocket.setdefaulttimeout(1)\nlocale.setlocale(locale.LC_ALL, 'C.UTF-8')\n"
    write(tmp_path, "meddler", deeds + HONEST.format(name="meddler"))
    before = (Path.cwd(), socket.getdefaulttimeout(), locale.setlocale(locale.LC_ALL), signal.getsignal(signal.SIGTERM))
    registry = loaded(tmp_path, "meddler")
    mask = os.umask(0o022)
    os.umask(mask)
    assert mask != 0
    assert before == (
        Path.cwd(),
        socket.getdefaulttimeout(),
        locale.setlocale(locale.LC_ALL),
        signal.getsignal(signal.SIGTERM),
    )
    info = next(info for info in registry.plugins if info.name == "meddler")
    assert {"working directory", "default socket timeout", "file mode mask"} <= {
        words
        for warning in info.warnings
        for words in ("working directory", "default socket timeout", "file mode mask")
        if words in warning
    }


def test_a_signal_handler_cannot_be_taken_over_at_import(tmp_path: Path) -> None:
    write(tmp_path, "signals", "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)")
    before = signal.getsignal(signal.SIGTERM)
    assert problem(loaded(tmp_path, "signals"), "signals")
    assert signal.getsignal(signal.SIGTERM) is before


def test_only_names_on_the_list_are_imported(tmp_path: Path) -> None:
    mark = tmp_path / "was-imported"
    write(tmp_path, "sleeper", f"open({str(mark)!r}, 'w').close()")
    registry = loaded(tmp_path)
    assert not mark.exists()
    sleeper = next(info for info in registry.plugins if info.name == "sleeper")
    assert (sleeper.enabled, sleeper.problem) == (False, None)


def test_the_working_directory_is_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plugins").mkdir()
    write(tmp_path / "plugins", "lurker", HONEST.format(name="lurker"))
    monkeypatch.chdir(tmp_path)
    assert "lurker" not in {info.name for info in load(Settings(plugins=["lurker"])).plugins if info.location}


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ({"sdk": 99}, "99"),
        ({"name": "another"}, "name"),
        ({"sdk": "one"}, "plugin.toml"),
        ({"extra": 1}, "plugin.toml"),
    ],
)
def test_a_manifest_that_does_not_fit_keeps_it_out(manifest: dict[str, object], words: str, tmp_path: Path) -> None:
    write(tmp_path, "unfit", HONEST.format(name="unfit"), **manifest)
    registry = loaded(tmp_path, "unfit")
    assert words in str(problem(registry, "unfit"))
    assert "unfit" not in registry.providers


def test_a_folder_cannot_take_the_place_of_a_plugin_that_is_installed(tmp_path: Path) -> None:
    write(tmp_path, "email", HONEST.format(name="fake"))
    registry = loaded(tmp_path)
    works(registry)
    assert "fake" not in registry.providers
    assert [info.problem is None for info in registry.plugins if info.name == "email"] == [True, False]


def test_a_name_that_is_enabled_and_nowhere_is_shown(tmp_path: Path) -> None:
    assert "neither" in str(problem(loaded(tmp_path, "ghost"), "ghost"))


def test_a_plugin_that_held_up_the_process_three_times_is_not_loaded(tmp_path: Path) -> None:
    data, pack = tmp_path / "data", tmp_path / "pack"
    pack.mkdir()
    write(pack, "blocker", HONEST.format(name="blocker"))
    for n in range(1, LIMIT + 1):
        assert ("blocker" in loaded(pack, "blocker", data_dir=str(data)).providers) == (n <= LIMIT)
        blame(data, "blocker")
    registry = loaded(pack, "blocker", data_dir=str(data))
    works(registry)
    assert "3 times" in str(problem(registry, "blocker"))
    assert FILE in str(problem(registry, "blocker"))
    forgive(data, "blocker")
    assert "blocker" in loaded(pack, "blocker", data_dir=str(data)).providers


def test_old_and_garbled_blame_counts_for_nothing(tmp_path: Path) -> None:
    old = (datetime.now(UTC) - timedelta(days=2)).isoformat()
    (tmp_path / FILE).write_bytes(f"{old} sandbox\n".encode() * 5 + b"\xff\xfe garbage\n\n2026 sandbox\n")
    works(loaded(tmp_path / "nothing", data_dir=str(tmp_path)))


def test_code_is_traced_to_its_plugin(tmp_path: Path) -> None:
    write(tmp_path, "traced", HONEST.format(name="traced"))
    registry = loaded(tmp_path, "traced")
    send = registry.providers["traced"].send
    assert registry.plugin_at(send.__module__, send.__code__.co_filename) == "traced"
    assert registry.plugin_at("somewhere", str(tmp_path / "traced" / "deep" / "inside.py")) == "traced"
    assert registry.plugin_at("portal.worker", "/x/portal/worker.py") is None


AT_SEND = {
    "raises": "raise KeyError('secret-content')",
    "exits": "raise SystemExit(1)",
    "interrupts": "raise KeyboardInterrupt",
    "base": "raise BaseException('odd')",
    "cancels": "raise __import__('asyncio').CancelledError",
    "stop_iteration": "raise StopAsyncIteration",
    "none": "return None",
    "text": "return 'fine'",
    "true": "return True",
    "many": "return [Receipt('a'), Receipt('b')]",
    "the_class": "return Receipt",
    "a_failure": "return 5",
    "hangs": "await __import__('asyncio').Event().wait()",
    "ignores_cancelling": (
        "import asyncio\n        stop = asyncio.get_running_loop().time() + 3\n        while asyncio.get_running_loop().time() < stop:\n"
        "            try:\n                await asyncio.sleep(0.05)\n            except asyncio.CancelledError:\n                pass"
    ),
    "odd_failure": "raise SendFailed('x' * 10**6, retry_after=float('nan'), code='y' * 10**4)",
    "wild_wait": "raise SendFailed('x', retry_after='soon')",
    "endless_wait": "raise SendFailed('x', retry_after=10**12)",
}  # fmt: skip
PROVIDER = """
from portal.sdk import Capabilities, Provider, Receipt, SendFailed, hookimpl

class {title}(Provider):
    name, title, channel = "{name}", "{title}", "email"
    capabilities = Capabilities(batch={batch})
    async def send(self, message, ctx):
        {body}
    async def send_many(self, messages, ctx):
        {body}

@hookimpl
def register_providers():
    return [{title}]
"""
MESSAGE = sample_message(channel="email", address="ann@example.com", parts={"subject": "Hello", "text": "Hi"})


class Pack:
    """The pack of AT_SEND, each with an account, and a sandbox account beside them."""

    def __init__(self, db: Database, registry: Registry) -> None:
        self.db, self.registry, self.keyring = db, registry, Keyring([bytes(32)])
        self.accounts = Accounts(db, registry, self.keyring, Revisions(db))
        self.ids: dict[str, UUID] = {}

    async def add(self, provider: str, seconds: float) -> None:
        given = AccountCreate(
            key=f"a-{provider}".replace("_", "-"), channel="email", provider=provider, timeout_seconds=seconds
        )
        self.ids[provider] = await self.db.transact(create_account, SYSTEM, self.registry, self.keyring, given)

    def __getitem__(self, provider: str) -> OpenAccount:
        return self.accounts.get(self.ids[provider])


@pytest.fixture
async def pack(db: Database, tmp_path: Path) -> AsyncIterator[Pack]:
    folder = tmp_path / "pack"
    folder.mkdir()
    names = []
    for name, body in AT_SEND.items():
        for batch in (1, 10):
            names.append(f"{name}_{batch}")
            write(folder, names[-1], PROVIDER.format(name=names[-1], title="Hostile", batch=batch, body=body).replace(
                "    async def send_many" if batch == 1 else "\0", "    async def sent_many" if batch == 1 else "\0"))  # fmt: skip
    made = Pack(db, loaded(folder, *names))
    assert {info.name: info.problem for info in made.registry.plugins if info.problem} == {}
    for name in names:
        await made.add(name, 0.3)
    await made.add("sandbox", 5)
    await made.accounts.load()
    yield made


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("batch", [1, 10])
async def test_whatever_a_provider_does_the_answer_is_a_failure_and_the_others_go_on(pack: Pack, batch: int) -> None:
    messages = [MESSAGE] * 3
    started = time.monotonic()
    calls = {name: asyncio.create_task(send_many(pack[f"{name}_{batch}"], messages)) for name in AT_SEND}
    beside = await asyncio.gather(*(send_one(pack["sandbox"], MESSAGE) for _ in range(50)))
    assert all(type(receipt) is Receipt for receipt in beside)
    results = {name: await call for name, call in calls.items()}
    assert time.monotonic() - started < 3
    for name, outcomes in results.items():
        assert len(outcomes) == 3, name
        for outcome in outcomes:
            assert isinstance(outcome, SendFailed), name
            assert len(outcome.reason) <= 500
            assert "secret-content" not in outcome.reason
            assert outcome.retry_after is None or 0 <= outcome.retry_after <= 3600
            assert outcome.code is None or len(outcome.code) <= 60
            if name not in ("odd_failure", "wild_wait", "endless_wait"):
                assert outcome.ambiguous, f"{name}: the vendor may have it"


@pytest.mark.databases("sqlite")
async def test_cancelling_the_caller_is_not_taken_for_the_plugins_failure(pack: Pack) -> None:
    call = asyncio.create_task(send_one(pack["hangs_1"], MESSAGE))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


@pytest.mark.databases("sqlite")
async def test_a_plugin_gets_a_narrow_context_and_not_the_portal(pack: Pack) -> None:
    ctx = pack["raises_1"].ctx
    promised = {name for name in dir(Context) if not name.startswith("_")}
    given = {name for name in dir(ctx) if not name.startswith("_")}
    # `kept` and `close` are the core's side of it.
    assert given - promised == {"kept", "close"}
    assert isinstance(ctx, AccountContext)


@pytest.mark.databases("sqlite")
async def test_a_message_cannot_be_changed_by_a_plugin() -> None:
    with pytest.raises(AttributeError):
        MESSAGE.address = "evil@example.com"  # type: ignore[misc]
    assert isinstance(MESSAGE, Message)


def test_the_documents_say_that_plugins_are_trusted_code() -> None:
    text = (Path(__file__).parents[2] / "docs" / "writing-plugins.md").read_text()
    assert "trusted code" in text
