from __future__ import annotations

import asyncio

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spyhop.clock import NS_PER_S
from spyhop.errors import ConnectionLost
from spyhop.model.tape import SwitchReason
from spyhop.venues.adapter import SocketPlan, StreamPlan
from spyhop.venues.live.link import Backoff, Link
from spyhop.venues.live.scripted import ScriptedSocket
from spyhop.venues.params import FeedParams

STREAMS = (StreamPlan("book", 10.0, 30.0), StreamPlan("trade", 10.0, is_price=True), StreamPlan("news", 0.0))


def linked(life_s: float = 0.0) -> Link:
    async def made() -> Link:
        return Link(SocketPlan("public", "u", (), STREAMS, life_s), 1, ScriptedSocket("u"), 0)

    return asyncio.run(made())


def s(seconds: float) -> int:
    return round(seconds * NS_PER_S)


def test_a_first_message_is_due_and_then_no_longer_pause_than_allowed() -> None:
    link = linked()
    assert link.overdue(s(10)) == []
    assert link.overdue(s(10.1)) == ["book", "trade"]
    link.hear(["book", "trade"], s(11))
    assert link.overdue(s(41)) == []
    assert link.overdue(s(41.1)) == ["book"]
    assert link.missing == set()


def test_a_connection_is_mute_when_nothing_at_all_comes() -> None:
    link = linked()
    link.hear(["trade"], s(5))
    assert link.overdue(s(12)) == ["book"]
    assert not link.is_mute(s(12))
    assert link.is_mute(s(15.1))
    link.hear((), s(15))
    assert link.is_mute(s(15.1))


def test_a_planned_age() -> None:
    assert not linked().is_due(s(1e6))
    assert [linked(60.0).is_due(s(age)) for age in (59.9, 60.0)] == [False, True]


def test_a_replacement_is_asked_for_once_and_can_be_put_off() -> None:
    link = linked()
    link.replace("old", s(1))
    link.replace("silent", s(2))
    assert link.why_replace == "old"
    link.put_off(s(5))
    link.replace("silent", s(4.9))
    assert link.why_replace == ""
    link.replace("silent", s(5))
    assert link.why_replace == "silent"


def test_the_first_reason_of_an_end_stays() -> None:
    link = linked()
    first = ConnectionLost("u", 1006, "silent")
    link.end(first, SwitchReason.EXCEPTION)
    link.end(ConnectionLost("u", 1000, ""), SwitchReason.DISCONNECTED)
    assert (link.error, link.why_lost, link.changed.is_set()) == (first, SwitchReason.EXCEPTION, True)


@given(st.integers(0, 100), st.floats(0.1, 5.0), st.floats(5.0, 100.0))
def test_backoff_doubles_within_its_bounds(seed: int, least: float, most: float) -> None:
    backoff = Backoff(FeedParams(ws_backoff_min=least, ws_backoff_max=most), np.random.default_rng(seed))
    delays = [backoff.next_s() for _ in range(12)]
    assert all(least <= delay <= most for delay in delays)
    assert all(delay >= min(least * 2.0**k, most / 2.0) * 0.999 for k, delay in enumerate(delays))
    backoff.reset()
    assert backoff.next_s() <= 2.0 * least


def test_backoff_differs_by_chance() -> None:
    first = {Backoff(FeedParams(), np.random.default_rng(seed)).next_s() for seed in range(20)}
    assert len(first) == 20
