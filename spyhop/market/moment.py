"""The moment: what every detector may know about the market at a boundary of event time.

One record, filled by the loop at each whole second before the detectors read. Prices are price units, volumes base
units; `cum_*` count from the first event, `sec_*` the last second; what is unknown is 0.
"""

from __future__ import annotations

import numpy as np

MOMENT = np.dtype(
    [
        ("ts", "i8"),
        ("mid", "f8"),  # 0 until a two-sided best price was seen
        ("bid", "f8"),
        ("ask", "f8"),
        ("bid_qty", "f8"),
        ("ask_qty", "f8"),
        ("last", "f8"),
        ("spread_bps", "f8"),
        ("cum_volume", "f8"),
        ("cum_buy_volume", "f8"),
        ("cum_sell_volume", "f8"),
        ("cum_notional", "f8"),
        ("num_trades", "i8"),
        ("sec_buy_volume", "f8"),
        ("sec_sell_volume", "f8"),
        ("sec_high", "f8"),
        ("sec_low", "f8"),
        ("sigma_1m", "f8"),  # per square-root minute, fraction; written by the volatility detector
        ("atr", "f8"),  # price units, Wilder on 1 m bars; written by the volatility detector
        ("vol_mult", "f8"),  # hour-of-week factor of volatility; written by the time detector, 0 until known
        ("num_seconds", "i8"),
        ("has_book", "u1"),  # the book is in sequence and two-sided
    ],
    align=True,
)
