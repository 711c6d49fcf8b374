"""One life of the executor with its desk in the chaos of orders; it may kill itself anywhere.

Everything that trades is what a live session has: `Carrier`, both vessels, `LiveDesk`. Only what Ray
does is done by a socket, approvals come from a script, and the points at which a life
may end are put around the objects, not into them.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import ccxt.async_support  # noqa: F401  here, so that it is read once and not in every life
import msgspec

from actors.carrier import Carrier, Target
from actors.desks import desk_post, listener
from benchmarks.chaos_ledger import LedgerLink
from benchmarks.chaos_life import Fuse, Job, complain_into
from benchmarks.chaos_script import RANDOM, SYMBOLS, WINDOW_S, Wish
from spyhop.clock import NS_PER_MS, NS_PER_S, Clock
from spyhop.config.secrets import Secret
from spyhop.engine.edges import Inlet, Receipt
from spyhop.engine.executors import ExecutorVessel
from spyhop.engine.streams import END_OF_TIME
from spyhop.engine.vessels import Messages
from spyhop.errors import VenueError
from spyhop.model import tape
from spyhop.model.decisions import Intent
from spyhop.model.orders import Command, Fill
from spyhop.model.tape import Kind, Side, Status, Venue
from spyhop.model.verdicts import Approved, RiskState, RiskStateChanged
from spyhop.venues.desk.ports import Heard, Told
from spyhop.venues.net.https import HttpClient
from spyhop.wiring import accounts, nodes
from spyhop.wiring.accounts import Keys, LiveDesk, routes, trader_of
from spyhop.wiring.killing import KillSwitch
from spyhop.wiring.plan import LiveSource
from spyhop.wiring.venues import public_http

GRID_NS = 50 * NS_PER_MS
TICK_S = 0.01
UP = "up"
_Call = Callable[..., Awaitable[Any]]


class TestKeys(Keys):
    """The keys of one run's account."""

    def __init__(self, key: str, secret: str) -> None:
        self._key, self._secret = Secret(key), Secret(secret)

    def binance(self) -> tuple[Secret, Secret]:
        return self._key, self._secret


class FusedDesk(LiveDesk):
    """A live desk with points around its trader, its stream and its log."""

    def __init__(self, job: Job, account: str, fuse: Fuse) -> None:
        plan = job.plan
        super().__init__(plan, account, TestKeys(job.api_key, job.api_secret), KillSwitch(plan.folder.parent))
        self._fuse = fuse
        self._around("submit", "submit", "submitting", "submitted")
        self._around("cancel", "cancel", "cancelling", "cancelled")
        self._around("order", "", "order", "")
        inner = self.desk._stream
        assert inner is not None
        self.desk._stream = _FusedStream(inner, fuse)

    def _around(self, name: str, before: str, within: str, after: str) -> None:
        call: _Call = getattr(self.trader, name)

        async def fused(*about: Any) -> Any:
            self._fuse.passing(before)
            self._fuse.soon(within)
            answer = await call(*about)
            self._fuse.passing(after)
            return answer

        setattr(self.trader, name, fused)

    def on_report(self, call: Callable[[], None]) -> None:
        def fused() -> None:
            self._fuse.passing("told")
            call()

        super().on_report(fused)

    def take(self, number: int, commands: Sequence[Command]) -> int:
        self._fuse.passing("take")
        count = super().take(number, commands)
        self._fuse.passing("taken")
        return count


def narrowed(*about: Any) -> Any:
    """Return a trader whose requests last `WINDOW_S` at the venue, which stretches windows by the clock's speed."""
    trader: Any = trader_of(*about)
    endpoints = about[1]
    trader._calls.client.options["recvWindow"] = round(WINDOW_S * 1_000 / endpoints.clock.speed)
    return trader


class _FusedStream:
    def __init__(self, inner: Any, fuse: Fuse) -> None:
        self._inner, self._fuse = inner, fuse

    async def next(self) -> Heard:
        heard: Heard = await self._inner.next()
        if isinstance(heard, Told) and any(isinstance(report, Fill) for report in heard.reports):
            self._fuse.passing("fill")
        return heard


class FusedCarrier(Carrier):
    """A carrier that may die before or after it writes a checkpoint."""

    fuse: Fuse

    def _write(self, kept: bytes) -> None:
        self.fuse.passing("checkpoint")
        super()._write(kept)
        self.fuse.passing("checkpointed")


class Far:
    """The far end of an edge that nobody is interested in."""

    def __init__(self) -> None:
        self._inlet = Inlet()

    @property
    def receive(self) -> Far:
        return self

    async def remote(self, edge: str, number: int, data: bytes) -> Receipt:
        messages = msgspec.msgpack.decode(data, type=Messages)
        if number > self._inlet.wanted.count:
            # a life before this one had them: they are forgotten there
            self._inlet.restore(msgspec.structs.replace(self._inlet.wanted, count=number))
        self._inlet.accept(number, messages.count, messages.watermark)
        self._inlet.checkpointed()
        return self._inlet.receipt


class Near:
    """The handle of a carrier in the same process."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier

    @property
    def receive(self) -> Near:
        return self

    async def remote(self, edge: str, number: int, data: bytes) -> Receipt:
        return await self._carrier.receive(edge, number, data)


class Feeder:
    """What feeds and supervisor would send: timers on a grid, and the approvals of the script.

    Timers are the same in every life. An approval needs a price, so it is kept before it is offered.
    """

    def __init__(self, job: Job, carrier: Carrier, clock: Clock) -> None:
        self._job, self._carrier, self._clock = job, carrier, clock
        source = job.plan.source
        assert isinstance(source, LiveSource)
        self._endpoints = source.endpoints
        self._start = job.plan.session.started // GRID_NS * GRID_NS
        self._end = self._start + round(job.end_s * NS_PER_S) // GRID_NS * GRID_NS
        self._path = job.plan.folder / "tickets"
        self._tickets = read_tickets(job.plan.folder)
        self._timers = self._tape()

    def _tape(self) -> tape.Events:
        numbers = range(len(SYMBOLS))
        rows = [tape.event(Kind.TIMER, ts) for ts in range(self._start, self._end, GRID_NS)]
        rows += [tape.event(Kind.STATUS, self._end, instrument=n, aux=int(Status.SESSION_END)) for n in numbers]
        return tape.joined(rows)

    async def run(self) -> None:
        """Feed until the end of the session and beyond."""
        http = public_http(self._clock, self._endpoints, Venue.BINANCE_USDM)
        try:
            while True:
                now = self._clock.now_ns() // GRID_NS * GRID_NS
                await self._decide(now, http)
                await self._offer(END_OF_TIME if now > self._end else now)
                await asyncio.sleep(TICK_S)
        finally:
            await http.close()

    async def _decide(self, now: int, http: HttpClient) -> None:
        while len(self._tickets) < len(self._job.script.wishes):
            wish = self._job.script.wishes[len(self._tickets)]
            if now > self._end or now < self._start + wish.at_s * NS_PER_S:
                return
            try:
                url = f"{self._endpoints.binance_usdm.rest}/fapi/v1/ticker/price"
                answer = await http.request("GET", url, {"symbol": SYMBOLS[wish.instrument]})
            except VenueError:
                return
            price = float(json.loads(answer.body)["price"])
            ticket = self._ticket(wish, len(self._tickets), now, price)
            with self._path.open("ab") as file:
                file.write(msgspec.json.encode(ticket) + b"\n")
            self._tickets.append(ticket)

    def _ticket(self, wish: Wish, number: int, now: int, price: float) -> Approved | RiskStateChanged:
        if wish.side == 0:
            return RiskStateChanged(ts=now, state=RiskState.ESCAPE, before=RiskState.CAN_TRADE, reasons=("the script",))
        instrument = self._job.plan.session.instruments[wish.instrument]
        ticks = round(price / instrument.tick)
        intent = Intent(
            seq=number,
            ts=now,
            instrument=wish.instrument,
            decision_seq=number,
            side=Side(wish.side),
            strategy="MOMENTUM_SURGE",
            probability=0.5,
            confidence=0.5,
            reference=ticks,
            take_profit=round(ticks * (1 + wish.side * wish.profit)),
            stop=round(ticks * (1 - wish.side * wish.stop)),
            max_hold_ns=round(wish.hold_s * NS_PER_S),
        )
        margin = instrument.notional(ticks, wish.lots) / 5.0
        return Approved(
            seq=number, ts=now, intent=intent, lots=wish.lots, leverage=0.1, risk=1.0, margin=margin, epoch=1,
            expires=now + 4 * NS_PER_S,
        )  # fmt: skip

    async def _offer(self, until: int) -> None:
        vessel = self._carrier.vessel
        assert vessel is not None
        for name in self._job.plan.feed_names:
            edge = f"tape:{name}"
            rows = self._timers[self._timers["ts_recv"] < until]
            rows = rows[(rows["kind"] != Kind.STATUS) | (rows["instrument"] == self._job.plan.feed_names.index(name))]
            known = vessel.receipt(edge).wanted.count
            said = Messages(until, len(rows) - known, rows[known:].tobytes())
            await self._carrier.receive(edge, known, msgspec.msgpack.encode(said))
        tickets = [ticket for ticket in self._tickets if ticket.ts < until]
        known = vessel.receipt("approved").wanted.count
        fresh = tickets[known:]
        said = Messages(until, len(fresh), msgspec.msgpack.encode(fresh) if fresh else b"")
        await self._carrier.receive("approved", known, msgspec.msgpack.encode(said))


def read_tickets(folder: Path) -> list[Approved | RiskStateChanged]:
    """Return the approvals that a run has made so far; what a kill left of a line was never offered, and is cut."""
    path = folder / "tickets"
    if not path.exists():
        return []
    whole, newline, _ = path.read_bytes().rpartition(b"\n")
    path.write_bytes(whole + newline)
    return [msgspec.json.decode(line, type=Approved | RiskStateChanged) for line in whole.splitlines()]


def execute(job: Job) -> None:
    """Live as the executor until its session is over."""
    complain_into(job.plan.folder / "executor.err")
    asyncio.run(_execute(job))


async def _execute(job: Job) -> None:
    plan, fuse = job.plan, Fuse(job.kill, job.plan.folder)
    accounts.trader_of = narrowed
    if job.kill is not None and job.kill.point == RANDOM:
        asyncio.get_running_loop().call_later(job.kill.after_s, fuse.blow)
    source = plan.source
    assert isinstance(source, LiveSource)
    clock = source.endpoints.clock.clock()

    (account,) = dict.fromkeys(routes(plan.session.instruments).values())
    carrier = FusedCarrier("orders", lambda: nodes.order_vessel(plan), plan.folder / "orders.bin", clock, listener)
    executor = FusedCarrier(
        "executor",
        lambda: ExecutorVessel(FusedDesk(job, account, fuse)),
        plan.folder / "executor.bin",
        clock,
        desk_post,
    )
    carrier.fuse = executor.fuse = fuse
    executor.connect({"reports": Target(Near(carrier), f"heard:{account}")})
    carrier.connect(
        {
            "facts:decision": Target(Far(), ""),
            "facts:risk": Target(Far(), ""),
            "records": Target(LedgerLink(job.socket, fuse), "records"),
            f"commands:{account}": Target(Near(executor), "commands"),
        }
    )
    living, trading = asyncio.create_task(carrier.run()), asyncio.create_task(executor.run())
    built = asyncio.create_task(_built(carrier, executor))
    await asyncio.wait({living, trading, built}, return_when=asyncio.FIRST_COMPLETED)
    (plan.folder / UP).write_text(str(os.getpid()))
    feeding = asyncio.create_task(Feeder(job, carrier, clock).run())
    watching = asyncio.create_task(_finished(carrier, executor))
    await asyncio.wait({living, trading, feeding, watching}, return_when=asyncio.FIRST_COMPLETED)
    for task in (living, trading, feeding):
        if task.done():
            task.result()
    for task in (feeding, trading, living):
        task.cancel()
    await asyncio.gather(living, trading, feeding, return_exceptions=True)


def is_up(job: Job, pid: int) -> bool:
    """Say whether the executor with this process id has taken its former life up."""
    path = job.plan.folder / UP
    return path.exists() and path.read_text() == str(pid)


async def _built(*carriers: Carrier) -> None:
    for carrier in carriers:
        await carrier.is_built.wait()


async def _finished(*carriers: Carrier) -> None:
    def is_over(carrier: Carrier) -> bool:
        vessel = carrier.vessel
        return vessel is not None and vessel.is_finished and not vessel.outboxes.get("records")

    while not all(is_over(carrier) for carrier in carriers):
        await asyncio.sleep(TICK_S)


def nothing() -> None:
    """Live for nothing, so that the process that lives are forked from is there."""
