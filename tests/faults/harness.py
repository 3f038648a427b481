"""What every fault test is made of: real processes, a vendor and clients that keep ledgers, and a checker that joins them.

A `Site` runs `portal serve` and `portal worker` against one database and one Redis. The vendor (`vendor.py`) writes each
request into its ledger before it answers; `Clients` write each 202 into theirs. `check` joins both with the database:
nothing accepted may be lost, every notification is in exactly one terminal status, the balance has no difference, and
each repeated send is explained by the attempts that were open when a process ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
from sqlalchemy import func, select

from portal.access.actor import PERMISSIONS
from portal.db import Database
from portal.db.migrate import upgrade
from portal.errors import Unavailable
from portal.ledger.counts import balance, recount
from portal.ledger.models import Attempt, Chunk, Delivery, Notification
from portal.ledger.statuses import TERMINAL
from portal.ops.keys import create as create_key
from portal.settings import Settings
from tests import services
from tests.conftest import TEST_SECRET_KEY

ROOT = Path(__file__).parents[2]
SECRET = "whsec_" + "A" * 43 + "="
START_SECONDS = 60.0
CONCURRENCY = 32
LOOK_SECONDS = 0.05


async def until(condition: Callable[[], bool | Awaitable[bool]], what: str, seconds: float = START_SECONDS) -> float:
    """Return the seconds that it took until `condition` held; other processes offer nothing to wait on."""
    started = time.monotonic()
    while True:
        held = condition()
        if not isinstance(held, bool):
            held = await held
        if held:
            return time.monotonic() - started
        if time.monotonic() - started > seconds:
            raise AssertionError(f"{what}: not within {seconds:.0f} s")
        await asyncio.sleep(LOOK_SECONDS)


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The entries of a ledger."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


class Vendor:
    """The fake vendor's process, its ledger and its script."""

    def __init__(self, folder: Path) -> None:
        self.ledger = folder / "vendor.jsonl"
        program = [sys.executable, str(Path(__file__).with_name("vendor.py")), str(self.ledger)]
        self.process = subprocess.Popen(program, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def url(self, path: str = "/hook") -> str:
        """An address of the vendor."""
        return f"http://127.0.0.1:{self.port}{path}"

    def script(self, path: str = "*", **how: Any) -> None:
        """How the vendor answers from now on; see `vendor.py`."""
        request = urllib.request.Request(self.url("/_script"), json.dumps({"path": path, **how}).encode())
        urllib.request.urlopen(request, timeout=5).read()

    @property
    def heard(self) -> list[dict[str, Any]]:
        """Every request, oldest first."""
        return lines_of(self.ledger)

    def close(self) -> None:
        """End it."""
        services.end(self.process)
        assert self.process.stdout is not None
        self.process.stdout.close()


@dataclass
class Kill:
    """A process that ended, with what it had in hand: chunks by id with their fence, keys of open attempts."""

    name: str
    at: float
    monotonic: float
    chunks: dict[UUID, int]
    open_keys: set[str]
    recovered: dict[UUID, float] = field(default_factory=dict)


class Site:
    """An installation of several processes. `settings` are names as in `portal.settings`."""

    def __init__(self, folder: Path, database_url: str, redis_url: str = "", **settings: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.database_url = folder, database_url
        self.vendor = Vendor(folder)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.ports: dict[str, int] = {}
        self.kills: list[Kill] = []
        self.token = ""
        self.db = Database(database_url, pool=4)
        given = {"data_dir": str(folder / "data"), "secret_key": TEST_SECRET_KEY, "database_url": database_url}
        given |= {"egress_allow": "127.0.0.1", "log_level": "info", "redis_url": redis_url}
        given |= {name: str(value) for name, value in settings.items()}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PORTAL_")}
        self.environment = inherited | {f"PORTAL_{name.upper()}": value for name, value in given.items() if value}
        self.settings = Settings(
            data_dir=given["data_dir"], secret_key=TEST_SECRET_KEY, database_url=database_url, redis_url=redis_url
        )

    async def prepare(self, *, web: int = 1, workers: int = 2, account: dict[str, Any] | None = None) -> None:
        """Migrate, start, and make the template `note` and a route to the vendor."""
        await upgrade(self.database_url)
        self.token = await create_key(
            self.settings, "faults", application="faults", scopes=sorted(PERMISSIONS), test=False
        )
        for number in range(1, web + 1):
            self.start_web(f"web-{number}")
        await until(lambda: all(self.ready(name) for name in self.ports), "the web processes are not ready")
        parts = {"webhook": {"en": {"body": '{"n": "{{ n }}"}'}}}
        template = {"key": "note", "name": "Note", "parts": parts, "category": "notes", "publish": True}
        await self.call("POST", "/api/v1/templates", template)
        # Without the fallback to the sandbox, whatever is sent is in the vendor's ledger.
        for step in (await self.call("GET", "/api/v1/routes"))["items"]:
            if step["channel"] == "webhook":
                await self.call("DELETE", f"/api/v1/routes/{step['id']}")
        await self.add_account("vendor", position=1, **(account or {}))
        # Started last: they read the route before they work.
        for number in range(1, workers + 1):
            self.start_worker(f"worker-{number}")
        for number in range(1, workers + 1):
            await self.working(f"worker-{number}")

    async def add_account(self, key: str, *, position: int, **values: Any) -> str:
        """A webhook account with a step in the route; its id."""
        body = {"key": key, "channel": "webhook", "provider": "webhook", "concurrency": CONCURRENCY} | values
        body["settings"] = {"secret": SECRET, "https_only": False}
        account = await self.call("POST", "/api/v1/provider-accounts", body)
        step = {"channel": "webhook", "account_id": account["id"], "position": position}
        await self.call("POST", "/api/v1/routes", step)
        return str(account["id"])

    def start_web(self, name: str, failpoints: str = "") -> None:
        """Start `portal serve`, on the port it had before if it ran before."""
        port = self.ports.setdefault(name, services.free_port())
        self._start(name, "serve", {"PORTAL_PORT": str(port), "PORTAL_FAILPOINTS": failpoints})

    def start_worker(self, name: str, failpoints: str = "", **environment: str) -> None:
        """Start `portal worker`."""
        self._start(name, "worker", {"PORTAL_FAILPOINTS": failpoints, **environment})

    def _start(self, name: str, command: str, more: dict[str, str], before: tuple[str, ...] = ()) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [*before, sys.executable, "-m", "portal.cli", command],
                env=self.environment | more,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def url(self, name: str) -> str:
        """The address of a web process."""
        return f"http://127.0.0.1:{self.ports[name]}"

    def ready(self, name: str) -> bool:
        """Whether `/ready` of a web process answers 200; raises when the process has ended."""
        ended = [each for each, process in self.processes.items() if process.poll() is not None]
        assert not ended, f"{ended} ended:\n{self.logs()}"
        with contextlib.suppress(urllib.error.URLError, OSError):
            with urllib.request.urlopen(f"{self.url(name)}/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        return False

    async def readiness(self, name: str = "web-1") -> tuple[int, dict[str, Any]]:
        """Status and body of `/ready`."""
        status, _, body = await Connection(self.ports[name]).ask("GET", "/ready", {}, b"")
        return status, json.loads(body)

    async def call(self, method: str, path: str, body: Any = None, name: str | None = None, **headers: str) -> Any:
        """One JSON request; the answer's body. Raises `AssertionError` with it when it is not a 2xx."""
        connection = Connection(self.ports[name or next(iter(self.ports))])
        encoded = b"" if body is None else json.dumps(body).encode()
        status, _, answer = await connection.ask(method, path, self.headers | headers, encoded)
        connection.close()
        assert 200 <= status < 300, f"{method} {path}: {status} {answer[:500]!r}"
        return json.loads(answer) if answer else None

    @property
    def headers(self) -> dict[str, str]:
        """What authenticates a request."""
        return {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}

    def pid(self, name: str) -> int:
        """Of a process."""
        return self.processes[name].pid

    async def kill(self, name: str, *, wait: bool = False) -> Kill:
        """End a process (and its children) as a crash would, or, with `wait`, see a failpoint end it."""
        process = self.processes[name]
        if wait:
            await until(lambda: process.poll() is not None, f"{name} did not reach its failpoint")
        else:
            _kill_tree(process.pid)
            await asyncio.to_thread(process.wait)
        del self.processes[name]
        return await self.note_end(name, process.pid)

    async def note_end(self, name: str, pid: int) -> Kill:
        """Write down what a worker that has just ended (or was stopped) had in hand."""
        at, monotonic = time.time(), time.monotonic()
        owner = f"{socket.gethostname()[:40]}:{pid}"
        async with self.db.read() as conn:
            mine = select(Chunk.id, Chunk.fence).where(Chunk.lease_owner == owner, Chunk.status == "leased")
            chunks = {row.id: row.fence for row in await conn.execute(mine)}
            opened = (
                select(Delivery.id)
                .join(Attempt, Attempt.delivery_id == Delivery.id)
                .where(Delivery.chunk_id.in_(chunks), Attempt.closed_at.is_(None))
            )
            keys = {id_.hex for id_ in (await conn.execute(opened)).scalars()} if chunks else set()
        kill = Kill(name, at, monotonic, chunks, keys)
        self.kills.append(kill)
        return kill

    async def watch_recovery(self, stop: asyncio.Event) -> None:
        """Until `stop`: note when the chunks of ended processes are in other hands, or done."""
        while not stop.is_set():
            with contextlib.suppress(Unavailable):
                await self.look_for_recovery()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 0.1)

    async def look_for_recovery(self) -> bool:
        """Look once; True when every chunk of every ended process is in other hands."""
        missing = {id_: kill for kill in self.kills for id_ in kill.chunks if id_ not in kill.recovered}
        if not missing:
            return True
        async with self.db.read() as conn:
            columns = select(Chunk.id, Chunk.fence, Chunk.status).where(Chunk.id.in_(missing))
            rows = (await conn.execute(columns)).all()
        now = time.monotonic()
        for row in rows:
            kill = missing[row.id]
            if row.status == "done" or row.fence != kill.chunks[row.id]:
                kill.recovered[row.id] = now - kill.monotonic
        return not rows

    async def working(self, name: str) -> float:
        """Wait until a worker that was started takes work; the seconds it took."""
        return await until(lambda: self.works(name), f"{name} does not work")

    def works(self, name: str) -> bool:
        """Whether a worker takes work."""
        return f":{self.pid(name)} is ready" in (self.folder / f"{name}.log").read_text()

    async def restart(self, name: str) -> None:
        """Start a worker again and wait until it takes work."""
        self.start_worker(name)
        await self.working(name)

    async def answering(self, name: str) -> None:
        """Wait until a web process that was started is ready."""
        await until(lambda: self.ready(name), f"{name} is not ready")

    async def replaced(self, name: str, before: list[int]) -> None:
        """Wait until a web process serves by other processes than `before`."""
        await until(lambda: self.children(name) not in (before, []), f"{name}: {before} is not replaced")

    async def more(self, count: Callable[[], int], by: int, what: str, seconds: float = START_SECONDS) -> float:
        """Wait until `count()` has grown by so many; the seconds it took."""
        target = count() + by
        return await until(lambda: count() >= target, what, seconds)

    def children(self, name: str) -> list[int]:
        """The processes below a web process: those that serve."""
        found = []
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.pid(name)).children(recursive=True):
                # One that has just ended has no command line any more.
                with contextlib.suppress(psutil.NoSuchProcess):
                    if "resource_tracker" not in " ".join(child.cmdline()):
                        found.append(child.pid)
        return found

    def alive(self) -> list[str]:
        """Names of the processes that run."""
        return [name for name, process in self.processes.items() if process.poll() is None]

    def terminate(self, name: str) -> None:
        """SIGTERM."""
        self.processes[name].terminate()

    async def ended(self, name: str, seconds: float = 30) -> int:
        """Wait for a process to end; its exit code."""
        process = self.processes.pop(name)
        return await asyncio.to_thread(process.wait, seconds)

    async def close(self) -> None:
        """End everything."""
        for process in self.processes.values():
            _kill_tree(process.pid)
            await asyncio.to_thread(process.wait)
        self.processes.clear()
        self.vendor.close()
        await self.db.close()

    def logs(self, characters: int = 3000) -> str:
        """The end of every log."""
        return "\n".join(f"--- {p.name}\n{p.read_text()[-characters:]}" for p in sorted(self.folder.glob("*.log")))


def _kill_tree(pid: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        mine = psutil.Process(pid)
        for process in [mine, *mine.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)


@asynccontextmanager
async def site(
    folder: Path,
    database_url: str,
    redis_url: str = "",
    *,
    web: int = 1,
    workers: int = 2,
    account: dict[str, Any] | None = None,
    **settings: Any,
) -> AsyncIterator[Site]:
    """A running site; its logs are printed when the block raises."""
    made = Site(folder, database_url, redis_url, **settings)
    stop = asyncio.Event()
    watcher: asyncio.Task[None] | None = None
    try:
        await made.prepare(web=web, workers=workers, account=account)
        watcher = asyncio.create_task(made.watch_recovery(stop))
        yield made
    except BaseException:
        print(made.logs())
        raise
    finally:
        stop.set()
        if watcher is not None:
            await watcher
        await made.close()


class Connection:
    """One HTTP/1.1 connection that is kept; raises `ConnectionError` (or another `OSError`) when it breaks."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(
        self, method: str, path: str, headers: dict[str, str], body: bytes, seconds: float = 90
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers in lower case, body."""
        async with asyncio.timeout(seconds):
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self.port)
            reader, writer = self._streams
            head = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", f"Content-Length: {len(body)}"]
            head += [f"{name}: {value}" for name, value in headers.items()]
            try:
                writer.write(("\r\n".join(head) + "\r\n\r\n").encode() + body)
                lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                got = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:] if ": " in line)}
                answer = await reader.readexactly(int(got.get("content-length", "0")))
            except asyncio.IncompleteReadError as error:
                self.close()
                raise ConnectionError("the connection ended") from error
            except BaseException:
                self.close()
                raise
        return int(lines[0].split(" ")[1]), got, answer

    def close(self) -> None:
        """Drop it; the next request makes another."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


class Clients:
    """Callers that send one after the other until told to stop, and write each 202 into a ledger."""

    def __init__(
        self, site: Site, *, count: int = 4, gap: float = 0.3, keys: bool = True, label: str = "c", **ask: Any
    ) -> None:
        """`gap`: seconds between a client's requests. `keys`: whether they carry an Idempotency-Key."""
        self.site, self.count, self.gap, self.keys, self.label = site, count, gap, keys, label
        self.ask: dict[str, Any] = {"to": {"channel": "webhook", "address": site.vendor.url()}} | ask
        self.ledger = site.folder / f"accepted-{label}.jsonl"
        self._file = os.open(self.ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self.statuses: Counter[int] = Counter()
        # Requests that ended without an answer, and how long answers took.
        self.broken = 0
        self.seconds: list[float] = []
        self.given_up = 0
        self._n = 0
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin."""
        self._tasks = [asyncio.create_task(self._client(number)) for number in range(self.count)]

    async def stop(self) -> None:
        """Let each finish its request (it goes on until it is accepted) and end."""
        self._stop.set()
        await asyncio.gather(*self._tasks)

    async def send(self, count: int) -> None:
        """Send just so many, all clients together."""
        waiting = iter(range(count))

        async def some() -> None:
            connection = Connection(0)
            for _ in waiting:
                await self._accepted(connection)
            connection.close()

        await asyncio.gather(*(some() for _ in range(self.count)))

    @property
    def accepted(self) -> list[dict[str, Any]]:
        """The ledger: n, id, at."""
        return lines_of(self.ledger)

    async def _client(self, number: int) -> None:
        connection = Connection(0)
        while not self._stop.is_set():
            await self._accepted(connection)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), self.gap)
        connection.close()

    async def _accepted(self, connection: Connection) -> None:
        """One notification, tried until it is accepted."""
        self._n += 1
        n = f"{self.label}-{self._n}"
        body = json.dumps({"template": "note", "data": {"n": n}, **self.ask}).encode()
        headers = dict(self.site.headers)
        if self.keys:
            headers["Idempotency-Key"] = n
        for attempt in range(3_000):
            ports = list(self.site.ports.values())
            port = ports[(self._n + attempt) % len(ports)]
            if connection.port != port:
                connection.close()
                connection.port = port
            started = time.monotonic()
            try:
                status, _, answer = await connection.ask("POST", "/api/v1/notifications", headers, body)
            except (OSError, TimeoutError):
                self.broken += 1
            else:
                self.seconds.append(time.monotonic() - started)
                self.statuses[status] += 1
                if status == 202:
                    line = {"n": n, "id": json.loads(answer)["id"], "at": time.time()}
                    os.write(self._file, json.dumps(line).encode() + b"\n")
                    return
                if status in (400, 401, 403, 404, 422):
                    raise AssertionError(f"refused: {status} {answer!r}")
            if self._stop.is_set() and not self.keys:
                return
            await asyncio.sleep(0.05)
        raise AssertionError("a request was never accepted")


@dataclass
class Verdict:
    """What the ledgers and the database say together."""

    accepted: int = 0
    lost: list[str] = field(default_factory=list)
    by_status: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    difference: int = 0
    in_flight: int = 0
    sent: int = 0
    phantoms: list[str] = field(default_factory=list)
    duplicates: int = 0
    unexplained: list[str] = field(default_factory=list)
    duplicates_per_kill: list[int] = field(default_factory=list)
    open_per_kill: list[int] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    recovery: list[float] = field(default_factory=list)
    unrecovered: int = 0
    delays: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """The figures as they are printed and kept."""
        return {
            "accepted": self.accepted,
            "lost": len(self.lost),
            "by_status": self.by_status,
            "balance_difference": self.difference,
            "kills": len(self.duplicates_per_kill),
            "duplicates": self.duplicates,
            "duplicates_per_kill_max": max(self.duplicates_per_kill, default=0),
            "duplicates_per_kill_mean": round(_mean(self.duplicates_per_kill), 2),
            "in_flight_per_kill_max": max(self.open_per_kill, default=0),
            "recovery_p50_s": quantile(self.recovery, 0.5),
            "recovery_p99_s": quantile(self.recovery, 0.99),
            "delay_p99_s": quantile(self.delays, 0.99),
        }


def _mean(values: list[int]) -> float:
    return sum(values) / len(values) if values else 0.0


def quantile(values: Iterable[float], q: float) -> float | None:
    """The q-quantile (nearest rank), rounded to milliseconds; None of nothing."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(q * len(ordered)))], 3) if ordered else None


async def quiet(site: Site, seconds: float = 60.0) -> float:
    """Wait until nothing is in flight; the seconds it took."""

    async def nothing_lives() -> bool:
        try:
            async with site.db.read() as conn:
                return (await balance(conn)).in_flight == 0
        except Unavailable:
            return False

    try:
        return await until(nothing_lives, "notifications are still in flight", seconds)
    except AssertionError as late:
        raise AssertionError(f"{late}: {await _what_lives(site)}") from None


async def _what_lives(site: Site) -> str:
    async with site.db.read() as conn:
        chunks = await conn.execute(
            select(
                Chunk.status,
                Chunk.kind,
                Chunk.crashes,
                Chunk.members.is_not(None),
                func.count(),
                func.min(Chunk.not_before),
            )
            .where(Chunk.status != "done")
            .group_by(Chunk.status, Chunk.kind, Chunk.crashes, Chunk.members.is_not(None))
        )
        deliveries = await conn.execute(select(Delivery.status, func.count()).group_by(Delivery.status))
        return (
            f"chunks {[tuple(r) for r in chunks]}, deliveries {[tuple(r) for r in deliveries]}, {await recount(conn)}"
        )


async def check(site: Site, *clients: Clients, seconds: float = 60.0) -> Verdict:
    """Wait for quiet, then join the ledgers."""
    await quiet(site, seconds)
    await until(site.look_for_recovery, "chunks of ended processes were never taken over", 30)
    accepted = {line["id"]: line for each in clients for line in each.accepted}
    async with site.db.read() as conn:
        notes = (await conn.execute(select(Notification.id, Notification.status, Notification.reason))).all()
        columns = (Delivery.id, Delivery.notification_id, Delivery.status)
        deliveries = (await conn.execute(select(*columns))).all()
        books = await balance(conn)
    verdict = Verdict(accepted=len(accepted), difference=books.difference, in_flight=books.in_flight)
    status_of = {str(row.id): row.status for row in notes}
    verdict.lost = [id_ for id_ in accepted if status_of.get(id_) not in TERMINAL]
    verdict.by_status = dict(Counter(row.status for row in notes))
    verdict.reasons = dict(Counter(row.reason for row in notes if row.reason))
    verdict.doubled = _doubled(clients)
    heard: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in site.vendor.heard:
        if line["status"] < 300 and not line["again"]:
            heard[line["key"]].append(line)
    sent = [row.id.hex for row in deliveries if row.status == "sent"]
    verdict.sent = len(sent)
    verdict.phantoms = [key for key in sent if key not in heard]
    _explain(site, verdict, heard)
    verdict.recovery = [seconds for kill in site.kills for seconds in kill.recovered.values()]
    first = {key: lines[0]["at"] for key, lines in heard.items()}
    verdict.delays = [
        first[row.id.hex] - accepted[str(row.notification_id)]["at"]
        for row in deliveries
        if row.id.hex in first and str(row.notification_id) in accepted
    ]
    return verdict


def _doubled(clients: Iterable[Clients]) -> list[str]:
    """Numbers for which a client with idempotency keys heard of two notifications."""
    ids: dict[str, set[str]] = defaultdict(set)
    for each in clients:
        if each.keys:
            for line in each.accepted:
                ids[line["n"]].add(line["id"])
    return [n for n, found in ids.items() if len(found) > 1]


def _explain(site: Site, verdict: Verdict, heard: dict[str, list[dict[str, Any]]]) -> None:
    """Share the repeated sends out over the ends of processes that had them in flight."""
    counts = [0] * len(site.kills)
    for key, lines in heard.items():
        again = len(lines) - 1
        if not again:
            continue
        verdict.duplicates += again
        holders = [index for index, kill in enumerate(site.kills) if key in kill.open_keys]
        for index in holders[:again]:
            counts[index] += 1
        if again > len(holders):
            verdict.unexplained.append(key)
    verdict.duplicates_per_kill = counts
    verdict.open_per_kill = [len(kill.open_keys) for kill in site.kills]


def assert_safe(verdict: Verdict, *, recovery: float | None = 10.0) -> None:
    """What must hold after every fault."""
    assert verdict.accepted > 0
    assert verdict.lost == [], f"{len(verdict.lost)} accepted notifications are lost: {verdict.lost[:5]}"
    assert verdict.difference == 0
    assert verdict.in_flight == 0
    assert set(verdict.by_status) <= set(TERMINAL)
    assert verdict.phantoms == [], "sent, but the vendor never heard of it"
    assert verdict.doubled == [], "one idempotency key, two notifications"
    assert verdict.unexplained == [], "sent twice without a call in flight at the end of a process"
    for again, opened in zip(verdict.duplicates_per_kill, verdict.open_per_kill, strict=True):
        assert again <= opened <= CONCURRENCY
    p99 = quantile(verdict.recovery, 0.99)
    if recovery is not None and p99 is not None:
        assert p99 <= recovery * crowding(), f"recovery p99 {p99} s"


def crowding() -> float:
    """How much longer everything takes because others use this machine too: 1 on one that is ours alone."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1) / 1.5)


class Report:
    """The figures of a run: printed by each test, kept in a file by the long form."""

    def __init__(self) -> None:
        self.seed = int(os.environ.get("PORTAL_FAULT_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
        self.kills = int(os.environ.get("PORTAL_FAULT_KILLS", "0"))
        self.entries: list[dict[str, Any]] = []
        self.started = datetime.now(UTC)

    def many(self, short: int, share: float) -> int:
        """How many kills a test makes: `short`, or its share of the long form's."""
        return max(short, round(self.kills * share)) if self.kills else short

    def random(self, *names: object) -> random.Random:
        """Random numbers that depend on the seed and the test."""
        return random.Random(f"{self.seed}/{names}")

    def add(self, fault: int, database: str, verdict: Verdict | None = None, **figures: Any) -> None:
        """Print and keep the figures of one test."""
        entry: dict[str, Any] = {"fault": fault, "database": database}
        entry |= (verdict.figures() if verdict else {}) | figures | {"load_average": round(os.getloadavg()[0], 1)}
        self.entries.append(entry)
        self.write()
        print("FAULT", json.dumps({"seed": self.seed, **entry}))

    def write(self) -> None:
        """The long form's file, anew with each test: everything, with commit, command, seed and date."""
        if not self.kills or not self.entries:
            return
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
        total = {
            "kills": sum(entry.get("kills", 0) for entry in self.entries),
            "accepted": sum(entry.get("accepted", 0) for entry in self.entries),
            "lost": sum(entry.get("lost", 0) for entry in self.entries),
            "duplicates": sum(entry.get("duplicates", 0) for entry in self.entries),
            "recovery_p99_s_max": max((entry.get("recovery_p99_s") or 0 for entry in self.entries), default=0),
        }
        content = {
            "date": self.started.isoformat(timespec="seconds"),
            "commit": commit.stdout.strip(),
            "command": f"make faults KILLS={self.kills} (PORTAL_FAULT_SEED={self.seed})",
            "seed": self.seed,
            "total": total,
            "faults": self.entries,
        }
        path = Path(__file__).with_name("results") / f"{self.started:%Y-%m-%d-%H%M}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content, indent=1) + "\n")
