"""What a simulator is asked to be, and the floor and fronts that come of it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from spyhop.clock import WallClock
from spyhop.venues.endpoints import ClockSpec
from spyhop.venuesim import faults
from spyhop.venuesim.floor import Floor, Front


class ApiKey(msgspec.Struct, frozen=True):
    """A key and the secret that signs with it, both of a test account of the simulator."""

    account: str
    key: str
    secret: str

    def __repr__(self) -> str:
        return f"ApiKey({self.account!r}, {self.key!r}, ***)"


TEST_KEY = ApiKey("main", "spyhop-test-key", "spyhop-test-secret")
"""The account that is there unless others are asked for; it holds 100,000 USDT, 10 BTC and 100,000 USDC."""
BALANCES = {"USDT": Decimal(100_000), "USDC": Decimal(100_000), "BTC": Decimal(10)}


class SimOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What `spyhop venue-sim` was asked for.

    Ports are `port`, `port` + 1, `port` + 2, or any when it is 0. Without a `lake` the market is generated from `seed`
    for `symbols`. The exchange's clock starts at `start_ns` (0 = the machine's) and runs `speed` times as fast.
    """

    port: Annotated[int, msgspec.Meta(ge=0, le=65_533)] = 0
    lake: Path | None = None
    symbols: tuple[str, ...] = ("BTCUSDT",)
    speed: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    seed: int = 0
    faults: Path | None = None
    start_ns: int = 0
    keys: tuple[ApiKey, ...] = (TEST_KEY,)


def floor(wanted: SimOptions) -> tuple[Floor, ClockSpec]:
    """Return the floor that `wanted` describes and the clock it lives by; raise UserError for what cannot be had."""
    now = WallClock().now_ns()
    spec = (
        ClockSpec(now, wanted.start_ns or now, wanted.speed) if wanted.start_ns or wanted.speed != 1.0 else ClockSpec()
    )
    raise NotImplementedError


def fronts(floor: Floor, wanted: SimOptions) -> tuple[Front, ...]:
    """Return the fronts of all three venues: Binance USDT-M, Binance spot, dYdX."""
    from spyhop.venuesim.binance.front import SpotFront, UsdmFront
    from spyhop.venuesim.dydx.front import DydxFront

    return (UsdmFront(floor, wanted.keys), SpotFront(floor, wanted.keys), DydxFront(floor))
