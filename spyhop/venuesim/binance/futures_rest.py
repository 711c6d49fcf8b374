"""REST market data that only USDT-M has: mark and funding, open interest, who is long and who is short."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from spyhop.clock import NS_PER_HOUR, NS_PER_MS
from spyhop.model.tape import Ratio
from spyhop.venuesim.binance.errors import BinanceError
from spyhop.venuesim.binance.grid import fixed
from spyhop.venuesim.binance.market_rest import MarketRest
from spyhop.venuesim.binance.messages import AUX, AUX2, ID, PRICE, QTY, TS_EVENT, Row
from spyhop.venuesim.binance.rest import Call, Endpoint, Handler

_PERIODS_S = {
    "5m": 300,
    "15m": 900,
    "30m": 1_800,
    "1h": 3_600,
    "2h": 7_200,
    "4h": 14_400,
    "6h": 21_600,
    "12h": 43_200,
    "1d": 86_400,
}
_SHARE = Decimal("1e-8")


class FuturesRest:
    """What perpetuals have beside book and trades."""

    def __init__(self, market: MarketRest) -> None:
        self._market, self._exchange = market, market.floor.exchange

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints, with the weights that the venue asks."""
        v1, data = "/fapi/v1", "/futures/data"
        shares: list[tuple[str, Handler]] = [
            ("topLongShortPositionRatio", self._shares(Ratio.TOP_POSITIONS)),
            ("topLongShortAccountRatio", self._shares(Ratio.TOP_ACCOUNTS)),
            ("globalLongShortAccountRatio", self._shares(Ratio.GLOBAL_ACCOUNTS)),
            ("takerlongshortRatio", self.taker_volume),
            ("openInterestHist", self.open_interest_history),
        ]
        return [
            Endpoint("GET", f"{v1}/premiumIndex", self.premium, lambda params: 1 if params.get("symbol") else 10),
            Endpoint("GET", f"{v1}/fundingRate", self.funding_rates),
            Endpoint("GET", f"{v1}/fundingInfo", self.funding_info, 0),
            Endpoint("GET", f"{v1}/openInterest", self.open_interest),
            *(Endpoint("GET", f"{data}/{name}", handler, 0) for name, handler in shares),
        ]

    def premium(self, call: Call) -> object:
        """Return mark, index and predicted funding of one symbol or of all."""
        told: list[dict[str, Any]] = []
        for number in self._market.numbers(call):
            mark = self._exchange.mark(number)
            told.append(
                {
                    "symbol": self._exchange.instruments[number].symbol,
                    "markPrice": fixed(mark.mark),
                    "indexPrice": fixed(mark.index),
                    "estimatedSettlePrice": fixed(mark.index),
                    "lastFundingRate": fixed(mark.rate),
                    "interestRate": "0.00010000",
                    "nextFundingTime": mark.next_funding // NS_PER_MS + call.skew_ms if mark.next_funding else 0,
                    "time": call.now_ms,
                }
            )
        return told[0] if call.text("symbol") else told

    def funding_rates(self, call: Call) -> object:
        """Return the rates that were paid, oldest first."""
        start, end = call.span()
        limit = call.limit(100, 1_000)
        told: list[dict[str, Any]] = []
        for number in self._market.numbers(call):
            grid = self._market.grid(number)
            for row in self._exchange.funding_history(number, start, end, limit).tolist():
                told.append(
                    {
                        "symbol": grid.instrument.symbol,
                        "fundingTime": row[ID] // NS_PER_MS + call.skew_ms,
                        "fundingRate": fixed(Decimal(row[AUX]).scaleb(-12)),
                        "markPrice": fixed(grid.instrument.price(row[PRICE])),
                    }
                )
        return sorted(told, key=lambda paid: int(paid["fundingTime"]))[-limit:]

    def funding_info(self, call: Call) -> object:
        """Return the symbols whose funding interval is not the usual 8 hours."""
        told: list[dict[str, Any]] = []
        for number in self._market.frames:
            hours = self._exchange.mark(number).interval // NS_PER_HOUR
            if hours not in (0, 8):
                told.append(
                    {
                        "symbol": self._exchange.instruments[number].symbol,
                        "adjustedFundingRateCap": "0.02000000",
                        "adjustedFundingRateFloor": "-0.02000000",
                        "fundingIntervalHours": hours,
                        "disclaimer": False,
                    }
                )
        return told

    def open_interest(self, call: Call) -> object:
        """Return the open interest of now."""
        number = self._market.number(call)
        return {
            "openInterest": self._market.grid(number).qty(self._exchange.open_interest(number)),
            "symbol": call.need("symbol"),
            "time": call.now_ms,
        }

    def open_interest_history(self, call: Call) -> object:
        """Return open interest at the ends of periods; its value at the newest mark price."""
        number, period_s, start, end, limit = self._asked(call)
        grid = self._market.grid(number)
        mark = self._exchange.mark(number).mark
        return [
            {
                "symbol": grid.instrument.symbol,
                "sumOpenInterest": fixed(grid.instrument.quantity(row[QTY])),
                "sumOpenInterestValue": fixed(grid.instrument.quantity(row[QTY]) * mark),
                "CMCCirculatingSupply": "0",
                "timestamp": row[TS_EVENT] // NS_PER_MS + call.skew_ms,
            }
            for row in self._exchange.open_interest_history(number, period_s, start, end, limit).tolist()
        ]

    def taker_volume(self, call: Call) -> object:
        """Return what takers bought and sold."""
        grid = self._market.grid(self._market.number(call))
        return [
            {
                "buySellRatio": fixed(row[AUX2] * _SHARE, 4),
                "buyVol": fixed(grid.instrument.quantity(row[PRICE]), 4),
                "sellVol": fixed(grid.instrument.quantity(row[QTY]), 4),
                "timestamp": row[TS_EVENT] // NS_PER_MS + call.skew_ms,
            }
            for row in self._rows(call, Ratio.TAKER_VOLUME)
        ]

    def _shares(self, ratio: Ratio) -> Callable[[Call], object]:
        def told(call: Call) -> object:
            symbol = call.need("symbol")
            return [
                {
                    "symbol": symbol,
                    "longAccount": fixed(row[PRICE] * _SHARE, 4),
                    "longShortRatio": fixed(row[AUX2] * _SHARE, 4),
                    "shortAccount": fixed(row[QTY] * _SHARE, 4),
                    "timestamp": row[TS_EVENT] // NS_PER_MS + call.skew_ms,
                }
                for row in self._rows(call, ratio)
            ]

        return told

    def _rows(self, call: Call, ratio: Ratio) -> list[Row]:
        number, period_s, start, end, limit = self._asked(call)
        rows: list[Row] = self._exchange.ratios(number, ratio, period_s, start, end, limit).tolist()
        return rows

    def _asked(self, call: Call) -> tuple[int, int, int, int, int]:
        number = self._market.number(call)
        period_s = _PERIODS_S.get(call.need("period"))
        if period_s is None:
            raise BinanceError(-1130, "Data sent for parameter 'period' is not valid.")
        return (number, period_s, *call.span(), call.limit(30, 500))
