"""What the table promises to a dashboard: names, kinds and labels; and that somebody says what it names."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors import metrics
from actors.conductor import COUNTED
from actors.ledger import Outage
from actors.metrics import BOUNDS_S, TABLE, TAGS, Kind, Meters
from spyhop.clock import NS_PER_S, EventClock
from spyhop.config.settings import SessionConfig, Settings
from spyhop.model.orders import OrderStatus
from spyhop.wiring import nodes
from spyhop.wiring.plan import RunRequest, plan_session

STARTED = 1_764_350_100_000_000_000
Told = tuple[str, float, str, str]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Told]:
    """What Ray was told, as (kind:name, number, actor, code); a series of Ray's made twice would be two."""
    kept: list[Told] = []
    made: set[str] = set()

    class Series:
        def __init__(self, name: str, description: str, tag_keys: tuple[str, ...], **more: object) -> None:
            assert name not in made
            assert re.fullmatch("[a-z_]+", name)
            assert description
            assert tag_keys == TAGS
            made.add(name)
            self.name = f"{type(self).__name__.lower()}:{name}"

        def note(self, number: float, tags: dict[str, str]) -> None:
            assert set(tags) == set(TAGS)
            kept.append((self.name, number, tags["actor"], tags["code"]))

    class Gauge(Series):
        set = Series.note

    class Counter(Series):
        def inc(self, number: float, tags: dict[str, str]) -> None:
            assert number > 0.0, "Ray refuses it"
            self.note(number, tags)

    class Histogram(Series):
        observe = Series.note

    for kind in (Gauge, Counter, Histogram):
        monkeypatch.setattr(metrics, kind.__name__, kind)
    return kept


def without_beats(told: list[Told]) -> list[Told]:
    return [one for one in told if not one[0].endswith(("_alive", "_beats"))]


def test_a_number_that_moves_is_a_gauge_with_its_actor_as_a_label(told: list[Told]) -> None:
    meters = Meters("risk")
    for equity in (10_000.0, 9_990.0):
        meters.publish({"equity": equity})
    assert without_beats(told) == [
        ("gauge:spyhop_equity", 10_000.0, "risk", ""),
        ("gauge:spyhop_equity", 9_990.0, "risk", ""),
    ]


def test_a_number_that_only_grows_is_a_counter_that_has_the_same_number(told: list[Told]) -> None:
    meters = Meters("feed:BTCUSDT")
    for events in (0.0, 12.0, 12.0, 40.0, 30.0, 41.0):
        meters.publish({"events": events})
    # never by 0, which Ray refuses, never down, and 41 in all
    assert [number for _, number, _, _ in without_beats(told)] == [12.0, 28.0, 1.0]


def test_a_statistic_by_code_is_one_name_with_the_code_as_a_label(told: list[Told]) -> None:
    Meters("risk").publish({"refused": 3.0, "refusals:max_daily_loss": 2.0, "refusals:cooldown": 1.0})
    assert without_beats(told) == [
        ("counter:spyhop_refused", 3.0, "risk", ""),
        ("counter:spyhop_refusals", 2.0, "risk", "max_daily_loss"),
        ("counter:spyhop_refusals", 1.0, "risk", "cooldown"),
    ]


def test_statistics_of_one_meaning_are_one_name(told: list[Told]) -> None:
    Meters("feed:BTCUSDT").publish({"sequence.gaps": 2.0, "missing_trades": 7.0, "mode": 1.0})
    assert without_beats(told) == [
        ("counter:spyhop_gaps", 2.0, "feed:BTCUSDT", "book"),
        ("counter:spyhop_gaps", 7.0, "feed:BTCUSDT", "trades"),
        ("gauge:spyhop_feed_mode", 1.0, "feed:BTCUSDT", ""),
    ]


def test_what_the_table_does_not_name_is_not_told(told: list[Told]) -> None:
    Meters("feed:BTCUSDT").publish({"loop.path": 3.0, "ts": 1.0})
    assert without_beats(told) == []


def test_a_loop_that_turns_is_heard_even_with_nothing_to_say(told: list[Told]) -> None:
    meters = Meters("ensemble")
    for _ in range(3):
        meters.publish({})
    assert told == [("gauge:spyhop_alive", 1.0, "ensemble", ""), ("counter:spyhop_beats", 1.0, "ensemble", "")] * 3


def test_how_long_an_answer_took_is_noted_where_somebody_wants_to_know(told: list[Told]) -> None:
    clock = EventClock(STARTED)

    class Handle:
        def __init__(self) -> None:
            self.receive = self

        async def remote(self, edge: str, number: int, data: bytes) -> str:
            clock.advance(NS_PER_S // 4)
            if edge == "broken":
                raise TimeoutError
            return f"{edge} {number}"

    async def calls() -> None:
        handle, meters = Handle(), Meters("feed:BTCUSDT")
        assert await meters.watched("rows", handle, clock).receive.remote("rows:BTCUSDT", 7, b"") == "rows:BTCUSDT 7"
        with pytest.raises(TimeoutError):
            await meters.watched("rows", handle, clock).receive.remote("broken", 8, b"")
        assert meters.watched("tape", handle, clock) is handle

    asyncio.run(calls())
    assert told == [("histogram:spyhop_decision_seconds", 0.25, "feed:BTCUSDT", "")]


def test_the_table_is_in_order() -> None:
    names = [metric.name for metric in TABLE]
    assert len(set(names)) == len(names)
    assert list(BOUNDS_S) == sorted(BOUNDS_S)
    statistics = [one for metric in TABLE for one in (metric.codes or {metric.name: ""})]
    assert len(set(statistics)) == len(statistics), "a statistic would be told under one name only"
    assert all(metric.series.endswith("_total") == (metric.kind is Kind.COUNTER) for metric in TABLE)
    assert {code for metric in TABLE if metric.name == "orders" for code in metric.codes.values()} == set(OrderStatus)


def test_every_name_of_a_session_on_paper_is_said_by_somebody(tmp_path: Path) -> None:
    config = SessionConfig(runs=str(tmp_path), symbols=("BTCUSDT",), hours=0.01)
    settings = msgspec.structs.replace(Settings(), session=config)
    plan = plan_session(settings, RunRequest(runner="ray"), EventClock(STARTED))
    feed = nodes.feed_vessel(plan, "BTCUSDT")
    while not feed.statistics().get("mid"):
        feed.produce()
    vessels: list[Any] = [nodes.decision_vessel(plan), nodes.risk_vessel(plan), nodes.order_vessel(plan), feed]
    said = {name.partition(":")[0] for vessel in vessels for name in vessel.statistics()}
    said |= set(Outage("ledger").statistics(STARTED))
    said |= {"lag_s", "restarts"}  # by every carrier
    said |= {*COUNTED, "stalled", "silent"}  # by the conductor
    told_apart = {"refusals", "orders", *metrics._OWN}  # nothing was refused or ordered yet
    for metric in TABLE:
        if not metric.is_live and metric.name not in told_apart:
            assert set(metric.codes or {metric.name}) & said, metric.name
