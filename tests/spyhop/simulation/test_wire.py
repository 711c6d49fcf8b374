"""Commands and reports take time and keep their order."""

from __future__ import annotations

import pytest

from spyhop.clock import NS_PER_MS
from spyhop.model.orders import CancelOrder, OrderAccepted
from spyhop.simulation.wire import NEVER, Wire


def command(ts: int) -> CancelOrder:
    return CancelOrder(ts=ts, client_order_id=f"c{ts}", instrument=0)


def test_without_jitter_the_latency_is_exact() -> None:
    wire = Wire((40.0, 0.0), (20.0, 0.0), 1)
    wire.send(command(1_000), 0.0)
    assert wire.next_arrival() == 1_000 + 40 * NS_PER_MS
    assert wire.hear(7) == 7 + 20 * NS_PER_MS


def test_an_idle_wire_has_nothing_ever() -> None:
    wire = Wire((1.0, 1.0), (1.0, 1.0), 1)
    assert wire.next_arrival() == wire.next_heard() == NEVER


def test_commands_arrive_in_the_order_they_were_sent() -> None:
    wire = Wire((1.0, 50.0), (0.0, 0.0), 3)
    for ts in range(0, 200_000_000, 1_000_000):
        wire.send(command(ts), 0.0)
    arrivals = wire.state.arrivals
    assert [a.command.ts for a in arrivals] == sorted(a.command.ts for a in arrivals)
    assert all(a.ts >= a.command.ts + NS_PER_MS for a in arrivals)


def test_jitter_has_its_mean() -> None:
    wire = Wire((0.0, 0.0), (5.0, 10.0), 3)
    delays = [wire.hear(ts) - ts for ts in range(1, 10**12, 10**9)]
    assert sum(delays) / len(delays) / NS_PER_MS == pytest.approx(15.0, rel=0.1)


def test_what_happened_at_once_is_heard_at_once_and_nothing_overtakes() -> None:
    wire = Wire((0.0, 0.0), (5.0, 50.0), 9)
    assert wire.hear(100) == wire.hear(100)
    heard = [wire.hear(ts) for ts in range(100, 10_000_000, 100_000)]
    assert heard == sorted(heard)


def test_a_triggered_order_may_overtake_a_command_under_way() -> None:
    wire = Wire((40.0, 0.0), (0.0, 0.0), 1)
    wire.send(command(0), 0.0)
    wire.fire(5, "stop")
    assert [a.fired for a in wire.state.arrivals] == ["stop", ""]


def test_reports_are_taken_up_to_a_time() -> None:
    wire = Wire((0.0, 0.0), (0.0, 0.0), 1)
    reports = [OrderAccepted(ts=ts, ts_venue=0, client_order_id="a", instrument=0) for ts in (1, 1, 2)]
    wire.state.outbox.extend(reports)
    assert wire.reports(1) == reports[:2]
    assert wire.reports(1) == []
    assert wire.next_heard() == 2


def test_a_restored_wire_draws_the_same_delays() -> None:
    wire = Wire((1.0, 5.0), (1.0, 5.0), 4)
    wire.send(command(0), 1.5)
    wire.hear(3)
    other = Wire((1.0, 5.0), (1.0, 5.0), 99)
    other.restore(wire.snapshot())
    assert other.snapshot() == wire.snapshot()
    assert [other.hear(t) for t in (10**9, 2 * 10**9)] == [wire.hear(t) for t in (10**9, 2 * 10**9)]
