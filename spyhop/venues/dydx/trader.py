"""One subaccount of dYdX as a Trader: orders through a node, questions to the indexer.

    market, immediate-or-cancel, post-only   short-term: a node's memory, gone by themselves after some blocks
    resting limit                            long-term, or short-term for `gtc_blocks`
    stops and take-profits                   conditional: kept by the chain, triggered by the oracle price

A node that takes an order says that it passed its checks, no more, so `submit` returns it as SENT; what becomes of it
the subaccount's channel tells, or `order`. Nobody is told when a short-term order reaches its last block: `order` says
EXPIRED from then on. That is the dead man's switch too, there is no other: an account without a process loses its
short-term orders within `maker_blocks`, and keeps its stops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from spyhop.clock import NS_PER_DAY, NS_PER_HOUR, NS_PER_S, Clock
from spyhop.errors import (
    ConnectFailed,
    OutcomeUnknown,
    Throttled,
    VenueError,
    VenueRefused,
    VenueUnavailable,
)
from spyhop.model.accounts import KeyRights, VenueBalance, VenueFill, VenueOrder, VenuePosition
from spyhop.model.instruments import Instrument
from spyhop.model.orders import CancelOrder, OrderStatus, SubmitOrder
from spyhop.model.tape import Side
from spyhop.venues.dydx import answers, limits, wire
from spyhop.venues.dydx.answers import Market
from spyhop.venues.dydx.broadcast import Broadcaster
from spyhop.venues.dydx.numbers import nanoseconds
from spyhop.venues.dydx.order_words import KINDS, DydxTraderParams, anchor, words, worst
from spyhop.venues.dydx.placements import SHORT_TERM, Placed, Placements, order_uuid
from spyhop.venues.dydx.rest import DydxRest
from spyhop.venues.endpoints import DydxEndpoints
from spyhop.venues.net.https import HttpClient
from spyhop.venues.net.transport import Http

_CANCEL_FOR_NS: Final = 95 * NS_PER_DAY - NS_PER_HOUR
"""A cancellation must not end before its order, which may live 95 days."""
_FRESH_NS: Final = NS_PER_S
_PAGE: Final = 1_000
_NOT_FOUND: Final = 404
_NO_SUCH_ORDER: Final = 3006
_OPEN: Final = ",".join(sorted({*answers.OPEN, answers.BEST_EFFORT_CANCELED}))


class DydxTrader:
    """See the module. `reference` gives the ticks that an instrument is worth now, 0.0 when it cannot say.

    The venue knows our orders by numbers: names of earlier sessions must be told to `learn` to be ours again.
    """

    kinds = KINDS

    def __init__(
        self,
        broadcaster: Broadcaster,
        rest: DydxRest,
        instruments: Sequence[Instrument],
        clock: Clock,
        *,
        account: str = "main",
        subaccount: int = 0,
        params: DydxTraderParams | None = None,
        reference: Callable[[int], float] = lambda instrument: 0.0,
        connections: Sequence[Http] = (),
    ) -> None:
        self.name = f"dydx:{account}"
        self.placements = Placements(broadcaster.address, subaccount)
        self._node, self._rest, self._clock = broadcaster, rest, clock
        self._instruments, self._params, self._reference = tuple(instruments), params or DydxTraderParams(), reference
        self._connections = tuple(connections)
        self._tickers: dict[str, Market] = {}

    def learn(self, client_order_id: str) -> None:
        """Take a name of an earlier life as ours; raise VenueRefused when its number is another one's."""
        self.placements.learn(client_order_id)

    async def connect(self) -> None:
        """Read what never changes; everything else does it when it was not done. Raise VenueError or MissingInput."""
        if self._tickers:
            return
        markets = await self._node.load(self._instruments)
        told, height = await self._rest.height(), await self._node.height()
        self.placements.begin(max(height, int(told.height)), max(self._clock.now_ns(), nanoseconds(told.time)))
        self.placements.markets = markets
        self._tickers = {market.instrument.symbol: market for market in markets.values()}

    async def submit(self, order: SubmitOrder) -> VenueOrder:
        """Have a node take an order; returns it as SENT. Raise OutcomeUnknown for a name that was sent before."""
        market = await self._market(order.instrument)
        if order.client_order_id in self.placements.placed:
            raise OutcomeUnknown(self.name, f"{order.client_order_id} was sent before")
        number = self.placements.learn(order.client_order_id)
        price, height = await self._worst(order, market), await self._height()
        kind, flags, good_til, params = words(order, market, height, self._params)
        placements = self.placements
        uuid = order_uuid(placements.address, placements.subaccount, number, market.clob_pair, flags)
        placed = Placed(uuid, number, flags, order, good_til, self._clock.now_ns())
        placements.place(placed)
        params |= {"clientOrderId": number, "subaccountId": placements.subaccount, "reduceOnly": order.reduce_only}
        side = "buy" if order.side is Side.BUY else "sell"
        try:
            await self._node.place(market, kind, side, order.lots, price, params)
        except (VenueRefused, Throttled, VenueUnavailable, ConnectFailed):
            placements.withdraw(order.client_order_id)
            raise
        placed.is_taken = True
        return placed.told(OrderStatus.SENT)

    async def cancel(self, order: CancelOrder) -> None:
        """Have a node take a cancellation; a short-term order may still be filled until its last block.

        Raise VenueUnavailable for an order that is not in a block yet.
        """
        market = await self._market(order.instrument)
        number, flags, good_til = await self._whereabouts(order, market)
        placed = self.placements.placed.get(order.client_order_id)
        try:
            await self._cancel(market, number, flags, good_til)
        except VenueRefused as refusal:
            if refusal.code == _NO_SUCH_ORDER and placed is not None and await self._found(placed.uuid) is None:
                raise VenueUnavailable(self.name, 200, "the order is not in a block yet") from None
            raise
        if placed is not None:
            placed.is_cancelled = True

    async def order(self, client_order_id: str, instrument: int) -> VenueOrder | None:
        """Return an order of ours; raise OutcomeUnknown while it may still appear."""
        market = await self._market(instrument)
        # before the order, which is then at least as new
        block = await self._rest.height()
        for uuid in self.placements.uuids(client_order_id, instrument):
            found = await self._found(uuid)
            if found is not None:
                return self._told(found, market, int(block.height))
        if not self._is_over(client_order_id, block):
            raise OutcomeUnknown(self.name, f"{client_order_id} is not known and may still appear")
        placed = self.placements.placed.get(client_order_id)
        if placed is None or not placed.is_taken or placed.flags != SHORT_TERM:
            return None
        return placed.told(OrderStatus.CANCELLED if placed.is_cancelled else OrderStatus.EXPIRED)

    async def open_orders(self) -> list[VenueOrder]:
        """Return what may still be filled, of our instruments; that is also what only a validator calls cancelled."""
        await self.connect()
        height = int((await self._rest.height()).height)
        orders = await self._orders(_OPEN)
        ours = [(told, self._tickers[told.ticker]) for told in orders if told.ticker in self._tickers]
        return [told for one in ours if (told := self._told(*one, height)).status in answers.ALIVE]

    async def fills(self, instrument: int, since: int) -> list[VenueFill]:
        """Return the account's executions from `since` (ns) on, oldest first, however many those are."""
        market = await self._market(instrument)
        found: dict[str, wire.Fill] = {}
        before, ticker = "", market.instrument.symbol
        name_of = self.placements.name_of_uuid
        with self._reading("fills"):
            while True:
                page = await self._rest.fills(*self._who, ticker=ticker, limit=_PAGE, before_height=before)
                known = len(found)
                found |= {fill.id: fill for fill in page}
                if len(page) < _PAGE or nanoseconds(page[-1].created_at) < since:
                    break
                if len(found) == known:
                    raise ValueError("pages of fills that do not go back")
                before = page[-1].created_at_height
            wanted = [fill for fill in reversed(found.values()) if nanoseconds(fill.created_at) >= since]
            told = [answers.fill_of(fill, market, name_of(fill.order_id or "")) for fill in wanted]
        return sorted(told, key=lambda fill: fill.ts_venue)

    async def positions(self) -> list[VenuePosition]:
        """Return what is held of our instruments."""
        await self.connect()
        try:
            held = await self._rest.positions(*self._who)
        except VenueRefused as refusal:
            if refusal.status != _NOT_FOUND:
                raise
            return []
        known = [(one, self._tickers[one.market]) for one in held if one.market in self._tickers]
        with self._reading("perpetualPositions"):
            told = [answers.position_of(one, market, self.placements.subaccount) for one, market in known]
        return [position for position in told if position.lots]

    async def balances(self) -> list[VenueBalance]:
        """Return the subaccount's USDC, nothing when it has never held any."""
        await self.connect()
        try:
            told = await self._rest.subaccount(*self._who)
        except VenueRefused as refusal:
            if refusal.status != _NOT_FOUND:
                raise
            return []
        with self._reading("subaccount"):
            return [answers.balance_of(told)]

    async def rights(self) -> KeyRights:
        """Return what a wallet's key may do: everything. No address is bound to it, and it has no age."""
        try:
            await self.connect()
        except VenueRefused as refusal:
            if refusal.status != _NOT_FOUND:
                raise
            return KeyRights(can_trade=False, can_withdraw=True, is_one_way=True)
        return KeyRights(can_trade=True, can_withdraw=True, is_ip_restricted=False, is_one_way=True)

    async def set_leverage(self, instrument: int, leverage: float) -> None:
        """Do nothing: the venue has no such setting, the subaccount's money is the margin."""

    async def cancel_all(self, instrument: int) -> None:
        """Cancel every order of an instrument, those too that we sent and nobody knows yet.

        Every one is tried before the first failure is raised; what is gone already is none.
        """
        market = await self._market(instrument)
        block = await self._rest.height()
        targets = {
            placed.uuid: (placed.number, placed.flags, placed.good_til_block)
            for placed in self.placements.placed.values()
            if placed.order.instrument == instrument and not placed.is_over(int(block.height), nanoseconds(block.time))
        }
        for told in await self._orders(_OPEN, market.instrument.symbol):
            targets[told.id] = self._key_of(told)
        failure: VenueError | None = None
        for uuid, (number, flags, good_til) in targets.items():
            try:
                await self._cancel(market, number, flags, good_til)
            except VenueRefused as refusal:
                if refusal.code != _NO_SUCH_ORDER:
                    failure = failure or refusal
                continue
            except VenueError as error:
                failure = failure or error
                continue
            placed = self.placements.placed.get(self.placements.name_of_uuid(uuid))
            if placed is not None:
                placed.is_cancelled = True
        if failure is not None:
            raise failure

    async def hold_switch(self, instrument: int, seconds: float) -> bool:
        """Return False: the venue has no switch. Short-term orders end by themselves, others outlive us."""
        return False

    async def close(self) -> None:
        """Let connections go."""
        for connection in self._connections:
            await connection.close()

    # orders in the venue's words

    async def _worst(self, order: SubmitOrder, market: Market) -> int:
        """Return the worst price (ticks) that an order takes."""
        worth = anchor(order) or self._reference(order.instrument)
        if worth <= 0.0:
            told, _ = await self._rest.market(market.instrument.symbol)
            with self._reading("perpetualMarkets"):
                worth = market.grid.nearest_tick(told.oracle_price or "")
        return worst(order, worth, self._params)

    async def _cancel(self, market: Market, number: int, flags: int, good_til: int) -> None:
        order_id = {
            "subaccountId": {"owner": self.placements.address, "number": self.placements.subaccount},
            "clientId": number,
            "orderFlags": flags,
            "clobPairId": market.clob_pair,
        }
        if flags == SHORT_TERM:
            block = max(good_til, await self._height() + self._params.maker_blocks)
            await self._node.cancel(order_id, block=block)
        else:
            await self._node.cancel(order_id, seconds=(self._clock.now_ns() + _CANCEL_FOR_NS) // NS_PER_S)

    async def _whereabouts(self, order: CancelOrder, market: Market) -> tuple[int, int, int]:
        """Return (number, flags, last block) of an order, ours of this life or one that the indexer knows."""
        placed = self.placements.placed.get(order.client_order_id)
        if placed is not None:
            return placed.number, placed.flags, placed.good_til_block
        block = await self._rest.height()
        for uuid in self.placements.uuids(order.client_order_id, order.instrument):
            told = await self._found(uuid)
            if told is not None:
                return self._key_of(told)
        if not self._is_over(order.client_order_id, block):
            raise OutcomeUnknown(self.name, f"{order.client_order_id} is not known and may still appear")
        raise VenueRefused(self.name, _NOT_FOUND, _NO_SUCH_ORDER, f"no order {order.client_order_id}")

    # answers

    def _key_of(self, told: wire.Order) -> tuple[int, int, int]:
        with self._reading("orders"):
            numbers = (told.client_id, told.order_flags, told.good_til_block)
            number, flags, good_til = [answers.number_of(text) for text in numbers]
            return number, flags, good_til

    def _is_over(self, client_order_id: str, block: wire.Height) -> bool:
        return self.placements.is_over(client_order_id, int(block.height), nanoseconds(block.time))

    def _told(self, told: wire.Order, market: Market, height: int) -> VenueOrder:
        placements = self.placements
        name = placements.name(told.client_id)
        placed = placements.placed.get(name)
        with self._reading("orders"):
            is_cancelled = placed is not None and placed.is_cancelled
            return answers.judged(told, market, name, height, is_cancelled=is_cancelled)

    async def _orders(self, status: str, ticker: str = "") -> list[wire.Order]:
        return await self._rest.orders(*self._who, ticker=ticker, status=status, limit=_PAGE)

    async def _found(self, uuid: str) -> wire.Order | None:
        try:
            return await self._rest.order(uuid)
        except VenueRefused as refusal:
            if refusal.status != _NOT_FOUND:
                raise
            return None

    async def _market(self, instrument: int) -> Market:
        await self.connect()
        return self.placements.markets[instrument]

    async def _height(self) -> int:
        """Return the newest block: as it was told a moment ago, else as the node says."""
        now = self._clock.now_ns()
        if now - self.placements.heard > _FRESH_NS:
            self.placements.note_block(await self._node.height(), now)
        return self.placements.height

    @property
    def _who(self) -> tuple[str, int]:
        return self.placements.address, self.placements.subaccount

    @contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        """Take what makes no sense in an answer for an answer that could not be had."""
        try:
            yield
        except (*wire.UNREADABLE, ArithmeticError) as reason:
            raise self._rest.unreadable(f"/{what}", str(reason)) from None


def dydx_trader(
    endpoints: DydxEndpoints,
    private_key: str,
    instruments: Sequence[Instrument],
    clock: Clock,
    account: str = "main",
    subaccount: int = 0,
    *,
    params: DydxTraderParams | None = None,
    reference: Callable[[int], float] = lambda instrument: 0.0,
    known: Iterable[str] = (),
    check: Callable[[], None] = lambda: None,
    budget: Path | None = None,
) -> DydxTrader:
    """Return a trader with connections of its own; `known` are client order ids of earlier lives.

    `check` may keep a signed transaction here by raising a VenueError. `budget` is the file in which all processes of
    this machine count what they ask of the indexer; without it only this trader's questions are counted.

    Raise InvalidSetting unless the key is 64 hex digits.
    """
    node, indexer = HttpClient(clock), limits.client(clock, budget)
    broadcaster = Broadcaster(node, endpoints, private_key, clock, check)
    rest = DydxRest(indexer, endpoints)
    trader = DydxTrader(
        broadcaster,
        rest,
        instruments,
        clock,
        account=account,
        subaccount=subaccount,
        params=params,
        reference=reference,
        connections=(node, indexer),
    )
    for name in known:
        trader.learn(name)
    return trader
