"""What a sweep stands on: an objective, the arrays it reads, and which recordings they come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy.typing as npt

from spyhop.clock import NS_PER_S
from spyhop.config.settings import Settings
from spyhop.errors import UserError
from spyhop.model.instruments import Instrument
from spyhop.research.objectives.bar_objectives import FOLLOW_PATHS, REVERSION_PATHS, LeadFollow, SpreadReversion
from spyhop.research.objectives.objective import Objective
from spyhop.research.objectives.tick_objective import TickFollow
from spyhop.research.objectives.tops import merged, tops
from spyhop.research.studies.paired import chosen, paired
from spyhop.storage.lake import Lake
from spyhop.wiring.plan import from_lake
from tune.costly import back_test
from tune.space import Space

DIGITS = 16
"""Of a recording's digest: enough to tell any two apart."""

NO_HORIZON_S = 6 * 3_600.0
"""What purging takes a trade to last at most where nothing bounds it."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What to sweep over: an objective's name, where its data is, and what a trade costs."""

    objective: str
    lake: str
    symbols: tuple[str, ...] = ()
    leader: str = ""
    follower: str = ""
    fees_bps: float = 8.0
    slippage_bps: float = 0.0
    latency_s: float = 0.0
    period_s: float = 3_600.0


class Ground(NamedTuple):
    """An objective ready to be evaluated; `data` are digests of the recordings it reads, `said` their description."""

    objective: Objective
    arrays: dict[str, npt.NDArray[Any]]
    data: tuple[str, ...]
    said: str
    horizon_s: float
    """How long a trade lasts at most."""
    is_simulated: bool = False
    is_cheap: bool = True


def own_paths(objective: str) -> tuple[str, ...]:
    """Return what `objective` can vary beside the tree of settings; raise UserError when there is no such objective."""
    if objective not in _OWN:
        raise UserError(f"there is no objective {objective!r}; there are: {', '.join(_OWN)}")
    return _OWN[objective]


def is_cheap(objective: str) -> bool:
    """Say whether an objective evaluates thousands of settings a task."""
    return objective != "backtest"


def prepared(asked: Asked, base: Settings, space: Space) -> Ground:
    """Read the data of a sweep; raise UserError or MissingInput when it is not there."""
    return _PREPARE[asked.objective](asked, base, space)


def _follow(asked: Asked, base: Settings, space: Space) -> Ground:
    objective = LeadFollow(
        params=base.lead,
        fees_bps=asked.fees_bps,
        slippage_bps=asked.slippage_bps,
        latency_s=asked.latency_s,
        period_ns=round(asked.period_s * NS_PER_S),
    )
    return _bars(asked, objective, _highest(space, "lead.horizon_s", base.lead.horizon_s))


def _reversion(asked: Asked, base: Settings, space: Space) -> Ground:
    objective = SpreadReversion(
        fees_bps=asked.fees_bps,
        slippage_bps=asked.slippage_bps,
        latency_s=asked.latency_s,
        period_ns=round(asked.period_s * NS_PER_S),
    )
    return _bars(asked, objective, _highest(space, "study.horizon_s", NO_HORIZON_S))


def _bars(asked: Asked, objective: Objective, horizon_s: float) -> Ground:
    lake = Lake(asked.lake)
    leader, follower = _pair(asked, lake)
    bars = paired(lake, leader, follower)
    arrays = dict(bars.trading._asdict())
    said = f"{follower.key} after {leader.key}, {len(bars.ts):,} minutes of {asked.lake}"
    data = digests(lake, (leader.key, follower.key), ("bars",))
    return Ground(objective, arrays, data, said, horizon_s, _is_simulated(leader, follower))


def _ticks(asked: Asked, base: Settings, space: Space) -> Ground:
    lake = Lake(asked.lake)
    leader, follower = _pair(asked, lake)
    arrays = dict(merged(tops(lake, leader), tops(lake, follower)))
    objective = TickFollow(
        params=base.lead,
        fees_bps=asked.fees_bps,
        slippage_bps=asked.slippage_bps,
        latency_ms=asked.latency_s * 1e3,
        period_ns=round(asked.period_s * NS_PER_S),
    )
    said = f"{follower.key} after {leader.key}, {len(arrays['ts']):,} quotes of {asked.lake}"
    data = digests(lake, (leader.key, follower.key), ("quotes", "book"))
    horizon_s = _highest(space, "lead.horizon_s", base.lead.horizon_s)
    return Ground(objective, arrays, data, said, horizon_s, _is_simulated(leader, follower))


def _is_simulated(*instruments: Instrument) -> bool:
    return any(instrument.is_simulated for instrument in instruments)


def _pair(asked: Asked, lake: Lake) -> tuple[Instrument, Instrument]:
    if len(asked.symbols) > 1:
        raise UserError(f"{asked.objective} is swept over one pair at a time; say one symbol")
    if not asked.symbols and not (asked.leader and asked.follower):
        raise UserError("say who follows whom: --symbols BTC, or --leader and --follower")
    return chosen(lake, asked.symbols[0] if asked.symbols else "", asked.leader, asked.follower)


def _backtest(asked: Asked, base: Settings, space: Space) -> Ground:
    symbols = asked.symbols or base.session.symbols
    instruments, source = from_lake(asked.lake, symbols)
    lake = Lake(asked.lake)
    keys = [instrument.key for instrument in instruments]
    end = max(lake.span(key)[1] for key in keys) + 1
    root = str(Path(asked.lake).absolute()) if lake.is_local else asked.lake
    objective = back_test(base, space, root, symbols, source.start, end, round(asked.period_s * NS_PER_S))
    said = f"back-tests of {', '.join(keys)} in {asked.lake}"
    horizon_s = _highest(space, "decision.exits.max_hold_s", base.decision.exits.max_hold_s)
    if base.lead.enters:
        horizon_s = max(horizon_s, _highest(space, "lead.horizon_s", base.lead.horizon_s))
    return Ground(objective, {}, digests(lake, keys, ()), said, horizon_s, _is_simulated(*instruments), is_cheap=False)


def digests(lake: Lake, keys: Sequence[str], channels: Sequence[str]) -> tuple[str, ...]:
    """Return the digests of the recordings that hold `channels` (all by default) of the instruments `keys`."""
    found = {source.content[:DIGITS] for key in keys for _, source, _ in lake.parts(key, channels)}
    return tuple(sorted(found))


def _highest(space: Space, path: str, otherwise: float) -> float:
    for axis in space.axes:
        if axis.path == path:
            return float(max(axis.codes())) if axis.values else axis.high
    return otherwise


_OWN = {
    "lead-follow": tuple(FOLLOW_PATHS),
    "spread": tuple(REVERSION_PATHS),
    "ticks": tuple(FOLLOW_PATHS),
    "backtest": (),
}
_PREPARE: dict[str, Callable[[Asked, Settings, Space], Ground]] = {
    "lead-follow": _follow,
    "spread": _reversion,
    "ticks": _ticks,
    "backtest": _backtest,
}
