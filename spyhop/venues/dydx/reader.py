"""Messages of the indexer about one market to rows of the tape, for all connections that carry them.

A message is taken whole or set aside whole, except lists of trades and candles, of which each entry stands for
itself. A book update that cannot be read is lost for good, so its connection is given up, like one that lost a message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TypeAlias, TypeVar

import msgspec

from spyhop.clock import NS_PER_S
from spyhop.model.instruments import Instrument
from spyhop.model.tape import Events, Flag, Kind
from spyhop.venues.adapter import Decoded, Want
from spyhop.venues.dydx import endpoints as names
from spyhop.venues.dydx import wire
from spyhop.venues.dydx.bars import Bar, BarLog, bar_of
from spyhop.venues.dydx.book_stream import BookStream, Taken
from spyhop.venues.dydx.market_log import MarketLog, merged
from spyhop.venues.dydx.message_ids import MessageIds, Order
from spyhop.venues.dydx.numbers import Grid, nanoseconds, whole
from spyhop.venues.dydx.trade_log import Printed, TradeLog, add_trade, printed
from spyhop.venues.net.transport import Frame
from spyhop.venues.rows import Rows

NOT_A_MESSAGE = "not a message of the indexer"
NOT_CONTENTS = "contents that are not the channel's"
COMPLAINT = "complaint of the venue"
REPEATED = "message id seen before"
OTHER_CHANNEL = "channel that is not for the tape"
OTHER_MARKET = "another market"

REPLACE_PAUSE_NS = 5 * NS_PER_S
"""How long to wait before asking again for a fresh connection: one for nothing costs the venue as well."""

_stream_of = lru_cache(64)(names.stream_of)

Contents: TypeAlias = wire.Subscribed | wire.ChannelData | wire.ChannelBatchData
Item = TypeVar("Item")
Made = TypeVar("Made")

_WITHOUT_CONTENTS = (wire.Connected, wire.Unsubscribed)
_OF_TICKER = frozenset((names.ORDERBOOK, names.TRADES, names.CANDLES))


class Link:
    """One connection: its message ids, and whether it has been given up or should be replaced for another reason."""

    def __init__(self, number: int, num_subscriptions: int) -> None:
        self.number = number
        self.ids = MessageIds(num_subscriptions)
        self.is_given_up = False
        self.is_worn = False


class Batch:
    """What the messages of one call come to."""

    def __init__(self, instrument: Instrument) -> None:
        self.rows = Rows(instrument)
        self.heard: dict[str, None] = {}
        self.wants: dict[Want, None] = {}
        self.set_aside: list[tuple[str, bytes]] = []
        self.ignored: Counter[str] = Counter()

    def each(self, items: Iterable[Item], make: Callable[[Item], Made], frame: Frame) -> list[Made]:
        """Return what `make` makes of the items; those that it refuses are set aside with their message."""
        made = []
        for item in items:
            try:
                made.append(make(item))
            except ValueError as error:
                self.set_aside.append((str(error), frame.data))
        return made

    def decoded(self) -> Decoded:
        """Return the answer to the session."""
        return Decoded(
            self.rows.events(), tuple(self.heard), tuple(self.wants), tuple(self.set_aside), dict(+self.ignored)
        )


class Reader:
    """Everything known of one market from its messages."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.grid = Grid(instrument)
        self.book = BookStream(self.grid)
        self.trades = TradeLog()
        self.bars = BarLog()
        self.market = MarketLog(self.grid)
        self.num_gaps = 0
        self._ts_asked = 0
        self._candle_links: dict[int, set[int]] = {}  # connections that tell candles, by seconds of the resolution
        self._readers = {
            names.ORDERBOOK: self._on_book,
            names.TRADES: self._on_trades,
            names.CANDLES: self._on_candles,
            names.MARKETS: self._on_markets,
            names.BLOCK_HEIGHT: self._on_block,
        }

    def on_frame(self, link: Link, frame: Frame, batch: Batch) -> None:
        """Take one message; never raises for what it holds."""
        mark = len(batch.rows)
        try:
            self._on_message(link, wire.message(frame.data), frame, batch)
        except wire.UNREADABLE as error:
            batch.rows.cut(mark)
            # only a ValueError of our own has a text of our own; others may quote the venue
            batch.set_aside.append((str(error) if type(error) is ValueError else NOT_A_MESSAGE, frame.data))
        if link.ids.has_gap(frame.ts_recv):
            self._give_up(link, frame.ts_recv, batch)
        if link.is_worn and frame.ts_recv - self._ts_asked >= REPLACE_PAUSE_NS:
            self._ts_asked = frame.ts_recv
            batch.wants[Want.RECONNECT] = None

    def closed(self, connection: int) -> None:
        """Forget a connection."""
        self.book.closed(connection)
        self._tells_no_candles(connection)

    def missed_trades(self, trades: list[Printed], ts_recv: int) -> Events:
        """Return trades told by REST, oldest first, that are not on the tape yet; BACKFILLED."""
        rows = Rows(self.instrument)
        for trade in self.trades.new(trades):
            add_trade(trade, ts_recv, Flag.BACKFILLED, rows)
        return rows.events()

    def statistics(self) -> dict[str, float]:
        """Return counters of what had to be mended."""
        return {
            "uncrossed_levels": float(self.book.num_uncrossed),
            "stale_levels": float(self.book.num_stale),
            "message_gaps": float(self.num_gaps),
            "repeated_trades": float(self.trades.num_repeated),
            "late_candles": float(self.bars.num_late),
        }

    def _give_up(self, link: Link, ts: int, batch: Batch) -> None:
        """Trust a connection no more."""
        if link.is_given_up:
            return
        link.is_given_up = link.is_worn = True
        self.num_gaps += 1
        self.book.on_gap(link.number, ts, batch.rows)
        self._tells_no_candles(link.number)

    def _tells_no_candles(self, connection: int) -> None:
        for seconds, links in self._candle_links.items():
            if connection in links:
                links.discard(connection)
                if not links:
                    self.bars.doubt(seconds)

    def _on_message(self, link: Link, message: wire.Message, frame: Frame, batch: Batch) -> None:
        if isinstance(message, wire.Error):
            link.ids.on_error(message.message_id)
            raise ValueError(COMPLAINT)
        if link.ids.on(message.message_id, frame.ts_recv) is Order.REPEATED:
            batch.ignored[REPEATED] += 1
            return
        if isinstance(message, _WITHOUT_CONTENTS):
            batch.ignored[type(message).__name__.lower()] += 1
            return
        if isinstance(message, wire.Subscribed):
            link.ids.on_answer()
        reader = self._readers.get(message.channel)
        if reader is None:
            batch.ignored[OTHER_CHANNEL] += 1
        elif message.channel in _OF_TICKER and message.id.split("/", 1)[0] != self.instrument.symbol:
            batch.ignored[OTHER_MARKET] += 1
        else:
            try:
                is_heard = reader(link, message, frame, batch)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                raise ValueError(NOT_CONTENTS) from None
            if is_heard:
                batch.heard[_stream_of(message.channel, message.id)] = None

    def _on_book(self, link: Link, message: Contents, frame: Frame, batch: Batch) -> bool:
        mark = len(batch.rows)
        try:
            taken = self._take_book(link, message, frame.ts_recv, batch.rows)
        except wire.UNREADABLE as error:
            batch.rows.cut(mark)
            batch.set_aside.append((str(error) if type(error) is ValueError else NOT_CONTENTS, frame.data))
            self._give_up(link, frame.ts_recv, batch)
            return False
        if taken is not Taken.ON_TAPE:
            batch.ignored[taken.value] += 1
        link.is_worn = link.is_worn or self.book.is_crossed_for_good(link.number)
        return taken is not Taken.EARLY

    def _take_book(self, link: Link, message: Contents, ts: int, rows: Rows) -> Taken:
        if isinstance(message, wire.Subscribed):
            self.book.on_snapshot(link.number, message.message_id, wire.book(message.contents), ts, rows)
            return Taken.ON_TAPE
        updates = [wire.book_update(contents) for contents in _parts(message)]
        return self.book.on_updates(link.number, message.message_id, updates, ts, rows)

    def _on_trades(self, link: Link, message: Contents, frame: Frame, batch: Batch) -> bool:
        told = [trade for contents in _parts(message) for trade in wire.trades(contents).trades]
        trades = batch.each(told, self._printed, frame)
        flags = 0
        if isinstance(message, wire.Subscribed):
            before = self.trades.num_history
            trades = self.trades.begin(trades[::-1])
            flags = int(Flag.BACKFILLED)
            if self.trades.num_history > before:
                batch.ignored["trade from before the feed"] += self.trades.num_history - before
        else:
            trades = self.trades.new(trades)
        for trade in trades:
            self.bars.on_trade(trade.ts_event, trade.lots, trade.side)
            self.market.on_trade(trade.price)
            add_trade(trade, frame.ts_recv, flags, batch.rows)
        return True

    def _on_candles(self, link: Link, message: Contents, frame: Frame, batch: Batch) -> bool:
        if isinstance(message, wire.Subscribed):
            candles = wire.candles(message.contents).candles[::-1]
        else:
            candles = [wire.candle(contents) for contents in _parts(message)]
        bars = [bar for bar in batch.each(candles, self._bar, frame) if bar is not None]
        batch.ignored["candle of an interval that the tape does not hold"] += len(candles) - len(bars)
        log = self.bars
        before = log.num_history, log.num_late
        if isinstance(message, wire.Subscribed):
            log.on_history(bars, frame.ts_recv, batch.rows)
            if bars and not link.is_given_up:
                self._candle_links.setdefault(bars[-1].seconds, set()).add(link.number)
        else:
            log.on_updates(bars, frame.ts_recv, batch.rows)
        batch.ignored["candle from before the feed"] += log.num_history - before[0]
        batch.ignored["candle that is closed already"] += log.num_late - before[1]
        return True

    def _on_markets(self, link: Link, message: Contents, frame: Frame, batch: Batch) -> bool:
        symbol = self.instrument.symbol
        if isinstance(message, wire.Subscribed):
            listed = wire.markets(message.contents).markets.get(symbol)
            changes = [] if listed is None else [wire.market(listed)]
            oracles = []
        else:
            updates = [wire.markets_update(contents) for contents in _parts(message)]
            changes = [wire.market(update.trading[symbol]) for update in updates if symbol in update.trading]
            oracles = [
                wire.oracle_price(update.oracle_prices[symbol]) for update in updates if symbol in update.oracle_prices
            ]
        if not changes and not oracles:
            batch.ignored[OTHER_MARKET] += 1
        for oracle in oracles[-1:]:
            self.market.on_oracle(oracle, frame.ts_recv, batch.rows)
        if changes:
            news = changes[0]
            for change in changes[1:]:
                news = merged(news, change)
            self.market.on_market(news, frame.ts_recv, 0, batch.rows)
        return True

    def _on_block(self, link: Link, message: Contents, frame: Frame, batch: Batch) -> bool:
        for contents in _parts(message):
            block = wire.height(contents)
            ts_block = nanoseconds(block.time)
            height = whole(block.block_height or block.height)
            batch.rows.add(Kind.BLOCK, ts_block, frame.ts_recv, id=height)
            self.bars.on_block(ts_block, frame.ts_recv, batch.rows)
        return True

    def _printed(self, trade: wire.Trade) -> Printed:
        return printed(trade, self.grid)

    def _bar(self, candle: wire.Candle) -> Bar | None:
        return bar_of(candle, self.grid)


def _parts(message: Contents) -> list[msgspec.Raw]:
    return message.contents if isinstance(message, wire.ChannelBatchData) else [message.contents]
