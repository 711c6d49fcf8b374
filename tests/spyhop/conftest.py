"""Oracles that need a process of their own, and trades for whoever counts them."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from spyhop.clock import NS_PER_S
from spyhop.model.decisions import LEAD_FOLLOW
from spyhop.model.orders import TradeClosed
from spyhop.model.tape import Side

T = 1_764_350_100 * NS_PER_S
"""When the trades of `make_trade` begin."""

MakeTrade = Callable[..., TradeClosed]


@pytest.fixture(scope="session")
def dydx_protos() -> Iterator[Callable[..., dict[str, Any]]]:
    """Ask the chain's public protobuf package; see dydx_protos.py for what may be asked."""
    if importlib.util.find_spec("v4_proto") is None:
        pytest.skip("the package v4-proto is not installed")
    script = Path(__file__).with_name("dydx_protos.py")
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        asking, answering = process.stdin, process.stdout
        assert asking is not None
        assert answering is not None

        def ask(**question: Any) -> dict[str, Any]:
            asking.write(json.dumps(question) + "\n")
            asking.flush()
            return dict(json.loads(answering.readline()))

        yield ask
        asking.close()


@pytest.fixture
def make_trade() -> MakeTrade:
    def make(n: int = 0, net: float = 7.1, **changes: Any) -> TradeClosed:
        told = TradeClosed(
            ts=T + (n + 1) * 300 * NS_PER_S,
            trade_id=f"WT_{n:04d}",
            instrument=0,
            side=Side.BUY,
            strategy="WHALE_PUMP",
            probability=0.78,
            confidence=0.72,
            intent_seq=n,
            decision_seq=n,
            ts_entry=T + (n + 1) * 300 * NS_PER_S - 210 * NS_PER_S,
            ts_exit=T + (n + 1) * 300 * NS_PER_S,
            entry_price=50_000.0,
            exit_price=50_075.0,
            take_profit_price=50_075.0,
            stop_loss_price=49_950.0,
            lots=200,
            notional=10_000.0,
            margin=100.0,
            leverage=1.0,
            exit_purpose="take_profit" if net > 0 else "stop_loss",
            gross=net + 8.0,
            fees=8.0,
            funding=0.0,
            slippage=0.5,
            net=net,
            max_profit_frac=0.0016,
            max_drawdown_frac=-0.0002,
        )
        return msgspec.structs.replace(told, **changes)

    return make


@pytest.fixture
def legs(make_trade: MakeTrade) -> Callable[..., tuple[TradeClosed, TradeClosed]]:
    """The legs of a pair that won 7 at one venue and lost `lost` at the other, a second later."""

    def make(seq: int = 0, lost: float = 12.0, **changes: Any) -> tuple[TradeClosed, TradeClosed]:
        own = make_trade(seq, 7.0, strategy=LEAD_FOLLOW, is_leg=True, **changes)
        other = msgspec.structs.replace(
            own,
            trade_id=f"WT_{seq:04d}h",
            ts=own.ts + NS_PER_S,
            ts_entry=own.ts_entry + NS_PER_S,
            ts_exit=own.ts_exit + NS_PER_S,
            instrument=1,
            side=Side.SELL,
            take_profit_price=0.0,
            stop_loss_price=0.0,
            notional=5_000.0,
            margin=400.0,
            gross=8.0 - lost,
            net=-lost,
            funding=0.0,
            exit_purpose="stop_loss",
            max_profit_frac=0.0002,
            max_drawdown_frac=-0.0016,
        )
        return own, other

    return make
