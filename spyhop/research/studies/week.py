"""All studies of one pair over one span, and how many rules that was: the best of several is better by chance."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from spyhop.clock import NS_PER_MINUTE
from spyhop.research.lead_lag import estimate as lead_lag
from spyhop.research.lead_lag.estimate import LeadLagParams, LeadLagStudy
from spyhop.research.lead_lag.series import series
from spyhop.research.studies import following, spreads, words
from spyhop.research.studies.bar_trips import ReversionParams
from spyhop.research.studies.chance import SEED
from spyhop.research.studies.costs import Costs
from spyhop.research.studies.following import FollowingStudy
from spyhop.research.studies.paired import PairedBars
from spyhop.research.studies.spreads import SpreadStudy
from spyhop.research.studies.study import About, Outcome, about
from spyhop.strategies.lead import LeadParams

MAX_LAG_S = 900.0
STEP_S = 60.0


class WeekStudy(msgspec.Struct, frozen=True, kw_only=True):
    """The spread, following in each direction, and the lag; `conclusion` holds what all of it amounts to."""

    kind: str
    about: About
    spread: SpreadStudy
    following: list[FollowingStudy]
    lead_lag: LeadLagStudy
    conclusion: list[str]


def study(
    bars: PairedBars,
    reversion: ReversionParams,
    followed: Sequence[LeadParams],
    costs: Costs,
    *,
    latency_s: float = 0.0,
    seed: int = SEED,
    on_progress: Callable[[int, int, str], None] = lambda done, total, said: None,
) -> WeekStudy:
    """Return every study of `bars`, following once for each of `followed`."""
    total = len(followed) + 2
    on_progress(0, total, "the spread")
    spread = spreads.study(bars, reversion, costs, latency_s=latency_s, seed=seed)
    found = []
    for k, params in enumerate(followed):
        on_progress(k + 1, total, f"following, {params.direction}")
        found.append(following.study(bars, params, costs, latency_s=latency_s, seed=seed))
    on_progress(total - 1, total, "the lag")
    lag = lag_of(bars, seed)
    on_progress(total, total, "done")
    return WeekStudy(
        kind="week",
        about=about(bars),
        spread=spread,
        following=found,
        lead_lag=lag,
        conclusion=_concluded([spread.outcome, *(one.outcome for one in found)], lag),
    )


def lag_of(bars: PairedBars, seed: int = SEED) -> LeadLagStudy:
    """Return how many minutes the follower is behind, as far as closes of minutes can tell."""
    leader, follower = (
        series(name, bars.ts, closes, "exchange", "bars")
        for name, closes in ((bars.leader, bars.leader_close), (bars.follower, bars.follower_close))
    )
    reach = min(MAX_LAG_S, max(2.0, (len(bars.ts) // 20)) * NS_PER_MINUTE / 1e9)
    return lead_lag.measured(leader, follower, LeadLagParams(max_lag_s=reach, step_s=STEP_S, seed=seed))


def text(study: WeekStudy) -> str:
    """Return all of it in a terminal's width."""
    parts = [words.of_spread(study.spread), *(words.of_following(one) for one in study.following)]
    lag = study.lead_lag
    parts.append(f"Lag on closes of minutes: {lag.verdict}\n" + "".join(f"Warning: {one}\n" for one in lag.warnings))
    parts.append("IN ALL\n" + "".join(f"  - {one}\n" for one in study.conclusion))
    return "\n".join(parts)


def _concluded(outcomes: Sequence[Outcome], lag: LeadLagStudy) -> list[str]:
    with_edge = [one.label for one in outcomes if one.verdict.has_edge]
    num = len(outcomes)
    lines = [
        f"Lead/lag: {lag.verdict}",
        f"Edge after costs: {', '.join(with_edge) if with_edge else 'none was shown by any rule'}.",
        f"{num} rules were looked at; a rule that knows nothing would look good in one of twenty, the best of {num} "
        f"in {100 * (1 - 0.95**num):.0f} of 100 spans. Nothing here was tried on a span that nobody had seen.",
    ]
    gains = [(one, one.result.per_trade) for one in outcomes if one.result.per_trade is not None]
    if gains:
        best, mean = max(gains, key=lambda pair: pair[1].net_bps)
        lines.append(
            f"The best of them ({best.label}, {best.result.trades} trades) made {mean.gross_bps:+.2f} bp a trade "
            f"before costs, {mean.net_bps:+.2f} after: {best.verdict.headline}."
        )
    return lines
