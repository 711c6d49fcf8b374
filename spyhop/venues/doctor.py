"""Is this account fit to trade? Checks over a Trader before a session may be live; nothing is changed by them.

Each check is a Finding with what was measured and what it was held against. What a venue does not tell is UNKNOWN and
stops nobody; a question that a venue could not answer FAILs, since it will be asked again and again in a session.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Final, TypeVar

import msgspec

from spyhop.clock import NS_PER_DAY
from spyhop.errors import VenueError
from spyhop.ledger.liquidation import dydx_price, isolated_price
from spyhop.model.accounts import KeyRights, VenueBalance, VenueOrder, VenuePosition
from spyhop.model.instruments import Instrument
from spyhop.model.orders import OrderType
from spyhop.model.tape import Side, Venue
from spyhop.ports import Trader

Answer = TypeVar("Answer")
Probe = Callable[[], Awaitable[None]]
"""Has the venue check an order without placing it; raises VenueError when it would not take one."""

_MINUTES_AN_HOUR: Final = 60.0
_WARN_SHARE: Final = 0.25
_SPOT: Final = frozenset({Venue.BINANCE_SPOT})


class Level(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One check: its code, how it came out, a sentence; `measured` was held against `limit` (0.0 where it has none)."""

    code: str
    level: Level
    text: str
    measured: float = 0.0
    limit: float = 0.0


class DoctorParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a live account is held against."""

    max_key_age_days: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    max_clock_offset_ms: Annotated[float, msgspec.Meta(gt=0)] = 500.0
    min_free: Annotated[float, msgspec.Meta(ge=0)] = 10.0
    """Money that must be free, in the quote currency of the instruments."""
    min_liquidation_hours: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    """How long a move to the liquidation price must take at the least, at the volatility of now."""
    may_key_withdraw: bool = False
    """For venues whose keys always can, such as a wallet's; says that whoever set this knows."""
    may_share_account: bool = False
    """Whether orders and positions of others may be in the account; they are never touched."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is going to be traded: orders of `lots` near `price` (ticks) with `leverage`, 0 for none.

    `sigma_1m` is the volatility of one minute as a fraction, 0.0 when it is not known.
    """

    instrument: Instrument
    price: float
    lots: int
    leverage: float = 0.0
    sigma_1m: float = 0.0


async def examine(
    trader: Trader,
    plans: Sequence[Plan],
    params: DoctorParams,
    now: int,
    *,
    offset_ms: float | None = None,
    held: Mapping[int, int] | None = None,
    probe: Probe | None = None,
) -> list[Finding]:
    """Return what there is to say of an account, at `now` (nanoseconds UTC); never raises a VenueError.

    `offset_ms` is by how much the venue's clock is ahead of ours, None when nobody measured it; `held` the signed lots
    that we know of, by instrument; `probe` has the venue check an order, where it has such a thing.
    """
    found: list[Finding] = []
    rights = await _asked(trader.rights(), "key", found)
    if rights is not None:
        found += of_key(rights, params, now)
    if probe is not None:
        found.append(await _probed(probe))
    found.append(of_clock(offset_ms, params))
    balances = await _asked(trader.balances(), "balance", found)
    if balances is not None:
        found += of_balances(balances, plans, params)
    orders = await _asked(trader.open_orders(), "foreign_orders", found)
    if orders is not None:
        found.append(of_orders(orders, params))
    positions = await _asked(trader.positions(), "foreign_positions", found)
    if positions is not None:
        found += of_positions(positions, held or {}, plans, params)
    found.append(of_kinds(trader.kinds))
    for plan in plans:
        found += of_plan(plan, params)
    return found


def passes(findings: Iterable[Finding]) -> bool:
    """Return whether nothing failed, and something was looked at."""
    levels = [finding.level for finding in findings]
    return bool(levels) and Level.FAIL not in levels


def of_key(rights: KeyRights, params: DoctorParams, now: int) -> list[Finding]:
    """Return what there is to say of a key's rights, address and age, and of the account's position mode."""
    return [
        _told(
            "key_trades",
            rights.can_trade,
            "The key may trade.",
            "The key may not trade.",
            "The venue does not say whether the key may trade.",
        ),
        _withdrawal(rights, params),
        _told(
            "key_address",
            rights.is_ip_restricted,
            "The key works from certain addresses only.",
            "The key works from every address; restrict it to this machine's.",
            "The venue does not say whether the key is bound to addresses.",
            otherwise=Level.WARN,
        ),
        _age(rights, params, now),
        _told(
            "position_mode",
            rights.is_one_way,
            "Positions are held one-way.",
            "The account holds longs and shorts apart; switch it to one-way mode.",
            "The venue does not say how positions are held.",
        ),
    ]


def of_clock(offset_ms: float | None, params: DoctorParams) -> Finding:
    """Return what there is to say of the two clocks."""
    limit = params.max_clock_offset_ms
    if offset_ms is None:
        text = "Nobody has measured how far the venue's clock is from ours."
        return Finding(code="clock", level=Level.UNKNOWN, text=text, limit=limit)
    off = abs(offset_ms)
    level = Level.FAIL if off > limit else Level.WARN if off > _WARN_SHARE * limit else Level.OK
    text = f"The venue's clock is {off:.0f} ms {'ahead of' if offset_ms > 0 else 'behind'} ours; {limit:.0f} may be."
    return Finding(code="clock", level=level, text=text, measured=off, limit=limit)


def of_balances(balances: Sequence[VenueBalance], plans: Sequence[Plan], params: DoctorParams) -> list[Finding]:
    """Return whether there is enough free money in every quote currency."""
    free = {balance.asset: balance.free for balance in balances}
    found = []
    for asset in sorted({_money(plan.instrument) for plan in plans}):
        has, needs = free.get(asset, 0.0), max(params.min_free, _margin(plans, asset))
        level = Level.OK if has >= needs else Level.FAIL
        text = f"{has:.2f} {asset} are free; the largest planned order needs {needs:.2f}."
        found.append(Finding(code="balance", level=level, text=text, measured=has, limit=needs))
    return found


def of_orders(orders: Sequence[VenueOrder], params: DoctorParams) -> Finding:
    """Return whether there are open orders that no session of ours sent."""
    foreign = sum(1 for order in orders if not order.client_order_id)
    text = "Every open order is ours." if not foreign else f"{_counted(foreign, 'open order')} not ours."
    return _foreign("foreign_orders", foreign, text, params)


def of_positions(
    positions: Sequence[VenuePosition], held: Mapping[int, int], plans: Sequence[Plan], params: DoctorParams
) -> list[Finding]:
    """Return whether positions are what we hold, and how those of planned instruments are margined."""
    actual = {position.instrument: position.lots for position in positions}
    strange = sum(1 for one in actual.keys() | held.keys() if actual.get(one, 0) != held.get(one, 0))
    text = "Every position is ours." if not strange else f"{_counted(strange, 'position')} not what we hold."
    found = [_foreign("foreign_positions", strange, text, params)]
    by_instrument = {plan.instrument.id: plan for plan in plans}
    for position in positions:
        plan = by_instrument.get(position.instrument)
        if plan is None or not plan.leverage:
            continue
        symbol = plan.instrument.symbol
        mode = "isolated" if position.is_isolated else "cross"
        level = Level.OK if position.is_isolated else Level.WARN
        found.append(Finding(code="margin_mode", level=level, text=f"The position in {symbol} has {mode} margin."))
        if position.leverage:
            level = Level.OK if position.leverage <= plan.leverage else Level.FAIL
            text = f"The position in {symbol} is leveraged {position.leverage:g} times; {plan.leverage:g} are planned."
            found.append(
                Finding(code="leverage_set", level=level, text=text, measured=position.leverage, limit=plan.leverage)
            )
    return found


def of_kinds(kinds: frozenset[OrderType]) -> Finding:
    """Return which orders the venue lacks; we emulate those, so they are only as safe as this machine."""
    lacking = sorted(set(OrderType) - kinds)
    stops = {OrderType.STOP_MARKET, OrderType.STOP_LIMIT}
    level = Level.WARN if not stops & kinds else Level.OK
    text = f"The venue lacks {', '.join(lacking)} orders; we emulate them." if lacking else "The venue has every order."
    return Finding(code="order_types", level=level, text=text, measured=float(len(lacking)))


def of_plan(plan: Plan, params: DoctorParams) -> list[Finding]:
    """Return whether planned orders are large enough, and how far their leverage is from liquidation."""
    found = [_size(plan), *_notional(plan)]
    if plan.leverage and plan.instrument.venue not in _SPOT:
        found += [_leverage(plan), _liquidation(plan, params)]
    return found


def liquidation_frac(plan: Plan, side: Side) -> float:
    """Return how far (fraction of the price) a fresh isolated position of the plan is from its liquidation."""
    instrument = plan.instrument
    price, quantity = plan.price * instrument.tick, plan.lots * instrument.lot
    margin = price * quantity / plan.leverage
    tiers = instrument.margin_tiers
    if instrument.venue is Venue.DYDX:
        at = dydx_price(margin, int(side), quantity, price, float(tiers[0].maintenance_rate))
    else:
        at = isolated_price(margin, int(side), quantity, price, tiers)
    return max(0.0, int(side) * (1.0 - at / price))


async def _asked(question: Awaitable[Answer], code: str, found: list[Finding]) -> Answer | None:
    try:
        return await question
    except VenueError as error:
        found.append(Finding(code=code, level=Level.FAIL, text=f"The venue could not be asked: {error}."))
        return None


async def _probed(probe: Probe) -> Finding:
    try:
        await probe()
    except VenueError as error:
        return Finding(code="test_order", level=Level.FAIL, text=f"The venue would not take a test order: {error}.")
    return Finding(code="test_order", level=Level.OK, text="The venue would take an order.")


def _told(code: str, is_so: bool | None, yes: str, no: str, silent: str, otherwise: Level = Level.FAIL) -> Finding:
    if is_so is None:
        return Finding(code=code, level=Level.UNKNOWN, text=silent)
    return Finding(code=code, level=Level.OK if is_so else otherwise, text=yes if is_so else no, measured=float(is_so))


def _withdrawal(rights: KeyRights, params: DoctorParams) -> Finding:
    code = "key_withdrawal"
    if rights.can_withdraw is None:
        text = "The venue does not say whether the key may withdraw."
        return Finding(code=code, level=Level.UNKNOWN, text=text)
    if not rights.can_withdraw:
        return Finding(code=code, level=Level.OK, text="The key may not withdraw.")
    level = Level.WARN if params.may_key_withdraw else Level.FAIL
    return Finding(code=code, level=level, text="The key may withdraw; take a key that may not.", measured=1.0)


def _age(rights: KeyRights, params: DoctorParams, now: int) -> Finding:
    limit = params.max_key_age_days
    if not rights.created:
        text = "The venue does not say how old the key is."
        return Finding(code="key_age", level=Level.UNKNOWN, text=text, limit=limit)
    days = (now - rights.created) / NS_PER_DAY
    level = Level.WARN if days > limit else Level.OK
    text = f"The key is {days:.0f} days old; after {limit:.0f} it should be replaced."
    return Finding(code="key_age", level=level, text=text, measured=days, limit=limit)


def _money(instrument: Instrument) -> str:
    """Return what an instrument is paid in; dYdX calls its markets by another name than its money has."""
    return "USDC" if instrument.venue is Venue.DYDX else instrument.quote


def _margin(plans: Sequence[Plan], asset: str) -> float:
    """Return what the largest planned order in `asset` ties up."""
    needs = [
        plan.instrument.notional(plan.price, plan.lots) / (plan.leverage or 1.0)
        for plan in plans
        if _money(plan.instrument) == asset and not plan.instrument.is_inverse
    ]
    return max(needs, default=0.0)


def _counted(number: int, what: str) -> str:
    return f"{number} {what} is" if number == 1 else f"{number} {what}s are"


def _foreign(code: str, number: int, text: str, params: DoctorParams) -> Finding:
    bad = Level.WARN if params.may_share_account else Level.FAIL
    return Finding(code=code, level=bad if number else Level.OK, text=text, measured=float(number))


def _size(plan: Plan) -> Finding:
    instrument = plan.instrument
    size, least = instrument.quantity(plan.lots), max(instrument.min_qty, instrument.lot_size)
    level = Level.OK if size >= least else Level.FAIL
    text = (
        f"Orders of {size:f} {instrument.base} are planned in {instrument.symbol}; the venue takes {least:f} and more."
    )
    return Finding(code="minimum_size", level=level, text=text, measured=float(size), limit=float(least))


def _notional(plan: Plan) -> list[Finding]:
    instrument, least = plan.instrument, float(plan.instrument.min_notional)
    if not least:
        return []
    worth = instrument.notional(plan.price, plan.lots)
    level = Level.OK if worth >= least else Level.FAIL
    text = f"Planned orders in {instrument.symbol} are worth {worth:.2f} {instrument.quote}; the least is {least:.2f}."
    return [Finding(code="minimum_notional", level=level, text=text, measured=worth, limit=least)]


def _leverage(plan: Plan) -> Finding:
    symbol, most = plan.instrument.symbol, plan.instrument.max_leverage
    if not plan.instrument.margin_tiers:
        text = f"The venue's leverage limits of {symbol} are not known."
        return Finding(code="leverage", level=Level.UNKNOWN, text=text, measured=plan.leverage)
    level = Level.OK if plan.leverage <= most else Level.FAIL
    text = f"{symbol} is planned with leverage {plan.leverage:g}; the venue permits {most:g}."
    return Finding(code="leverage", level=level, text=text, measured=plan.leverage, limit=most)


def _liquidation(plan: Plan, params: DoctorParams) -> Finding:
    """Say when a move of one standard deviation is as long as the way to liquidation: (distance / sigma)^2."""
    code, symbol, limit = "liquidation_time", plan.instrument.symbol, params.min_liquidation_hours
    instrument = plan.instrument
    if instrument.is_inverse or not instrument.margin_tiers or not (plan.sigma_1m and plan.price and plan.lots):
        text = f"How soon a position in {symbol} could be liquidated is not known."
        return Finding(code=code, level=Level.UNKNOWN, text=text, limit=limit)
    frac = min(liquidation_frac(plan, side) for side in (Side.BUY, Side.SELL))
    hours = (frac / plan.sigma_1m) ** 2 / _MINUTES_AN_HOUR
    level = Level.OK if hours >= limit else Level.FAIL
    text = (
        f"With leverage {plan.leverage:g} the liquidation of {symbol} is {100 * frac:.2f} % away, "
        f"{hours:.1f} hours at the volatility of now; {limit:.1f} must be."
    )
    return Finding(code=code, level=level, text=text, measured=hours, limit=limit)
