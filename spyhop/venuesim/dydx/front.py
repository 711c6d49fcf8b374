"""dYdX v4 on its port: the indexer under /v4, the node's RPC and REST at the root, both over the one exchange."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from aiohttp import web

from spyhop.model.tape import Events, Venue
from spyhop.venuesim.dydx.bodies import Bodies
from spyhop.venuesim.dydx.books import Books
from spyhop.venuesim.dydx.channels import Channels
from spyhop.venuesim.dydx.indexer_rest import IndexerRest
from spyhop.venuesim.dydx.indexer_socket import IndexerSocket
from spyhop.venuesim.dydx.node import Node
from spyhop.venuesim.dydx.node_routes import NodeRoutes
from spyhop.venuesim.dydx.quantums import clob_pair
from spyhop.venuesim.dydx.snapshots import Snapshots
from spyhop.venuesim.dydx.wallets import TEST_ADDRESS, TEST_PUBLIC_KEY, Wallets
from spyhop.venuesim.floor import Floor
from spyhop.venuesim.words import Change, Execution, Order

FUNDS: Final = Decimal(100_000)
"""USDC in subaccount 0 of a wallet that is there from the start."""


class DydxFront:
    """The venue's front. `public_keys` are the wallets that are there from the start, each with funds."""

    label = Venue.DYDX.label

    def __init__(self, floor: Floor, public_keys: Sequence[bytes] = (TEST_PUBLIC_KEY,)) -> None:
        instruments = [one for one in floor.exchange.instruments if one.venue is Venue.DYDX]
        pairs = [clob_pair(number, one) for number, one in enumerate(instruments)]
        self._pairs = {pair.instrument.id: pair for pair in pairs}
        self._bodies = Bodies(floor.exchange, {pair.ticker: pair for pair in pairs})
        self.books = Books(floor.exchange, self._pairs, self._tell)
        self.wallets = Wallets()
        self.node = Node(floor.exchange, {pair.clob_pair_id: pair for pair in pairs}, self.wallets, self.books)
        snapshots = Snapshots(floor, self._bodies, self.label)
        self._channels = Channels(floor, self._bodies, self.books, snapshots, self.node.height)
        self._socket = IndexerSocket(floor, self._bodies, self._channels.snapshot)
        self._rest = IndexerRest(floor, self._bodies, self.books, snapshots, lambda: self.node.height)
        self._node_routes = NodeRoutes(floor, self.node, self.wallets, self._hold)
        self._exchange = floor.exchange
        self._held: list[tuple[str, dict[str, Any]]] = []
        self._held_until = 0
        for public_key in public_keys:
            wallet = self.wallets.add(public_key)
            self.node.fund(wallet.address, 0, FUNDS)

    def routes(self, app: web.Application) -> None:
        """Add the indexer's and the node's routes."""
        app.router.add_get("/v4/ws", self._socket.serve)
        self._rest.routes(app)
        self._node_routes.routes(app)

    def publish(self) -> None:
        """Make the blocks that are due, and send what is due."""
        heights = self.node.commit()
        for height in heights:
            self._channels.on_block(self._socket, height, is_newest=height == heights[-1])
        if self._held and self._exchange.now >= self._held_until:
            held, self._held = self._held, []
            for account, contents in held:
                self._channels.tell_subaccount(self._socket, account, contents)
        self._socket.turn()

    def state(self) -> dict[str, Any]:
        """Return what a test harness may ask about."""
        return {
            "node": self.node.state(),
            "wallets": {address: self.wallets[address].info() for address in self.wallets.addresses()},
            "subaccounts": [self.books.subaccount(account, self.node.height) for account in self.books.accounts()],
            "orders": [ticket.body() for ticket in self.books.tickets.values()],
            "fills": [fill.body() for fill in self.books.fills],
            "sessions": self._socket.state(),
            "requests": self._rest.num_requests,
            "refused": self._rest.num_refused,
            "broadcasts": self._node_routes.num_broadcasts,
            "test_address": TEST_ADDRESS,
        }

    def on_market(self, instrument: int, events: Events) -> None:
        """Tell the tape of one of this venue's instruments."""
        if instrument in self._pairs:
            self._channels.on_market(self._socket, instrument, events)

    def on_order(self, order: Order, change: Change, execution: Execution | None) -> None:
        """Note a change of an order of this venue."""
        if order.request.account in self.books.accounts():
            self.books.on_order(order, change, execution)

    def on_account(self, account: str, change: Change, instruments: tuple[int, ...]) -> None:
        """Note a change of an account of this venue."""
        if account in self.books.accounts():
            self.books.on_account(account, change, instruments)

    def _hold(self, until: int) -> None:
        """Keep back what subaccounts are told until `until`."""
        self._held_until = max(self._held_until, until)

    def _tell(self, account: str, contents: dict[str, Any]) -> None:
        if self._held or self._exchange.now < self._held_until:
            self._held.append((account, contents))
            return
        self._channels.tell_subaccount(self._socket, account, contents)
