"""Accounts of the simulated exchange: wallets, positions, margin. All money is Decimal and adds up exactly.

A margin account (USDT-M, dYdX) has one wallet in its quote asset; a cross position may lose it, an isolated one only
what was set aside for it. The initial margin of an instrument is the larger of what would be held if all its buys, or
all its sells, were filled (limit prices for orders, the mark for the position) divided by the leverage; dYdX has
the leverage of its initial margin fraction. A spot account holds assets, and its open orders lock what they may take.
Fees are quote currency, but spot pays them out of what it receives: base currency for a buy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal

import msgspec

from spyhop.model.instruments import Instrument, MarginTier
from spyhop.model.tape import Side, Venue
from spyhop.venuesim.views import Balance, MarginMode, PositionView
from spyhop.venuesim.words import Order, OrderState

FEES: dict[Venue, tuple[Decimal, Decimal]] = {
    Venue.BINANCE_USDM: (Decimal("0.0002"), Decimal("0.0005")),
    Venue.BINANCE_SPOT: (Decimal("0.001"), Decimal("0.001")),
    Venue.DYDX: (Decimal("0.0001"), Decimal("0.0005")),
}
"""Maker and taker fee as fractions."""

LIQUIDATION_FEE = Decimal("0.005")
"""Of the notional that the exchange closes by force; it goes to the insurance fund."""

_ZERO = Decimal(0)
_EXACT = Decimal("1e-8")
_USUAL_TIERS = (MarginTier(floor=_ZERO, maintenance_rate=Decimal("0.004"), max_leverage=Decimal(125)),)


class Holding(msgspec.Struct):
    """A position and the settings of its instrument. `cost` is the sum of signed lots x entry ticks."""

    lots: int = 0
    cost: Decimal = _ZERO
    margin: Decimal = _ZERO  # set aside, isolated only
    leverage: int = 20
    mode: MarginMode = MarginMode.CROSS
    realized: Decimal = _ZERO
    updated: int = 0


class Working(msgspec.Struct):
    """Open orders of one instrument in the book: signed by side, lots and lots x ticks that are left."""

    buy_lots: int = 0
    buy_cost: int = 0
    sell_lots: int = 0
    sell_cost: int = 0


def working(orders: Iterable[Order]) -> Working:
    """Return what is left of the orders that wait in the book; reduce-only ones need no margin."""
    sums = Working()
    for order in orders:
        if order.state is OrderState.UNTRIGGERED or order.request.reduce_only:
            continue
        if order.request.side is Side.BUY:
            sums.buy_lots += order.left
            sums.buy_cost += order.left * order.price
        else:
            sums.sell_lots += order.left
            sums.sell_cost += order.left * order.price
    return sums


def unit_of(instrument: Instrument) -> Decimal:
    """Return the quote currency of one lot at one tick."""
    return instrument.tick_size * instrument.lot_size * instrument.multiplier


def fee_asset(instrument: Instrument, side: Side) -> str:
    """Return what a fee is paid in."""
    return instrument.base if instrument.venue is Venue.BINANCE_SPOT and side is Side.BUY else instrument.quote


def fee_of(instrument: Instrument, side: Side, price: int, lots: int, rate: Decimal) -> Decimal:
    """Return the fee of a fill in `fee_asset`, to eight decimals."""
    is_base = fee_asset(instrument, side) != instrument.quote
    base = instrument.quantity(lots) if is_base else price * lots * unit_of(instrument)
    return (base * rate).quantize(_EXACT, ROUND_HALF_UP)


def tier_of(instrument: Instrument, notional: Decimal) -> MarginTier:
    """Return the margin tier that `notional` falls in."""
    found = instrument.margin_tiers[0] if instrument.margin_tiers else _USUAL_TIERS[0]
    for tier in instrument.margin_tiers:
        if tier.floor < notional:
            found = tier
    return found


def max_leverage(instrument: Instrument) -> int:
    """Return the highest leverage of an instrument."""
    tiers = instrument.margin_tiers or _USUAL_TIERS
    return int(max(tier.max_leverage for tier in tiers))


class Account:
    """One account at one venue; `marks` tells the mark of an instrument in ticks, `open_orders` its open orders."""

    def __init__(
        self,
        name: str,
        venue: Venue,
        balances: Mapping[str, Decimal],
        instruments: tuple[Instrument, ...],
        marks: Callable[[int], int],
        open_orders: Callable[[int], Iterable[Order]],
    ) -> None:
        self.name, self.venue = name, venue
        self.assets: dict[str, Decimal] = dict(balances)
        self.instruments = instruments
        self._marks, self._open_orders = marks, open_orders
        self._holdings: dict[int, Holding] = {}

    @property
    def is_spot(self) -> bool:
        return self.venue is Venue.BINANCE_SPOT

    @property
    def held(self) -> list[int]:
        """Return the instruments with a position, in order."""
        return sorted(number for number, holding in self._holdings.items() if holding.lots)

    def lots(self, number: int) -> int:
        """Return the signed lots held of an instrument (0 for spot accounts, which hold assets)."""
        holding = self._holdings.get(number)
        return holding.lots if holding else 0

    def holding(self, number: int) -> Holding:
        """Return the holding of an instrument, made on first sight."""
        if number not in self._holdings:
            most = max_leverage(self.instruments[number])
            self._holdings[number] = Holding(leverage=most if self.venue is Venue.DYDX else min(20, most))
        return self._holdings[number]

    def settle(self, number: int, side: Side, price: int, lots: int, fee: Decimal, ts: int) -> Decimal:
        """Take a fill and its fee; return the profit that it realized."""
        instrument = self.instruments[number]
        value = price * lots * unit_of(instrument)
        if self.is_spot:
            self._add(instrument.base, instrument.quantity(lots) * side)
            self._add(instrument.quote, -value * side)
            self._add(fee_asset(instrument, side), -fee)
            return _ZERO
        holding = self.holding(number)
        signed = lots * side
        profit = _ZERO
        closed = min(lots, abs(holding.lots)) if holding.lots * side < 0 else 0
        if closed:
            sign = 1 if holding.lots > 0 else -1
            is_all = closed == abs(holding.lots)
            part = holding.cost if is_all else (holding.cost * closed / abs(holding.lots)).quantize(_EXACT)
            freed = holding.margin if is_all else (holding.margin * closed / abs(holding.lots)).quantize(_EXACT)
            profit = (sign * closed * price - part) * unit_of(instrument)
            holding.cost -= part
            holding.margin -= freed
        opened = lots - closed
        holding.cost += opened * price * side
        if opened and holding.mode is MarginMode.ISOLATED:
            holding.margin += (opened * price * unit_of(instrument) / holding.leverage).quantize(_EXACT)
        holding.lots += signed
        holding.realized += profit - fee
        holding.updated = ts
        self._add(instrument.quote, profit - fee)
        return profit

    def _add(self, asset: str, amount: Decimal) -> None:
        self.assets[asset] = self.assets.get(asset, _ZERO) + amount

    def credit(self, asset: str, amount: Decimal, number: int = -1) -> None:
        """Put `amount` into an asset; for an isolated position `number` into what was set aside for it, too."""
        self._add(asset, amount)
        holding = self._holdings.get(number)
        if holding and holding.lots and holding.mode is MarginMode.ISOLATED:
            holding.margin += amount

    # margin

    def value(self, number: int) -> Decimal:
        """Return the signed notional of a position at the mark."""
        return self.holding(number).lots * self._marks(number) * unit_of(self.instruments[number])

    def unrealized(self, number: int) -> Decimal:
        """Return the profit of closing a position at the mark."""
        holding = self.holding(number)
        return (holding.lots * self._marks(number) - holding.cost) * unit_of(self.instruments[number])

    def maintenance(self, number: int) -> Decimal:
        """Return the maintenance margin of a position at the mark."""
        notional = abs(self.value(number))
        if not notional:
            return _ZERO
        tier = tier_of(self.instruments[number], notional)
        return max(_ZERO, notional * tier.maintenance_rate - tier.amount)

    def margins(self, number: int, extra: Working | None = None) -> tuple[Decimal, Decimal]:
        """Return (initial margin of the position, of its orders); `extra` are orders that are not in the book yet."""
        holding, sums = self.holding(number), working(self._open_orders(number))
        if extra:
            sums.buy_cost += extra.buy_cost
            sums.sell_cost += extra.sell_cost
        unit, held = unit_of(self.instruments[number]), self.value(number)
        of_position = abs(held) / holding.leverage
        most = max(abs(held + sums.buy_cost * unit), abs(held - sums.sell_cost * unit), abs(held))
        return of_position, most / holding.leverage - of_position

    def available(self, asset: str, extra: Mapping[int, Working] | None = None) -> Decimal:
        """Return what of `asset` is free for new orders or transfers, below 0 when `extra` orders ask too much."""
        extra = extra or {}
        if self.is_spot:
            return self.assets.get(asset, _ZERO) - self.locked(asset, extra)
        free = self.assets.get(asset, _ZERO)
        for number in sorted({*self._holdings, *extra}):
            if self.instruments[number].quote != asset:
                continue
            of_position, of_orders = self.margins(number, extra.get(number))
            holding = self.holding(number)
            if holding.mode is MarginMode.ISOLATED:
                free -= holding.margin + of_orders
            else:
                free += self.unrealized(number) - of_position - of_orders
        return free

    def locked(self, asset: str, extra: Mapping[int, Working] | None = None) -> Decimal:
        """Return what open spot orders hold of `asset`."""
        total = _ZERO
        for instrument in self.instruments:
            if instrument.venue is not self.venue or asset not in (instrument.base, instrument.quote):
                continue
            sums = working(self._open_orders(instrument.id))
            more = (extra or {}).get(instrument.id, Working())
            if asset == instrument.quote:
                total += (sums.buy_cost + more.buy_cost) * unit_of(instrument)
            else:
                total += instrument.quantity(sums.sell_lots + more.sell_lots)
        return total

    def is_broke(self, number: int) -> bool:
        """Return whether the mark has passed the liquidation price of position `number`."""
        if not self.lots(number):
            return False
        holding = self.holding(number)
        if holding.mode is MarginMode.ISOLATED:
            return holding.margin + self.unrealized(number) <= self.maintenance(number)
        crossed = [n for n in self.held if self._holdings[n].mode is MarginMode.CROSS]
        equity = self.cross_wallet + sum((self.unrealized(n) for n in crossed), _ZERO)
        return equity <= sum((self.maintenance(n) for n in crossed), _ZERO)

    @property
    def quote(self) -> str:
        """Return the asset that a margin account is kept in."""
        return next((i.quote for i in self.instruments if i.venue is self.venue), "USDT")

    @property
    def cross_wallet(self) -> Decimal:
        """Return the wallet without what is set aside for isolated positions."""
        return self.assets.get(self.quote, _ZERO) - sum((h.margin for h in self._holdings.values()), _ZERO)

    # views

    def position(self, number: int) -> PositionView:
        """Return the position and settings of an instrument."""
        holding, instrument = self.holding(number), self.instruments[number]
        of_position, of_orders = self.margins(number)
        return PositionView(
            instrument=number,
            lots=holding.lots,
            entry=(holding.cost / holding.lots * instrument.tick_size) if holding.lots else _ZERO,
            mark=instrument.price(self._marks(number)),
            unrealized=self.unrealized(number),
            liquidation=self._liquidation(number),
            leverage=holding.leverage,
            mode=holding.mode,
            margin=holding.margin,
            notional=self.value(number),
            initial_margin=of_position,
            order_margin=of_orders,
            maintenance_margin=self.maintenance(number),
            realized=holding.realized,
            updated=holding.updated,
        )

    def _liquidation(self, number: int) -> Decimal:
        """Return the mark at which equity meets maintenance, the tier of today's notional holding."""
        holding, instrument = self.holding(number), self.instruments[number]
        if not holding.lots:
            return _ZERO
        wallet = holding.margin
        if holding.mode is MarginMode.CROSS:
            others = [n for n in self.held if n != number and self._holdings[n].mode is MarginMode.CROSS]
            wallet = self.cross_wallet + sum((self.unrealized(n) - self.maintenance(n) for n in others), _ZERO)
        tier = tier_of(instrument, abs(self.value(number)))
        scale = instrument.lot_size * instrument.multiplier
        quantity, cost = holding.lots * scale, holding.cost * unit_of(instrument)
        return max(_ZERO, (wallet + tier.amount - cost) / (abs(quantity) * tier.maintenance_rate - quantity))

    def balances(self) -> list[Balance]:
        """Return the assets, by name."""
        return [self._balance(asset) for asset in sorted(self.assets)]

    def _balance(self, asset: str) -> Balance:
        wallet = self.assets[asset]
        locked = self.locked(asset) if self.is_spot else _ZERO
        is_margin = not self.is_spot and asset == self.quote
        numbers = list(self._holdings) if is_margin else []
        return Balance(
            asset=asset,
            wallet=wallet,
            cross_wallet=self.cross_wallet if is_margin else wallet,
            available=max(_ZERO, self.available(asset)),
            locked=locked,
            unrealized=sum((self.unrealized(n) for n in numbers), _ZERO),
            initial_margin=sum((sum(self.margins(n), _ZERO) for n in numbers), _ZERO),
            maintenance_margin=sum((self.maintenance(n) for n in numbers), _ZERO),
        )
