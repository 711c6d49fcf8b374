"""From what every setting earned to what may be said of the sweep: choice, walk-forward, tests, verdict.

Spans, in time: in sample | out of sample (walk-forward tests) | final, with the periods whose trades reach into the
next span dropped. The final span is not read unless it is opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from spyhop.clock import NS_PER_S
from spyhop.errors import UserError
from spyhop.numerics.statistics import t_interval
from spyhop.reports.model import Interval
from spyhop.research.sweeps import overfitting, plateau
from spyhop.research.sweeps.model import (
    AssessParams,
    Deflated,
    Fold,
    Overfit,
    Row,
    Span,
    Superior,
    SweepResult,
    Walk,
)
from spyhop.research.sweeps.scores import Moments, heats, moments, score
from spyhop.research.sweeps.splits import Mask, Split, keep_final, labels_of, period_length, purged, walk_forward
from spyhop.research.sweeps.verdict import checks_of, judge

__all__ = ["AssessParams", "SweepResult", "assess"]

Array: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Numbers: TypeAlias = npt.NDArray[Any]

MIN_PERIODS = 20
_YEAR_S = 365.25 * 86_400
MIN_ACTIVE = 5
"""Periods with a result in a training span; a setting with fewer is not chosen there."""


class _Sweep(NamedTuple):
    settings: Array
    pnl: Numbers
    num_trades: Ints
    periods: Ints
    around: Ints


class _Spans(NamedTuple):
    development: Mask
    final: Mask
    splits: list[Split]
    tests: Mask


def assess(
    names: Sequence[str],
    settings: Numbers,
    pnl: Numbers,
    num_trades: Numbers,
    periods: Numbers,
    *,
    num_trials: int,
    params: AssessParams | None = None,
    seed: int = 0,
    open_final: bool = False,
    is_simulated: bool = False,
) -> SweepResult:
    """Return all that may be said of a sweep of n settings over T periods.

    `settings` is (n, k), its columns called `names`; `pnl` (n, T) net fractions, every number finite; `num_trades`
    (n,), over all periods; `periods` (T,) their beginnings. `num_trials` counts all trials ever made, by the ledger;
    at least n is taken. What is earned on data that `is_simulated` is no edge. The same input and seed give the same
    result. UserError if the sweep cannot be judged.
    """
    params = params or AssessParams()
    rng = np.random.default_rng(seed)
    sweep = _checked(names, settings, pnl, num_trades, periods)
    spans = _spans(sweep.periods, params)
    in_sample = spans.splits[0].train
    found = moments(sweep.pnl, [spans.development, *(split.train for split in spans.splits)])
    often = sweep.num_trades >= params.min_trades
    choice = _ranked(sweep, found, 0, often)
    chosen = int(choice[0]) if len(choice) else None
    eligible = often & (found.active[0] >= MIN_ACTIVE)
    num_eligible, num_positive = int(eligible.sum()), int((found.sharpe[0][eligible] > 0.0).sum())
    before = sweep.pnl[:, spans.development]
    block = overfitting.block_length(before[eligible])
    walk = _walk(sweep, spans, found, often, block, params, rng)
    deflated = _deflated(before, found.sharpe[0], eligible, chosen, max(num_trials, len(sweep.settings)))
    superior = _superior(sweep.settings, before, eligible, block, params, rng)
    overfit = _overfit(before, eligible, block, params, rng)
    worth = plateau.worth(found.sharpe[1], sweep.around)
    ranked = _ranked(sweep, found, 1, often)

    def row(place: int) -> Row:
        return Row(
            setting=sweep.settings[place].tolist(),
            plateau=float(worth[place]),
            in_sample=score(sweep.pnl[place, in_sample]),
            out_of_sample=score(sweep.pnl[place, spans.tests]),
            final=score(sweep.pnl[place, spans.final]) if open_final else None,
            num_trades=int(sweep.num_trades[place]),
        )

    years = int(spans.development.sum()) * period_length(sweep.periods) / NS_PER_S / _YEAR_S
    final = sweep.pnl[chosen, spans.final] if open_final and chosen is not None else None
    final_score = None if final is None else score(final)
    final_interval = None if final is None else _interval(t_interval(final.astype(np.float64)))
    checks = checks_of(deflated, superior, overfit, walk, final_score, final_interval)
    traded = sweep.num_trades > 0
    rest = np.setdiff1d(np.flatnonzero(traded), ranked[: params.num_top])
    sampled = np.sort(rng.choice(rest, min(params.num_sampled, len(rest)), replace=False))
    return SweepResult(
        names=list(names),
        num_settings=len(sweep.settings),
        num_idle=int((~traded).sum()),
        num_thin=int((traded & ~often).sum()),
        num_eligible=num_eligible,
        num_positive=num_positive,
        num_trials=max(num_trials, len(sweep.settings)),
        period_s=period_length(sweep.periods) / NS_PER_S,
        is_simulated=is_simulated,
        in_sample=_span(sweep.periods, in_sample),
        out_of_sample=_span(sweep.periods, spans.tests),
        final=_span(sweep.periods, spans.final),
        final_opened=open_final,
        chosen=None if chosen is None else row(chosen),
        chosen_score=None if chosen is None else score(before[chosen]),
        chosen_final=final_score,
        final_interval=final_interval,
        walk=walk,
        deflated=deflated,
        overfit=overfit,
        superior=superior,
        top=[row(int(place)) for place in ranked[: params.num_top]],
        sample=[row(int(place)) for place in sampled],
        heats=heats(names, sweep.settings[traded], found.sharpe[1][traded]),
        checks=checks,
        verdict=judge(checks, num_positive, num_eligible, final_opened=open_final, is_simulated=is_simulated),
        notes=_notes(num_trials, len(sweep.settings), years),
        params=params,
        seed=seed,
    )


def _checked(names: Sequence[str], settings: Numbers, pnl: Numbers, num_trades: Numbers, periods: Numbers) -> _Sweep:
    shapes = (settings.shape, pnl.shape, num_trades.shape)
    n, num_periods = len(settings), len(periods)
    if n == 0:
        raise UserError("The sweep has no finished setting, so there is nothing to judge.")
    if shapes != ((n, len(names)), (n, num_periods), (n,)):
        raise ValueError(f"shapes do not fit together: {shapes}, {len(names)} names, {num_periods} periods")
    if num_periods < MIN_PERIODS:
        raise UserError(f"{num_periods} periods are too few to judge a sweep on; it takes at least {MIN_PERIODS}.")
    if (np.diff(periods) <= 0).any():
        raise ValueError("periods do not ascend")
    if not (np.isfinite(pnl).all() and np.isfinite(settings).all()):
        raise ValueError("a result or a setting is not a number")
    values = settings.astype(np.float64)
    return _Sweep(values, pnl, num_trades.astype(np.int64), periods.astype(np.int64), plateau.neighbours(values))


def require_enough(periods: Ints, params: AssessParams | None = None) -> None:
    """Raise UserError when `periods` (beginnings, ns UTC) are too few to be judged under `params`."""
    _spans(periods, params or AssessParams())


def _spans(periods: Ints, params: AssessParams) -> _Spans:
    horizon, embargo = round(params.horizon_s * NS_PER_S), round(params.embargo_s * NS_PER_S)
    _, final = keep_final(periods, params.final_frac)
    development = purged(*labels_of(periods, horizon + embargo), final)
    splits = walk_forward(periods, development, params.train_frac, params.num_folds, horizon, embargo)
    if not splits or min(int(split.train.sum()) for split in splits) < 2 * MIN_ACTIVE:
        raise UserError(
            f"{len(periods)} periods leave too few to train on; take longer data, shorter periods or a shorter horizon."
        )
    return _Spans(development, final, splits, np.logical_or.reduce([split.test for split in splits]))


def _ranked(sweep: _Sweep, found: Moments, span: int, often: Mask) -> Ints:
    eligible = often & (found.active[span] >= MIN_ACTIVE)
    return plateau.ranking(found.sharpe[span], sweep.around, sweep.settings, eligible)


def _walk(
    sweep: _Sweep,
    spans: _Spans,
    found: Moments,
    often: Mask,
    block: float,
    params: AssessParams,
    rng: np.random.Generator,
) -> Walk:
    folds, earned, trained = [], [], []
    for k, split in enumerate(spans.splits, start=1):
        ranked = _ranked(sweep, found, k, often)
        place = int(ranked[0]) if len(ranked) else None
        part = np.zeros(int(split.test.sum())) if place is None else sweep.pnl[place, split.test].astype(np.float64)
        train = None if place is None else score(sweep.pnl[place, split.train])
        earned.append(part)
        trained.append(0.0 if train is None else train.sharpe)
        folds.append(
            Fold(
                train=_span(sweep.periods, split.train),
                test=_span(sweep.periods, split.test),
                num_purged=split.num_purged,
                setting=None if place is None else sweep.settings[place].tolist(),
                in_sample=train,
                out_of_sample=score(part),
            )
        )
    series = np.concatenate(earned)
    total, expected = score(series), float(np.mean(trained))
    means = series[overfitting.stationary_rows(len(series), params.num_draws, block, rng)].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Walk(
        folds=folds,
        out_of_sample=total,
        by_student=_interval(t_interval(series)),
        by_bootstrap=_interval((float(low), float(high))),
        decay=total.sharpe / expected if expected > 0.0 else None,
    )


def _deflated(before: Numbers, sharpes: Array, eligible: Mask, chosen: int | None, num_trials: int) -> Deflated | None:
    if chosen is None:
        return None
    x = before[chosen].astype(np.float64)
    z = (x - x.mean()) / x.std()
    skewness, kurtosis = float(np.mean(z**3)), float(np.mean(z**4))
    spread = float(np.var(sharpes[eligible], ddof=1)) if int(eligible.sum()) > 1 else 0.0
    # ratios that lie further apart than chance puts those of worthless trials do so because some trials are worse in
    # truth (costs); that makes none of the others luckier
    variance = min(spread, 1.0 / (len(x) - 1))
    sharpe, best = float(sharpes[chosen]), overfitting.expected_best_sharpe(num_trials, variance)
    return Deflated(
        sharpe=sharpe,
        expected_best=best,
        num_trials=num_trials,
        num_measured=int(eligible.sum()),
        skewness=skewness,
        kurtosis=kurtosis,
        psr=overfitting.probabilistic_sharpe(sharpe, len(x), 0.0, skewness, kurtosis),
        dsr=overfitting.probabilistic_sharpe(sharpe, len(x), best, skewness, kurtosis),
        min_track_record=overfitting.min_track_record(sharpe, 0.0, skewness, kurtosis),
    )


def _superior(
    settings: Array, before: Numbers, eligible: Mask, block: float, params: AssessParams, rng: np.random.Generator
) -> Superior | None:
    rows = overfitting.stationary_rows(before.shape[1], params.num_draws, block, rng)
    places = np.flatnonzero(eligible)
    found = overfitting.superior_ability(before[places], rows, block)
    if found is None:
        return None
    return Superior(
        p=found.p,
        statistic=found.statistic,
        best=settings[places[found.best]].tolist(),
        block=block,
        num_draws=params.num_draws,
        num_settings=found.num_settings,
    )


def _overfit(
    before: Numbers, eligible: Mask, block: float, params: AssessParams, rng: np.random.Generator
) -> Overfit | None:
    num_blocks = min(params.num_blocks, before.shape[1] // 4 * 2)
    places = np.flatnonzero(eligible)
    if len(places) < 2 or num_blocks < 4:
        return None
    taken = places
    if len(places) > params.pbo_settings:
        taken = np.sort(rng.choice(places, params.pbo_settings, replace=False))
    part = before[taken]
    every = overfitting.splits_of(num_blocks)
    logits = overfitting.overfit_logits(overfitting.block_sums(part, num_blocks), _some(every, params.pbo_splits, rng))
    few = _some(every, params.pbo_null_splits, rng)
    null = overfitting.overfit_null(part, num_blocks, few, params.pbo_null_draws, block, rng)
    low, middle, high = np.quantile(null, [0.05, 0.5, 0.95])
    counts, edges = np.histogram(logits, bins=30)
    pbo = overfitting.probability_of_overfitting(logits)
    return Overfit(
        pbo=pbo,
        p=(1 + int((null <= pbo).sum())) / (1 + len(null)),
        null_low=float(low),
        null_median=float(middle),
        null_high=float(high),
        null=np.sort(null).tolist(),
        logit_edges=edges.tolist(),
        logit_counts=counts.tolist(),
        num_blocks=num_blocks,
        num_splits=len(logits),
        num_settings=len(taken),
        num_eligible=len(places),
    )


def _some(splits: Mask, most: int, rng: np.random.Generator) -> Mask:
    return splits if len(splits) <= most else splits[np.sort(rng.choice(len(splits), most, replace=False))]


def _interval(bounds: tuple[float, float] | None) -> Interval | None:
    return None if bounds is None else Interval(1e4 * bounds[0], 1e4 * bounds[1])


def _span(periods: Ints, mask: Mask) -> Span:
    places = np.flatnonzero(mask)
    return Span(first=int(periods[places[0]]), last=int(periods[places[-1]]), num_periods=len(places))


def _notes(num_trials: int, num_settings: int, years: float) -> list[str]:
    notes = []
    if num_trials < num_settings:
        notes.append(
            f"The ledger counts {num_trials:,} trials, fewer than this sweep alone: {num_settings:,} were taken."
        )
    count = max(num_trials, num_settings)
    needed = overfitting.min_backtest_years(count)
    if years < needed:
        notes.append(
            f"Of {count:,} worthless trials the best shows a Sharpe ratio of 1 a year by luck on {needed:.1f} years of "
            f"data; there were {years:.2f} before the final period."
        )
    return notes
