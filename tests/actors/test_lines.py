"""Lines between actors: real sockets, far ends in this process; Ray's side of it is a handle that counts its calls."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import ray

from actors.lines import Door, Entrance, Line, doors
from spyhop.engine.edges import Position, Receipt
from spyhop.errors import StateError

HERE = "here"
Receive = Callable[[str, int, bytes], Awaitable[Receipt]]


def receipt(count: int) -> Receipt:
    return Receipt(Position(count, count), Position(count, 0))


class Handle:
    """An actor's handle: `ask` answers for the door, and what Ray would carry is counted."""

    def __init__(self, ask: Callable[[], Awaitable[Door]], receive: Receive) -> None:
        self.num_asked = self.num_carried = 0
        self._ask, self._receive = ask, receive

    @property
    def door(self) -> Any:
        return _Method(self._door)

    @property
    def receive(self) -> Any:
        return _Method(self._carry)

    async def _door(self) -> Door:
        self.num_asked += 1
        return await self._ask()

    async def _carry(self, edge: str, number: int, data: bytes) -> Receipt:
        self.num_carried += 1
        return await self._receive(edge, number, data)


class _Method:
    def __init__(self, call: Callable[..., Awaitable[Any]]) -> None:
        self.remote = call


class Far:
    """The far end: takes parcels, each time as long as `delays` says, or raises what `errors` says."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, int, bytes]] = []
        self.delays: list[float] = []
        self.errors: list[Exception] = []

    async def receive(self, edge: str, number: int, data: bytes) -> Receipt:
        await asyncio.sleep(self.delays.pop(0) if self.delays else 0.0)
        if self.errors:
            raise self.errors.pop(0)
        self.taken.append((edge, number, data))
        return receipt(number + 1)


@asynccontextmanager
async def joined(far: Far, node: str = HERE) -> AsyncIterator[tuple[Line, Handle, Entrance]]:
    entrance = Entrance(far.receive, lambda: node)
    handle = Handle(entrance.door, far.receive)
    line = Line(handle, lambda: HERE)
    try:
        yield line, handle, entrance
    finally:
        line.close()
        entrance.close()


def test_carries_parcels_and_answers_without_ray() -> None:
    async def play() -> None:
        far = Far()
        parcels = [("rows", 0, b""), ("rows", 1, b"\x00" * 5_000_000), ("tape", 2, bytes(range(256)))]
        async with joined(far) as (line, handle, _):
            assert [await line.remote(*parcel) for parcel in parcels] == [receipt(number + 1) for number in range(3)]
            assert (handle.num_asked, handle.num_carried) == (1, 0)
        assert far.taken == parcels

    asyncio.run(play())


def test_leaves_to_ray_who_is_on_another_node() -> None:
    async def play() -> None:
        far = Far()
        async with joined(far, "there") as (line, handle, _):
            assert await line.remote("rows", 7, b"x") == receipt(8)
            assert await line.remote("rows", 8, b"y") == receipt(9)
            assert (handle.num_asked, handle.num_carried) == (1, 2)

    asyncio.run(play())


def test_takes_no_answer_for_that_of_a_later_call() -> None:
    async def play() -> None:
        far = Far()
        far.delays = [0.2, 0.0]
        async with joined(far) as (line, handle, _):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(line.remote("rows", 3, b"slow"), 0.05)
            assert await line.remote("rows", 9, b"quick") == receipt(10)
            assert (handle.num_asked, handle.num_carried) == (2, 0)

    asyncio.run(play())


def test_says_of_a_far_end_that_failed_only_that_nobody_knows() -> None:
    async def play() -> None:
        far = Far()
        far.errors = [ValueError("half taken")]
        async with joined(far) as (line, _, _):
            with pytest.raises(ConnectionError):
                await line.remote("rows", 0, b"x")
            assert await line.remote("rows", 0, b"x") == receipt(1)

    asyncio.run(play())


def test_goes_back_to_ray_when_the_door_is_gone_and_finds_the_next_one() -> None:
    async def play() -> None:
        far = Far()
        async with joined(far) as (line, handle, entrance):
            await line.remote("rows", 0, b"a")
            entrance.close()
            line.close()  # as the death of the far end's process would
            assert await line.remote("rows", 1, b"b") == receipt(2)
            assert handle.num_carried == 1
            following = Entrance(far.receive, lambda: HERE)
            handle._ask = following.door
            assert await line.remote("rows", 2, b"c") == receipt(3)
            assert handle.num_carried == 1
            following.close()

    asyncio.run(play())


def test_lets_nobody_else_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = doors()
    assert folder.stat().st_mode & 0o077 == 0
    folder.chmod(0o755)
    with pytest.raises(StateError, match="only this user"):
        doors()
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(StateError, match="only this user"):
        doors()


def test_leaves_to_ray_what_has_no_door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    doors().chmod(0o777)

    async def play() -> None:
        far = Far()
        async with joined(far) as (line, handle, _):
            assert await line.remote("rows", 0, b"x") == receipt(1)
            assert handle.num_carried == 1

    asyncio.run(play())


def test_clears_doors_of_the_dead_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dead, alive = doors() / "999999999-0", doors() / f"{os.getpid()}-0"
    dead.touch()
    alive.touch()
    assert sorted(doors().iterdir()) == [alive]


@pytest.mark.ray
def test_breaks_with_the_process_at_its_other_end(local_ray: None) -> None:
    class Taking:
        """An actor that takes parcels, all but that of the edge `stuck`."""

        def __init__(self) -> None:
            self._entrance = Entrance(self.receive)

        async def pid(self) -> int:
            return os.getpid()

        async def door(self) -> Door:
            return await self._entrance.door()

        async def receive(self, edge: str, number: int, data: bytes) -> Receipt:
            await asyncio.sleep(60.0 if edge == "stuck" else 0.0)
            return receipt(number + len(data))

    actor: Any = ray.remote(Taking).options(num_cpus=0.1).remote()

    class DoorOnly:
        """A handle by which nothing else may be asked for."""

        door = actor.door

    async def play() -> None:
        line = Line(DoorOnly())
        assert await line.remote("rows", 2, b"abc") == receipt(5)
        waiting = asyncio.create_task(line.remote("stuck", 5, b""))
        await asyncio.sleep(0.1)
        os.kill(ray.get(actor.pid.remote()), signal.SIGKILL)
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(waiting, 10.0)

    asyncio.run(play())
