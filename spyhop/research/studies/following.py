"""The study of following: enter the follower alone when its leader has moved and it has not, leave by exits or time."""

from __future__ import annotations

import msgspec
import numpy as np

from spyhop.research.studies.aftermath import PathPoint, path
from spyhop.research.studies.bar_trips import Trips, bars_within, follow_trips, signals, trips_at
from spyhop.research.studies.chance import SEED, Earned, Floats, Places
from spyhop.research.studies.costs import Costs
from spyhop.research.studies.outcomes import Exits
from spyhop.research.studies.paired import MINUTE_S, PairedBars
from spyhop.research.studies.study import About, Outcome, Rule, about, outcome
from spyhop.strategies.lead import LeadParams

_MAX_PATH = 60


class FollowingStudy(msgspec.Struct, frozen=True, kw_only=True):
    """What following brought, by the very rules of the live strategy."""

    kind: str
    about: About
    params: LeadParams
    costs: Costs
    latency_s: float
    path: list[PathPoint]
    outcome: Outcome


def study(
    bars: PairedBars, params: LeadParams, costs: Costs, *, latency_s: float = 0.0, seed: int = SEED
) -> FollowingStudy:
    """Return the study of `bars`; raise UserError where the parameters do not suit minutes."""
    said = signals(bars.trading, params)
    rule = Rule(
        label=_label(params),
        alike="with the same exits",
        num_events=int((said.side != 0).sum()),
        num_legs=1,
        planned=Exits(params.take_profit_frac, params.stop_loss_frac),
        walk=lambda later: follow_trips(bars.trading, params, latency_s + later * MINUTE_S),
        earned=lambda trips: everywhere(bars, params, latency_s, trips),
    )
    return FollowingStudy(
        kind="lead-follow",
        about=about(bars),
        params=params,
        costs=costs,
        latency_s=latency_s,
        path=path(bars, said.side, min(_MAX_PATH, bars_within(params.horizon_s))),
        outcome=outcome(bars, rule, costs, seed),
    )


def everywhere(bars: PairedBars, params: LeadParams, latency_s: float, trips: Trips) -> Earned:
    """Return what the trades' sides and exits would have earned from signals at any bar."""
    num = len(bars.ts)
    by_side = np.full((2, num), np.nan)
    for place, side in enumerate((-1, 1)):
        found = trips_at(bars.trading, np.arange(num), np.full(num, side, np.int8), params, latency_s).rows
        by_side[place, found["i_signal"]] = found["gross"]
    places = (trips.rows["side"] + 1) // 2

    def earned(at: Places) -> Floats:
        gross: Floats = by_side[places[None, :], at]
        return gross

    return earned


def _label(params: LeadParams) -> str:
    return {"both": "long and short", "long": "long", "short": "short"}[params.direction]
