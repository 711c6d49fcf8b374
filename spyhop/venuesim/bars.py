"""Minute bars of one instrument in ticks and lots, and longer bars folded from them when they are asked for."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

BAR = np.dtype(
    [
        ("ts_open", "i8"),
        ("ts_close", "i8"),  # exclusive end
        ("open", "i8"),  # ticks
        ("high", "i8"),
        ("low", "i8"),
        ("close", "i8"),
        ("lots", "i8"),
        ("buy_lots", "i8"),  # taken by buyers
        ("tick_lots", "i8"),  # sum of price x lots
        ("buy_tick_lots", "i8"),
        ("num_trades", "i8"),
        ("first_id", "i8"),  # of trades, -1 where none
        ("last_id", "i8"),
        ("open_interest", "i8"),  # lots, when the bar began
        ("open_bid", "i8"),  # best prices when the bar began and (so far) ended
        ("open_ask", "i8"),
        ("close_bid", "i8"),
        ("close_ask", "i8"),
    ]
)

Bars: TypeAlias = npt.NDArray[Any]
"""A one-dimensional array of BAR."""
