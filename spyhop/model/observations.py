"""What the decision stage tells the supervisor besides intents: how a market stands, alone and against its leader."""

from __future__ import annotations

import msgspec


class LeadLag(msgspec.Struct, frozen=True, kw_only=True):
    """How far a follower is behind, measured on what we heard of both within the last `window_ns`.

    `lag_ns` is above 0 where the leader leads; `rho` the correlation at that lag; `ratio` the sum of squared
    correlations where the leader leads over that where it follows (Huth and Abergel 2014), 0.0 while unknown;
    `null_95` what the highest of them would stay below in 95 of 100 markets that have nothing to do with each other.
    """

    lag_ns: int
    rho: float
    ratio: float
    null_95: float
    window_ns: int

    @property
    def is_measured(self) -> bool:
        """Whether the correlation is higher than chance would have it."""
        return abs(self.rho) > self.null_95


class LeadFeatures(msgspec.Struct, frozen=True, kw_only=True):
    """What a follower's strategy looks at; fractions, by receive time.

    `spread` is (follower mid - leader mid) / leader mid - `basis`, by how much the two stand apart for their currencies
    alone (the leader's currency in the follower's less 1), 0.0 where `is_basis_known` is False; `leader_return` is over
    `window_ns`; `compression` how much of the spread at the newest entry is gone, 0.0 without one; `age_ns` that of the
    older of the two markets; `side` what the rules would do: 1, 0 or -1.
    """

    spread: float
    basis: float
    is_basis_known: bool
    leader_return: float
    window_ns: int
    age_ns: int
    side: int
    compression: float = 0.0
    lag: LeadLag | None = None


class Leader(msgspec.Struct, frozen=True, kw_only=True):
    """How the leading venue's market of the same base stood at that moment; prices in price units.

    `features` is None while there is too little history of the leader.
    """

    instrument: int
    mid: float
    last: float
    ts: int  # of its newest book event, by the venue
    age_ns: int
    features: LeadFeatures | None = None


class Observation(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """How one market stood at an analysis. Prices in price units, 0.0 where there is none yet.

    `fill_buy` and `fill_sell` are what an order of the configured notional would fill at, walked through the book;
    `depth_bid` and `depth_ask` quote currency within 5 bp; `sigma_1m` a fraction per square-root minute and
    `volatility_rank` its percentile in [0, 1]; `clock_skew_ns` the venue's clock against ours;
    `score` and `aligned` are the strategies' (winner's signed probability, agreement of timeframes in [-1, 1]);
    RSIs are -1.0 while they are not ready.
    """

    ts: int
    instrument: int
    mid: float
    last: float
    ts_venue: int
    age_ns: int
    spread: float
    depth_bid: float
    depth_ask: float
    fill_buy: float
    fill_sell: float
    sigma_1m: float
    volatility_rank: float
    atr: float
    clock_skew_ns: int = 0
    score: float = 0.0
    aligned: float = 0.0
    rsi_1m: float = -1.0
    rsi_5m: float = -1.0
    rsi_15m: float = -1.0
    leader: Leader | None = None


class EffectiveDiff(msgspec.Struct, frozen=True, kw_only=True):
    """A signed effective difference and the three things that it is made of, fractions of the leader's mid.

    total = deviation + slippage + age: the follower's mid against the leader's, the walked fill against the
    follower's own mid, and what the leader moved while the older of the two was ageing (an estimate).
    """

    total: float
    deviation: float
    slippage: float
    age: float


class Comparison(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """Everything that a risk state, or a change of it, was made from, so that it can be explained and played again.

    `cause` is `decision` or `risk_state`; `minute_bucket` the start of the UTC minute, nanoseconds; `thresholds` the
    limits in force by code; `buy` and `sell` are None without a leader.
    """

    ts: int
    instrument: int
    cause: str
    minute_bucket: int
    risk_state: str
    halt_reason: str
    thresholds: dict[str, float]
    observed: Observation
    buy: EffectiveDiff | None = None
    sell: EffectiveDiff | None = None
