"""What the decision stage says: probabilities, the winner with its evidence, and intents."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from spyhop.model.tape import Side

STRATEGIES: tuple[str, ...] = (
    "WHALE_PUMP",
    "WHALE_DUMP",
    "MOMENTUM_SURGE",
    "WHALE_ACCUMULATE",
    "WHALE_DISTRIBUTE",
    "STEALTH_ACCUMULATE",
    "STOP_HUNT_LONG",
    "STOP_HUNT_SHORT",
    "LIQUIDATION_CASCADE",
    "BREAKOUT_REAL",
    "BREAKOUT_FAKE",
    "REVERSAL_SIGNAL",
    "RANGE_SUPPORT",
    "RANGE_RESISTANCE",
    "CONSOLIDATION",
    "HIGH_VOLATILITY",
    "NEWS_DRIVEN",
    "FUNDING_ARBITRAGE",
    "MARKET_MAKING",
    "LIQUIDITY_PROVISION",
    "REBALANCING",
    "ORDER_ABSORPTION",
    "WAIT_AND_SEE",
)

LEAD_FOLLOW = "LEAD_FOLLOW"
"""The rule that follows a leader: it enters by itself and is none of those that are weighed against each other."""

CLASSES: dict[str, tuple[str, ...]] = {
    "offensive": STRATEGIES[0:3],
    "defensive": STRATEGIES[3:6],
    "hunting": STRATEGIES[6:9],
    "precision": STRATEGIES[9:12],
    "ranging": STRATEGIES[12:15],
    "special": STRATEGIES[15:18],
    "neutral": STRATEGIES[18:23],
}


class Trigger(StrEnum):
    """Why an analysis was made."""

    INTERVAL = "interval"
    SHARP = "sharp"
    LEAD = "lead"


class Contribution(msgspec.Struct, frozen=True):
    """One piece of evidence behind a score: `weight` x `evidence` (confidence already in it) = `score`."""

    name: str
    evidence: float
    weight: float
    score: float


class Decision(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """One analysis of one instrument.

    `probabilities` are in the order of STRATEGIES and sum to 1; `confidence` in [0, 1]; `reasons` is empty when the
    decision became an intent, else each says what was measured against which limit. A decision of LEAD_FOLLOW claims
    no probability: it is 0.0.
    """

    seq: int
    ts: int
    instrument: int
    trigger: Trigger
    price: float
    probabilities: tuple[float, ...]
    strategy: str
    probability: float
    confidence: float
    side: Side
    evidence: tuple[Contribution, ...]
    reasons: tuple[str, ...] = ()


class Hedge(msgspec.Struct, frozen=True, kw_only=True):
    """Where an intent wishes to be hedged: the opposite side of `instrument`, lot for lot of the base currency.

    `reference` is ticks of the mid at the decision, `spread_frac` what the book quotes as a fraction of it.
    """

    instrument: int
    reference: int
    spread_frac: float = 0.0


class Intent(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """A wish to enter a position, with the exits that it was decided for.

    `reference`, `take_profit` and `stop` are ticks; `reference` is the mid at the decision, rounded toward our side.
    With a `hedge` the two exits are of the price that this market would have, had that of the hedge stood still.
    """

    seq: int
    ts: int
    instrument: int
    decision_seq: int
    side: Side
    strategy: str
    probability: float
    confidence: float
    reference: int
    take_profit: int
    stop: int
    max_hold_ns: int
    atr: float = 0.0  # price units; 0 while not ready
    spread: float = 0.0  # price units
    data_age_ns: int = 0  # age of the newest book event at the decision
    hedge: Hedge | None = None
