"""A private stream in the words of the model; what cannot be read is asked for."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from spyhop.errors import UnreadableLine
from spyhop.model.orders import OrderAccepted, Report
from spyhop.venues.desk.ports import Connected, Heard, Lost, Told
from spyhop.venues.desk.streams import ReadStream
from spyhop.venues.live import private

ACCEPTED = OrderAccepted(ts=3, ts_venue=2, client_order_id="a", instrument=1)


class Words(NamedTuple):
    reports: tuple[Report, ...] = ()
    foreign: tuple[Any, ...] = ()


class Numbers:
    """Reads numbers: 1 is a report, 2 a stranger, 3 makes no sense."""

    def read(self, ts: int, event: int, /) -> Words:
        if event == 3:
            raise UnreadableLine("event", 1, "3")
        return Words((ACCEPTED,)) if event == 1 else Words((), ("77",))


class Batches:
    """Gives what a PrivateStream would, in batches."""

    def __init__(self, *batches: list[Any]) -> None:
        self._batches = list(batches)

    async def take(self) -> list[Any]:
        return [private.Told(ts, event) for ts, event in self._batches.pop(0)]


def test_events_are_read_one_by_one_and_connections_named() -> None:
    async def run() -> list[Heard]:
        batches: Any = Batches([(1, private.Connected(1)), (3, 1)], [(4, 2), (5, 3), (6, private.Lost(1, "closed"))])
        stream = ReadStream[int](batches, Numbers())
        heard = [await stream.next() for _ in range(5)]
        assert stream.num_unreadable == 1
        return heard

    assert asyncio.run(run()) == [
        Connected(1),
        Told(3, (ACCEPTED,)),
        Told(4, (), ("77",)),
        Connected(5),
        Lost(6, "closed"),
    ]
