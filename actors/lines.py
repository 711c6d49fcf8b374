"""Lines: the edges between actors of one node, as Unix sockets; a call of Ray costs ten times as much of both cores.

A line carries what `receive` takes and answers, one call at a time, and nothing else: who lives where, who starts whom
anew and who asks how somebody is remain Ray's. It leads where the far end's door is, which is asked for over Ray; while
there is none here, because the far end is on another node or is just being started, the call is Ray's, too. A line that
breaks says as little about the call as a call that is not answered: it is made again.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import stat
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import ray

from spyhop.engine.edges import Receipt
from spyhop.errors import StateError

log = logging.getLogger(__name__)

_NUMBERS = itertools.count()

Receive = Callable[[str, int, bytes], Awaitable[Receipt]]

_LENGTH = 4
_BUFFER = 1 << 20

_CALL = msgspec.msgpack.Decoder(tuple[str, int, bytes])
_RECEIPT = msgspec.msgpack.Decoder(Receipt)


def node_here() -> str:
    """Return the id of the node that this actor is on."""
    node: str = ray.get_runtime_context().get_node_id()
    return node


class Door(msgspec.Struct, frozen=True):
    """Where an actor takes parcels: the node that it is on, and a socket there."""

    node: str
    path: str


NOWHERE = Door("", "")


class Entrance:
    """An actor's own door: everything that comes in by it goes to `receive`."""

    def __init__(self, receive: Receive, node: Callable[[], str] = node_here) -> None:
        self._receive, self._node = receive, node
        self._server: asyncio.Server | None = None
        self._door: Door | None = None

    async def door(self) -> Door:
        """Return the door, opened at the first question; one that cannot be opened is on no node."""
        if self._door is None:
            try:
                self._door = await self._opened()
            except (OSError, StateError) as error:
                log.warning("parcels come by calls of Ray only: %s", error)
                self._door = NOWHERE
        return self._door

    async def _opened(self) -> Door:
        path = doors() / f"{os.getpid()}-{next(_NUMBERS)}"
        path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, path, limit=_BUFFER)
        return Door(self._node(), str(path))

    def close(self) -> None:
        """Let nobody in any more."""
        if self._server is not None and self._door is not None:
            self._server.close()
            Path(self._door.path).unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                receipt = await self._receive(*_CALL.decode(await _framed(reader)))
                writer.write(_frame(receipt))
        except ConnectionError:
            pass
        except Exception:
            # nobody is told why: who called hears that it was not answered, as of a call of Ray's that fails
            log.exception("a parcel failed")
        finally:
            writer.close()


class Line:
    """A far end's handle that is asked for `receive` only, over its door when that is on this node."""

    def __init__(self, handle: Any, node: Callable[[], str] = node_here) -> None:
        self._handle, self._node = handle, node
        self._ends: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._is_far = False
        self.receive = self

    async def remote(self, edge: str, number: int, data: bytes) -> Receipt:
        """Hand a parcel over; raise ConnectionError, or what Ray raises, when nobody knows whether it was taken."""
        if self._ends is None and not self._is_far:
            self._ends = await self._opened()
        if self._ends is None:
            receipt: Receipt = await self._handle.receive.remote(edge, number, data)
            return receipt
        reader, writer = self._ends
        try:
            writer.write(_frame((edge, number, data)))
            return _RECEIPT.decode(await _framed(reader))
        except BaseException:
            # also when nobody waits for the answer any more: it would be taken for the next one
            self.close()
            raise

    def close(self) -> None:
        """Let the line go; the next call opens another."""
        if self._ends is not None:
            self._ends[1].transport.abort()
            self._ends = None

    async def _opened(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        door: Door = await self._handle.door.remote()
        if door.node != self._node():
            self._is_far = True
            return None
        try:
            return await asyncio.open_unix_connection(door.path, limit=_BUFFER)
        except OSError:
            return None


def doors() -> Path:
    """Return the folder of this user's doors, which nobody else may enter; raise StateError when somebody may.

    Doors of processes that are gone are cleared away.
    """
    folder = Path(tempfile.gettempdir()) / f"spyhop-doors-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise StateError(f"{folder} must be a folder that only this user may enter")
    for path in folder.iterdir():
        if not Path("/proc", path.name.partition("-")[0]).exists():
            path.unlink(missing_ok=True)
    return folder


def _frame(message: object) -> bytes:
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(_LENGTH, "little") + body


async def _framed(reader: asyncio.StreamReader) -> bytes:
    try:
        length = int.from_bytes(await reader.readexactly(_LENGTH), "little")
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError as error:
        raise ConnectionResetError("the far end is gone") from error
