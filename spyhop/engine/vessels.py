"""Vessels: a node with numbered edges and a checkpoint, so that it can be killed anywhere and go on.

Pure: a vessel is told what arrived and asked what to send; who carries it (a Ray call, a test) is not its business.
Parcels that have effects, approvals, commands and facts, wait until the records made before them are durable: an order
never leaves before its intent and verdict are kept (an approval holds its intent). Intents do not wait: they are made
again, and a commit less lies between a decision and its order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from spyhop.engine.edges import Inlet, Outbox, Parcel, Position, Receipt
from spyhop.engine.feed_node import FeedNode, FeedOutput
from spyhop.engine.nodes import DecisionNode, OrderNode, RiskNode, Ticket, Wish
from spyhop.engine.rebuilding import Past
from spyhop.engine.streams import END_OF_TIME
from spyhop.errors import StateError
from spyhop.model.control import Obeyed, Word
from spyhop.model.decisions import STRATEGIES
from spyhop.model.entries import Entry
from spyhop.model.orders import Fact, Report
from spyhop.model.rows import DECIDING, ROW, RowFlag, Rows
from spyhop.model.tape import EVENT, Events

T = TypeVar("T")

RECORDS = "records"

_TICKETS_A_PARCEL = 256
MAX_ROWS_AHEAD = 4_096
MAX_EVENTS_AHEAD = 1_000_000
"""How much one feed may run ahead of the slowest before its parcels are made to wait."""


class Records(msgspec.Struct, frozen=True):
    """What goes to the ledger: entries, and judged rows with their probabilities (as bytes of their arrays)."""

    entries: list[Entry] = []
    rows: bytes = b""
    probabilities: bytes = b""

    def arrays(self) -> tuple[Rows, npt.NDArray[np.float64]]:
        """Return rows (n,) of ROW and probabilities (n, 23)."""
        rows = np.frombuffer(self.rows, ROW)
        return rows, np.frombuffer(self.probabilities, np.float64).reshape(len(rows), len(STRATEGIES))


class Messages(msgspec.Struct, frozen=True):
    """A parcel between nodes: the sender's watermark, and `count` encoded messages or the bytes of an array."""

    watermark: int
    count: int = 0
    payload: bytes = b""


class _Kept(msgspec.Struct):
    node: bytes
    inlets: dict[str, Position]
    outboxes: dict[str, tuple[int, list[Parcel]]]
    marks: dict[str, int]
    held: bytes = b""


class Recoverable(Protocol):
    """State with a snapshot, and numbers about it."""

    def snapshot(self) -> bytes: ...
    def restore(self, snapshot: bytes) -> None: ...
    def statistics(self) -> dict[str, float]: ...


_encode = msgspec.msgpack.encode
_MESSAGES = msgspec.msgpack.Decoder(Messages)
_FACTS = msgspec.msgpack.Decoder(list[Fact])
_INTENTS = msgspec.msgpack.Decoder(list[Wish])
_APPROVED = msgspec.msgpack.Decoder(list[Ticket])
_REPORTS = msgspec.msgpack.Decoder(list[Report])
RECORDS_DECODER = msgspec.msgpack.Decoder(Records)


class Vessel:
    """The part that is the same for every node."""

    is_held_by_records = True
    """Whether what is sent waits for the records made before it."""

    def __init__(self, node: Recoverable, inlets: Sequence[str], outlets: Sequence[str]) -> None:
        self._node = node
        self._inlets = {edge: Inlet() for edge in inlets}
        self.outboxes: dict[str, Outbox] = {edge: Outbox() for edge in outlets}
        self._marks = dict.fromkeys(outlets, 0)  # last watermark promised on each edge
        self._held: list[bytes] = []  # events that wait for company on their way
        self.since_checkpoint = 0
        self._last_checkpoint: tuple[dict[str, Position], int] = ({}, 0)

    def receive(self, edge: str, number: int, data: bytes) -> Receipt:
        """Take of a parcel that begins with the `number`-th message what is new; return what is wanted and durable."""
        inlet, messages = self._inlets[edge], _MESSAGES.decode(data)
        num_known = inlet.accept(number, messages.count, messages.watermark)
        if num_known is not None:
            self._apply(edge, messages, num_known)
            self.since_checkpoint += 1
        return self.receipt(edge)

    def receipt(self, edge: str) -> Receipt:
        """Return what is wanted next on `edge` and what is durable."""
        return self._inlets[edge].receipt

    def is_ahead(self, edge: str) -> bool:
        """Say whether the sender on `edge` should wait for slower ones: its messages could only be stored."""
        return False

    def _apply(self, edge: str, messages: Messages, num_known: int) -> None:
        raise StateError(f"{type(self).__name__} has no edge {edge} of {messages.watermark}")

    def next_parcel(self, edge: str) -> Parcel | None:
        """Return the parcel to send on `edge` now, or None while there is none or it must wait."""
        parcel = self.outboxes[edge].unsent()
        if parcel is None:
            return None
        records = self.outboxes.get(RECORDS)
        if records is not None and edge != RECORDS and records.first < parcel.after:
            return None
        return parcel

    @property
    def is_congested(self) -> bool:
        """Say whether some edge holds as much as it may."""
        return any(outbox.is_full for outbox in self.outboxes.values())

    @property
    def is_finished(self) -> bool:
        """Say whether every edge has promised the end of time and been sent."""
        promised = all(mark == END_OF_TIME for edge, mark in self._marks.items() if edge != RECORDS)
        return promised and all(outbox.is_sent for outbox in self.outboxes.values())

    def _send(self, edge: str, messages: Messages) -> None:
        if messages.watermark == self._marks[edge] and not messages.count:
            return
        self._marks[edge] = messages.watermark
        records = self.outboxes.get(RECORDS)
        after = records.next if records is not None and self.is_held_by_records else 0
        self.outboxes[edge].put(_encode(messages), messages.count, messages.watermark, after)

    def _record(self, records: Records) -> None:
        if records.entries or records.rows:
            self.outboxes[RECORDS].put(_encode(records), count=1)

    def checkpoint(self) -> bytes:
        """Return everything that a restart needs; call `checkpointed` once it is durable, whatever came meanwhile."""
        self._last_checkpoint = ({edge: inlet.wanted for edge, inlet in self._inlets.items()}, self.since_checkpoint)
        return _encode(
            _Kept(
                self._node.snapshot(),
                {edge: inlet.wanted for edge, inlet in self._inlets.items()},
                {edge: outbox.snapshot() for edge, outbox in self.outboxes.items()},
                self._marks,
                b"".join(self._held),
            )
        )

    def checkpointed(self) -> None:
        """Note that the last checkpoint is durable, so that senders may forget what led to it."""
        positions, count = self._last_checkpoint
        for edge, position in positions.items():
            self._inlets[edge].durable = position
        self.since_checkpoint -= count
        self._last_checkpoint = (positions, 0)

    def restore(self, checkpoint: bytes) -> None:
        """Take the state of a checkpoint."""
        kept = msgspec.msgpack.decode(checkpoint, type=_Kept)
        self._node.restore(kept.node)
        for edge, wanted in kept.inlets.items():
            self._inlets[edge].restore(wanted)
        for edge, (next_, parcels) in kept.outboxes.items():
            self.outboxes[edge].restore(next_, parcels)
        self._marks = dict(kept.marks)
        self._held = [kept.held] if kept.held else []

    def statistics(self) -> dict[str, float]:
        return {"unsent": float(sum(len(outbox) for outbox in self.outboxes.values())), **self._node.statistics()}


class FeedVessel(Vessel):
    """A feed: makes parcels by itself instead of receiving any.

    Rows leave at once. The tape, and promises about rows that are not there, leave every `send_every_ns` of event time
    and with every row that can lead to an intent: a live feed has hundreds of small batches a second, and a parcel
    costs what it costs whatever it carries. One that is told to drain while it still makes again what it had made
    before, up to `num_kept` events, drains after that: neighbours may know of them. `deciding` flags the rows that can
    lead to an intent.
    """

    def __init__(
        self,
        node: FeedNode,
        keep: Callable[[FeedOutput], None],
        send_every_ns: int = 0,
        num_kept: int = 0,
        deciding: RowFlag = DECIDING,
    ) -> None:
        super().__init__(node, [], ["rows", "tape"])
        self.node = node
        self._keep, self._every, self._num_kept, self._deciding = keep, send_every_ns, num_kept, deciding

    def produce(self, *, drain: bool = False) -> FeedOutput:
        """Make the next step, or end the tape here; the events are kept before anything is offered."""
        is_done = drain and self.node.num_events >= self._num_kept
        output = self.node.finish() if is_done else self.node.step()
        self._keep(output)
        if len(output.events):
            self._held.append(output.events.tobytes())
        if len(output.rows) or output.row_watermark - self._marks["rows"] >= self._every:
            self._send("rows", _array(output.row_watermark, output.rows))
        if has_decision(output, self._deciding) or output.tape_watermark - self._marks["tape"] >= self._every:
            held = b"".join(self._held)
            self._send("tape", Messages(output.tape_watermark, len(held) // EVENT.itemsize, held))
            self._held = []
        self.since_checkpoint += 1
        return output


class DecisionVessel(Vessel):
    """The decision stage: rows of every feed and facts in, intents out."""

    is_held_by_records = False

    def __init__(self, node: DecisionNode, feeds: Sequence[str]) -> None:
        super().__init__(node, [*(f"rows:{feed}" for feed in feeds), "facts"], ["intents", RECORDS])
        self.node = node

    def is_ahead(self, edge: str) -> bool:
        kind, _, feed = edge.partition(":")
        return kind == "rows" and self.node.rows.is_ahead(feed, limit=MAX_ROWS_AHEAD)

    def _apply(self, edge: str, messages: Messages, num_known: int) -> None:
        kind, _, feed = edge.partition(":")
        if kind == "rows":
            self.node.rows.put(feed, np.frombuffer(messages.payload, ROW)[num_known:], messages.watermark)
        else:
            self.node.facts.put(_decoded(_FACTS, messages)[num_known:], messages.watermark)
        output = self.node.step()
        self._record(Records(output.entries, output.rows.tobytes(), output.probabilities.tobytes()))
        self._send("intents", _several(output.watermark, output.intents))


class RiskVessel(Vessel):
    """The risk stage: intents and facts in, approvals out.

    It can come back without a checkpoint, from what the ledger keeps: so its senders may forget only what led to
    entries that are kept, whatever its checkpoints hold.
    """

    def __init__(self, node: RiskNode) -> None:
        super().__init__(node, ["intents", "facts"], ["approved", RECORDS])
        self.node = node
        self._kept_after: dict[int, int] = {}  # records that an answer to a word waits for
        self._told: deque[tuple[int, dict[str, Position]]] = deque()  # records, and how far the inlets were with them
        self._in_ledger = dict.fromkeys(self._inlets, Position())

    def receipt(self, edge: str) -> Receipt:
        while self._told and self._told[0][0] <= self.outboxes[RECORDS].first:
            self._in_ledger = self._told.popleft()[1]
        inlet = self._inlets[edge]
        return Receipt(inlet.wanted, inlet.durable.lower(self._in_ledger[edge]))

    def _apply(self, edge: str, messages: Messages, num_known: int) -> None:
        if edge == "intents":
            self.node.intents.put(_decoded(_INTENTS, messages)[num_known:], messages.watermark)
        else:
            self.node.facts.put(_decoded(_FACTS, messages)[num_known:], messages.watermark)
        self._step()

    def obey(self, word: Word) -> Obeyed | None:
        """Take an operator's word; return how it was obeyed once that is kept, None while it is to be said again."""
        if self._marks["approved"] == END_OF_TIME:
            return Obeyed(ts=END_OF_TIME, word=word, refused="the session is over")
        # a promise of a life that is over binds this one, which knows it from the order stage alone
        heard = self.outboxes["approved"].heard
        if heard and self.node.tell(word, heard):
            self._step()
            self.since_checkpoint += 1
        obeyed, records = self.node.turns.answer(word.number), self.outboxes[RECORDS]
        if obeyed is None or records.first < self._kept_after.setdefault(word.number, records.next):
            return None
        return obeyed

    def _step(self) -> None:
        output = self.node.step()
        self._record(Records(output.entries))
        # at the end of time it hears more than it needed for what it said
        if output.entries and output.watermark != END_OF_TIME:
            self._told.append((self.outboxes[RECORDS].next, self._judged(output.entries[-1].ts)))
        self._send("approved", _several(output.watermark, output.approved))

    def _judged(self, ts: int) -> dict[str, Position]:
        waiting = {"intents": len(self.node.intents), "facts": len(self.node.facts)}
        return {edge: Position(inlet.wanted.count - waiting[edge], ts) for edge, inlet in self._inlets.items()}

    def rebuild(self, past: Past) -> None:
        """Take the place that the ledger tells, in a life without a checkpoint; what is sent again is dropped there."""
        self.node.rebuild(past)
        self._in_ledger = {
            "intents": Position(past.num_wishes, past.ts),
            "facts": Position(past.num_facts, past.ts),
        }
        for edge, position in self._in_ledger.items():
            self._inlets[edge].restore(position)
        for start in range(0, len(past.tickets), _TICKETS_A_PARCEL):
            tickets = past.tickets[start : start + _TICKETS_A_PARCEL]
            self._send("approved", _several(tickets[-1].ts, tickets))


class OrderVessel(Vessel):
    """The order stage: approvals and tapes in, facts out.

    `routes` names the account of each instrument in a live session: its commands leave on `commands:ACCOUNT`, once the
    entries that they follow from are durable, and its reports come in on `reports:ACCOUNT`.
    """

    def __init__(self, node: OrderNode, feeds: Sequence[str], routes: Mapping[int, str] | None = None) -> None:
        self._routes = routes or {}
        self.accounts = tuple(dict.fromkeys(self._routes.values()))
        inlets = [*(f"tape:{feed}" for feed in feeds), "approved", *(f"reports:{name}" for name in self.accounts)]
        commands = [f"commands:{name}" for name in self.accounts]
        super().__init__(node, inlets, ["facts:decision", "facts:risk", *commands, RECORDS])
        self.node = node

    def is_ahead(self, edge: str) -> bool:
        kind, _, feed = edge.partition(":")
        return kind == "tape" and self.node.tape.is_ahead(feed, limit=MAX_EVENTS_AHEAD)

    def _apply(self, edge: str, messages: Messages, num_known: int) -> None:
        kind, _, sender = edge.partition(":")
        if kind == "tape":
            # a copy, because kernels are compiled for arrays that can be written and would be again for others
            self.node.tape.put(sender, np.frombuffer(messages.payload, EVENT)[num_known:].copy(), messages.watermark)
        elif kind == "reports":
            self.node.reports[sender].put(_decoded(_REPORTS, messages)[num_known:], messages.watermark)
        else:
            self.node.approved.put(_decoded(_APPROVED, messages)[num_known:], messages.watermark)
        output = self.node.step()
        self._record(Records(output.entries))
        facts = _several(output.watermark, output.facts)
        self._send("facts:decision", facts)
        self._send("facts:risk", facts)
        for name in self.accounts:
            commands = [command for command in output.commands if self._routes[command.instrument] == name]
            # a desk acts on commands, not on promises: only the last of these is told
            if commands or output.watermark == END_OF_TIME:
                self._send(f"commands:{name}", _several(output.watermark, commands))


def has_decision(output: FeedOutput, deciding: RowFlag = DECIDING) -> bool:
    """Say whether a feed's output can lead to an intent, so that its tape must be durable before it leaves."""
    return bool((output.rows["flags"] & deciding).any())


def _array(watermark: int, array: Events | Rows) -> Messages:
    return Messages(watermark, len(array), array.tobytes())


def _several(watermark: int, messages: Sequence[msgspec.Struct]) -> Messages:
    return Messages(watermark, len(messages), _encode(messages) if messages else b"")


def _decoded(decoder: msgspec.msgpack.Decoder[list[T]], messages: Messages) -> list[T]:
    return decoder.decode(messages.payload) if messages.count else []
