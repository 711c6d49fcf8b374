"""The floor brings its exchange up to the clock; a pause of the process shows in nothing but the delay."""

from __future__ import annotations

from typing import Any

import numpy as np
from aiohttp import web

from spyhop.clock import NS_PER_S, EventClock
from spyhop.model.tape import Events
from spyhop.venuesim.faults import Faults
from spyhop.venuesim.floor import STEP_NS, Floor
from spyhop.venuesim.words import Change, Execution, Order


class Diary:
    """A front that notes what it was told between two publications."""

    label = "diary"

    def __init__(self) -> None:
        self.pages: list[list[int]] = [[]]

    def on_market(self, instrument: int, rows: Events) -> None:
        if instrument == 0:
            self.pages[-1] += rows["ts_recv"].tolist()

    def on_order(self, order: Order, change: Change, execution: Execution | None) -> None: ...

    def on_account(self, account: str, change: Change, instruments: tuple[int, ...]) -> None: ...

    def routes(self, app: web.Application) -> None: ...

    def publish(self) -> None:
        self.pages.append([])

    def state(self) -> dict[str, Any]:
        return {}


def test_what_a_pause_held_up_is_told_in_steps(scripted_exchange: Any) -> None:
    start = 1_700_000_000 * NS_PER_S
    exchange = scripted_exchange(start)
    clock, diary = EventClock(start), Diary()
    floor = Floor(exchange, clock, Faults(clock.now_ns, np.random.default_rng(0)))
    floor.add(diary)
    clock.advance(10 * NS_PER_S)
    assert floor.advance() == start + 10 * NS_PER_S
    told = [page for page in diary.pages if page]
    assert len(told) > 10
    assert all(page[-1] - page[0] <= STEP_NS for page in told)
    stamps = [ts for page in told for ts in page]
    assert stamps == sorted(stamps)
    num_pages = len(diary.pages)
    clock.advance(STEP_NS)
    floor.advance()
    assert len(diary.pages) == num_pages  # what is newest waits for what may follow from a request
