"""Halts of a session: when entries were cut or stopped, why, and what the difference to the leader was made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

import msgspec

from spyhop.clock import NS_PER_MS, NS_PER_S, iso_ms
from spyhop.model.entries import Entry
from spyhop.model.observations import Comparison, EffectiveDiff
from spyhop.model.verdicts import RiskState, RiskStateChanged
from spyhop.reports.text import amount, duration, signed
from spyhop.risk.comparisons import Cause, largest

EVERYTHING = -1
WINDOW_NS = 60 * NS_PER_S
"""What is played before and after a change, to see it come."""
_DIFF = "effective_diff"
_DATA = frozenset({"data_age", "silence", "clock_skew"})


class Blame(StrEnum):
    """What a halt comes down to, in words for a person."""

    DEVIATION = "mid deviation"
    SLIPPAGE = "slippage: the book is thin for the size"
    AGE = "age: one price was older than the other"
    DATA = "data that is old or wrongly timed"
    OTHER = "something else than prices"


class Halt(msgspec.Struct, frozen=True, kw_only=True):
    """A risk state other than CAN_TRADE, from the change that began it to the next one of the same scope.

    `until` is None while it lasts; `instrument` is -1 for everything. `comparisons` are those made at the change, one a
    market that it holds for; `start` and `end` bound what to play to see it again. Times are nanoseconds UTC.
    """

    ts: int
    until: int | None
    instrument: int
    state: RiskState
    before: RiskState
    reasons: tuple[str, ...]
    blame: Blame
    comparisons: tuple[Comparison, ...]
    start: int
    end: int


def halts(entries: Iterable[Entry]) -> list[Halt]:
    """Return the halts of a session's entries (any order), oldest first."""
    risk = sorted((entry for entry in entries if entry.stage == "risk"), key=lambda entry: entry.seq)
    changes: list[tuple[RiskStateChanged, list[Comparison]]] = []
    for entry in risk:
        message = entry.message
        if isinstance(message, RiskStateChanged):
            changes.append((message, []))
        elif isinstance(message, Comparison) and message.cause == Cause.RISK_STATE and changes:
            change, compared = changes[-1]
            if change.ts == message.ts and change.instrument in (EVERYTHING, message.instrument):
                compared.append(message)
    ends: dict[int, int] = {}
    found: list[Halt] = []
    for change, compared in reversed(changes):
        until = ends.get(change.instrument)
        ends[change.instrument] = change.ts
        if change.state is not RiskState.CAN_TRADE:
            found.append(_halt(change, compared, until))
    return found[::-1]


def _halt(change: RiskStateChanged, compared: Sequence[Comparison], until: int | None) -> Halt:
    return Halt(
        ts=change.ts,
        until=until,
        instrument=change.instrument,
        state=change.state,
        before=change.before,
        reasons=change.reasons,
        blame=_blamed(change.reasons, compared),
        comparisons=tuple(compared),
        # whole seconds, which rows are made at
        start=max(0, (change.ts - WINDOW_NS) // NS_PER_S * NS_PER_S),
        end=-(-((change.ts if until is None else until) + WINDOW_NS) // NS_PER_S) * NS_PER_S,
    )


def _blamed(reasons: Sequence[str], compared: Sequence[Comparison]) -> Blame:
    # the gravest reason is the first
    code = reasons[0].partition(":")[0] if reasons else ""
    if code in _DATA:
        return Blame.DATA
    diffs = [diff for comparison in compared if (diff := largest(comparison)) is not None]
    if code != _DIFF or not diffs:
        return Blame.OTHER
    return blamed(max(diffs, key=lambda diff: abs(diff.total)))


def blamed(diff: EffectiveDiff) -> Blame:
    """Return the part that did most for the size of a difference; parts that made it smaller are not to blame."""
    side = -1.0 if diff.total < 0.0 else 1.0
    parts = ((Blame.DEVIATION, diff.deviation), (Blame.SLIPPAGE, diff.slippage), (Blame.AGE, diff.age))
    return max(parts, key=lambda part: side * part[1])[0]


def listing(found: Sequence[Halt], names: Mapping[int, str]) -> str:
    """Return a line for each halt, numbered from 1; `names` are the instruments' keys by number."""
    if not found:
        return "Nothing was halted."
    return "\n".join(f"{number:>4}  {_headline(halt, names)}: {halt.blame}" for number, halt in enumerate(found, 1))


def text(halt: Halt, names: Mapping[int, str]) -> str:
    """Return what happened, for a person: reasons, parts, prices and the limits that they were measured against."""
    lines = [_headline(halt, names), f"It comes down to {halt.blame}."]
    lines += [f"  {reason}" for reason in halt.reasons] or ["  no reason is left"]
    for comparison in halt.comparisons:
        lines += ["", *_market(comparison, names)]
    codes = {reason.partition(":")[0] for reason in halt.reasons}
    limits = halt.comparisons[0].thresholds if halt.comparisons else {}
    in_force = [f"{name} {bound:g}" for name, bound in limits.items() if name.partition(".")[0] in codes]
    if in_force:
        lines += ["", f"Limits in force: {', '.join(in_force)}"]
    lines += ["", f"To see it again, play {iso_ms(halt.start)} to {iso_ms(halt.end)} UTC."]
    return "\n".join(lines)


def seed_record(comparison: Comparison, names: Mapping[int, str]) -> dict[str, object]:
    """Return a comparison under the seed's names (phase 1), for a line of JSON.

    Markets are named by their venues, so that of dYdX beside Binance gives `dydx_mid` and `binance_mid`. What the
    seed lacks comes after: the parts of each effective difference.
    """
    seen = comparison.observed
    own = _venue(comparison.instrument, names)
    record: dict[str, object] = {
        "ts": f"{iso_ms(comparison.ts)}Z",
        "minute_bucket": f"{iso_ms(comparison.minute_bucket)}Z",
        "symbol": _name(comparison.instrument, names),
        "cause": comparison.cause,
        **_prices(own, seen.mid, seen.last, seen.ts_venue, seen.age_ns),
    }
    if seen.leader is not None:
        leader = seen.leader
        prefix = _venue(leader.instrument, names)
        record |= _prices(prefix, leader.mid, leader.last, leader.ts, leader.age_ns)
    record |= {
        "expected_fill_buy": seen.fill_buy or None,
        "expected_fill_sell": seen.fill_sell or None,
        "effective_diff_signed_buy": None if comparison.buy is None else comparison.buy.total,
        "effective_diff_signed_sell": None if comparison.sell is None else comparison.sell.total,
        "risk_state": comparison.risk_state,
        "halt_reason": comparison.halt_reason,
        "thresholds": comparison.thresholds,
        "signal_score": seen.score,
        "mtf_aligned": seen.aligned,
    }
    record |= {
        name: None if rsi < 0.0 else rsi
        for name, rsi in (("rsi_1m", seen.rsi_1m), ("rsi_5m", seen.rsi_5m), ("rsi_15m", seen.rsi_15m))
    }
    for side, diff in (("buy", comparison.buy), ("sell", comparison.sell)):
        record[f"effective_diff_parts_{side}"] = None if diff is None else msgspec.structs.asdict(diff)
    return record


def _prices(venue: str, mid: float, last: float, ts: int, age_ns: int) -> dict[str, object]:
    return {
        f"{venue}_mid": mid or None,
        f"{venue}_last": last or None,
        f"{venue}_ts": f"{iso_ms(ts)}Z" if ts else None,
        f"{venue}_age_ms": age_ns / NS_PER_MS,
    }


def _venue(instrument: int, names: Mapping[int, str]) -> str:
    return _name(instrument, names).partition(":")[0].partition("-")[0]


def _headline(halt: Halt, names: Mapping[int, str]) -> str:
    scope = "everything" if halt.instrument == EVERYTHING else _name(halt.instrument, names)
    lasted = "and lasts" if halt.until is None else f"for {duration((halt.until - halt.ts) / NS_PER_S)}"
    return f"{iso_ms(halt.ts)} UTC  {scope}  {halt.state.upper()} after {halt.before.upper()}, {lasted}"


def _name(instrument: int, names: Mapping[int, str]) -> str:
    return names.get(instrument, f"instrument {instrument}")


def _market(comparison: Comparison, names: Mapping[int, str]) -> list[str]:
    seen = comparison.observed
    lines = [
        f"{_name(comparison.instrument, names)}: mid {_price(seen.mid)}, spread {_price(seen.spread)}, "
        f"{_age(seen.age_ns)}, its clock {signed(seen.clock_skew_ns / NS_PER_S, 's', 3)}",
        f"  within 5 bp: bids {amount(seen.depth_bid, digits=0)}, asks {amount(seen.depth_ask, digits=0)}; "
        f"one deviation of a minute is {amount(1e4 * seen.sigma_1m, 'bp')}",
    ]
    if seen.leader is None:
        return [*lines, "  no leader to be compared with"]
    leader = seen.leader
    lines.append(f"  leader {_name(leader.instrument, names)}: mid {_price(leader.mid)}, {_age(leader.age_ns)}")
    for side, fill, diff in (("buy", seen.fill_buy, comparison.buy), ("sell", seen.fill_sell, comparison.sell)):
        if diff is None:
            lines.append(f"  to {side}: no price")
        else:
            lines.append(
                f"  to {side} at {_price(fill)}: {_bp(diff.total)} = mid deviation {_bp(diff.deviation)}, "
                f"slippage {_bp(diff.slippage)}, age {_bp(diff.age)}"
            )
    return lines


def _price(price: float) -> str:
    # what is traded may cost 100,000 or 0.00001
    return f"{price:,.8g}"


def _age(age_ns: int) -> str:
    return f"{duration(age_ns / NS_PER_S)} old"


def _bp(fraction: float) -> str:
    return signed(1e4 * fraction, "bp")
