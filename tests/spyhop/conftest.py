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
from tests.spyhop.trades import trade

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
    return trade


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
