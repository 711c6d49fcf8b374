"""The supervisor's states: a table of what each permits, and of what moves it from one to another.

A state has causes, each a measurement past a bound. A cause enters at once; it leaves, or weakens, only after
`clear_s` of event time in which everything measured was better, and then to the worst of that time. The state is that
of its gravest cause, so it never flaps with a value that dances around a bound.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isnan
from typing import Annotated

import msgspec

from spyhop.clock import NS_PER_S
from spyhop.errors import InvalidSetting
from spyhop.model.verdicts import RiskState

NEVER = 1e18
"""A bound that nothing passes."""

RANK: dict[RiskState, int] = {state: rank for rank, state in enumerate(RiskState)}
"""0 CAN_TRADE to 3 ESCAPE, by gravity."""

NEXT: dict[RiskState, frozenset[RiskState]] = {
    RiskState.CAN_TRADE: frozenset({RiskState.SUSPECT, RiskState.HALT, RiskState.ESCAPE}),
    RiskState.SUSPECT: frozenset({RiskState.CAN_TRADE, RiskState.HALT, RiskState.ESCAPE}),
    RiskState.HALT: frozenset({RiskState.CAN_TRADE, RiskState.SUSPECT, RiskState.ESCAPE}),
    RiskState.ESCAPE: frozenset({RiskState.HALT}),
}
"""Who flees rests before it trades again; all else may follow all else."""


class Bounds(msgspec.Struct, frozen=True):
    """Past which measurement each state begins."""

    suspect: float = NEVER
    halt: float = NEVER
    escape: float = NEVER


_Bound = Annotated[float, msgspec.Meta(ge=0)]


class StateParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hysteresis, what SUSPECT leaves of a size, and past which measurement each state begins."""

    clear_s: Annotated[float, msgspec.Meta(ge=0)] = 60.0
    """How long everything measured must be better before a cause leaves or weakens."""
    suspect_size_frac: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.5
    suspect_data_age_s: _Bound = 2.0
    halt_data_age_s: _Bound = 5.0
    suspect_silence_s: _Bound = 120.0
    """Since an instrument should have been observed, as it was of late, while others are."""
    halt_silence_s: _Bound = 300.0
    suspect_clock_skew_s: _Bound = 0.5
    halt_clock_skew_s: _Bound = 2.0
    suspect_effective_diff_frac: _Bound = 0.01
    halt_effective_diff_frac: _Bound = 0.03
    suspect_volatility_ratio: _Bound = 5.0
    """Volatility over its own mean."""
    halt_volatility_ratio: _Bound = 10.0
    halt_when_unclean: bool = True
    """What a difference between venue and ledger does to its instrument: HALT, or SUSPECT."""
    suspect_drawdown_frac: _Bound = 0.05
    """Below the day's highest equity, as a fraction of it."""
    halt_drawdown_frac: _Bound = 0.08
    escape_drawdown_frac: _Bound = 0.10
    suspect_losses_in_row: _Bound = 100.0
    halt_losses_in_row: _Bound = NEVER
    suspect_rejects: _Bound = 5.0
    """Orders that venues rejected within `reject_window_s`."""
    halt_rejects: _Bound = 20.0
    reject_window_s: Annotated[float, msgspec.Meta(gt=0)] = 600.0

    def __post_init__(self) -> None:
        for code, rule in RULES.items():
            bounds = rule.bounds(self)
            if not bounds.suspect <= bounds.halt <= bounds.escape and bounds.suspect < NEVER:
                raise InvalidSetting("risk.states", f"{code} would halt before it is suspected: {bounds}")


class Rule(msgspec.Struct, frozen=True):
    """One measurement that makes states; `clears_at_once` when somebody's word ends it and not the passing of time."""

    code: str
    watches: str
    bounds: Callable[[StateParams], Bounds]
    clears_at_once: bool = False


_HALTING = Bounds(halt=0.0)

RULES: dict[str, Rule] = {
    rule.code: rule
    for rule in (
        Rule(
            "data_age",
            "the age of a book, seconds",
            lambda p: Bounds(p.suspect_data_age_s, p.halt_data_age_s),
        ),
        Rule(
            "silence",
            "the time since a market should have been observed, seconds",
            lambda p: Bounds(p.suspect_silence_s, p.halt_silence_s),
        ),
        Rule(
            "clock_skew",
            "a venue's clock against ours, seconds",
            lambda p: Bounds(p.suspect_clock_skew_s, p.halt_clock_skew_s),
        ),
        Rule(
            "effective_diff",
            "what we would fill at against the leader, fraction",
            lambda p: Bounds(p.suspect_effective_diff_frac, p.halt_effective_diff_frac),
        ),
        Rule(
            "volatility",
            "volatility over its own mean",
            lambda p: Bounds(p.suspect_volatility_ratio, p.halt_volatility_ratio),
        ),
        Rule(
            "unclean",
            "a reconciliation that left a difference",
            lambda p: _HALTING if p.halt_when_unclean else Bounds(suspect=0.0),
            clears_at_once=True,
        ),
        Rule(
            "daily_drawdown",
            "equity below the day's highest, fraction",
            lambda p: Bounds(p.suspect_drawdown_frac, p.halt_drawdown_frac, p.escape_drawdown_frac),
        ),
        Rule(
            "losses_in_row",
            "losing trades one after the other",
            lambda p: Bounds(p.suspect_losses_in_row, p.halt_losses_in_row),
        ),
        Rule("rejects", "orders that venues rejected lately", lambda p: Bounds(p.suspect_rejects, p.halt_rejects)),
        Rule("paused", "an operator's pause", lambda p: _HALTING, clears_at_once=True),
        Rule("draining", "an operator's wish to end", lambda p: _HALTING),
        Rule("killed", "an operator's kill", lambda p: Bounds(escape=0.0)),
    )
}


class Cause(msgspec.Struct):
    """Why a state is what it is.

    `measured` and `limit` are those of its gravest moment; `better_since` is the time from which on everything measured
    was better (-1 while it is not), `worst_since` the gravest state measured since then.
    """

    state: RiskState
    measured: float
    limit: float
    better_since: int = -1
    worst_since: RiskState = RiskState.CAN_TRADE


class Watch(msgspec.Struct):
    """The state of one scope, an instrument or everything, with its causes by code."""

    causes: dict[str, Cause] = {}

    @property
    def state(self) -> RiskState:
        """Return the state of the gravest cause."""
        return gravest(*(cause.state for cause in self.causes.values()))

    @property
    def reasons(self) -> tuple[str, ...]:
        """Return the causes as `code: measured against limit`, the gravest first."""
        ordered = sorted(self.causes.items(), key=lambda item: (-RANK[item[1].state], item[0]))
        return tuple(f"{code}: {cause.measured:.6g} against {cause.limit:.6g}" for code, cause in ordered)

    def step(self, now: int, measured: Mapping[str, float], params: StateParams) -> None:
        """Take measurements by code at event time `now`; causes of other codes stay as they are."""
        for code, value in measured.items():
            rule = RULES[code]
            state, limit = level(value, rule.bounds(params))
            held = self.causes.get(code)
            if held is None or RANK[state] >= RANK[held.state]:
                if state is not RiskState.CAN_TRADE:
                    self.causes[code] = Cause(state, value, limit)
                continue
            clear_ns = 0 if rule.clears_at_once else round(params.clear_s * NS_PER_S)
            self._weaken(code, held, now, state, clear_ns)

    def _weaken(self, code: str, held: Cause, now: int, state: RiskState, clear_ns: int) -> None:
        if held.better_since < 0:
            held.better_since, held.worst_since = now, state
        held.worst_since = gravest(held.worst_since, state)
        if now - held.better_since < clear_ns:
            return
        to = held.worst_since if held.worst_since in NEXT[held.state] else RiskState.HALT
        if to is RiskState.CAN_TRADE:
            del self.causes[code]
        else:
            held.state, held.better_since, held.worst_since = to, now, state


def level(measured: float, bounds: Bounds) -> tuple[RiskState, float]:
    """Return the gravest state whose bound `measured` is past, and that bound; what cannot be measured halts."""
    if isnan(measured):
        return RiskState.HALT, bounds.halt
    if measured > bounds.escape:
        return RiskState.ESCAPE, bounds.escape
    if measured > bounds.halt:
        return RiskState.HALT, bounds.halt
    if measured > bounds.suspect:
        return RiskState.SUSPECT, bounds.suspect
    return RiskState.CAN_TRADE, bounds.suspect


def gravest(*states: RiskState) -> RiskState:
    """Return the gravest of `states`, CAN_TRADE of none."""
    return max(states, key=RANK.__getitem__, default=RiskState.CAN_TRADE)


def permits_entry(state: RiskState) -> bool:
    """Say whether an entry may be asked for."""
    return RANK[state] <= RANK[RiskState.SUSPECT]


def permits_exit(state: RiskState) -> bool:
    """Say whether an order may be cancelled or a position reduced: always. No state and no limit is asked."""
    return state in RANK


def wants_flat(state: RiskState) -> bool:
    """Say whether what is held is to be closed."""
    return state is RiskState.ESCAPE


def size_frac(state: RiskState, params: StateParams) -> float:
    """Return what a state leaves of a size: all, a part, nothing."""
    if not permits_entry(state):
        return 0.0
    return params.suspect_size_frac if state is RiskState.SUSPECT else 1.0


def bounds_of(params: StateParams) -> dict[str, float]:
    """Return every bound that can be passed, by `code.state`."""
    return {
        f"{code}.{state}": bound
        for code, rule in RULES.items()
        for state, bound in msgspec.structs.asdict(rule.bounds(params)).items()
        if bound < NEVER
    }
