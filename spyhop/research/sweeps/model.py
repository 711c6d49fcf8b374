"""What a sweep found, as values: every span apart, every test with its outcome in words; never one pooled number.

Times are nanoseconds UTC; returns are net fractions of notional, shown as bp (1e-4) a period; Sharpe ratios are per
period, not annualised.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

from spyhop.reports.model import Interval, Verdict

Share: TypeAlias = Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)]


class AssessParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a sweep is judged; fixed before it runs."""

    final_frac: Share = 0.2
    """The last share of the periods, untouched until it is opened."""
    train_frac: Share = 0.5
    """The share of the rest that lies before the first out-of-sample period."""
    num_folds: Annotated[int, msgspec.Meta(ge=1, le=100)] = 5
    """Walk-forward steps over what lies after it."""
    horizon_s: Annotated[float, msgspec.Meta(ge=0.0)] = 3_600.0
    """How long a trade may last: a training period whose trades may end inside a test is dropped."""
    embargo_s: Annotated[float, msgspec.Meta(ge=0.0)] = 0.0
    """A further gap between training and test."""
    min_trades: Annotated[int, msgspec.Meta(ge=2)] = 30
    """A setting with fewer trades is never chosen."""
    num_blocks: Annotated[int, msgspec.Meta(ge=4, le=16, multiple_of=2)] = 16
    """Blocks of the combinatorial cross-validation; fewer where periods are few."""
    pbo_settings: Annotated[int, msgspec.Meta(ge=2, le=20_000)] = 1_000
    """Settings it looks at: when there are more, so many drawn by lot."""
    pbo_splits: Annotated[int, msgspec.Meta(ge=10)] = 12_870
    pbo_null_splits: Annotated[int, msgspec.Meta(ge=10)] = 300
    pbo_null_draws: Annotated[int, msgspec.Meta(ge=20, le=10_000)] = 200
    """Markets without any difference of means that the null band is made of."""
    num_draws: Annotated[int, msgspec.Meta(ge=100, le=100_000)] = 1_000
    """Resamples of the test of superior predictive ability and of intervals."""
    num_top: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 20
    """Rows of the ranked table."""
    num_sampled: Annotated[int, msgspec.Meta(ge=0, le=5_000)] = 300
    """Settings of the rest, drawn by lot for the pictures."""


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of periods: the beginnings of the first and the last, and how many."""

    first: int
    last: int
    num_periods: int


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """What one setting earned in one span."""

    mean_bps: float
    sharpe: float
    """Mean over standard deviation a period; 0 where nothing was traded."""
    total_bps: float
    num_periods: int
    num_active: int
    """Periods in which it earned or lost anything."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One setting; `in_sample` is before the first out-of-sample period, `out_of_sample` after, `final` if opened."""

    setting: list[float]
    plateau: float
    """Median Sharpe ratio of the setting and its neighbours, at most its own, in sample: the table's order."""
    in_sample: Score
    out_of_sample: Score
    final: Score | None
    num_trades: int


class Fold(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the walk: a setting chosen on the past, and what it earned next; no setting if none traded enough."""

    train: Span
    test: Span
    num_purged: int
    setting: list[float] | None
    in_sample: Score | None
    out_of_sample: Score


class Walk(msgspec.Struct, frozen=True, kw_only=True):
    """The choosing rule, step by step: every period here was earned by a setting chosen before it."""

    folds: list[Fold]
    out_of_sample: Score
    by_student: Interval | None
    by_bootstrap: Interval | None
    """95 % intervals of the mean, bp a period; the second resamples blocks of periods."""
    decay: float | None
    """Out-of-sample over in-sample Sharpe, both over the same folds; None without a positive one in sample."""


class Deflated(msgspec.Struct, frozen=True, kw_only=True):
    """The chosen setting's Sharpe ratio against the best of as many lucky ones as were tried."""

    sharpe: float
    expected_best: float
    """Sharpe ratio that the best of all trials has by luck alone.

    From the variance of the trials' ratios, at most that of one worthless trial's estimate, 1 / (periods - 1).
    """
    num_trials: int
    num_measured: int
    """Trials of this sweep whose spread it was taken from."""
    skewness: float
    kurtosis: float
    psr: float
    dsr: float
    min_track_record: float | None
    """Periods needed to tell the Sharpe ratio from zero at 95 %; None if it is not positive."""


class Overfit(msgspec.Struct, frozen=True, kw_only=True):
    """Probability of back-test overfitting with the band that it has where all settings are worth the same."""

    pbo: float
    p: float
    """How often it is as low as this where all settings are worth the same; small numbers speak for a real order."""
    null_low: float
    null_median: float
    null_high: float
    null: list[float]
    logit_edges: list[float]
    logit_counts: list[int]
    num_blocks: int
    num_splits: int
    num_settings: int
    num_eligible: int


class Superior(msgspec.Struct, frozen=True, kw_only=True):
    """Hansen's test: is the best of all settings better than not trading?"""

    p: float
    statistic: float
    best: list[float]
    block: float
    num_draws: int
    num_settings: int


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One test's outcome; `passed` None where it could not be made."""

    name: str
    passed: bool | None
    said: str


class Heat(msgspec.Struct, frozen=True, kw_only=True):
    """Median in-sample Sharpe over two axes, all others whatever they are; `cells[y][x]`, None where nothing is."""

    x: str
    y: str
    xs: list[float]
    ys: list[float]
    cells: list[list[float | None]]


class SweepResult(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    names: list[str]
    num_settings: int
    num_idle: int
    """Settings that never traded."""
    num_thin: int
    """Settings that traded, but fewer times than `min_trades`."""
    num_eligible: int
    """Settings that traded often enough before the final period, and so take part in the tests."""
    num_positive: int
    """Those of them that earned anything there after costs; of worthless settings without costs about half do."""
    num_trials: int
    """All trials ever made, by the ledger."""
    period_s: float
    is_simulated: bool
    """Whether the data was made up: nothing earned on it is an edge."""
    in_sample: Span
    out_of_sample: Span
    final: Span
    final_opened: bool
    chosen: Row | None
    """Centre of the best region over everything before the final period: the setting that goes forward."""
    chosen_score: Score | None
    """What it earned there; it was chosen on it, so it is no evidence."""
    chosen_final: Score | None
    final_interval: Interval | None
    walk: Walk
    deflated: Deflated | None
    overfit: Overfit | None
    superior: Superior | None
    top: list[Row]
    sample: list[Row]
    heats: list[Heat]
    checks: list[Check]
    verdict: Verdict
    notes: list[str]
    params: AssessParams
    seed: int
