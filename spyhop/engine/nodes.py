"""The nodes of a session behind its feeds: a stage each, with its inputs merged by event time.

    FeedNode ──rows──▶ DecisionNode ──intents──▶ RiskNode ──approved──▶ OrderNode ──facts──▶ Decision, Risk, records
        └───────────────────────tape (a simulated venue needs ticks)──────▲   ▲│
                                                            a desk's reports ─┘└─▶ commands to the desk (live only)

At one instant T the order is: row, intent, approval, events of the tape, reports, facts. So a decision at T knows the
facts with ts < T and no later one, whatever the timing of processes.
"""

from __future__ import annotations

import heapq
import operator
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec
import numpy as np

from spyhop.engine.mailbox import Mailbox
from spyhop.engine.pyramiding import Pyramiding
from spyhop.engine.rebuilding import Both, Past
from spyhop.engine.stages import Deciding, Judging, Ordering
from spyhop.engine.streams import END_OF_TIME, ArrayStreams, MessageStream
from spyhop.engine.turns import Turns
from spyhop.model import rows as rows_model
from spyhop.model.control import Obeyed, Word
from spyhop.model.decisions import Intent
from spyhop.model.entries import Entry, Recorded
from spyhop.model.observations import Observation
from spyhop.model.orders import Command, Fact, Report
from spyhop.model.rows import ROW, Rows
from spyhop.model.verdicts import Approved, EpochBegan, RiskStateChanged, Verdict
from spyhop.risk.recovery import retell
from spyhop.risk.standing import Notice

Wish = Intent | Observation
"""What goes from the decision to the supervisor, in order of event time; at one instant what was seen first."""

Ticket = Approved | RiskStateChanged
"""What goes from the supervisor to the order stage."""

_FACTS = msgspec.msgpack.Decoder(list[Fact])
_INTENTS = msgspec.msgpack.Decoder(list[Wish])
_APPROVED = msgspec.msgpack.Decoder(list[Ticket])
_REPORTS = msgspec.msgpack.Decoder(list[Report])


_time = operator.attrgetter("ts")


class DecisionOutput(msgspec.Struct, frozen=True):
    """What one step of the decision node yields; `probabilities` has a line of 23 for each of `rows`."""

    rows: Rows
    probabilities: np.ndarray[Any, Any]
    intents: list[Wish]
    entries: list[Entry]
    watermark: int


class DecisionNode:
    """Rows of all feeds and facts in; decisions and intents out.

    Of one instant the rows of the instruments `first` are judged first: what leads, before what is led.
    """

    def __init__(self, stage: Deciding, feeds: Sequence[str], first: Collection[int] = ()) -> None:
        self._stage = stage
        self.rows = ArrayStreams.of_rows(feeds, first)
        self.facts: MessageStream[Fact] = MessageStream("facts")
        self._waiting: deque[np.void] = deque()
        self._seq = 0

    def step(self) -> DecisionOutput:
        """Judge every row that its inputs allow."""
        self._waiting.extend(self.rows.take_before(self.rows.watermark))
        done: list[np.void] = []
        probabilities: list[np.ndarray[Any, Any]] = []
        intents: list[Wish] = []
        entries: list[Entry] = []
        while self._waiting:
            row = self._waiting[0]
            ts = int(row["ts"])
            if self._stage.decides(row):
                # only where something is decided does the node wait for what its earlier decisions led to
                if self.facts.watermark < ts:
                    break
                for fact in self.facts.take_before(ts):
                    self._stage.on_fact(fact)
            self._waiting.popleft()
            output = self._stage.on_row(row)
            done.append(row)
            probabilities.append(output.probabilities)
            if output.decision is not None:
                entries.append(self._entry(output.decision))
            if output.observation is not None:
                intents.append(output.observation)
            if output.intent is not None:
                entries.append(self._entry(output.intent))
                intents.append(output.intent)
        watermark = int(self._waiting[0]["ts"]) if self._waiting else self.rows.watermark
        if watermark == END_OF_TIME:
            for fact in self.facts.take_before(self.facts.watermark):
                self._stage.on_fact(fact)
        return DecisionOutput(
            np.array(done, ROW) if done else rows_model.empty(),
            np.array(probabilities) if probabilities else np.zeros((0, 0)),
            intents,
            entries,
            watermark,
        )

    def _entry(self, message: Recorded) -> Entry:
        self._seq += 1
        return Entry(message.ts, "decision", self._seq - 1, message)

    def snapshot(self) -> bytes:
        waiting = np.array(self._waiting, ROW) if self._waiting else rows_model.empty()
        return msgspec.msgpack.encode(
            (
                self._stage.snapshot(),
                self.rows.snapshot(),
                waiting.tobytes(),
                msgspec.msgpack.encode(self.facts.pending()),
                self.facts.watermark,
                self._seq,
            )
        )

    def restore(self, snapshot: bytes) -> None:
        stage, rows, waiting, facts, watermark, self._seq = msgspec.msgpack.decode(
            snapshot, type=tuple[bytes, bytes, bytes, bytes, int, int]
        )
        self._stage.restore(stage)
        self.rows.restore(rows)
        self._waiting = deque(np.frombuffer(waiting, ROW).copy())
        self.facts.restore(_FACTS.decode(facts), watermark)

    def statistics(self) -> dict[str, float]:
        return {"mailbox": float(len(self._waiting) + self.rows.buffered), **self._stage.statistics()}


class RiskOutput(msgspec.Struct, frozen=True):
    """What one step of the risk node yields. The entries are committed before `approved` leaves."""

    approved: list[Ticket]
    entries: list[Entry]
    watermark: int


class RiskNode:
    """Intents, observations and facts in; verdicts and changes of the risk state out. The only maker of `Approved`.

    Where there is `adds`, its wishes are judged at the observation that they come from, like any intent.
    """

    def __init__(self, stage: Judging, adds: Pyramiding | None = None) -> None:
        self._stage, self._adds = stage, adds
        self.intents: MessageStream[Wish] = MessageStream("intents")
        self.facts: MessageStream[Fact] = MessageStream("facts")
        self.seq = 0
        self.turns = Turns()

    def begin_epochs(self, epochs: Iterable[EpochBegan]) -> None:
        """Let fencing epochs begin at the entries they name."""
        self.turns.begin(epochs)

    def tell(self, word: Word, heard: int = 0) -> bool:
        """Take an operator's word, also in the next step only; False where it must be said again later.

        `heard` is what the order stage was promised, perhaps by a life that is over.
        """
        return self.turns.tell(word, self.seq, max(self._reached, heard))

    @property
    def _reached(self) -> int:
        head = self.intents.peek()
        return head.ts if head is not None else self.intents.watermark

    def step(self) -> RiskOutput:
        """Judge every intent and every observation, and obey every word, for which all earlier facts are known."""
        approved: list[Ticket] = []
        entries: list[Entry] = []
        while (ts := self._next()) is not None and self.facts.watermark >= ts:
            self._learn(ts)
            self._open_epochs(ts, entries)
            said = self._obeyed(ts) if self.turns.next_word == ts else self._judged(self.intents.pop())
            entries += [self._entry(message) for message in said]
            approved += [message for message in said if isinstance(message, Approved | RiskStateChanged)]
        watermark = min(self._reached, self.turns.next_word)
        if watermark == END_OF_TIME:
            self._learn(self.facts.watermark)
        return RiskOutput(approved, entries, watermark)

    def _next(self) -> int | None:
        """Return when there is something to say next: at one instant a word comes before a wish."""
        if self.turns.next_word <= self._reached and self.turns.next_word < END_OF_TIME:
            return self.turns.next_word
        head = self.intents.peek()
        return head.ts if head is not None else None

    def _learn(self, before: int) -> None:
        for fact in self.facts.take_before(before):
            self._stage.on_fact(fact)
            if self._adds is not None:
                self._adds.on_fact(fact)

    def _judged(self, wish: Wish) -> list[Verdict | Notice]:
        notices = self._stage.on_observation(wish) if isinstance(wish, Observation) else []
        verdicts = [self._verdict(wish)] if isinstance(wish, Intent) else []
        if self._adds is not None and isinstance(wish, Observation):
            add = self._adds.on_observation(wish)
            verdicts += [self._verdict(add)] if add is not None else []
        notices = [*notices, *self._stage.take_notices()]
        # what facts did to a state is said now: nobody may be told of a moment that is over
        return [*(msgspec.structs.replace(notice, ts=wish.ts) for notice in notices), *verdicts]

    def _verdict(self, intent: Intent) -> Verdict:
        verdict = self._stage.on_intent(intent)
        if self._adds is not None:
            self._adds.on_verdict(verdict)
        return verdict

    def _obeyed(self, ts: int) -> list[Obeyed | Notice]:
        word = self.turns.take()
        obeyed = Obeyed(ts=ts, word=word, refused=self._stage.on_word(word, ts))
        self.turns.remember([obeyed])
        return [obeyed, *(msgspec.structs.replace(notice, ts=ts) for notice in self._stage.take_notices())]

    def _open_epochs(self, ts: int, entries: list[Entry]) -> None:
        while (began := self.turns.epoch_due(self.seq)) is not None:
            self._stage.begin_epoch(began.epoch)
            entries.append(self._entry(msgspec.structs.replace(began, ts=ts)))

    def _entry(self, message: Recorded) -> Entry:
        self.seq += 1
        return Entry(message.ts, "risk", self.seq - 1, message)

    def rebuild(self, past: Past) -> None:
        """Become, before the first step, what had said all that the ledger keeps, and nothing else."""
        retell(self._stage if self._adds is None else Both(self._stage, self._adds), past.said)
        self.turns.remember(entry.message for entry in past.said)
        self.seq = past.num_entries
        self.intents.restore([], past.ts)
        self.facts.restore([], past.ts)

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode(
            (
                self._stage.snapshot(),
                msgspec.msgpack.encode(self.intents.pending()),
                self.intents.watermark,
                msgspec.msgpack.encode(self.facts.pending()),
                self.facts.watermark,
                self.seq,
                self._adds.snapshot() if self._adds is not None else b"",
                self.turns.snapshot(),
            )
        )

    def restore(self, snapshot: bytes) -> None:
        stage, intents, intents_mark, facts, facts_mark, self.seq, adds, turns = msgspec.msgpack.decode(
            snapshot, type=tuple[bytes, bytes, int, bytes, int, int, bytes, bytes]
        )
        self.turns.restore(turns)
        self._stage.restore(stage)
        if self._adds is not None:
            self._adds.restore(adds)
        self.intents.restore(_INTENTS.decode(intents), intents_mark)
        self.facts.restore(_FACTS.decode(facts), facts_mark)

    def statistics(self) -> dict[str, float]:
        adds = self._adds.statistics() if self._adds is not None else {}
        return {"mailbox": float(len(self.intents)), **self._stage.statistics(), **adds}


class OrderOutput(msgspec.Struct, frozen=True):
    """What one step of the order node yields. The entries are committed before `facts` or `commands` are acted on."""

    facts: list[Fact]
    entries: list[Entry]
    watermark: int
    commands: list[Command] = []


class OrderNode:
    """Approvals and the tape in; facts out. In a live session also the reports of each of `accounts` in, commands out.

    A live `stage` speaks to `mailbox`; a simulated one holds its venue itself.
    """

    def __init__(
        self, stage: Ordering, feeds: Sequence[str], accounts: Sequence[str] = (), mailbox: Mailbox | None = None
    ) -> None:
        self._stage, self._mailbox = stage, mailbox or Mailbox()
        self.tape = ArrayStreams.of_events(feeds)
        self.approved: MessageStream[Ticket] = MessageStream("approved")
        self.reports: dict[str, MessageStream[Report]] = {name: MessageStream(f"reports:{name}") for name in accounts}
        self.watermark = 0
        self._held: list[Fact] = []
        self._seq = 0

    def step(self) -> OrderOutput:
        """Advance to where neither an approval, nor an event, nor a report can still be missing.

        A ticket comes before the events of its own instant, so it is worked as soon as those before it are known: an
        order need not wait for a promise that covers the instant itself.
        """
        heard = (stream.watermark for stream in self.reports.values())
        known = min(self.tape.watermark, *heard) if self.reports else self.tape.watermark
        tickets = self.approved.take_before(known + 1)
        newest = max((ticket.ts for ticket in tickets), default=0)
        limit = min(self._promised(newest), known)
        if limit <= self.watermark and not tickets:
            return OrderOutput([], [], self.watermark)
        facts, self._held, self.watermark = self._held, [], max(limit, self.watermark)
        reports = [stream.take_before(limit) for stream in self.reports.values()]
        self._mailbox.put(heapq.merge(*reports, key=_time))
        events = self.tape.take_before(limit)
        for ticket in tickets:
            cut = int(np.searchsorted(events["ts_recv"], ticket.ts, side="left"))
            facts += self._stage.advance(events[:cut], ticket.ts)
            events = events[cut:]
            if isinstance(ticket, Approved):
                facts += self._stage.on_approved(ticket)
            else:
                facts += self._stage.on_risk_state(ticket)
        facts += self._stage.advance(events, limit)
        # in order of time, so that it does not show where the inputs were cut
        facts.sort(key=_time)
        # what we hear of later than this is not a fact yet: the promise of the watermark covers what lies before it
        due = max(limit, newest + 1)
        released = [fact for fact in facts if fact.ts < due]
        self._held = [fact for fact in facts if fact.ts >= due]
        entries = [self._entry(fact) for fact in released]
        return OrderOutput(released, entries, self.watermark, self._mailbox.take())

    def _promised(self, newest: int) -> int:
        # tickets come in order of time: behind one that is here there is none that is earlier
        waiting = self.approved.peek()
        return max(self.approved.watermark, newest, waiting.ts if waiting is not None else 0)

    @property
    def is_over(self) -> bool:
        """Say whether only a venue could still have something to say, and has nothing to say it of."""
        ended = min(self.approved.watermark, self.tape.watermark) == END_OF_TIME
        return ended and self._stage.is_idle and not any(len(stream) for stream in self.reports.values())

    def _entry(self, message: Recorded) -> Entry:
        self._seq += 1
        return Entry(message.ts, "order", self._seq - 1, message)

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode(
            (
                self._stage.snapshot(),
                self.tape.snapshot(),
                msgspec.msgpack.encode(self.approved.pending()),
                self.approved.watermark,
                self.watermark,
                msgspec.msgpack.encode(self._held),
                self._seq,
                {
                    name: (stream.watermark, msgspec.msgpack.encode(stream.pending()))
                    for name, stream in self.reports.items()
                },
            )
        )

    def restore(self, snapshot: bytes) -> None:
        stage, events, approved, mark, self.watermark, held, self._seq, reports = msgspec.msgpack.decode(
            snapshot, type=tuple[bytes, bytes, bytes, int, int, bytes, int, dict[str, tuple[int, bytes]]]
        )
        for name, (reports_mark, waiting) in reports.items():
            self.reports[name].restore(_REPORTS.decode(waiting), reports_mark)
        self._stage.restore(stage)
        self.tape.restore(events)
        self.approved.restore(_APPROVED.decode(approved), mark)
        self._held = _FACTS.decode(held)

    def statistics(self) -> dict[str, float]:
        return {"mailbox": float(self.tape.buffered), **self._stage.statistics()}
