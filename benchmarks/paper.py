"""Paper against an exchange's own engine: the same orders at the same times over the same market.

Seeded orders of five kinds go one after the other to the venue simulator over its sockets, while a live feed records
its tape. The simulated venue of paper sessions then gets the same commands over that tape. What may differ is what its
model declares: an order arrives `entry_latency_ms` and a jitter after it was sent, meets what had been received by
then, waits behind all that was shown, and a trigger fires `trigger_latency_ms` late. The table says by how much it did,
and how many ticks are left once each price is held against the book at the moment of its own fill.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec
import numpy as np

from benchmarks.output import say
from cluster.origins import simulator
from spyhop.clock import NS_PER_MS, NS_PER_S, Clock
from spyhop.config.secrets import Secrets
from spyhop.errors import OutcomeUnknown, VenueRefused
from spyhop.model.instruments import Instrument
from spyhop.model.orders import (
    CancelOrder,
    Command,
    Fill,
    Liquidity,
    OrderStatus,
    OrderType,
    Purpose,
    SubmitOrder,
    TimeInForce,
)
from spyhop.model.tape import Events, Kind, Side, joined
from spyhop.ports import Trader
from spyhop.simulation.venue import SimulatedVenue, VenueParams
from spyhop.venues.endpoints import Endpoints
from spyhop.venues.live.feed import LiveFeed
from spyhop.venues.params import FeedParams
from spyhop.wiring import kernels
from spyhop.wiring.accounts import Keys, trader_of
from spyhop.wiring.venues import listed, live_feed

SPEED = 4.0
NUM_ORDERS = 60
PATIENCE_S = 5.0
"""Of the venue's time: what has not filled by then is taken back."""
SETTLE_S = 1.0
_POLL_S = 0.05
_ENDED = (OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.REJECTED, OrderStatus.EXPIRED)

QUOTES_MS = 20.0
"""How far a quote may be from the moment that it describes."""

Clocked = Literal["ts_recv", "ts_event"]
Asked = Literal["market", "limit", "post_only", "stop", "take_profit"]
KINDS: tuple[Asked, ...] = ("market", "limit", "post_only", "stop", "take_profit")


class Got(msgspec.Struct, frozen=True):
    """What became of an order: lots, mean price in ticks, when its first fill was, share of lots that it made."""

    lots: int = 0
    price: float = 0.0
    ts: int = 0
    maker_frac: float = 0.0


class Pair(msgspec.Struct, frozen=True):
    """One order and what both engines made of it; `refused` is why the exchange would not have it, "" if it did."""

    asked: Asked
    order: SubmitOrder
    there: Got
    paper: Got
    refused: str = ""


class Compared(msgspec.Struct, frozen=True):
    """All pairs and the tape between them."""

    pairs: list[Pair]
    tape: Events


def main() -> None:
    """Print the table of differences, then one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=NUM_ORDERS)
    parser.add_argument("--speed", type=float, default=SPEED, help="venue time over wall time")
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    kernels.prepare()
    report(compared(given.orders, given.speed, given.seed))


def compared(num_orders: int, speed: float, seed: int) -> Compared:
    """Send seeded orders to a simulator of its own and to paper over its tape."""
    with simulator(["--symbols", "BTCUSDT", "--speed", str(speed), "--seed", str(seed)]) as endpoints:
        return asyncio.run(_Run(endpoints, num_orders, seed).compared())


class _Run:
    def __init__(self, endpoints: Endpoints, num_orders: int, seed: int) -> None:
        self._endpoints, self._num_orders = endpoints, num_orders
        self._generator = np.random.default_rng(seed)
        self._clock: Clock = endpoints.clock.clock()
        self._batches: list[Events] = []
        self._quote = (0, 0)
        self._last = 0

    async def compared(self) -> Compared:
        listing = await listed(self._endpoints, ["BTCUSDT"])
        one = listing.instruments[0].numbered(0)
        feed = live_feed(one, self._endpoints, FeedParams(), listing.limits)
        keys = Keys(Secrets({}), is_simulated=True)
        trader = trader_of(one.venue, self._endpoints, [one], keys, self._clock)
        collecting = asyncio.create_task(self._collect(feed))
        try:
            while not self._last or not self._quote[0]:
                await asyncio.sleep(_POLL_S)
            await trader.open_orders()  # so that no order pays for opening a connection
            await self._clock.sleep(SETTLE_S)
            begun = self._clock.now_ns()
            asked = [await self._asked(trader, one, number) for number in range(self._num_orders)]
            await self._clock.sleep(SETTLE_S)
            fills = await trader.fills(one.id, begun - NS_PER_S)
        finally:
            collecting.cancel()
            await asyncio.gather(collecting, return_exceptions=True)
            feed.close()
            await trader.close()
        tape = joined(self._batches)
        on_paper = paper(one, tape, [command for _, commands, _ in asked for command in commands])
        pairs = []
        for kind, commands, refused in asked:
            order = commands[0]
            assert isinstance(order, SubmitOrder)
            key = order.client_order_id
            ours = [
                (fill.price, fill.lots, fill.ts_venue, fill.liquidity) for fill in fills if fill.client_order_id == key
            ]
            pairs.append(Pair(kind, order, got(ours), on_paper.get(key, Got()), refused))
        return Compared(pairs, tape)

    async def _collect(self, feed: LiveFeed) -> None:
        while (batch := feed.next_batch()) is not None:
            if len(batch):
                self._batches.append(batch)
                for kind in (Kind.QUOTE, Kind.TRADE):
                    rows = batch[batch["kind"] == kind]
                    if len(rows) and kind is Kind.QUOTE:
                        self._quote = (int(rows["price"][-1]), int(rows["aux"][-1]))
                    elif len(rows):
                        self._last = int(rows["price"][-1])
            await asyncio.sleep(0.01)

    async def _asked(self, trader: Trader, one: Instrument, number: int) -> tuple[Asked, list[Command], str]:
        """Send an order, wait for its end, take it back when that does not come; return what was sent and when."""
        kind = KINDS[number % len(KINDS)]
        order = self._order(one, kind, number)
        commands: list[Command] = [order]
        try:
            await trader.submit(order)
        except VenueRefused as refused:
            return kind, commands, str(refused)
        until = order.ts + int(PATIENCE_S * NS_PER_S)
        while self._clock.now_ns() < until:
            theirs = await trader.order(order.client_order_id, one.id)
            if theirs is not None and theirs.status in _ENDED:
                return kind, commands, "expired" if theirs.filled == 0 else ""
            await asyncio.sleep(_POLL_S)
        cancel = CancelOrder(ts=self._clock.now_ns(), client_order_id=order.client_order_id, instrument=one.id)
        commands.append(cancel)
        with contextlib.suppress(VenueRefused, OutcomeUnknown):  # it may have ended in this moment
            await trader.cancel(cancel)
        return kind, commands, ""

    def _order(self, one: Instrument, kind: Asked, number: int) -> SubmitOrder:
        g, (bid, ask) = self._generator, self._quote
        side = Side.BUY if number // len(KINDS) % 2 == 0 else Side.SELL
        near = bid if side is Side.BUY else ask
        away = int(g.integers(0, 40))
        types: dict[Asked, OrderType] = {
            "market": OrderType.MARKET,
            "limit": OrderType.LIMIT,
            "post_only": OrderType.LIMIT,
            "stop": OrderType.STOP_MARKET,
            "take_profit": OrderType.TAKE_PROFIT_MARKET,
        }
        is_resting = types[kind] is OrderType.LIMIT
        # a stop buys above and sells below the last trade, a take profit the other way round
        towards = {"stop": int(side), "take_profit": -int(side)}.get(kind, 0)
        now = self._clock.now_ns()
        return SubmitOrder(
            ts=now,
            client_order_id=f"s20251128_{now // NS_PER_S % 10**6:06d}_{now // 1_000 % 10**6:06d}-{number:06d}",
            instrument=one.id,
            side=side,
            type=types[kind],
            lots=int(g.integers(5, 50)),
            purpose=Purpose.ENTRY,
            price=near - int(side) * (away // 4) if is_resting else 0,
            trigger=self._last + towards * (10 + away) if towards else 0,
            time_in_force=TimeInForce.POST_ONLY if kind == "post_only" else TimeInForce.GTC,
        )


def paper(
    one: Instrument, tape: Events, commands: Sequence[Command], params: VenueParams | None = None
) -> dict[str, Got]:
    """Return what the simulated venue makes of commands, sent at their own times, over a tape."""
    venue, at = SimulatedVenue([one], params), 0
    told: dict[str, list[tuple[int, int, int, Liquidity]]] = {}

    def advance(until: int) -> None:
        nonlocal at
        while True:
            at, reports = venue.advance(tape, at, until)
            for report in reports:
                if isinstance(report, Fill):
                    row = (report.price, report.lots, report.ts_venue, report.liquidity)
                    told.setdefault(report.client_order_id, []).append(row)
            if not reports:
                return

    for command in sorted(commands, key=lambda one: one.ts):
        advance(command.ts)
        venue.send(command)
    advance(int(tape["ts_recv"][-1]))
    return {key: got(rows) for key, rows in told.items()}


def got(fills: Sequence[tuple[int, int, int, Liquidity]]) -> Got:
    """Return the sum of fills: (price, lots, when, liquidity)."""
    lots = sum(fill[1] for fill in fills)
    if not lots:
        return Got()
    made = sum(fill[1] for fill in fills if fill[3] is Liquidity.MAKER)
    return Got(lots, sum(fill[0] * fill[1] for fill in fills) / lots, min(fill[2] for fill in fills), made / lots)


# ── the table


def worse_by(pair: Pair) -> float:
    """Return by how many ticks paper's price is worse for us than the exchange's."""
    return int(pair.order.side) * (pair.paper.price - pair.there.price)


def touch(tape: Events, side: Side, start: int, end: int, clock: Clocked = "ts_recv") -> tuple[int, int]:
    """Return the lowest and highest price in ticks that an order of `side` could meet first from `start` to `end`.

    The times are those at which quotes were received (paper's clock), or at which they happened (the exchange's).
    """
    quotes = tape[tape["kind"] == Kind.QUOTE]
    first = max(0, int(np.searchsorted(quotes[clock], start, side="right")) - 1)
    last = max(first + 1, int(np.searchsorted(quotes[clock], end, side="right")))
    met = quotes[first:last]["aux" if side is Side.BUY else "price"]
    return int(met.min()), int(met.max())


def unexplained(pair: Pair, tape: Events) -> tuple[float, float]:
    """Return by how many ticks what was taken, there and on paper, lies outside of what was shown at that moment."""
    half = int(QUOTES_MS * NS_PER_MS)
    side = pair.order.side
    there = touch(tape, side, pair.there.ts - half, pair.there.ts + half, "ts_event")
    on_paper = touch(tape, side, pair.paper.ts - half, pair.paper.ts)
    return _outside(pair.there.price, there), _outside(pair.paper.price, on_paper)


def _outside(price: float, between: tuple[int, int]) -> float:
    return max(0.0, between[0] - price, price - between[1])


def later_by_ms(pair: Pair) -> float:
    """Return by how many milliseconds paper's first fill is later."""
    return (pair.paper.ts - pair.there.ts) / NS_PER_MS


def report(found: Compared) -> None:
    """Print a line for each kind of order, and each number again as JSON."""
    pairs = found.pairs
    head = ("orders", "refused", "both", "only there", "only paper", "lots there", "lots paper", "maker there",
            "maker paper", "ticks worse p50", "worst", "ms later p50", "most", "unexplained")  # fmt: skip
    print(f"{'':12}" + "".join(f"{name:>16}" for name in head))
    for kind in KINDS:
        row = line([pair for pair in pairs if pair.asked == kind], found.tape)
        print(f"{kind:12}" + "".join(f"{value:16.2f}" for value in row), flush=True)
        for name, value in zip(head, row, strict=True):
            say(f"paper_{kind}_{name.replace(' ', '_')}", value, "", on=f"{len(pairs)} orders, the same tape")


def filled_by_both(pairs: Sequence[Pair]) -> list[Pair]:
    """Return the orders that the exchange had and that both filled, if only in part."""
    return [pair for pair in pairs if not pair.refused and pair.there.lots and pair.paper.lots]


def is_taken(pair: Pair) -> bool:
    """Say whether both fills were taken from the book, none of it made."""
    return pair.there.maker_frac == pair.paper.maker_frac == 0.0


def line(pairs: Sequence[Pair], tape: Events) -> list[float]:
    """Return the numbers of one line of the table; what has none is 0.

    `unexplained` is the largest of what either engine gave outside of the book at its own moment.
    """
    taken = [pair for pair in pairs if not pair.refused]
    both = filled_by_both(pairs)
    worse, later = [worse_by(pair) for pair in both] or [0.0], [later_by_ms(pair) for pair in both] or [0.0]

    def share(of: Callable[[Pair], Got]) -> float:
        lots = sum(of(pair).lots for pair in taken)
        return sum(of(pair).maker_frac * of(pair).lots for pair in taken) / lots if lots else 0.0

    return [
        float(len(pairs)),
        float(len(pairs) - len(taken)),
        float(len(both)),
        float(sum(bool(pair.there.lots) and not pair.paper.lots for pair in taken)),
        float(sum(bool(pair.paper.lots) and not pair.there.lots for pair in taken)),
        float(sum(pair.there.lots for pair in taken)),
        float(sum(pair.paper.lots for pair in taken)),
        share(lambda pair: pair.there),
        share(lambda pair: pair.paper),
        statistics.median(worse),
        max(worse, key=abs),
        statistics.median(later),
        max(later, key=abs),
        max((max(unexplained(pair, tape)) for pair in both if is_taken(pair)), default=0.0),
    ]


if __name__ == "__main__":
    main()
