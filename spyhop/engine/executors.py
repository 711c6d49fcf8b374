"""The two vessels of a live session's orders: the stage in one process, each account's desk in another.

Reports count at the event time at which the *stage's* process heard them. So no order waits for a desk that is slow,
cut off or dead: of one that says nothing, nothing was heard. What was heard, and when, is durable before the stage acts
on it, which is all that a restart or a replay needs.

A desk's promise is no event time: it is one more than the number of commands that are over, so that the stage's side
knows when nothing is under way. The end of time means what it means everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from spyhop.engine.edges import Inlet, Position, Receipt
from spyhop.engine.nodes import OrderNode
from spyhop.engine.streams import END_OF_TIME
from spyhop.engine.vessels import Messages, OrderVessel, Vessel
from spyhop.model.orders import Command, Report

_COMMANDS = msgspec.msgpack.Decoder(list[Command])
_REPORTS = msgspec.msgpack.Decoder(list[Report])


class Ear(Protocol):
    """What the stage's process heard of one account."""

    def hear(self, number: int, reports: Sequence[Report]) -> None:
        """Keep reports, the first of which is the `number`-th of all, at the event time that it is now."""
        ...

    def reports_since(self, number: int) -> list[Report]:
        """Return every report from the `number`-th on, oldest first."""
        ...

    def promise(self, at_least: int) -> int:
        """Return an event time, `at_least` or later, before which no further report can lie."""
        ...

    def end(self) -> None:
        """Hear nothing any more: nobody would act on it, but a replay."""
        ...

    def close(self) -> None:
        """Let the log go."""
        ...


class Desk(Protocol):
    """A desk: commands in, reports out, both numbered and durable."""

    @property
    def num_commands(self) -> int:
        """Return how many commands are taken."""
        ...

    @property
    def is_idle(self) -> bool:
        """Say whether nothing is under way between us and the venue."""
        ...

    def on_report(self, call: Callable[[], None]) -> None:
        """Have `call` called in the event loop whenever there are new reports."""
        ...

    async def run(self) -> None:
        """Work until cancelled."""
        ...

    def take(self, number: int, commands: Sequence[Command]) -> int:
        """Keep commands, the first of which is the `number`-th of all; return how many are kept now."""
        ...

    def reports_since(self, number: int) -> list[Report]:
        """Return every report from the `number`-th on, oldest first."""
        ...

    def end(self) -> None:
        """Make no report any more."""
        ...

    def statistics(self) -> dict[str, float]: ...

    async def close(self) -> None:
        """Let connections and the log go."""
        ...


class LiveOrderVessel(OrderVessel):
    """The order stage of a live session: what desks say comes in on `heard:ACCOUNT` and goes through an ear each."""

    def __init__(
        self, node: OrderNode, feeds: Sequence[str], routes: Mapping[int, str], ears: Mapping[str, Ear]
    ) -> None:
        super().__init__(node, feeds, routes)
        self._ears = ears
        self._inlets |= {f"heard:{name}": Inlet() for name in ears}

    def receive(self, edge: str, number: int, data: bytes) -> Receipt:
        # time first, so that what arrives does not wait for the next tick
        self.listen()
        receipt = super().receive(edge, number, data)
        if edge.startswith("heard:"):
            self.listen()
        return receipt

    def _apply(self, edge: str, messages: Messages, num_known: int) -> None:
        kind, _, sender = edge.partition(":")
        if kind != "heard":
            super()._apply(edge, messages, num_known)
        elif messages.count > num_known:
            new = _REPORTS.decode(messages.payload)[num_known:]
            self._ears[sender].hear(self._inlets[edge].wanted.count - len(new), new)

    def listen(self) -> bool:
        """Tell the stage what was heard and how late it is; say whether that was news."""
        # every one of them, so no generator that stops at the first
        heard = [self._listen_to(name, ear) for name, ear in self._ears.items()]
        return any(heard)

    def close(self) -> None:
        """Let the logs of what was heard go."""
        for ear in self._ears.values():
            ear.close()

    def _listen_to(self, name: str, ear: Ear) -> bool:
        edge = f"reports:{name}"
        wanted = self._inlets[edge].wanted
        if wanted.watermark == END_OF_TIME:
            # also in a life that begins after the end
            ear.end()
            return False
        promise = ear.promise(wanted.watermark)
        if self.node.is_over and self._is_done(name):
            promise = END_OF_TIME
        reports = ear.reports_since(wanted.count)
        if not reports and promise <= wanted.watermark:
            return False
        payload = msgspec.msgpack.encode(reports) if reports else b""
        super().receive(edge, wanted.count, msgspec.msgpack.encode(Messages(promise, len(reports), payload)))
        if promise == END_OF_TIME:
            ear.end()
        return True

    def _is_done(self, name: str) -> bool:
        # what is told behind this count was told before the last command was over
        return self._inlets[f"heard:{name}"].wanted.watermark > self.outboxes[f"commands:{name}"].next


class ExecutorVessel(Vessel):
    """One account's desk: commands in, reports out. All its memory is the desk's own."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(_Stateless(desk), ["commands"], ["reports"])
        self.desk = desk
        self._inlets["commands"].restore(Position(desk.num_commands))

    def _apply(self, edge: str, messages: Messages, num_known: int) -> None:
        commands = _COMMANDS.decode(messages.payload)[num_known:] if messages.count else []
        if commands:
            self.desk.take(self._inlets[edge].wanted.count - len(commands), commands)
        self.tell()

    def restore(self, checkpoint: bytes) -> None:
        super().restore(checkpoint)
        # the desk knows better than a checkpoint, which may be older, what it has taken
        inlet = self._inlets["commands"]
        inlet.restore(Position(self.desk.num_commands, inlet.wanted.watermark))

    def tell(self) -> bool:
        """Offer what the desk has to say and how many commands are over; say whether that was news."""
        outbox, before = self.outboxes["reports"], self._marks["reports"]
        if before == END_OF_TIME:
            self.desk.end()
            return False
        over = before
        if self._inlets["commands"].wanted.watermark == END_OF_TIME:
            self.desk.end()
            over = END_OF_TIME
        elif self.desk.is_idle:
            over = max(before, self.desk.num_commands + 1)
        # read after that: what is told lies before what is over
        reports = self.desk.reports_since(outbox.next)
        self._send("reports", Messages(over, len(reports), msgspec.msgpack.encode(reports) if reports else b""))
        if reports or over > before:
            self.since_checkpoint += 1
            return True
        return False


class _Stateless:
    """A node whose state is elsewhere."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def snapshot(self) -> bytes:
        return b""

    def restore(self, snapshot: bytes) -> None:
        """Do nothing."""

    def statistics(self) -> dict[str, float]:
        return self._desk.statistics()
