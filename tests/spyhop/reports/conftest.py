from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from spyhop.clock import NS_PER_S
from spyhop.model.control import Session
from spyhop.model.decisions import STRATEGIES, Decision, Intent, Trigger
from spyhop.model.entries import Entry, Recorded
from spyhop.model.instruments import Instrument, MarginTier
from spyhop.model.orders import (
    Fill,
    Liquidity,
    OrderChanged,
    OrderStatus,
    OrderType,
    Purpose,
    SubmitOrder,
    TradeClosed,
)
from spyhop.model.tape import Side, Venue
from spyhop.model.verdicts import Approved, Refused

T = 1_764_350_100 * NS_PER_S
TIERS = (MarginTier(Decimal(0), Decimal("0.004"), Decimal(125)),)
SETTINGS: dict[str, object] = {
    "session": {"equity_usdt": 10_000.0},
    "venue": {"taker_fee_frac": 0.0004},
    "decision": {"exits": {"take_profit_frac": 0.0015, "stop_loss_frac": 0.001}},
}

MakeTrade = Callable[..., TradeClosed]
MakeSession = Callable[..., Session]


@pytest.fixture
def make_session() -> MakeSession:
    def make(**changes: Any) -> Session:
        told = Session(
            id="s20251128_171500_000000",
            started=T,
            mode="paper",
            source="recorded lake",
            is_simulated=False,
            instruments=tuple(
                Instrument(
                    id=k,
                    venue=Venue.BINANCE_USDM,
                    symbol=symbol,
                    tick_size=Decimal("0.10"),
                    lot_size=Decimal("0.001"),
                    margin_tiers=TIERS,
                )
                for k, symbol in enumerate(("BTCUSDT", "ETHUSDT"))
            ),
            settings=SETTINGS,
            version="0.1.0",
            runner="local",
        )
        return msgspec.structs.replace(told, **changes)

    return make


def numbered(messages: list[Recorded]) -> list[Entry]:
    return [Entry(message.ts, "order", seq, message) for seq, message in enumerate(messages)]


@pytest.fixture
def make_story(make_trade: MakeTrade) -> Callable[..., list[Entry]]:
    """Return entries of a session with trades of the given net results, a refusal, and decisions of both kinds."""

    def make(nets: list[float]) -> list[Entry]:
        said: list[Recorded] = []
        for n in range(max(1, len(nets))):
            shared: dict[str, Any] = {
                "ts": T + n * 300 * NS_PER_S,
                "instrument": 0,
                "side": Side.BUY,
                "strategy": "WHALE_PUMP",
                "probability": 0.78,
                "confidence": 0.72,
            }
            reasons = () if nets else ("probability 0.43 is not above 0.70",)
            said.append(
                Decision(
                    **shared,
                    seq=n,
                    trigger=Trigger.INTERVAL,
                    price=50_000.0,
                    probabilities=tuple(0.78 if k == 0 else 0.01 for k in range(len(STRATEGIES))),
                    evidence=(),
                    reasons=reasons,
                )
            )
            if not nets:
                continue
            intent = Intent(
                **shared, seq=n, decision_seq=n, reference=500_000, take_profit=500_750, stop=499_500, max_hold_ns=1
            )
            said.append(intent)
            said.append(
                Approved(
                    seq=n,
                    ts=shared["ts"],
                    intent=intent,
                    lots=200,
                    leverage=1.0,
                    risk=18.0,
                    margin=100.0,
                    epoch=1,
                    expires=0,
                )
            )
            order = SubmitOrder(
                ts=shared["ts"],
                client_order_id=f"c{n}",
                instrument=0,
                side=Side.BUY,
                type=OrderType.MARKET,
                lots=200,
                purpose=Purpose.ENTRY,
            )
            said.append(
                OrderChanged(
                    ts=shared["ts"],
                    client_order_id=f"c{n}",
                    instrument=0,
                    status=OrderStatus.FILLED,
                    filled=200,
                    cause="fill",
                    order=order,
                )
            )
            for side, liquidity in ((Side.BUY, Liquidity.TAKER), (Side.SELL, Liquidity.MAKER)):
                said.append(
                    Fill(
                        ts=shared["ts"] + int(side),
                        ts_venue=shared["ts"],
                        fill_id=f"f{n}{side}",
                        client_order_id=f"c{n}",
                        instrument=0,
                        side=side,
                        price=500_000,
                        lots=200,
                        liquidity=liquidity,
                        fee=4.0,
                        slippage=0.25,
                    )
                )
            said.append(Refused(seq=n, ts=shared["ts"], intent=intent, code="min_interval", measured=12.5, limit=60.0))
            said.append(make_trade(n, nets[n]))
        return numbered(said)

    return make
