"""The last hours of all sessions: triggers, orders, refusals, money after costs, risk states; pure but for `read_day`.

Modes are never added up, nor is simulated data with real data, and a back-test is always alone: two of the same lake
are the same hours twice. The window of a group ends at the newest event of its newest session, of live trading now.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from spyhop.clock import NS_PER_HOUR, NS_PER_S, iso_ms
from spyhop.errors import MissingInput
from spyhop.ledger.pairs import joined
from spyhop.model.control import Session
from spyhop.model.decisions import LEAD_FOLLOW, Decision, Intent
from spyhop.model.entries import Entry, Recorded
from spyhop.model.observations import Comparison
from spyhop.model.orders import Fill, OrderChanged, Purpose, TradeClosed
from spyhop.model.verdicts import Approved, Refused, RiskState, RiskStateChanged
from spyhop.reports import conduct, trades
from spyhop.reports.build import head_of, planned_exits, setting
from spyhop.reports.day_model import Day, Group, Line, States, Tally
from spyhop.reports.halts import halts
from spyhop.reports.model import Count, Head
from spyhop.reports.verdict import judge
from spyhop.risk.comparisons import Cause
from spyhop.risk.states import gravest
from spyhop.storage.journal import read_facts, read_session, sessions

T = TypeVar("T", bound=msgspec.Struct)
V = TypeVar("V")

EVERYTHING = -1
_ALONE, _LIVE = "backtest", "live"


class Told(NamedTuple):
    """A session and everything that it said, in canonical order."""

    session: Session
    entries: Sequence[Entry]

    @property
    def first(self) -> int:
        return self.entries[0].ts

    @property
    def last(self) -> int:
        return self.entries[-1].ts


class _Said(NamedTuple):
    """What a session said within the window; `strategies` are those of its orders, by client order id."""

    session: Session
    entries: list[Entry]
    strategies: dict[str, str]

    def of(self, kind: type[T]) -> list[T]:
        return [entry.message for entry in self.entries if isinstance(entry.message, kind)]


def read_day(runs: Path, hours: float, now: int, mode: str = "") -> Day:
    """Return the last `hours` of the sessions in `runs`, of one mode only if given; raise MissingInput."""
    told = []
    for name in sessions(runs) if runs.is_dir() else []:
        session = read_session(runs / name)
        if mode in ("", session.mode):
            told.append(Told(session, read_facts(runs / name)))
    if not told:
        raise MissingInput(f"there is no {mode}{' ' if mode else ''}session in {runs}")
    return of_day(told, hours, now)


def of_day(told: Iterable[Told], hours: float, now: int) -> Day:
    """Return the last `hours` of sessions, oldest session first; `now` is the time that a live window ends at."""
    groups: dict[tuple[str, bool, str], list[Told]] = {}
    for one in told:
        if one.entries:
            alone = one.session.id if one.session.mode == _ALONE else ""
            whole = one._replace(entries=joined(one.entries))
            groups.setdefault((one.session.mode, one.session.is_simulated, alone), []).append(whole)
    ends = {key: now if key[0] == _LIVE else several[-1].last for key, several in groups.items()}
    # of back-tests those that reach into the hours of the newest
    newest = max((end for key, end in ends.items() if key[0] == _ALONE), default=0)
    length = round(hours * NS_PER_HOUR)
    return Day(
        hours=hours,
        groups=[
            _group(several, ends[key] - length, ends[key])
            for key, several in groups.items()
            if key[0] != _ALONE or ends[key] > newest - length
        ],
    )


def _group(several: Sequence[Told], start: int, end: int) -> Group:
    inside = [one for one in several if one.last > start and one.first <= end]
    said = [
        _Said(one.session, [entry for entry in one.entries if start < entry.ts <= end], _strategies(one.entries))
        for one in inside
    ]
    head = head_of(several[-1].session, start, end)
    return Group(
        mode=several[0].session.mode,
        is_simulated=several[0].session.is_simulated,
        sessions=[one.session.id for one in inside],
        currency="/".join(sorted({one.quote for each in inside for one in each.session.instruments})),
        first=iso_ms(max(start, 0)),
        last=iso_ms(end),
        total=_tally(said, head),
        lead_follow=_tally([_of_strategy(one, LEAD_FOLLOW) for one in said], head),
        signals=sum(_is_signal(comparison) for one in said for comparison in one.of(Comparison)),
        by_strategy=_by_strategy(said),
        by_symbol=_by_symbol(said),
        states=_states(inside, start, end),
        halts=_halts(inside, start, end),
        notes=_notes(inside, said),
    )


def _tally(said: Sequence[_Said], head: Head) -> Tally:
    made = _all(said, Decision)
    closed = _all(said, TradeClosed)
    fills = _all(said, Fill)
    exits = _agreed([planned_exits(one.session) for one in said])
    fee = _agreed([setting(one.session.settings, "venue.taker_fee_frac") for one in said])
    # LEAD_FOLLOW has exits of its own, so the plan of the others is no plan for it
    is_planned = all(trade.strategy != LEAD_FOLLOW for trade in closed)
    rate = trades.win_rate(closed, exits if is_planned else None, fee)
    expected = trades.expectancy(closed, {})
    return Tally(
        triggers=dict(Counter(decision.trigger.value for decision in made).most_common()),
        decisions=conduct.decisions(made, _all(said, Intent), _all(said, Approved), _all(said, Refused)),
        orders=conduct.orders(_all(said, OrderChanged), fills),
        num_filled=len({fill.client_order_id for fill in fills}),
        money=trades.money(closed),
        win_rate=rate,
        expectancy=expected,
        verdict=judge(head, rate, expected),
    )


def _all(said: Sequence[_Said], kind: type[T]) -> list[T]:
    return [message for one in said for message in one.of(kind)]


def _agreed(values: Sequence[V]) -> V | None:
    return values[0] if values and all(value == values[0] for value in values) else None


def _of_strategy(said: _Said, strategy: str) -> _Said:
    """Return what a session said of one strategy, its orders and their fills too."""
    return said._replace(entries=[entry for entry in said.entries if _strategy(entry.message, said) == strategy])


def _strategy(message: Recorded, said: _Said) -> str | None:
    if isinstance(message, Decision | Intent | TradeClosed):
        return message.strategy
    if isinstance(message, Approved | Refused):
        return message.intent.strategy
    return said.strategies.get(message.client_order_id) if isinstance(message, OrderChanged | Fill) else None


def _strategies(entries: Sequence[Entry]) -> dict[str, str]:
    """Return the strategy that each order serves, by client order id."""
    found: dict[str, str] = {}
    wished: dict[int, str] = {}
    for entry in entries:
        match entry.message:
            case Intent() as intent:
                wished[intent.seq] = intent.strategy
            case OrderChanged() as change if change.order.intent_seq in wished:
                found.setdefault(change.client_order_id, wished[change.order.intent_seq])
    return found


def _is_signal(comparison: Comparison) -> bool:
    leader = comparison.observed.leader
    features = leader.features if leader is not None else None
    return comparison.cause == Cause.DECISION and features is not None and features.side != 0


def _by_strategy(said: Sequence[_Said]) -> list[Line]:
    intents = _all(said, Intent)
    approved = _all(said, Approved)
    closed = _all(said, TradeClosed)
    wished, traded = {one.strategy for one in intents}, {one.strategy for one in closed}
    names = sorted(wished | traded | {one.intent.strategy for one in approved})
    return [
        _line(
            name,
            sum(intent.strategy == name for intent in intents),
            sum(verdict.intent.strategy == name for verdict in approved),
            [trade for trade in closed if trade.strategy == name],
        )
        for name in names
    ]


def _by_symbol(said: Sequence[_Said]) -> list[Line]:
    # sessions number their instruments each for itself
    numbers: dict[str, list[tuple[_Said, int]]] = {}
    for one in said:
        for instrument in one.session.instruments:
            numbers.setdefault(instrument.key, []).append((one, instrument.id))
    return [
        _line(
            key,
            sum(intent.instrument == number for one, number in places for intent in one.of(Intent)),
            sum(verdict.intent.instrument == number for one, number in places for verdict in one.of(Approved)),
            [trade for one, number in places for trade in one.of(TradeClosed) if trade.instrument == number],
        )
        for key, places in sorted(numbers.items())
    ]


def _line(name: str, intents: int, approved: int, closed: Sequence[TradeClosed]) -> Line:
    money = trades.money(closed)
    return Line(
        name=name,
        intents=intents,
        approved=approved,
        trades=len(closed),
        wins=sum(trade.net > 0.0 for trade in closed),
        before_slippage=money.before_slippage,
        slippage=money.slippage,
        gross=money.gross,
        fees=money.fees,
        funding=money.funding,
        net=money.net,
    )


def _states(inside: Sequence[Told], start: int, end: int) -> list[States]:
    held: dict[str, Counter[str]] = {}
    for told in inside:
        for instrument in told.session.instruments:
            counted = held.setdefault(instrument.key, Counter())
            for state, since, until in _spans(told, instrument.id):
                counted[state.value] += max(0, min(until, end) - max(since, start))
    return [
        States(
            name=name,
            seconds=counted.total() / NS_PER_S,
            shares={state: lasted / counted.total() for state, lasted in counted.most_common() if lasted},
        )
        for name, counted in sorted(held.items())
        if counted.total()
    ]


def _spans(told: Told, instrument: int) -> Iterator[tuple[RiskState, int, int]]:
    own = {EVERYTHING: RiskState.CAN_TRADE, instrument: RiskState.CAN_TRADE}
    since = told.first
    for entry in told.entries:
        if isinstance(change := entry.message, RiskStateChanged) and change.instrument in own:
            yield gravest(*own.values()), since, change.ts
            own[change.instrument], since = change.state, change.ts
    yield gravest(*own.values()), since, told.last


def _halts(inside: Sequence[Told], start: int, end: int) -> list[Count]:
    return conduct.counted(
        (f"{halt.state.value}: {halt.blame.value}", "; ".join(halt.reasons))
        for told in inside
        for halt in halts(told.entries)
        if start < halt.ts <= end
    )


def _notes(inside: Sequence[Told], said: Sequence[_Said]) -> list[str]:
    notes = []
    spans = sorted((one.first, one.last, one.session.id) for one in inside)
    for (_, last, name), (first, _, following) in pairwise(spans):
        if first < last:
            notes.append(f"{name} and {following} tell of the same time; what they did is added up all the same.")
    if num_open := sum(_num_open(one) for one in said):
        notes.append(f"{num_open} entries were filled in the window and not closed in it; no money here has them.")
    if len({one.quote for each in inside for one in each.session.instruments}) > 1:
        notes.append("The instruments are quoted in several currencies; sums over them mix these.")
    return notes


def _num_open(said: _Said) -> int:
    entered = {
        change.order.intent_seq
        for change in said.of(OrderChanged)
        if change.order.purpose is Purpose.ENTRY and change.filled
    }
    return len(entered - {trade.intent_seq for trade in said.of(TradeClosed)})
