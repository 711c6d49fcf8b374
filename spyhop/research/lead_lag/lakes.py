"""How far one market of a lake is behind another: by the venues' clocks, and by ours."""

from __future__ import annotations

import msgspec

from spyhop.errors import UserError
from spyhop.research.lead_lag.estimate import LeadLagParams, LeadLagStudy, Progress, measured
from spyhop.research.lead_lag.series import Series
from spyhop.research.lead_lag.series_lakes import on_one_clock, ticks
from spyhop.storage.lake import END_OF_TIME, START_OF_TIME, Lake


class BothClocks(msgspec.Struct, frozen=True, kw_only=True):
    """`actionable` is what we could have acted on, by the times at which we heard of prices; `structural` how the
    venues' own times say it was, None where one tells none. Bars bear the venue's times alone: both are then one.
    """

    actionable: LeadLagStudy
    structural: LeadLagStudy | None


def lead_lag_of_lake(
    lake: Lake,
    leader: str,
    follower: str,
    params: LeadLagParams | None = None,
    *,
    source: str = "",
    start: int = START_OF_TIME,
    end: int = END_OF_TIME,
    on_progress: Progress = lambda done, total, said: None,
) -> BothClocks:
    """Return what both clocks say of two instruments, named by key or symbol; raise UserError.

    `source` is `quotes`, `book`, `trades` or `bars`; the best that both have by default.
    """
    first, second = lake.instrument(leader), lake.instrument(follower)
    if first.key == second.key:
        raise UserError(f"{first.key} cannot lead itself: name two instruments")
    held = ticks(lake, first, start, end), ticks(lake, second, start, end)

    def study(pair: tuple[Series, Series]) -> LeadLagStudy:
        return measured(*pair, params, on_progress)

    heard = on_one_clock(*held, "receive", source)
    if heard is None:
        raise UserError(f"{first.key} and {second.key} do not both have {source} in {lake.root}")
    told = on_one_clock(*held, "exchange", source)
    return BothClocks(actionable=study(heard), structural=study(told) if told else None)
