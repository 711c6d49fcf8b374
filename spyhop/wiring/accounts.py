"""Accounts at venues: which account trades an instrument, with whose keys, through which trader, stream and desk."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np

from spyhop.clock import Clock
from spyhop.config.loading import Sources, load
from spyhop.config.secrets import Secret, Secrets
from spyhop.errors import NotAvailable, StateError, UserError
from spyhop.model.accounts import VenueOrder
from spyhop.model.instruments import Instrument
from spyhop.model.orders import Command, OrderType, Report, SubmitOrder
from spyhop.model.tape import Venue
from spyhop.ports import Trader
from spyhop.venues.binance.limits import weigh
from spyhop.venues.binance.private import SpotPrivate, UsdmPrivate
from spyhop.venues.binance.reports import BinanceReports
from spyhop.venues.ccxt.spot import SpotTrader
from spyhop.venues.ccxt.trader import binance_trader
from spyhop.venues.ccxt.usdm import UsdmTrader
from spyhop.venues.desk.desk import Desk, DeskParams
from spyhop.venues.desk.streams import ReadStream
from spyhop.venues.dydx.private import DydxPrivate
from spyhop.venues.dydx.reports import DydxReports
from spyhop.venues.dydx.trader import DydxTrader, dydx_trader
from spyhop.venues.endpoints import Endpoints
from spyhop.venues.live.private import PrivateStream
from spyhop.venues.net import sockets
from spyhop.venues.net.https import HttpClient
from spyhop.venues.net.limits import Limit
from spyhop.venuesim.keys import TEST_KEY, TEST_WALLET
from spyhop.wiring.fencing import fence_of
from spyhop.wiring.killing import KillSwitch
from spyhop.wiring.plan import LiveSource, SessionPlan
from spyhop.wiring.venues import binance_budget, budget_path

WATCH_S = 0.2
FEE_COIN = "BNB"
PRICES_EVERY_S = 600.0
TRADED = (Venue.BINANCE_USDM, Venue.BINANCE_SPOT, Venue.DYDX)


def account_of(instrument: Instrument) -> str:
    """Return the account that trades an instrument, `venue:main`."""
    return account_at(instrument.venue)


def account_at(venue: Venue) -> str:
    """Return our account at a venue."""
    return f"{venue.label}:main"


def routes(instruments: Sequence[Instrument]) -> dict[int, str]:
    """Return the account of each instrument by its number; raise NotAvailable for a venue that nothing is sent to."""
    for one in instruments:
        if one.venue not in TRADED:
            raise NotAvailable(f"{one.venue.label} is not traded live; {', '.join(v.label for v in TRADED)} are")
    return {one.id: account_of(one) for one in instruments}


class Keys:
    """The keys of all accounts. A simulator gets its own worthless ones, whatever the environment holds."""

    def __init__(self, secrets: Secrets, *, is_simulated: bool) -> None:
        self._secrets, self._is_simulated = secrets, is_simulated

    @classmethod
    def here(cls, endpoints: Endpoints) -> Keys:
        """Return the keys of this process's environment and .env: keys never travel between processes."""
        _, secrets = load(Sources(environment=dict(os.environ)))
        return cls(secrets, is_simulated=endpoints.is_simulated)

    def binance(self) -> tuple[Secret, Secret]:
        """Return key and secret; raise UserError when they are nowhere."""
        if self._is_simulated:
            return Secret(TEST_KEY.key), Secret(TEST_KEY.secret)
        name = "BINANCE_API_SECRET" if "BINANCE_API_SECRET" in self._secrets else "BINANCE_SECRET_KEY"
        return self._secrets["BINANCE_API_KEY"], self._secrets[name]

    def dydx(self) -> Secret:
        """Return the private key of the wallet in hex; raise UserError when it is nowhere."""
        return Secret(TEST_WALLET) if self._is_simulated else self._secrets["DYDX_PRIVATE_KEY"]


def trader_of(
    venue: Venue,
    endpoints: Endpoints,
    instruments: Sequence[Instrument],
    keys: Keys,
    clock: Clock,
    limits: Sequence[Limit] = (),
    check: Callable[[], None] = lambda: None,
) -> Trader:
    """Return the trader of our account at `venue`, made in the loop that uses it; raise UserError without keys.

    Its requests count in the budget of this machine, and stop while the venue has shut any process of it out: who goes
    on asking is banned. `limits` are those that the venue told. `check` may keep a signed request here (`fencing`).
    """
    ours = [one for one in instruments if one.venue is venue]
    if venue is Venue.DYDX:
        path = budget_path(endpoints, endpoints.dydx.indexer)
        return dydx_trader(endpoints.dydx, keys.dydx().reveal(), ours, clock, check=check, budget=path)
    key, secret = keys.binance()
    budget = binance_budget(clock, endpoints, venue, limits)
    return binance_trader(venue, endpoints, key.reveal(), secret.reveal(), ours, clock, budget=budget, check=check)


class WithLeverage:
    """A Trader that has new positions held at the leverage that an order was sized for, before the order leaves."""

    def __init__(self, trader: UsdmTrader) -> None:
        self._trader = trader
        self._set: dict[int, float] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._trader, name)

    @property
    def validity_s(self) -> float:
        """Return for how many seconds of the clock the venue may still take a request that was sent."""
        # not left to __getattr__, which a desk's question what a trader has does not see in later Pythons
        return self._trader.validity_s

    async def submit(self, order: SubmitOrder) -> VenueOrder:
        """Place an order; an entry's leverage is rounded down, so that what is tied up is never too little."""
        wanted = float(math.floor(order.leverage))
        if not order.reduce_only and wanted >= 1.0 and self._set.get(order.instrument) != wanted:
            await self._trader.set_leverage(order.instrument, wanted)
            self._set[order.instrument] = wanted
        return await self._trader.submit(order)


class LiveDesk:
    """A desk with all that it needs, for the process of its executor; see `engine.executors`."""

    def __init__(
        self,
        plan: SessionPlan,
        account: str,
        keys: Keys,
        switch: KillSwitch,
    ) -> None:
        if not isinstance(plan.source, LiveSource):
            raise StateError("only a session on live venues has desks")
        endpoints = plan.source.endpoints
        clock = endpoints.clock.clock()
        instruments = [one for one in plan.session.instruments if account_of(one) == account]
        venue = instruments[0].venue
        self._quotes = dict.fromkeys(one.quote for one in instruments)
        self._limits = plan.source.limits.get(venue.label, ())
        self.fence = fence_of(plan.folder.parent, account, endpoints, _url(venue, endpoints))
        self.trader = trader_of(venue, endpoints, instruments, keys, clock, self._limits, self.fence.check)
        self._http: HttpClient | None = None
        self._stream, stream = self._opened(venue, endpoints, instruments, keys, clock, plan)
        self.desk = Desk(
            cast(Trader, WithLeverage(self.trader)) if isinstance(self.trader, UsdmTrader) else self.trader,
            stream,
            desk_folder(plan, account),
            clock,
            {one.id: one for one in instruments},
            desk_params(plan.settings.desk, venue),
        )
        self._switch, self._clock = switch, clock

    def _opened(
        self,
        venue: Venue,
        endpoints: Endpoints,
        instruments: Sequence[Instrument],
        keys: Keys,
        clock: Clock,
        plan: SessionPlan,
    ) -> tuple[PrivateStream[Any], ReadStream[Any]]:
        params, dial = plan.settings.feeds, sockets.connect(clock)
        generator = np.random.default_rng(plan.settings.session.seed)
        adapter: Any
        reader: Any
        if venue is Venue.DYDX:
            assert isinstance(self.trader, DydxTrader)
            adapter = DydxPrivate(endpoints.dydx, self.trader.placements.address)
            reader = DydxReports(self.trader.placements)
        else:
            key, secret = keys.binance()
            assert isinstance(self.trader, UsdmTrader | SpotTrader)
            reader = BinanceReports(instruments, price_of=self.trader.price_of)
            if venue is Venue.BINANCE_USDM:
                budget = binance_budget(clock, endpoints, venue, self._limits)
                self._http = HttpClient(clock, budget=budget, headers={"X-MBX-APIKEY": key.reveal()}, weigh=weigh)
                adapter = UsdmPrivate(endpoints.binance_usdm, self._http, params)
            else:
                adapter = SpotPrivate(endpoints.binance_spot, key.reveal(), secret.reveal(), params)
        private: PrivateStream[Any] = PrivateStream(adapter, dial, params, clock, generator=generator)
        return private, ReadStream(private, reader)

    def on_report(self, call: Callable[[], None]) -> None:
        """Have `call` called in the event loop whenever there are new reports."""
        self.desk.on_report(call)

    @property
    def num_commands(self) -> int:
        """Return how many commands are taken."""
        return self.desk.num_commands

    def take(self, number: int, commands: Sequence[Command]) -> int:
        """Keep commands, the first of which is the `number`-th of all; return how many are kept now."""
        if isinstance(self.trader, DydxTrader):
            for command in commands:
                if isinstance(command, SubmitOrder):
                    self.trader.learn(command.client_order_id)
        return self.desk.take(number, commands)

    def reports_since(self, number: int) -> list[Report]:
        """Return every report from the `number`-th on, oldest first."""
        return self.desk.reports_since(number)

    def end(self) -> None:
        """Say nothing any more: the session has heard its last."""
        self.desk.end()

    @property
    def is_idle(self) -> bool:
        """Say whether nothing is under way between us and the venue."""
        return self.desk.is_idle

    def statistics(self) -> dict[str, float]:
        own = self.desk.statistics() | {"fence_epoch": float(self.fence.epoch)}
        return own | {f"private_{name}": value for name, value in self._stream.statistics().items()}

    async def run(self) -> None:
        """Work until cancelled, from when the account is ours on; StorageFailed when another has it, in a group."""
        await self.fence.hold()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.fence.run())
            group.create_task(self.desk.run())
            group.create_task(self._stream.run())
            group.create_task(self._watch())
            group.create_task(self._learn_prices())

    async def _watch(self) -> None:
        while True:
            self.desk.stop_entries(self._switch.reason())
            await asyncio.sleep(WATCH_S)

    async def _learn_prices(self) -> None:
        """Keep in mind what the coin costs that fees may be paid in, so that a fill can say them in our money."""
        while isinstance(self.trader, UsdmTrader | SpotTrader):
            for quote in self._quotes:
                await self.trader.learn_price(FEE_COIN, quote)
            await self._clock.sleep(PRICES_EVERY_S)

    async def close(self) -> None:
        """Let connections and the log go."""
        self.desk.close()
        await self.trader.close()
        if self._http is not None:
            await self._http.close()


def _url(venue: Venue, endpoints: Endpoints) -> str:
    if venue is Venue.DYDX:
        return endpoints.dydx.node_rpc
    return (endpoints.binance_usdm if venue is Venue.BINANCE_USDM else endpoints.binance_spot).rest


def desk_folder(plan: SessionPlan, account: str) -> Path:
    """Return where the desk of an account keeps what it took and said."""
    return plan.folder / "desks" / account.replace(":", "_")


def desk_params(params: DeskParams, venue: Venue) -> DeskParams:
    """Return how a desk at `venue` works: what a spot account holds is not compared, for it has coins of its own."""
    if venue is not Venue.BINANCE_SPOT:
        return params
    return msgspec.structs.replace(params, reconcile=msgspec.structs.replace(params.reconcile, has_positions=False))


def kinds_of(venue: Venue) -> frozenset[OrderType]:
    """Return what a venue has; the rest is emulated by us."""
    by_venue: Mapping[Venue, frozenset[OrderType]] = {
        Venue.BINANCE_USDM: UsdmTrader.kinds,
        Venue.BINANCE_SPOT: SpotTrader.kinds,
        Venue.DYDX: DydxTrader.kinds,
    }
    return by_venue[venue]


async def equity_of(trader: Trader, quote: str) -> float:
    """Return how much of `quote` an account holds; raise UserError when it holds none. dYdX's dollars are USDC."""
    asset = "USDC" if quote == "USD" else quote
    total = sum(balance.total for balance in await trader.balances() if balance.asset == asset)
    if total <= 0.0:
        raise UserError(f"the account {trader.name} holds no {quote}")
    return total
