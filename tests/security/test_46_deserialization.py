"""Row 46: what is read back is data, never code; and two readers never see two different requests in one text."""

from __future__ import annotations

import ast
import asyncio
import pickle
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from portal.errors import InvalidInput
from portal.kv import Kv
from portal.notifications.decode import decode
from portal.queues import Bell
from portal.queues.lanes import JOB, QUEUES
from tests.integration.queues.recorder import Recorder, working

ROOT = Path(__file__).parents[2]
# Modules whose readers build objects or run code from what they read.
FORBIDDEN = {
    "pickle",
    "cPickle",
    "_pickle",
    "dill",
    "cloudpickle",
    "marshal",
    "shelve",
    "jsonpickle",
    "yaml",
    "copyreg",
}


class Bomb:
    """A pickle of it creates a file where it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (self.path,))  # type: ignore[return-value]


@pytest.mark.parametrize("shape", ["whole job", "argument"])
async def test_a_pickle_planted_in_a_lane_is_dropped_and_never_run(
    redis_url: str, tmp_path: Path, shape: str, caplog: pytest.LogCaptureFixture
) -> None:
    trace = tmp_path / "it-ran"
    bomb = pickle.dumps(Bomb(trace))
    job = {"t": None, "f": "chunk", "a": [bomb], "k": {}, "et": 1}
    payload = pickle.dumps({**job, "a": [Bomb(trace)]}) if shape == "whole job" else msgspec.msgpack.encode(job)
    recorder = Recorder()
    async with Kv(redis_url) as kv:
        await kv.client.set(f"{JOB}planted", payload)
        await kv.client.zadd(QUEUES["high"], {"planted": 1})
        async with working(redis_url, recorder):
            await Bell(kv).ring("high", uuid4())
            await recorder.until(lambda r: len(r.ended) == 1)
        assert await kv.client.keys("arq:*") == []
    assert not trace.exists()
    assert len(recorder.starts) == 1
    assert "hint planted of lane high is not one of ours" in caplog.text
    # The bomb is real: reading it as a pickle would have gone off.
    await asyncio.to_thread(pickle.loads, bomb)
    assert trace.exists()


def test_nothing_in_the_portal_or_its_plugins_reads_objects_or_code() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for folder in ("portal", "plugins")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if _reads_code(node)
    ]
    assert found == []


def _reads_code(node: ast.AST) -> bool:
    if isinstance(node, ast.Import):
        return any(alias.name.partition(".")[0] in FORBIDDEN for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").partition(".")[0] in FORBIDDEN
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"eval", "exec"}


class Ask(msgspec.Struct, forbid_unknown_fields=True):
    """A request as the API reads one."""

    template: str
    data: dict[str, object] = {}


def test_of_a_doubled_key_everybody_sees_the_same_value() -> None:
    # There is one reader: what was checked is the very object that is used, so the two cannot differ. The last wins,
    # in structs as in free-form data, and the text itself is not kept.
    body = b'{"template": "harmless", "data": {"to": "a", "to": "b"}, "template": "other"}'
    ask = decode(body, msgspec.json.Decoder(Ask))
    assert (ask.template, ask.data) == ("other", {"to": "b"})


@pytest.mark.parametrize(
    "body",
    [
        b"\x80\x04\x95",
        pickle.dumps({"template": "x"}),
        b'{"template": NaN}',
        b'{"template": "x"} {"template": "y"}',
        b'{"template": "x", "py/object": "os.system"}',
        b'{"template": "x", "data": {"a": "\\ud800"}}',
        b'{"template": "x", "data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"<template>x</template>",
    ],
)
def test_anything_but_plain_json_of_the_right_shape_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        decode(body, msgspec.json.Decoder(Ask))
