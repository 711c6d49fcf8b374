"""Numbers of one instrument as Binance writes and reads them: strings with a fixed number of decimals."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from spyhop.model.instruments import Instrument
from spyhop.model.tape import Venue
from spyhop.venuesim.binance.errors import BinanceError, missing

_MAX_CACHED = 50_000
_MAX_DIGITS = 28
_MAX_MAGNITUDE = 15


class _Column:
    """Integers of one unit as text."""

    def __init__(self, unit: Decimal, decimals: int) -> None:
        self.decimals = decimals
        self._scale = int(unit.scaleb(decimals))
        self._one = 10**decimals
        self._texts: dict[int, str] = {}

    def __call__(self, number: int) -> str:
        text = self._texts.get(number)
        if text is None:
            whole, rest = divmod(abs(number) * self._scale, self._one)
            sign = "-" if number < 0 else ""
            text = f"{sign}{whole}.{rest:0{self.decimals}d}" if self.decimals else f"{sign}{whole}"
            if len(self._texts) >= _MAX_CACHED:
                self._texts.clear()
            self._texts[number] = text
        return text


class Grid:
    """Prices and quantities of `instrument` on the wire.

    USDT-M prices have one decimal more than the tick has (as BTCUSDT's do: `pricePrecision` is no tick size), spot
    numbers always eight. `price` and `qty` turn ticks and lots into text, `ticks` and `lots` read them.
    """

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.is_spot = instrument.venue is Venue.BINANCE_SPOT
        price_decimals = 8 if self.is_spot else max(decimals_of(instrument.tick_size) + 1, 2)
        qty_decimals = 8 if self.is_spot else decimals_of(instrument.lot_size)
        self.price = _Column(instrument.tick_size, price_decimals)
        self.qty = _Column(instrument.lot_size, qty_decimals)
        self._tick_lot = instrument.tick_size * instrument.lot_size

    def money(self, tick_lots: int) -> str:
        """Return a sum of price x lots in quote currency."""
        return fixed(self._tick_lot * tick_lots, 8 if self.is_spot else 5)

    def average(self, tick_lots: int, lots: int) -> Decimal:
        """Return the mean price of `lots` that cost `tick_lots`, 0 of none."""
        return self.instrument.tick_size * tick_lots / lots if lots else Decimal(0)

    def ticks(self, text: str, name: str = "price") -> int:
        """Return a price in ticks; raise BinanceError off the grid."""
        return self._read(text, self.instrument.tick_size, name, (-4014, "Price not increased by tick size."), "PRICE")

    def lots(self, text: str, name: str = "quantity") -> int:
        """Return a quantity in lots; raise BinanceError off the grid."""
        return self._read(text, self.instrument.lot_size, name, (-4023, "Qty not increased by step size."), "LOT_SIZE")

    def _read(self, text: str, unit: Decimal, name: str, off: tuple[int, str], spot_filter: str) -> int:
        number = decimal(text, name)
        column = self.price if name != "quantity" else self.qty
        if -int(number.normalize().as_tuple().exponent) > column.decimals:
            raise BinanceError(-1111, "Precision is over the maximum defined for this asset.")
        if number < 0:
            raise missing(name)
        if number % unit:
            suffix = "PRICE_FILTER" if spot_filter == "PRICE" else spot_filter
            raise BinanceError(-1013, f"Filter failure: {suffix}") if self.is_spot else BinanceError(*off)
        return int(number / unit)


def decimals_of(unit: Decimal) -> int:
    """Return how many decimals multiples of `unit` need."""
    return max(-int(unit.normalize().as_tuple().exponent), 0)


def decimal(text: str, name: str) -> Decimal:
    """Return `text` as a number of sane size; raise -1102 naming the parameter."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise missing(name) from None
    if not number:
        return Decimal(0)
    if not number.is_finite() or len(text) > _MAX_DIGITS or not -_MAX_DIGITS <= number.adjusted() < _MAX_MAGNITUDE:
        raise missing(name)
    return number


def fixed(number: Decimal, decimals: int = 8) -> str:
    """Return `number` with so many decimals, never in exponents."""
    return f"{number:.{decimals}f}"
