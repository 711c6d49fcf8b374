"""The ledger of a chaos run as a process of its own, and the way to it: a Unix socket does what Ray does."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from actors.ledger import LedgerActor
from benchmarks.chaos_life import Fuse, Job, complain_into
from benchmarks.chaos_script import RANDOM
from spyhop.engine.edges import Receipt
from spyhop.model.entries import Entry
from spyhop.wiring.plan import SessionPlan
from spyhop.wiring.records import SessionKeeper

_CLOSE = -1
_FRAME = struct.Struct("<I")


class LedgerLink:
    """The way to the ledger's process; an answer that does not come is a TimeoutError, as a carrier expects."""

    def __init__(self, path: str, fuse: Fuse) -> None:
        self._path, self._fuse = path, fuse
        self._ends: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    @property
    def receive(self) -> LedgerLink:
        return self

    async def remote(self, edge: str, number: int, data: bytes) -> Receipt:
        self._fuse.passing("record")
        try:
            if self._ends is None:
                self._ends = await asyncio.open_unix_connection(self._path)
            reader, writer = self._ends
            _put(writer, msgspec.msgpack.encode((number, data)))
            receipt = msgspec.msgpack.decode(await _frame(reader), type=Receipt)
        except (OSError, asyncio.IncompleteReadError) as error:
            if self._ends is not None:
                self._ends[1].close()
            self._ends = None
            raise TimeoutError("the ledger is away") from error
        self._fuse.passing("recorded")
        return receipt


class _FusedFacts:
    def __init__(self, inner: Any, fuse: Fuse) -> None:
        self._inner, self._fuse = inner, fuse

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def append(self, entries: Sequence[Entry]) -> None:
        self._fuse.passing("database")  # the database has them, the journal does not
        self._inner.append(entries)
        self._fuse.passing("kept")


class FusedKeeper(SessionKeeper):
    """A keeper that may die before, between and after database and journal."""

    def __init__(self, plan: SessionPlan, fuse: Fuse) -> None:
        super().__init__(plan)
        self._fuse = fuse
        self._facts: Any = _FusedFacts(self._facts, fuse)

    def append(self, entries: Sequence[Entry]) -> None:
        self._fuse.passing("keep")
        super().append(entries)


def keep(job: Job) -> None:
    """Live as the ledger until told to close."""
    complain_into(job.plan.folder / "ledger.err")
    asyncio.run(_keep(job))


async def _keep(job: Job) -> None:
    fuse, closed = Fuse(job.kill, job.plan.folder), asyncio.Event()
    if job.kill is not None and job.kill.point == RANDOM:
        asyncio.get_running_loop().call_later(job.kill.after_s, fuse.blow)
    actor = LedgerActor("ledger", lambda: FusedKeeper(job.plan, fuse))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                number, data = msgspec.msgpack.decode(await _frame(reader), type=tuple[int, bytes])
                if number == _CLOSE:
                    await actor.close()
                    closed.set()
                    return
                _put(writer, msgspec.msgpack.encode(await actor.receive("records", number, data)))
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    Path(job.socket).unlink(missing_ok=True)
    async with await asyncio.start_unix_server(serve, job.socket):
        await closed.wait()


async def _frame(reader: asyncio.StreamReader) -> bytes:
    (length,) = _FRAME.unpack(await reader.readexactly(_FRAME.size))
    return await reader.readexactly(length)


def _put(writer: asyncio.StreamWriter, payload: bytes) -> None:
    writer.write(_FRAME.pack(len(payload)) + payload)


async def close_ledger(path: str) -> None:
    """Have the ledger write what is written at the end, and leave."""
    reader, writer = await asyncio.open_unix_connection(path)
    _put(writer, msgspec.msgpack.encode((_CLOSE, b"")))
    await writer.drain()
    await reader.read()
    writer.close()
    await writer.wait_closed()
