"""Every fault that the venue simulator can make, one after the other, and what live feeds make of them.

Feeds of Binance (USDT-M, spot) and dYdX listen to a simulator whose clock runs faster than the machine's. A fault is
injected, then the table says after how many seconds of market time the client noticed and after how many it was well
again: on WebSocket, every socket open, nothing missing, a book that can be used. In the end the tape is held against
what the venue itself tells by REST. `fault_orders` does the same for the way of orders.

    python -m benchmarks.faults [--speed X] [--seed N] [--only NAME,...]
"""

from __future__ import annotations

import argparse
import logging
import urllib.error
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.fault_orders import OrderOutcome, order_faults
from benchmarks.venue_room import DYDX, SPOT, USDM, Room, Watched, ask, bad_rows, compare, room, truth
from spyhop.clock import NS_PER_MINUTE, NS_PER_MS, NS_PER_S
from spyhop.model.tape import Kind, Mode, Status, SwitchReason
from spyhop.venues.params import FeedParams
from spyhop.venuesim.binance.weights import PATIENCE, UNDER_WAY_NS
from spyhop.venuesim.faults import FaultKind

SPEED, SEED = 10.0, 3
DETECT_S, RECOVER_S = 100.0, 300.0
CALM_S = 2.0
"""How long a feed must have been well to count as recovered."""
_COUNTS = (
    "reconnects", "rollovers", "mute", "connect_failures", "books", "syncs", "trade_holes", "message_gaps",
    "uncrossed_levels", "stale_levels", "duplicates", "repeated_trades", "repeated_messages", "throttled",
    "rest_errors", "conflated", "shed", "clock_changes",
)  # fmt: skip
_USUAL = frozenset(("duplicates", "repeated_trades"))  # a dYdX snapshot of trades always repeats some
_LOUD = {Status.DISCONNECTED, Status.GAP, Status.SHED, Status.CLOCK}

Fault = Mapping[str, Any]


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """What goes wrong for the feed `key`: faults for the simulator, `gate` at the client's side, or nobody reading.

    `signs` are the counters by which the client shows that it noticed, besides the status rows of its tape. `for_s`
    is how long `gate`, `unread` or the longest of the faults lasts.
    """

    name: str
    key: str
    faults: tuple[Fault, ...] = ()
    signs: tuple[str, ...] = ()
    gate: FaultKind | None = None
    is_unread: bool = False
    by: float = 0.0
    """By how much more than nothing a sign must grow."""
    for_s: float = 0.0
    may_lose: bool = False
    """The client drops trades on purpose here, and says so on the tape."""
    moves_bars: bool = False
    """The venue's bars move with its clock: nothing to hold the tape's against."""

    @property
    def full_name(self) -> str:
        """Return the fault and the venue."""
        return f"{self.name}-{self.key.partition(':')[0]}"

    @property
    def after_s(self) -> float:
        """Return how long after the injection the client can first notice."""
        return max((fault.get("after_s", 0.0) for fault in self.faults), default=0.0)


def _fault(kind: str, **about: Any) -> Fault:
    return {"kind": kind, **about}


def _cut(venue: str, count: int = 2, **about: Any) -> Fault:
    return _fault("drop", venue=venue, count=count, **about)


_U, _S, _D = "binance-usdm", "binance-spot", "dydx"
_BOOK_GAP = _fault("gap", venue=_U, target="*@depth*", count=1)
_WENT = ("reconnects", "rollovers", "mute")

MAIN: tuple[Scenario, ...] = (
    Scenario(name="drop", key=USDM, faults=(_cut(_U),)),
    Scenario(name="drop", key=DYDX, faults=(_cut(_D),)),
    Scenario(name="stall", key=USDM, faults=(_fault("stall", venue=_U, duration_s=40),), for_s=40),
    Scenario(name="stall", key=DYDX, faults=(_fault("stall", venue=_D, duration_s=40),), for_s=40),
    Scenario(
        name="wrong_route",
        key=USDM,
        faults=(_fault("silence", venue=_U, target="/public*", duration_s=20), _cut(_U, 1, target="/public*")),
        signs=("mute",),
        for_s=20,
    ),
    Scenario(name="silence", key=USDM, faults=(_fault("silence", venue=_U, target="*@kline_1m", duration_s=150),),
             for_s=150),
    Scenario(name="gap_book", key=USDM, faults=(_BOOK_GAP,), signs=("books",)),
    Scenario(name="gap_trades", key=USDM, faults=(_fault("gap", venue=_U, target="*@aggTrade", count=5),),
             signs=("trade_holes",)),
    Scenario(name="gap_book", key=DYDX, faults=(_fault("gap", venue=_D, target="v4_orderbook*", count=1),)),
    Scenario(name="gap_trades", key=DYDX, faults=(_fault("gap", venue=_D, target="v4_trades*", count=1),),
             signs=("message_gaps",)),
    Scenario(name="late_8s", key=USDM, faults=(_fault("late", venue=_U, delay_s=8, duration_s=20),), for_s=28),
    Scenario(name="late_mixed", key=DYDX,
             faults=(_fault("late", venue=_D, delay_s=0.4, probability=0.3, duration_s=15),),
             signs=("stale_levels", "message_gaps"), for_s=15),
    Scenario(name="repeat", key=USDM, faults=(_fault("repeat", venue=_U, duration_s=15),), signs=("duplicates",),
             for_s=15),
    Scenario(name="repeat", key=DYDX, faults=(_fault("repeat", venue=_D, duration_s=15),), signs=("repeated_messages",),
             for_s=15),
    Scenario(name="crossed", key=DYDX, faults=(_fault("crossed", venue=_D, duration_s=15),),
             signs=("uncrossed_levels",), for_s=15),
    Scenario(name="old_snapshot", key=USDM, faults=(_fault("old_snapshot", venue=_U, count=2), _BOOK_GAP),
             signs=("books",)),
    Scenario(name="old_snapshot", key=DYDX,
             faults=(_fault("old_snapshot", venue=_D, delay_s=5, duration_s=20), _cut(_D, after_s=10)), for_s=20),
    Scenario(name="new_snapshot", key=USDM,
             faults=(_fault("new_snapshot", venue=_U, delay_s=2, duration_s=8), _BOOK_GAP), signs=("books",), for_s=10),
    Scenario(name="day_close", key=USDM, faults=(_fault("day_close", venue=_U, count=2),)),
    Scenario(name="day_close", key=DYDX, faults=(_fault("day_close", venue=_D, count=2),)),
    Scenario(name="throttle_429", key=USDM, faults=(_fault("throttle", venue=_U, delay_s=6, count=1), _cut(_U)),
             signs=("throttled",)),
    Scenario(name="throttle_418", key=USDM, faults=(_fault("throttle", venue=_U, delay_s=15, count=1), _cut(_U)),
             signs=("throttled",)),
    Scenario(name="throttle_429", key=DYDX, faults=(_fault("throttle", venue=_D, delay_s=4, duration_s=6), _cut(_D)),
             signs=("throttled",), for_s=6),
    Scenario(name="server_error", key=USDM,
             faults=(_fault("server_error", venue=_U, status=503, duration_s=20), _cut(_U)),
             signs=("rest_errors",), for_s=20),
    Scenario(name="server_error", key=DYDX,
             faults=(_fault("server_error", venue=_D, duration_s=20), _cut(_D)), signs=("rest_errors",), for_s=20),
    Scenario(name="both_paths", key=USDM,
             faults=(_fault("server_error", venue=_U, duration_s=40), _fault("stall", venue=_U, duration_s=40)),
             for_s=40),
    Scenario(name="slow_consumer", key=USDM, faults=(_fault("slow_consumer", venue=_U, count=2),)),
    Scenario(name="slow_consumer", key=DYDX, faults=(_fault("slow_consumer", venue=_D, count=2),)),
    Scenario(name="tls_failure", key=USDM, faults=(_cut(_U),), gate=FaultKind.TLS_FAILURE,
             signs=("connect_failures",), for_s=20),
    Scenario(name="dns_failure", key=DYDX, faults=(_cut(_D),), gate=FaultKind.DNS_FAILURE,
             signs=("connect_failures",), for_s=20),
)  # fmt: skip

ON_SPOT: tuple[Scenario, ...] = (
    Scenario(name="drop", key=SPOT, faults=(_cut(_S, 1),)),
    Scenario(name="stall", key=SPOT, faults=(_fault("stall", venue=_S, duration_s=40),), for_s=40),
    Scenario(name="gap_book", key=SPOT, faults=(_fault("gap", venue=_S, target="*@depth*", count=1),),
             signs=("books",)),
    Scenario(name="day_close", key=SPOT, faults=(_fault("day_close", venue=_S, count=1),), signs=_WENT),
)  # fmt: skip

UNREAD: tuple[Scenario, ...] = (
    Scenario(name="slow_reader", key=USDM, is_unread=True, for_s=30, signs=("shed",), may_lose=True),
)
SKEWED: tuple[Scenario, ...] = (
    Scenario(name="clock_skew", key=USDM, faults=(_fault("clock_skew", venue=_U, offset_ms=2_500, duration_s=60),),
             signs=("clock_offset_ms",), by=1_000, for_s=60, moves_bars=True),
    Scenario(name="clock_skew", key=DYDX, faults=(_fault("clock_skew", venue=_D, offset_ms=2_500, duration_s=60),),
             signs=("clock_offset_ms",), by=1_000, for_s=60),
)  # fmt: skip


class Outcome(msgspec.Struct, kw_only=True):
    """What was seen; seconds are of market time, counted from when the fault was injected.

    `detected_s` is -1 when nothing showed it, `recovered_s` 0 when the feed was well all the time and -1 when it was
    not well in the end.
    """

    scenario: Scenario
    start: int
    end: int
    num_hits: int
    detected_s: float
    recovered_s: float
    did: str
    num_switches: int
    num_gaps: int
    num_minutes: int = 0
    num_missing_minutes: int = 0
    num_wrong_minutes: int = 0
    num_trades: int = 0
    num_missing_trades: int = 0
    num_duplicates: int = 0
    num_crossed: int = 0
    num_untold_stale: int = 0
    longest_blind_s: float = 0.0
    """The oldest that best prices ever were when the detectors looked."""

    @property
    def name(self) -> str:
        """Return the fault and the venue."""
        return self.scenario.full_name

    @property
    def minutes(self) -> str:
        """Return how many of the venue's minutes are missing or wrong."""
        return f"{self.num_missing_minutes + self.num_wrong_minutes}/{self.num_minutes}"

    @property
    def problems(self) -> list[str]:
        """Return what must not be, in words."""
        wrong = {
            "not noticed": self.detected_s < 0,
            "not recovered": self.recovered_s < 0,
            "minutes missing": self.num_missing_minutes,
            "minutes wrong": self.num_wrong_minutes,
            "trades missing": self.num_missing_trades and not (self.scenario.may_lose and self.num_gaps),
            "duplicates": self.num_duplicates,
            "crossed": self.num_crossed,
            "stale and not said": self.num_untold_stale,
            "no minute": not (self.num_minutes or self.scenario.moves_bars),
        }
        return [name for name, is_wrong in wrong.items() if is_wrong]


def play(room: Room, scenario: Scenario) -> Outcome:
    """Let one fault happen and wait until its feed is well again."""
    watched = room.feeds[scenario.key]
    before, switches = watched.statistics, watched.statistics["switches"]
    start = room.clock.now_ns()
    if scenario.faults:
        room.inject(*scenario.faults)
    if scenario.name == "throttle_418":
        _nag(room)
    watched.gate.fault, watched.is_read = scenario.gate, not scenario.is_unread
    signs = _Signs(scenario, watched, before, start)
    over = start + round(scenario.for_s * NS_PER_S)
    was_unwell, well_since = False, 0

    def is_done() -> bool:
        nonlocal was_unwell, well_since
        now = room.clock.now_ns()
        if now >= over:
            watched.gate.fault, watched.is_read = None, True
        signs.look(now)
        if not watched.is_read or not watched.is_well:
            was_unwell, well_since = True, 0
        else:
            well_since = well_since or now
        is_calm = well_since and now - max(well_since, over) >= CALM_S * NS_PER_S
        return bool(signs.detected_s >= 0 and now >= over and is_calm)

    room.until(is_done, max(DETECT_S, scenario.for_s) + RECOVER_S)
    # a clock that is wrong strikes all the time and is not counted
    num_hits = room.hits() if scenario.faults and scenario.name != "clock_skew" else 1
    room.clear()
    watched.gate.fault, watched.is_read = None, True
    end = room.clock.now_ns()
    recovered = (well_since - start) / NS_PER_S if was_unwell and well_since else -1.0 if was_unwell else 0.0
    tape = watched.tape(start)
    status = tape[tape["kind"] == Kind.STATUS]
    about = watched.statistics
    return Outcome(
        scenario=scenario,
        start=start,
        end=end,
        num_hits=num_hits,
        detected_s=signs.detected_s,
        recovered_s=recovered,
        did=_told(status, before, about, scenario),
        num_switches=int(about["switches"] - switches),
        num_gaps=int(np.count_nonzero((status["aux"] == Status.GAP) | (status["aux"] == Status.SHED))),
    )


class _Signs:
    """Looks for the first sign that a feed noticed."""

    def __init__(self, scenario: Scenario, watched: Watched, before: Mapping[str, float], start: int) -> None:
        self._scenario, self._watched, self._before, self._start = scenario, watched, before, start
        self.detected_s = -1.0

    def look(self, now: int) -> None:
        """Look now."""
        if self.detected_s >= 0:
            return
        signs = self._scenario.signs
        if signs:
            about = self._watched.statistics
            if any(about.get(name, 0) > self._before.get(name, 0) + self._scenario.by for name in signs):
                self.detected_s = (now - self._start) / NS_PER_S
            return
        tape = self._watched.tape(self._start)
        rows = tape[tape["kind"] == Kind.STATUS]
        left = (rows["aux"] == Status.SOURCE) & (rows["qty"] == Mode.REST)
        found = rows[left | np.isin(rows["aux"], list(_LOUD))]
        if len(found):
            self.detected_s = (int(found["ts_recv"][0]) - self._start) / NS_PER_S


def _nag(room: Room) -> None:
    """Go on asking where one was told not to, as another program at our address might."""
    for _ in range(PATIENCE + 2):
        try:
            ask(f"{room.endpoints.binance_usdm.rest}/fapi/v1/time")
        except urllib.error.HTTPError as error:
            error.close()
        room.run(2.0 * UNDER_WAY_NS / NS_PER_S)


def _told(status: Any, before: Mapping[str, float], about: Mapping[str, float], scenario: Scenario) -> str:
    steps = []
    for row in status:
        match Status(int(row["aux"])):
            case Status.SOURCE:
                steps.append(f"{Mode(int(row['qty'])).name} ({SwitchReason(int(row['id'])).name.lower()})")
            case Status.CLOCK:
                steps.append(f"clock {int(row['aux2']) / NS_PER_MS:+.0f} ms")
            case Status.GAP | Status.SHED as said:
                steps.append(f"{said.name.lower()} marked")
    grown = [
        f"{name.replace('_', ' ')} {about[name] - before.get(name, 0):.0f}"
        for name in _COUNTS
        if about.get(name, 0) > before.get(name, 0) and (name not in _USUAL or name in scenario.signs)
    ]
    return ", ".join(steps + grown)


def settle(room: Room, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Hold the tapes against what the venue knows, for each outcome from its fault to the end of its last minute."""
    ends = max(outcome.end for outcome in outcomes)
    room.until(lambda: room.clock.now_ns() > _minute_after(ends) + 8 * NS_PER_S, 90.0)
    for key in {outcome.scenario.key for outcome in outcomes}:
        watched = room.feeds[key]
        mine = [outcome for outcome in outcomes if outcome.scenario.key == key]
        first = min(outcome.start for outcome in mine)
        known = truth(room, watched, first - first % NS_PER_MINUTE, _minute_after(ends))
        told = compare(watched, known)
        for outcome in mine:
            begin, end = outcome.start - outcome.start % NS_PER_MINUTE, _minute_after(outcome.end)
            if not outcome.scenario.moves_bars:
                outcome.num_minutes = sum(begin <= at < end for at in known.minutes)
                outcome.num_missing_minutes = sum(begin <= at < end for at in told.missing_minutes)
                outcome.num_wrong_minutes = sum(begin <= at < end for at in told.wrong_minutes)
            stamps = {number: known.trades[number][2] for number in known.trades}
            inside = [number for number, at in stamps.items() if outcome.start - NS_PER_S <= at < end]
            outcome.num_trades = len(inside)
            lost = {*told.missing_trades, *told.wrong_trades}
            outcome.num_missing_trades = sum(number in lost for number in inside)
            outcome.num_duplicates = _num_repeated(watched, begin, end)
            rows = watched.seen(outcome.start, end)
            outcome.num_crossed, outcome.num_untold_stale = bad_rows(rows)
            outcome.longest_blind_s = float((rows["ts"] - rows["ts_book"]).max()) / NS_PER_S
        crossed = int(watched.num_crossed_books + watched.num_crossed_quotes)
        mine[-1].num_crossed += crossed
    return list(outcomes)


def _num_repeated(watched: Watched, start: int, end: int) -> int:
    tape = watched.tape()
    trades = tape[tape["kind"] == Kind.TRADE]
    _, first, counts = np.unique(trades["id"], return_index=True, return_counts=True)
    again = trades["ts_event"][first[counts > 1]]
    return int(np.count_nonzero((again >= start) & (again < end)))


def _minute_after(ts: int) -> int:
    return ts - ts % NS_PER_MINUTE + NS_PER_MINUTE


def played(room: Room, scenarios: Sequence[Scenario]) -> list[Outcome]:
    """Return the outcomes of scenarios, one after the other; each starts when all feeds are well."""
    outcomes = []
    for scenario in scenarios:
        room.until(lambda: all(feed.is_well for feed in room.feeds.values()), RECOVER_S)
        room.run(CALM_S)
        outcomes.append(play(room, scenario))
    return settle(room, outcomes)


def keys(scenarios: Sequence[Scenario]) -> list[str]:
    """Return the feeds that scenarios are about."""
    return list(dict.fromkeys(scenario.key for scenario in scenarios))


def show(outcomes: Sequence[Outcome], orders: Sequence[OrderOutcome]) -> None:
    """Print the tables."""
    console = Console(width=200)
    table = Table(title="Faults of market data (seconds of market time from the fault on)")
    for heading in ("fault", "venue", "what the client did"):
        table.add_column(heading, overflow="fold")
    for heading in ("lasts", "detected", "recovered", "oldest\nprice", "minutes\nmissing", "trades\nmissing", "dup.",
                    "crossed", "stale\nunsaid", "gaps\nmarked", "switches", "verdict"):  # fmt: skip
        table.add_column(heading, justify="right")
    for one in outcomes:
        problems = one.problems
        table.add_row(
            one.scenario.name, one.scenario.key.partition(":")[0], one.did, f"{one.scenario.for_s:g}",
            "never" if one.detected_s < 0 else f"{one.detected_s:.1f}",
            "never" if one.recovered_s < 0 else f"{one.recovered_s:.1f}" if one.recovered_s else "unharmed",
            f"{one.longest_blind_s:.1f}", "n/a" if one.scenario.moves_bars else one.minutes,
            f"{one.num_missing_trades}/{one.num_trades}", f"{one.num_duplicates}", f"{one.num_crossed}",
            f"{one.num_untold_stale}", f"{one.num_gaps}", f"{one.num_switches}", ", ".join(problems) or "ok",
        )  # fmt: skip
    console.print(table)
    if orders:
        table = Table(title="Faults of orders (Binance USDT-M, signed requests, user stream)")
        for heading in ("fault", "what the client saw", "what it learned by asking", "after s", "verdict"):
            table.add_column(heading, overflow="fold")
        for order in orders:
            table.add_row(order.name, order.saw, order.learned, f"{order.after_s:.2f}", order.verdict)
        console.print(table)


def main() -> None:
    """Run everything and print it."""
    logging.basicConfig(level=logging.ERROR)
    parser = argparse.ArgumentParser()
    parser.add_argument("--speed", type=float, default=SPEED)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    only = [name for name in asked.only.split(",") if name]
    outcomes: list[Outcome] = []
    orders: list[OrderOutcome] = []
    for group, params in (
        (MAIN, None), (ON_SPOT, None), (SKEWED, None), (UNREAD, FeedParams(max_queued_events=5_000)),
    ):  # fmt: skip
        chosen = [one for one in group if not only or one.name in only]
        if chosen:
            speed = asked.speed / 2 if group is ON_SPOT else asked.speed
            with room(keys(chosen), speed=speed, seed=asked.seed, params=params) as opened:
                outcomes += played(opened, chosen)
                if group is MAIN:
                    orders = order_faults(opened.endpoints)
    show(outcomes, orders)
    failed = [one.name for one in outcomes if one.problems] + [one.name for one in orders if one.verdict != "ok"]
    verdict = f"not as they should be: {', '.join(failed)}" if failed else "all well"
    print(f"{len(outcomes) + len(orders)} faults, {verdict}")


if __name__ == "__main__":
    main()
