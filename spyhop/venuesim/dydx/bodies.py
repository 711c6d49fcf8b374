"""What the indexer says of markets: books, trades, candles, funding and the markets themselves, in its REST words."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from spyhop.clock import NS_PER_DAY
from spyhop.model.tape import Events, Side
from spyhop.venues.dydx.numbers import event_id, event_id_parts, packed_event
from spyhop.venuesim.dydx import chain, names
from spyhop.venuesim.dydx.quantums import ClobPair
from spyhop.venuesim.exchange import Exchange

RESOLUTIONS: Final = {
    "1MIN": 60,
    "5MINS": 300,
    "15MINS": 900,
    "30MINS": 1_800,
    "1HOUR": 3_600,
    "4HOURS": 14_400,
    "1DAY": 86_400,
}
MAX_LEVELS: Final = 100
MAX_ROWS: Final = 1_000
_ALL_BARS: Final = 1_000_000
_RATE_UNIT: Final = -12
_PACKED: Final = 1 << 40
"""Trade ids from here on are packed event ids of a recording, lower ones count."""
_TRANSACTION: Final = 2
_EVENT_MASK: Final = (1 << 20) - 1


def trade(row: Any, pair: ClobPair, *, is_liquidation: bool = False) -> dict[str, Any]:
    """Return one TRADE row; an id that is no event id yet becomes one of the trade's block."""
    number, ts = int(row["id"]), int(row["ts_event"])
    packed = number if number >= _PACKED else packed_event(chain.height_at(ts), _TRANSACTION, number & _EVENT_MASK)
    return {
        "id": event_id(packed),
        "side": "BUY" if row["side"] == Side.BUY else "SELL",
        "size": chain.plain(pair.instrument.quantity(int(row["qty"]))),
        "price": chain.plain(pair.instrument.price(int(row["price"]))),
        "type": "LIQUIDATED" if is_liquidation else "LIMIT",
        "createdAt": chain.iso(ts),
        "createdAtHeight": str(event_id_parts(packed)[0]),
    }


def trades(rows: Events, liquidations: Events, pair: ClobPair) -> list[dict[str, Any]]:
    """Return TRADE rows in their order; those that a LIQUIDATION row tells of are marked."""
    forced = {(int(row["ts_event"]), int(row["price"]), int(row["side"])) for row in liquidations}
    return [
        trade(row, pair, is_liquidation=(int(row["ts_event"]), int(row["price"]), int(row["side"])) in forced)
        for row in rows
    ]


class Bodies:
    """The bodies of one exchange's markets; a `ticker` that is not there raises KeyError."""

    def __init__(self, exchange: Exchange, pairs: dict[str, ClobPair]) -> None:
        self._exchange, self.pairs = exchange, pairs

    def markets(self, ticker: str = "") -> dict[str, Any]:
        """Return all markets, or one."""
        wanted = [self.pairs[ticker]] if ticker else list(self.pairs.values())
        return {"markets": {pair.ticker: self.market(pair) for pair in wanted}}

    def market(self, pair: ClobPair) -> dict[str, Any]:
        """Return one market."""
        instrument = pair.instrument
        largest = Decimal(str(max(instrument.max_leverage, 1)))
        maintenance = min((tier.maintenance_rate for tier in instrument.margin_tiers), default=Decimal("0.03"))
        open_interest = chain.plain(instrument.quantity(self._exchange.open_interest(instrument.id)))
        return {
            "clobPairId": str(pair.clob_pair_id),
            "ticker": pair.ticker,
            "status": "ACTIVE",
            "oraclePrice": self.oracle_price(pair),
            **self.trading(pair),
            "initialMarginFraction": chain.plain(round(1 / largest, 6)),
            "maintenanceMarginFraction": chain.plain(maintenance),
            "openInterest": open_interest,
            "atomicResolution": pair.atomic_resolution,
            "quantumConversionExponent": pair.conversion_exponent,
            "tickSize": chain.plain(instrument.tick_size),
            "stepSize": chain.plain(instrument.lot_size),
            "stepBaseQuantums": pair.lot_quantums,
            "subticksPerTick": pair.tick_subticks,
            "marketType": "CROSS",
            "openInterestLowerCap": "0",
            "openInterestUpperCap": "0",
            "baseOpenInterest": open_interest,
            "defaultFundingRate1H": "0",
        }

    def oracle_price(self, pair: ClobPair) -> str:
        """Return the oracle price."""
        return chain.plain(self._exchange.mark(pair.instrument.id).mark)

    def trading(self, pair: ClobPair) -> dict[str, Any]:
        """Return what the last 24 hours and the running hour say."""
        instrument = pair.instrument
        ticker = self._exchange.ticker(instrument.id)
        lot_value = instrument.tick_size * instrument.lot_size
        return {
            "priceChange24H": chain.plain(instrument.price(ticker.last - ticker.open)),
            "volume24H": chain.plain(round(ticker.tick_lots * lot_value, 4)),
            "trades24H": ticker.num_trades,
            "nextFundingRate": chain.plain(self._exchange.mark(instrument.id).rate),
        }

    def book(self, ticker: str) -> dict[str, Any]:
        """Return up to 100 levels a side."""
        pair = self.pairs[ticker]
        _, bids, asks = self._exchange.book(pair.instrument.id, MAX_LEVELS)
        price, quantity = pair.instrument.price, pair.instrument.quantity

        def side(levels: list[tuple[int, int]]) -> list[dict[str, str]]:
            return [{"price": chain.plain(price(at)), "size": chain.plain(quantity(lots))} for at, lots in levels]

        return {"bids": side(bids), "asks": side(asks)}

    def trades(self, ticker: str, limit: int = MAX_ROWS, end: int = 0) -> dict[str, Any]:
        """Return the newest trades up to `end` (ns, 0 = now), newest first."""
        pair = self.pairs[ticker]
        number = pair.instrument.id
        rows = self._exchange.trades(number, min(limit, MAX_ROWS), end=end)
        return {"trades": trades(rows, self._exchange.liquidations(number), pair)[::-1]}

    def candles(
        self, ticker: str, resolution: str, limit: int = MAX_ROWS, start: int = 0, end: int = 0
    ) -> list[dict[str, Any]]:
        """Return candles that started at `start` or later and before `end` (ns, 0 = open), newest first.

        An interval without trades has no candle.
        """
        pair, interval_s = self.pairs[ticker], RESOLUTIONS[resolution]
        bars = self._exchange.bars(
            pair.instrument.id,
            interval_s,
            start,
            end - 1 if end else 0,
            limit=min(limit, MAX_ROWS) if not start else _ALL_BARS,
        )
        bars = bars[bars["num_trades"] > 0][::-1][: min(limit, MAX_ROWS)]
        return [self._candle(bar, pair, resolution) for bar in bars]

    def funding(self, ticker: str, limit: int = MAX_ROWS, end: int = 0) -> dict[str, Any]:
        """Return paid funding rates up to `end` (ns, 0 = now), newest first."""
        pair = self.pairs[ticker]
        rows = self._exchange.funding_history(pair.instrument.id, end=end, limit=min(limit, MAX_ROWS))
        return {
            "historicalFunding": [
                {
                    "ticker": ticker,
                    "rate": chain.plain(Decimal(int(row["aux"])).scaleb(_RATE_UNIT)),
                    "price": chain.plain(pair.instrument.price(int(row["price"]))),
                    "effectiveAtHeight": str(chain.height_at(int(row["id"]))),
                    "effectiveAt": chain.iso(int(row["id"])),
                }
                for row in rows[::-1]
            ]
        }

    def sparklines(self, period: str) -> dict[str, list[str]]:
        """Return closes of every market, newest first: hourly for ONE_DAY, of 4 hours for SEVEN_DAYS."""
        resolution, days = ("1HOUR", 1) if period == "ONE_DAY" else ("4HOURS", 7)
        start = self._exchange.now - days * NS_PER_DAY
        return {
            ticker: [candle["close"] for candle in self.candles(ticker, resolution, start=start)]
            for ticker in self.pairs
        }

    def _candle(self, bar: Any, pair: ClobPair, resolution: str) -> dict[str, Any]:
        instrument = pair.instrument
        started = chain.iso(int(bar["ts_open"]))
        volume = instrument.tick_size * instrument.lot_size * int(bar["tick_lots"])
        return {
            "id": names.candle_uuid(started, pair.ticker, resolution),
            "startedAt": started,
            "ticker": pair.ticker,
            "resolution": resolution,
            **{name: chain.plain(instrument.price(int(bar[name]))) for name in ("low", "high", "open", "close")},
            "baseTokenVolume": chain.plain(instrument.quantity(int(bar["lots"]))),
            "usdVolume": chain.plain(round(volume, 6)),
            "trades": int(bar["num_trades"]),
            "startingOpenInterest": chain.plain(instrument.quantity(int(bar["open_interest"]))),
            "orderbookMidPriceOpen": _mid(bar["open_bid"], bar["open_ask"], pair),
            "orderbookMidPriceClose": _mid(bar["close_bid"], bar["close_ask"], pair),
        }


def _mid(bid: Any, ask: Any, pair: ClobPair) -> str | None:
    if not bid or not ask:
        return None
    return chain.plain(pair.instrument.tick_size * (int(bid) + int(ask)) / 2)
