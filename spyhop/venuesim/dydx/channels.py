"""From the exchange's tape and the chain's blocks to what the indexer's channels say."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from spyhop.clock import NS_PER_S
from spyhop.model.tape import Events, Flag, Kind, Side
from spyhop.venuesim.dydx import chain
from spyhop.venuesim.dydx.bodies import MAX_ROWS, Bodies, trades
from spyhop.venuesim.dydx.books import Books
from spyhop.venuesim.dydx.indexer_socket import (
    BLOCK_HEIGHT,
    CANDLES,
    LABEL,
    MARKETS,
    ORDERBOOK,
    SUBACCOUNTS,
    TRADES,
    IndexerSocket,
)
from spyhop.venuesim.dydx.quantums import ClobPair
from spyhop.venuesim.dydx.snapshots import Snapshots
from spyhop.venuesim.faults import FaultKind
from spyhop.venuesim.floor import Floor

_TRADING_BLOCKS: Final = 10
"""After so many blocks the numbers of the last 24 hours are told again."""
_ALL_LEVELS: Final = 5_000
_Levels = dict[int, int]


class Channels:
    """Writes updates for every channel of one venue, which starts at the block of `height`."""

    def __init__(self, floor: Floor, bodies: Bodies, books: Books, snapshots: Snapshots, height: int) -> None:
        self._floor, self._bodies, self._books, self._snapshots = floor, bodies, books, snapshots
        self._pairs = {pair.instrument.id: pair for pair in bodies.pairs.values()}
        self._levels = {number: self._levels_now(number) for number in self._pairs}
        self._marked: set[str] = set()
        self._traded: set[str] = set()
        self._candles: dict[str, tuple[int, int]] = {}
        self._height = height

    def on_market(self, socket: IndexerSocket, instrument: int, events: Events) -> None:
        """Tell rows of the tape of one instrument."""
        pair = self._pairs[instrument]
        kinds = events["kind"]
        levels = events[(kinds == Kind.LEVEL) | (kinds == Kind.SNAPSHOT)]
        if len(levels):
            self._tell_book(socket, pair, levels)
        traded = events[kinds == Kind.TRADE]
        if len(traded):
            self._traded.add(pair.ticker)
            if socket.has_members(TRADES, pair.ticker):
                forced = events[kinds == Kind.LIQUIDATION]
                socket.publish(TRADES, pair.ticker, {"trades": trades(traded, forced, pair)})
        if bool((kinds == Kind.MARK).any()):
            self._marked.add(pair.ticker)

    def on_block(self, socket: IndexerSocket, height: int, *, is_newest: bool) -> None:
        """Tell a block, and with the newest one what changed since the one before."""
        self._height = height
        time = chain.iso(chain.time_of(height))
        socket.publish(BLOCK_HEIGHT, BLOCK_HEIGHT, {"blockHeight": str(height), "time": time})
        if not is_newest:
            return
        self._snapshots.remember()
        self._tell_markets(socket, height, time)
        heard = socket.keys(CANDLES)
        self._candles = {key: last for key, last in self._candles.items() if key in heard}
        for key in heard:
            if key.partition("/")[0] in self._traded:
                self._tell_candles(socket, key)
        self._traded.clear()

    def snapshot(self, channel: str, key: str) -> dict[str, Any]:
        """Return the contents of a `subscribed`."""
        if channel == ORDERBOOK:
            return self._snapshots.book(key)
        if channel == TRADES:
            return self._bodies.trades(key)
        if channel == CANDLES:
            candles = self._candles_of(key, 0)
            if candles and key not in self._candles:
                self._note(key, candles[0])
            return {"candles": candles}
        if channel == MARKETS:
            return self._bodies.markets()
        if channel == BLOCK_HEIGHT:
            return {"height": str(self._height), "time": chain.iso(chain.time_of(self._height))}
        subaccount = self._books.subaccount(key, self._height)
        if subaccount is None:
            return {}
        orders = [ticket.body() for ticket in self._books.tickets.values() if ticket.account == key]
        return {
            "subaccount": subaccount,
            "orders": [body for body in orders if body["status"] in ("OPEN", "UNTRIGGERED", "BEST_EFFORT_OPENED")],
            "blockHeight": str(self._height),
        }

    def tell_subaccount(self, socket: IndexerSocket, account: str, contents: dict[str, Any]) -> None:
        """Tell news of a subaccount."""
        socket.publish(SUBACCOUNTS, account, contents)

    # books

    def _levels_now(self, number: int) -> dict[Side, set[int]]:
        _, bids, asks = self._floor.exchange.book(number, _ALL_LEVELS)
        return {Side.BUY: {price for price, _ in bids}, Side.SELL: {price for price, _ in asks}}

    def _tell_book(self, socket: IndexerSocket, pair: ClobPair, rows: Events) -> None:
        levels = self._levels[pair.instrument.id]
        is_heard = socket.has_members(ORDERBOOK, pair.ticker)
        changed: dict[Side, _Levels] = {Side.BUY: {}, Side.SELL: {}}
        names = ["kind", "side", "flags", "price", "qty"]
        for kind, side, flags, price, lots in zip(*(rows[name].tolist() for name in names), strict=True):
            if kind == Kind.SNAPSHOT:
                for at in (Side.BUY, Side.SELL):
                    changed[at].update(dict.fromkeys(levels[at], 0))
                    levels[at].clear()
                continue
            if not flags & Flag.EMPTY:
                own = levels[Side(side)]
                own.add(price) if lots else own.discard(price)
                changed[Side(side)][price] = lots
            if flags & Flag.LAST:
                if is_heard:
                    self._tell_frame(socket, pair, changed)
                changed = {Side.BUY: {}, Side.SELL: {}}

    def _tell_frame(self, socket: IndexerSocket, pair: ClobPair, changed: dict[Side, _Levels]) -> None:
        contents = {
            name: [
                [chain.plain(pair.instrument.price(price)), chain.plain(pair.instrument.quantity(lots))]
                for price, lots in changed[side].items()
            ]
            for name, side in (("bids", Side.BUY), ("asks", Side.SELL))
            if changed[side]
        }
        if contents:
            socket.publish(ORDERBOOK, pair.ticker, contents)
        faults = self._floor.faults
        if faults.kinds and faults.hit(FaultKind.CROSSED, LABEL, f"{ORDERBOOK}/{pair.ticker}", pair.ticker):
            self._tell_crossed(socket, pair)

    def _tell_crossed(self, socket: IndexerSocket, pair: ClobPair) -> None:
        """Leave a bid where the best ask is: an order that is gone, and whose end comes too late or never."""
        asks = self._levels[pair.instrument.id][Side.SELL]
        if asks:
            stale = [chain.plain(pair.instrument.price(min(asks) + 1)), chain.plain(pair.instrument.quantity(1))]
            socket.publish(ORDERBOOK, pair.ticker, {"bids": [stale]})

    # markets and candles

    def _tell_markets(self, socket: IndexerSocket, height: int, time: str) -> None:
        if not socket.has_members(MARKETS, MARKETS):
            self._marked.clear()
            return
        contents: dict[str, Any] = {}
        if self._marked:
            contents["oraclePrices"] = {
                ticker: {
                    "oraclePrice": self._bodies.oracle_price(pair),
                    "effectiveAt": time,
                    "effectiveAtHeight": str(height),
                    "marketId": pair.clob_pair_id,
                }
                for ticker, pair in self._bodies.pairs.items()
                if ticker in self._marked
            }
            self._marked.clear()
        if height % _TRADING_BLOCKS == 0:
            contents["trading"] = {
                ticker: {**self._bodies.trading(pair), "openInterest": self._bodies.market(pair)["openInterest"]}
                for ticker, pair in self._bodies.pairs.items()
            }
        if contents:
            socket.publish(MARKETS, MARKETS, contents)

    def _tell_candles(self, socket: IndexerSocket, key: str) -> None:
        started, num_trades = self._candles.get(key, (0, 0))
        for candle in reversed(self._candles_of(key, started)):
            if (_started(candle), candle["trades"]) != (started, num_trades):
                socket.publish(CANDLES, key, candle)
                self._note(key, candle)

    def _candles_of(self, key: str, start: int) -> list[dict[str, Any]]:
        ticker, _, resolution = key.partition("/")
        candles = self._bodies.candles(ticker, resolution, MAX_ROWS, start)
        for candle in candles:
            del candle["id"]
        return candles

    def _note(self, key: str, candle: dict[str, Any]) -> None:
        self._candles[key] = (_started(candle), candle["trades"])


def _started(candle: dict[str, Any]) -> int:
    at = datetime.fromisoformat(candle["startedAt"].replace("Z", "+00:00"))
    return int(at.timestamp()) * NS_PER_S
