"""What Binance's REST requests weigh, so that a budget can be asked before they are sent.

What the budget holds is told by exchangeInfo (`venues.net.limits.limits_of`). Paths of USDT-M and spot differ, so one
table serves both. A path that nobody listed costs the most that a request for one symbol can.
"""

from __future__ import annotations

from collections.abc import Mapping

_UNLISTED = 20

_FIXED: dict[str, int] = {
    "/fapi/v1/ping": 1,
    "/fapi/v1/time": 1,
    "/fapi/v1/exchangeInfo": 1,
    "/fapi/v1/trades": 5,
    "/fapi/v1/historicalTrades": 200,
    "/fapi/v1/aggTrades": 20,
    "/fapi/v1/fundingRate": 1,
    "/fapi/v1/fundingInfo": 1,
    "/fapi/v1/openInterest": 1,
    "/fapi/v1/order": 1,
    "/fapi/v1/batchOrders": 5,
    "/fapi/v1/algoOrder": 1,
    "/fapi/v1/openAlgoOrders": 1,
    "/fapi/v1/algoOpenOrders": 1,
    "/fapi/v1/allOpenOrders": 1,
    "/fapi/v1/openOrder": 1,
    "/fapi/v1/countdownCancelAll": 10,
    "/fapi/v1/listenKey": 1,
    "/fapi/v1/leverage": 1,
    "/fapi/v1/marginType": 1,
    "/fapi/v1/leverageBracket": 1,
    "/fapi/v1/commissionRate": 20,
    "/fapi/v1/userTrades": 5,
    "/fapi/v1/allOrders": 5,
    "/fapi/v1/income": 30,
    "/fapi/v3/account": 5,
    "/fapi/v3/balance": 5,
    "/fapi/v3/positionRisk": 5,
    "/futures/data/openInterestHist": 1,
    "/futures/data/topLongShortPositionRatio": 1,
    "/futures/data/topLongShortAccountRatio": 1,
    "/futures/data/globalLongShortAccountRatio": 1,
    "/futures/data/takerlongshortRatio": 1,
    "/api/v3/ping": 1,
    "/api/v3/time": 1,
    "/api/v3/exchangeInfo": 20,
    "/api/v3/trades": 25,
    "/api/v3/historicalTrades": 25,
    "/api/v3/aggTrades": 4,
    "/api/v3/klines": 2,
    "/api/v3/account": 20,
    "/api/v3/myTrades": 20,
    "/api/v3/allOrders": 20,
}
# (most that the price holds for, weight); by the `limit` that is asked for
_BY_LIMIT: dict[str, tuple[int, tuple[tuple[int, int], ...]]] = {
    "/fapi/v1/depth": (500, ((50, 2), (100, 5), (500, 10), (1_000, 20))),
    "/fapi/v1/klines": (500, ((99, 1), (499, 2), (1_000, 5), (1_500, 10))),
    "/api/v3/depth": (100, ((100, 5), (500, 25), (1_000, 50), (5_000, 250))),
}
# (weight for one symbol, weight for all of them)
_BY_SYMBOL: dict[str, tuple[int, int]] = {
    "/fapi/v1/premiumIndex": (1, 10),
    "/fapi/v1/ticker/24hr": (1, 40),
    "/fapi/v1/ticker/bookTicker": (2, 5),
    "/fapi/v1/ticker/price": (1, 2),
    "/fapi/v2/ticker/price": (1, 2),
    "/fapi/v1/openOrders": (1, 40),
    "/api/v3/ticker/24hr": (2, 80),
    "/api/v3/ticker/bookTicker": (2, 4),
    "/api/v3/ticker/price": (2, 4),
    "/api/v3/openOrders": (6, 80),
}
_BY_METHOD: dict[tuple[str, str], int] = {
    ("POST", "/fapi/v1/order"): 0,  # counts against the orders, not the weight
    ("GET", "/api/v3/order"): 4,
    ("POST", "/api/v3/order"): 1,
    ("DELETE", "/api/v3/order"): 1,
    ("DELETE", "/api/v3/openOrders"): 1,
}


def weigh(method: str, path: str, params: Mapping[str, str | int]) -> int:
    """Return the weight of a request."""
    by_method = _BY_METHOD.get((method, path))
    if by_method is not None:
        return by_method
    if path in _BY_LIMIT:
        usual, steps = _BY_LIMIT[path]
        limit = int(params.get("limit", usual))
        return next((weight for most, weight in steps if limit <= most), steps[-1][1])
    if path in _BY_SYMBOL:
        one, every = _BY_SYMBOL[path]
        return one if "symbol" in params else every
    return _FIXED.get(path, _UNLISTED)
