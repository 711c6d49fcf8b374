"""The 40 features and 6 labels of a trade: caught when it was decided, joined with what became of it.

Units are those of the records: percent where the name says `pct`, `price_change` or `volatility`, fractions for
`funding_rate`, 0..100 for the liquidation pressures. A label in percent of margin is the price move times notional /
margin, the leverage that the trade really had. Moves are positive when they went our way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from spyhop.clock import NS_PER_S, utc
from spyhop.errors import SnapshotMismatch
from spyhop.model.decisions import LEAD_FOLLOW, STRATEGIES, Decision, Intent
from spyhop.model.entries import Entry
from spyhop.model.orders import OrderChanged, OrderStatus, PairEnded, Purpose, TradeClosed
from spyhop.model.rows import DETECTORS, Rows
from spyhop.model.tape import Side
from spyhop.model.verdicts import Refused

MARKET_FEATURES = (
    "obi",
    "wpi",
    "vpin",
    "funding_rate",
    "oi_change_pct",
    "liq_pressure_long",
    "liq_pressure_short",
    "price_change_1m",
    "price_change_5m",
    "volatility_5m",
)
TRADE_FEATURES = (
    "strategy",
    "probability",
    "confidence",
    "direction",
    "entry_price",
    "take_profit_price",
    "stop_loss_price",
)
FEATURES = (*MARKET_FEATURES, *(f"prob_{name}" for name in STRATEGIES), *TRADE_FEATURES)
LABELS = ("is_profitable", "net_pnl_usdt", "price_move_pct", "hold_seconds", "max_profit_pct", "max_drawdown_pct")

STRATEGY_CODES = {name: code for code, name in enumerate((*STRATEGIES, LEAD_FOLLOW))}
DIRECTION_CODES = {"LONG": 1, "SHORT": -1}
"""How texts are numbers in the feature arrays."""

STATUSES = {
    Purpose.TAKE_PROFIT.value: "CLOSED_TP",
    Purpose.STOP_LOSS.value: "CLOSED_SL",
    Purpose.MAX_HOLD.value: "CLOSED_TIME",
    Purpose.SESSION_END.value: "CLOSED_SESSION_END",
    "liquidation": "CLOSED_LIQUIDATION",
}

_LAYOUT = "features 1"
_MAX_ROWS = 20_000
_MAX_OPEN = 10_000
_DEAD = (OrderStatus.CANCELLED, OrderStatus.REJECTED, OrderStatus.EXPIRED)


class TradeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A closed trade in the seed's shape; the last three keys are ours, see `spyhop.storage.records`.

    Market features are None when the row that the trade was decided on is not known any more.
    """

    trade_id: str
    timestamp: str
    strategy: str
    probability: float
    confidence: float
    direction: str
    entry_price: float
    take_profit_price: float
    stop_loss_price: float
    obi: float | None
    wpi: float | None
    vpin: float | None
    funding_rate: float | None
    oi_change_pct: float | None
    liq_pressure_long: float | None
    liq_pressure_short: float | None
    price_change_1m: float | None
    price_change_5m: float | None
    volatility_5m: float | None
    strategy_probs: dict[str, float]
    status: str
    exit_price: float
    exit_time: str
    price_move_pct: float
    pnl_pct: float
    pnl_usdt: float
    fee_usdt: float
    net_pnl_usdt: float
    hold_seconds: float
    max_profit_pct: float
    max_drawdown_pct: float
    symbol: str
    leverage: float
    funding_usdt: float

    @property
    def is_complete(self) -> bool:
        """Say whether all 40 features are known."""
        return self.obi is not None and len(self.strategy_probs) == len(STRATEGIES)

    def features(self) -> list[float | str]:
        """Return the 40 features in the order of FEATURES; strategy and direction as texts."""
        market = [getattr(self, name) for name in MARKET_FEATURES]
        probabilities = [self.strategy_probs[name] for name in STRATEGIES]
        return [*market, *probabilities, *(getattr(self, name) for name in TRADE_FEATURES)]

    def labels(self) -> list[float]:
        """Return the 6 labels in the order of LABELS."""
        return [
            float(self.net_pnl_usdt > 0.0),
            self.net_pnl_usdt,
            self.price_move_pct,
            self.hold_seconds,
            self.max_profit_pct,
            self.max_drawdown_pct,
        ]


def feature_matrix(trades: Sequence[TradeRecord]) -> npt.NDArray[np.float64]:
    """Return float64 (n, 40) of complete trades; strategy and direction by their codes."""
    codes: dict[Any, int] = STRATEGY_CODES | DIRECTION_CODES
    rows = [[codes[x] if isinstance(x, str) else x for x in trade.features()] for trade in trades]
    return np.array(rows, np.float64).reshape(len(rows), len(FEATURES))


def label_matrix(trades: Sequence[TradeRecord]) -> npt.NDArray[np.float64]:
    """Return float64 (n, 6)."""
    return np.array([trade.labels() for trade in trades], np.float64).reshape(len(trades), len(LABELS))


def market_features(rows: Rows) -> npt.NDArray[np.float64]:
    """Return the ten market features of ROW records, (n, 10), in the order of MARKET_FEATURES."""
    values, evidence = rows["detections"]["value"], rows["evidence"]
    columns = (
        values[:, DETECTORS.index("obi")],
        values[:, DETECTORS.index("wpi")],
        values[:, DETECTORS.index("vpin")],
        evidence["funding_estimate"],
        evidence["oi_change_frac"] * 100.0,
        evidence["liq_long"],
        evidence["liq_short"],
        evidence["return_1m"] * 100.0,
        evidence["return_5m"] * 100.0,
        evidence["volatility_5m"] * 100.0,
    )
    return np.stack(columns, axis=1)


class Caught(msgspec.Struct, frozen=True):
    """What was known when an intent was decided."""

    intent_seq: int
    market: tuple[float, ...]
    probabilities: tuple[float, ...]


class FeatureBook:
    """The features of every intent whose trade has not closed yet.

    Rows are told before the entries that were decided on them. Of what never becomes a trade at most 10,000 intents
    are kept, the newest.
    """

    def __init__(self) -> None:
        self._rows: dict[tuple[int, int], tuple[float, ...]] = {}
        self._open: dict[int, Caught] = {}

    def on_rows(self, rows: Rows) -> None:
        """Remember rows until something later is decided: a leader may be followed at any second."""
        keys = zip(rows["instrument"].tolist(), rows["ts"].tolist(), strict=True)
        self._rows.update(zip(keys, map(tuple, market_features(rows).tolist()), strict=True))
        _keep_newest(self._rows, _MAX_ROWS)

    def on_entries(self, entries: Iterable[Entry]) -> list[tuple[TradeClosed, Caught | None]]:
        """Follow intents; return the trades that closed, each with what was known when it was decided."""
        decisions: dict[int, Decision] = {}
        closed: list[tuple[TradeClosed, Caught | None]] = []
        for entry in entries:
            match entry.message:
                case Decision() as decision:
                    decisions[decision.seq] = decision
                case Intent() as intent:
                    self._catch(intent, decisions.get(intent.decision_seq))
                case Refused() as refused:
                    self._open.pop(refused.intent.seq, None)
                case OrderChanged() as changed:
                    if changed.order.purpose is Purpose.ENTRY and changed.status in _DEAD and not changed.filled:
                        self._open.pop(changed.order.intent_seq, None)
                case PairEnded() as pair:
                    # what is learnt from is one market's: two legs are no example of it
                    self._open.pop(pair.intent_seq, None)
                case TradeClosed(is_leg=False) as trade:
                    closed.append((trade, self._open.pop(trade.intent_seq, None)))
        if decisions:
            newest = max(decision.ts for decision in decisions.values())
            self._rows = {key: market for key, market in self._rows.items() if key[1] > newest}
        _keep_newest(self._open, _MAX_OPEN)
        return closed

    def _catch(self, intent: Intent, decision: Decision | None) -> None:
        market = self._rows.get((intent.instrument, intent.ts))
        if market is not None and decision is not None:
            self._open[intent.seq] = Caught(intent.seq, market, decision.probabilities)

    def __len__(self) -> int:
        return len(self._open)

    def snapshot(self) -> bytes:
        """Return the open intents; rows are not in it, since they come with what is decided on them."""
        return msgspec.msgpack.encode((_LAYOUT, list(self._open.values())))

    def restore(self, snapshot: bytes) -> None:
        """Take the state of `snapshot`; raise SnapshotMismatch if it is of another layout."""
        try:
            layout, caught = msgspec.msgpack.decode(snapshot, type=tuple[str, list[Caught]])
        except msgspec.DecodeError as error:
            raise SnapshotMismatch("features", _LAYOUT, "unknown") from error
        if layout != _LAYOUT:
            raise SnapshotMismatch("features", _LAYOUT, layout)
        self._rows = {}
        self._open = {each.intent_seq: each for each in caught}


def trade_record(trade: TradeClosed, caught: Caught | None, symbol: str) -> TradeRecord:
    """Return a closed trade in the seed's shape."""
    leverage = trade.notional / trade.margin if trade.margin > 0.0 else trade.leverage
    move = trade.side * (trade.exit_price / trade.entry_price - 1.0)
    market: Mapping[str, float | None] = dict.fromkeys(MARKET_FEATURES)
    probabilities: dict[str, float] = {}
    if caught is not None:
        market = dict(zip(MARKET_FEATURES, caught.market, strict=True))
        probabilities = dict(zip(STRATEGIES, caught.probabilities, strict=True))
    return TradeRecord(
        trade_id=trade.trade_id,
        timestamp=_to_second(trade.ts_entry),
        strategy=trade.strategy,
        probability=trade.probability,
        confidence=trade.confidence,
        direction="LONG" if trade.side is Side.BUY else "SHORT",
        entry_price=trade.entry_price,
        take_profit_price=trade.take_profit_price,
        stop_loss_price=trade.stop_loss_price,
        **market,
        strategy_probs=probabilities,
        status=STATUSES.get(trade.exit_purpose, f"CLOSED_{trade.exit_purpose.upper()}"),
        exit_price=trade.exit_price,
        exit_time=_to_second(trade.ts_exit),
        price_move_pct=move * 100.0,
        pnl_pct=move * leverage * 100.0,
        pnl_usdt=trade.gross,
        fee_usdt=trade.fees,
        net_pnl_usdt=trade.net,
        hold_seconds=(trade.ts_exit - trade.ts_entry) / NS_PER_S,
        max_profit_pct=trade.max_profit_frac * leverage * 100.0,
        max_drawdown_pct=trade.max_drawdown_frac * leverage * 100.0,
        symbol=symbol,
        leverage=leverage,
        funding_usdt=trade.funding,
    )


def _to_second(ts: int) -> str:
    return utc(ts).strftime("%Y-%m-%dT%H:%M:%S")


def _keep_newest(kept: dict[Any, Any], limit: int) -> None:
    for key in list(kept)[: max(0, len(kept) - limit)]:
        del kept[key]
