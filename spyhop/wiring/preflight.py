"""Does every guard stand that trading on a leader's word needs? The seed's checklist before anything goes live.

A setting is a guard while its bound is one that somebody could reach: the defaults of many limits are there to be set
and stop nobody. What is asked is the loosest bound that would still be called a guard, not advice.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from spyhop.clock import NS_PER_HOUR, NS_PER_MS, NS_PER_S
from spyhop.config.settings import Settings
from spyhop.errors import SpyhopError
from spyhop.model.instruments import Instrument
from spyhop.model.observations import Comparison, LeadLag
from spyhop.model.tape import Venue
from spyhop.storage import journal
from spyhop.strategies.observing import LEADING, leaders
from spyhop.venues import catalogue
from spyhop.venues.doctor import Level
from spyhop.venuesim.accounts import FEES
from spyhop.wiring.killing import KillSwitch
from spyhop.wiring.trading import Examined
from spyhop.wiring.venues import venue_and_symbol

RECENT_NS: Final = 24 * NS_PER_HOUR
"""A lag that was measured longer ago says nothing about now."""
HIGHEST_TAKER_FEE: Final = 0.001
"""Assumed of a venue whose fees nobody told us: spot's without a discount."""
_TELL_FUNDING: Final = frozenset({Venue.BINANCE_USDM, Venue.BINANCE_COINM, Venue.DYDX})
_HAVE_NONE: Final = frozenset({Venue.BINANCE_SPOT})


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One guard: whether it stands, what was found, what is asked, and how to put it right ("" when it stands)."""

    group: str
    name: str
    passes: bool
    found: str
    asked: str
    mend: str = ""


class _Bound(msgspec.Struct, frozen=True):
    """A setting that is a guard while it is at most `most`."""

    group: str
    path: str
    most: float
    guards: str


_AGE, _COST, _SWAN, _EXIT = "age gate", "cost model", "black swan", "exits"
_LEADER, _DIFF, _KILL, _ACCOUNT = "leader", "effective difference", "kill switch", "account"

BOUNDS: Final = (
    _Bound(_AGE, "lead.max_age_s", 10.0, "a leader's word on old prices is not heard, seconds"),
    _Bound(_AGE, "decision.filter.max_data_age_s", 10.0, "no intent on old data, seconds"),
    _Bound(_AGE, "risk.limits.max_data_age_s", 10.0, "no entry on old data, seconds"),
    _Bound(_AGE, "risk.limits.max_clock_skew_s", 10.0, "no entry while the clocks differ, seconds"),
    _Bound(_AGE, "risk.states.halt_data_age_s", 60.0, "old data halts, seconds"),
    _Bound(_AGE, "risk.states.halt_silence_s", 900.0, "silence halts, seconds"),
    _Bound(_AGE, "risk.states.halt_clock_skew_s", 10.0, "clocks that differ halt, seconds"),
    _Bound(_DIFF, "risk.limits.max_effective_diff_frac", 0.05, "no entry far from the leader, fraction"),
    _Bound(_DIFF, "risk.states.suspect_effective_diff_frac", 0.05, "far from the leader entries are smaller, fraction"),
    _Bound(_DIFF, "risk.states.halt_effective_diff_frac", 0.10, "far from the leader halts, fraction"),
    _Bound(_SWAN, "risk.limits.max_losses_in_row", 20, "losses one after the other end entries"),
    _Bound(_SWAN, "risk.limits.max_volatility_ratio", 20.0, "no entry in a storm, volatility over its mean"),
    _Bound(_SWAN, "risk.states.halt_volatility_ratio", 20.0, "a storm halts, volatility over its mean"),
    _Bound(_SWAN, "risk.health.min_volatility", 120, "the mean of the volatility is known after so many analyses"),
    _Bound(_SWAN, "risk.limits.max_depth_frac", 1.0, "no entry larger than the depth, share of it"),
    _Bound(_SWAN, "risk.limits.max_daily_loss_frac", 0.10, "no entry past the day's loss, fraction of equity"),
    _Bound(_SWAN, "risk.limits.max_daily_drawdown_frac", 0.20, "no entry past the day's drawdown, fraction"),
    _Bound(_SWAN, "risk.states.halt_drawdown_frac", 0.20, "a drawdown halts, fraction"),
    _Bound(_SWAN, "risk.states.escape_drawdown_frac", 0.30, "a drawdown closes what is held, fraction"),
    _Bound(_EXIT, "decision.exits.take_profit_frac", 0.50, "an entry takes its profit, fraction"),
    _Bound(_EXIT, "decision.exits.stop_loss_frac", 0.10, "an entry has a stop, fraction"),
    _Bound(_EXIT, "decision.exits.max_hold_s", 86_400.0, "an entry ends, seconds"),
    _Bound(_EXIT, "lead.take_profit_frac", 0.50, "LEAD_FOLLOW takes its profit, fraction"),
    _Bound(_EXIT, "lead.stop_loss_frac", 0.10, "LEAD_FOLLOW has a stop, fraction"),
    _Bound(_EXIT, "lead.horizon_s", 86_400.0, "LEAD_FOLLOW ends, seconds"),
)


def preflight(settings: Settings, now: int, *, is_live: bool = False) -> list[Check]:
    """Return every check of the checklist but the accounts', at `now` (nanoseconds UTC).

    What was measured of simulated markets counts unless it `is_live`. Raises MissingInput for a symbol of a venue that
    nobody knows.
    """
    markets = _markets(settings.session.symbols)
    return [
        *(_bounded(bound, settings) for bound in BOUNDS),
        *_costs(settings, markets),
        *_kill_switch(settings),
        *_led(settings, markets),
        *_lags(settings, now, is_live=is_live),
    ]


def of_accounts(examined: Iterable[Examined]) -> list[Check]:
    """Return a check for each account that the doctor looked at."""
    return [
        Check(
            group=_ACCOUNT,
            name=one.account,
            passes=one.is_fit,
            found="; ".join(finding.text for finding in one.findings if finding.level is Level.FAIL) or "fit to trade",
            asked="what spyhop doctor asks",
            mend="" if one.is_fit else "see: spyhop doctor",
        )
        for one in examined
    ]


def passes(checks: Sequence[Check]) -> bool:
    """Say whether every guard stands, and something was looked at."""
    return bool(checks) and all(check.passes for check in checks)


def value_of(settings: Settings, path: str) -> float:
    """Return a number of the settings by path."""
    value: Any = settings
    for name in path.split("."):
        value = getattr(value, name)
    return float(value)


def _bounded(bound: _Bound, settings: Settings) -> Check:
    value = value_of(settings, bound.path)
    stands = value <= bound.most
    return Check(
        group=bound.group,
        name=bound.path,
        passes=stands,
        found=f"{value:g}: {bound.guards}",
        asked=f"at most {bound.most:g}",
        mend="" if stands else f"--set {bound.path}={bound.most:g}",
    )


def _markets(symbols: Sequence[str]) -> tuple[Instrument, ...]:
    found = []
    for number, name in enumerate(symbols):
        venue, symbol = venue_and_symbol(name)
        known = catalogue.find(venue, symbol) or catalogue.inferred(venue, symbol, 2, 3)
        found.append(known.numbered(number))
    return tuple(found)


def _costs(settings: Settings, markets: Sequence[Instrument]) -> list[Check]:
    charged = {
        market.venue.label: float(FEES[market.venue][1]) if market.venue in FEES else HIGHEST_TAKER_FEE
        for market in markets
    }
    fee, where = max((fee, label) for label, fee in charged.items())
    checks = []
    for path in ("venue.taker_fee_frac", "risk.sizing.fee_frac"):
        value = value_of(settings, path)
        stands = value >= fee
        checks.append(
            Check(
                group=_COST,
                name=path,
                passes=stands,
                found=f"{value:g}",
                asked=f"at least {fee:g}, what {where} takes without a discount",
                mend="" if stands else f"--set {path}={fee:g}",
            )
        )
    slippage = settings.risk.sizing.slippage_bps
    checks.append(
        Check(
            group=_COST,
            name="risk.sizing.slippage_bps",
            passes=slippage > 0.0,
            found=f"{slippage:g} bp beyond the quoted spread",
            asked="more than 0",
            mend="" if slippage > 0.0 else "--set risk.sizing.slippage_bps=1",
        )
    )
    return [*checks, _funding(markets)]


def _funding(markets: Sequence[Instrument]) -> Check:
    silent = sorted({one.venue.label for one in markets if one.venue not in _TELL_FUNDING | _HAVE_NONE})
    return Check(
        group=_COST,
        name="funding",
        passes=not silent,
        found=f"nobody tells that of {', '.join(silent)}" if silent else "told by the venues, charged at its stamps",
        asked="a venue that tells its funding, or has none",
        mend=f"trade nothing at {', '.join(silent)}" if silent else "",
    )


def _kill_switch(settings: Settings) -> list[Check]:
    runs = Path(settings.session.runs)
    reason = KillSwitch(runs).reason()
    place = next(folder for folder in (runs, *runs.absolute().parents) if folder.is_dir())
    is_reachable = os.access(place, os.W_OK | os.X_OK)
    is_off = not reason and not settings.risk.limits.kill_switch
    return [
        Check(
            group=_KILL,
            name="reachable",
            passes=is_reachable,
            found=f"{place} can{'' if is_reachable else 'not'} be written to",
            asked="a folder that spyhop kill can write its switch to",
            mend="" if is_reachable else "--runs with a folder of yours",
        ),
        Check(
            group=_KILL,
            name="not pulled",
            passes=is_off,
            found=reason or ("risk.limits.kill_switch is set" if not is_off else "not pulled"),
            asked="a switch that is off",
            mend="" if is_off else "spyhop kill --lift, and risk.limits.kill_switch=false",
        ),
    ]


def _is_led(settings: Settings) -> bool:
    return settings.lead.enters or settings.lead.mode != "off"


def _led(settings: Settings, markets: Sequence[Instrument]) -> list[Check]:
    led = leaders(markets)
    names = {market.id: market.key for market in markets}
    checks = []
    for market in markets:
        if market.venue in LEADING:
            continue
        has = market.id in led
        checks.append(
            Check(
                group=_LEADER,
                name=market.key,
                passes=has,
                found=f"led by {names[led[market.id]]}" if has else "no leader among the symbols",
                asked=f"a Binance market of {market.base or 'its base currency'}",
                mend="" if has else f"--symbols with {market.base}USDT besides {market.key}",
            )
        )
    if not checks:
        # who follows nobody needs no leader
        checks.append(
            Check(
                group=_LEADER,
                name="followers",
                passes=not _is_led(settings),
                found="no market of these symbols is led",
                asked="a market to follow with, when lead.mode or lead.enters is on",
                mend="--symbols with a follower such as BTC-USD" if _is_led(settings) else "",
            )
        )
    return checks


def _lags(settings: Settings, now: int, *, is_live: bool) -> list[Check]:
    """Return what the newest session of the last 24 hours measured of each follower."""
    try:
        name, measured = _measured(Path(settings.session.runs), now, is_live=is_live)
    except SpyhopError as error:
        found = f"the newest session cannot be read: {error}"
        return [Check(group=_LEADER, name="lag", passes=False, found=found, asked="a journal", mend="look at it")]
    least = settings.venue.entry_latency_ms * NS_PER_MS
    asked = f"more than the {settings.venue.entry_latency_ms:g} ms that an entry takes, less than lead.horizon_s"
    checks = []
    for key, lag in measured.items():
        stands = lag.is_measured and least < lag.lag_ns < settings.lead.horizon_s * NS_PER_S
        what = f"{lag.lag_ns / NS_PER_MS:,.0f} ms, correlation {lag.rho:.2f} against {lag.null_95:.2f} by chance"
        checks.append(
            Check(
                group=_LEADER,
                name=f"lag of {key}",
                passes=stands or not _is_led(settings),
                found=f"{what} (session {name})",
                asked=asked,
                mend="" if stands or not _is_led(settings) else "do not follow it: lead.mode=off, lead.enters=false",
            )
        )
    if not checks:
        found = f"session {name} measured none" if name else "no session of the last 24 hours"
        is_missing = bool(name) and _is_led(settings)
        mend = "watch longer, or do not follow" if is_missing else ""
        checks.append(Check(group=_LEADER, name="lag", passes=not is_missing, found=found, asked=asked, mend=mend))
    return checks


def _measured(runs: Path, now: int, *, is_live: bool) -> tuple[str, Mapping[str, LeadLag]]:
    for name in reversed(journal.sessions(runs) if runs.is_dir() else []):
        session = journal.read_session(runs / name)
        if session.started < now - RECENT_NS:
            break
        if session.mode not in ("paper", "live") or (is_live and session.is_simulated):
            continue
        keys = {one.id: one.key for one in session.instruments}
        newest: dict[str, LeadLag] = {}
        for entry in journal.read_facts(runs / name):
            if isinstance(comparison := entry.message, Comparison):
                leader = comparison.observed.leader
                lag = leader.features.lag if leader is not None and leader.features is not None else None
                if lag is not None:
                    newest[keys[comparison.instrument]] = lag
        return f"{name}, SIMULATED DATA" if session.is_simulated else name, newest
    return "", {}
