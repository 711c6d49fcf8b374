"""What the venues say about their instruments and limits: exchangeInfo, with filters of the exchange's own grid."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from spyhop.venuesim.binance.grid import Grid, fixed
from spyhop.venuesim.binance.weights import Limits

USDM_LIMITS = Limits(2_400, 300, 1_200, 60)
SPOT_LIMITS = Limits(6_000, 100, 200_000, 86_400)
_ONBOARD = 1_569_398_400_000
_DELIVERY = 4_133_404_800_000
_USDM_TYPES = ("LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET")
_SPOT_TYPES = ("LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT")


def usdm(grids: Sequence[Grid], now_ms: int) -> dict[str, Any]:
    """Return exchangeInfo of the USDT-M market."""
    quotes = dict.fromkeys(grid.instrument.quote for grid in grids)
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "futuresType": "U_MARGINED",
        "rateLimits": _limits(USDM_LIMITS),
        "exchangeFilters": [],
        "assets": [{"asset": quote, "marginAvailable": True, "autoAssetExchange": "-100"} for quote in quotes],
        "symbols": [_perpetual(grid) for grid in grids],
    }


def spot(grids: Sequence[Grid], now_ms: int) -> dict[str, Any]:
    """Return exchangeInfo of the spot market."""
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "rateLimits": [
            *_limits(SPOT_LIMITS),
            {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 300_000},
        ],
        "exchangeFilters": [],
        "symbols": [_pair(grid) for grid in grids],
        "sors": [],
    }


def min_notional(grid: Grid) -> Decimal:
    """Return the smallest order in quote currency."""
    return grid.instrument.min_notional or Decimal(5)


def _limits(limits: Limits) -> list[dict[str, Any]]:
    long = ("MINUTE", limits.long_s // 60) if limits.long_s < 86_400 else ("DAY", limits.long_s // 86_400)
    rows = [
        ("REQUEST_WEIGHT", "MINUTE", 1, limits.weight),
        ("ORDERS", "SECOND", 10, limits.orders_10s),
        ("ORDERS", *long, limits.orders_long),
    ]
    return [
        {"rateLimitType": kind, "interval": unit, "intervalNum": number, "limit": limit}
        for kind, unit, number, limit in rows
    ]


def _plain(number: Decimal) -> str:
    return f"{number:f}"


def _filters(grid: Grid) -> list[dict[str, Any]]:
    instrument, decimals = grid.instrument, grid.price.decimals
    tick, lot = fixed(instrument.tick_size, decimals), fixed(instrument.lot_size, grid.qty.decimals)
    least = fixed(instrument.min_qty or instrument.lot_size, grid.qty.decimals)
    most = fixed(instrument.lot_size * 10**9, grid.qty.decimals)
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": tick,
            "maxPrice": fixed(instrument.tick_size * 10**9, decimals),
            "tickSize": tick,
        },
        {"filterType": "LOT_SIZE", "minQty": least, "maxQty": most, "stepSize": lot},
        {"filterType": "MARKET_LOT_SIZE", "minQty": least, "maxQty": most, "stepSize": lot},
    ]


def _perpetual(grid: Grid) -> dict[str, Any]:
    instrument = grid.instrument
    return {
        "symbol": instrument.symbol,
        "pair": instrument.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": _DELIVERY,
        "onboardDate": _ONBOARD,
        "status": "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": instrument.base,
        "quoteAsset": instrument.quote,
        "marginAsset": instrument.quote,
        "pricePrecision": grid.price.decimals,
        "quantityPrecision": grid.qty.decimals,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "settlePlan": 0,
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012000",
        "marketTakeBound": "0.05",
        "filters": [
            *_filters(grid),
            {"filterType": "MAX_NUM_ORDERS", "limit": 200},
            {"filterType": "MIN_NOTIONAL", "notional": _plain(min_notional(grid))},
            {
                "filterType": "PERCENT_PRICE",
                "multiplierUp": "1.0500",
                "multiplierDown": "0.9500",
                "multiplierDecimal": "4",
            },
            {"filterType": "POSITION_RISK_CONTROL", "positionControlSide": "NONE", "notionalLimit": "0"},
        ],
        "orderTypes": list(_USDM_TYPES),
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
    }


def _pair(grid: Grid) -> dict[str, Any]:
    instrument = grid.instrument
    return {
        "symbol": instrument.symbol,
        "status": "TRADING",
        "baseAsset": instrument.base,
        "baseAssetPrecision": 8,
        "quoteAsset": instrument.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": list(_SPOT_TYPES),
        "icebergAllowed": True,
        "ocoAllowed": True,
        "otoAllowed": True,
        "opoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": False,
        "amendAllowed": False,
        "pegInstructionsAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            *_filters(grid),
            {
                "filterType": "NOTIONAL",
                "minNotional": fixed(min_notional(grid)),
                "applyMinToMarket": True,
                "maxNotional": "9000000.00000000",
                "applyMaxToMarket": False,
                "avgPriceMins": 5,
            },
            {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
    }
