"""All nodes in one process, joined by function call: the reference that every other runner must equal."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import msgspec

from spyhop.engine.feed_node import FeedNode, FeedOutput
from spyhop.engine.nodes import DecisionNode, OrderNode, RiskNode
from spyhop.model.entries import Entry
from spyhop.ports import RecordKeeper, TapeKeeper

IDLE_S = 0.05


class Progress(msgspec.Struct, frozen=True):
    """How far a session is, for a person."""

    ts: int
    num_events: int
    num_finished: int
    num_feeds: int


class Pipeline:
    """One session: feeds, a decision, a risk and an order node, and who keeps what they say."""

    def __init__(
        self,
        feeds: Sequence[FeedNode],
        decision: DecisionNode,
        risk: RiskNode,
        order: OrderNode,
        tapes: TapeKeeper,
        records: RecordKeeper,
    ) -> None:
        self.feeds, self.decision, self.risk, self.order = feeds, decision, risk, order
        self._tapes, self._records = tapes, records
        self._marks = (0, 0, 0)

    def run(
        self,
        pace: Callable[[int], None] = lambda ts: None,
        on_progress: Callable[[Progress], None] = lambda progress: None,
        should_drain: Callable[[], bool] = lambda: False,
    ) -> None:
        """Run to the end of every feed and until nothing is in flight.

        `pace(ts)` may wait until event time `ts` is due; once `should_drain()` says so, the feeds end where they are.
        While the feed that is furthest behind holds connections and has nothing, wait for an arrival.
        """
        arrival = threading.Event()
        for node in self.feeds:
            node.call_on_arrival(arrival.set)
        while (feed := self.furthest_behind()) is not None:
            arrival.clear()
            output = feed.finish() if should_drain() else feed.step()
            if len(output.events):
                pace(int(output.events["ts_recv"][-1]))
            elif feed.is_open and not output.is_finished:
                arrival.wait(IDLE_S)
            self.deliver(feed.name, output)
            on_progress(self.progress())

    def furthest_behind(self) -> FeedNode | None:
        """Return the feed to step next, None when all are finished; the others' events wait for its watermark."""
        unfinished = [feed for feed in self.feeds if not feed.is_finished]
        return min(unfinished, key=lambda node: self.order.tape.watermarks[node.name], default=None)

    def deliver(self, feed: str, output: FeedOutput) -> None:
        """Hand a feed's output on and let everything that follows from it happen."""
        self._tapes.append(feed, output.events)
        self.decision.rows.put(feed, output.rows, output.row_watermark)
        self.order.tape.put(feed, output.events, output.tape_watermark)
        while self._settle():
            pass

    def _settle(self) -> bool:
        decided = self.decision.step()
        if len(decided.rows):
            self._records.rows(decided.rows, decided.probabilities)
        self._keep(decided.entries)
        self.risk.intents.put(decided.intents, decided.watermark)
        judged = self.risk.step()
        self._keep(judged.entries)
        self.order.approved.put(judged.approved, judged.watermark)
        ordered = self.order.step()
        self._keep(ordered.entries)
        self.decision.facts.put(ordered.facts, ordered.watermark)
        self.risk.facts.put(ordered.facts, ordered.watermark)
        marks, self._marks = self._marks, (decided.watermark, judged.watermark, ordered.watermark)
        return marks != self._marks

    def _keep(self, entries: Sequence[Entry]) -> None:
        if entries:
            # what a decision was made from is on the disk before what follows from it leaves
            self._tapes.flush()
            self._records.append(entries)

    def snapshot(self) -> bytes:
        """Return the state of every node, taken between two steps, when all that was said has been delivered."""
        feeds = {feed.name: feed.snapshot() for feed in self.feeds}
        return msgspec.msgpack.encode(
            (feeds, self.decision.snapshot(), self.risk.snapshot(), self.order.snapshot(), self._marks)
        )

    def restore(self, snapshot: bytes) -> None:
        """Take the state of `snapshot`, made by a pipeline of the same session; raise SnapshotMismatch."""
        feeds, decision, risk, order, self._marks = msgspec.msgpack.decode(
            snapshot, type=tuple[dict[str, bytes], bytes, bytes, bytes, tuple[int, int, int]]
        )
        for feed in self.feeds:
            feed.restore(feeds[feed.name])
        self.decision.restore(decision)
        self.risk.restore(risk)
        self.order.restore(order)

    def progress(self) -> Progress:
        """Return how far the session is."""
        return Progress(
            max((feed.ts for feed in self.feeds), default=0),
            sum(feed.num_events for feed in self.feeds),
            sum(feed.is_finished for feed in self.feeds),
            len(self.feeds),
        )
