"""The way between us and the simulated venue: commands and reports travel for a while and keep their order."""

from __future__ import annotations

import bisect

import msgspec
import numpy as np

from spyhop.clock import NS_PER_MS
from spyhop.model.orders import Command, Report
from spyhop.simulation import draws

NEVER = (1 << 63) - 1
_STREAM = 13


class Arrival(msgspec.Struct):
    """Something that reaches the matching engine at `ts`: a command, or the order `fired` by its trigger.

    `reference` is the mid (ticks, 0 unknown) when the command was sent.
    """

    ts: int
    seq: int
    command: Command | None = None
    reference: float = 0.0
    fired: str = ""


class WireState(msgspec.Struct):
    """What is under way; `word` is the state of the randomness."""

    arrivals: list[Arrival] = []
    outbox: list[Report] = []
    num_sent: int = 0
    last_arrival: int = 0
    last_told: int = 0
    last_heard: int = 0
    word: int = 0


class Wire:
    """Delays are a latency and an exponential jitter (means in ms), drawn from `seed` in the order of use."""

    def __init__(self, entry_ms: tuple[float, float], response_ms: tuple[float, float], seed: int) -> None:
        self._entry, self._response = entry_ms, response_ms
        self._draws = np.zeros(1, draws.DRAWS)
        draws.begin(self._draws[0], seed, _STREAM)
        self.state = WireState()

    def send(self, command: Command, reference: float) -> None:
        """Let a command travel; it arrives no earlier than one that was sent before it."""
        s = self.state
        s.last_arrival = max(s.last_arrival, command.ts + self._delay(self._entry))
        self._schedule(Arrival(s.last_arrival, self._count(), command, reference))

    def fire(self, ts: int, client_order_id: str) -> None:
        """Let a triggered order reach the matching engine at `ts`."""
        self._schedule(Arrival(ts, self._count(), fired=client_order_id))

    def hear(self, ts: int) -> int:
        """Return when a report of what happened at `ts` is heard: with others of `ts`, never before earlier ones."""
        s = self.state
        if ts != s.last_told or s.last_heard == 0:
            s.last_told = ts
            s.last_heard = max(s.last_heard, ts + self._delay(self._response))
        return s.last_heard

    def next_arrival(self) -> int:
        """Return the time of the next arrival, NEVER without one."""
        return self.state.arrivals[0].ts if self.state.arrivals else NEVER

    def next_heard(self) -> int:
        """Return the time of the next report, NEVER without one."""
        return self.state.outbox[0].ts if self.state.outbox else NEVER

    def reports(self, ts: int) -> list[Report]:
        """Take the reports that are heard at or before `ts`."""
        outbox = self.state.outbox
        count = bisect.bisect_right(outbox, ts, key=lambda report: report.ts)
        self.state.outbox = outbox[count:]
        return outbox[:count]

    def snapshot(self) -> bytes:
        self.state.word = int(self._draws[0]["word"])
        return msgspec.msgpack.encode(self.state)

    def restore(self, snapshot: bytes) -> None:
        self.state = msgspec.msgpack.decode(snapshot, type=WireState)
        self._draws["word"] = self.state.word

    def _delay(self, latency_ms: tuple[float, float]) -> int:
        fixed, jitter = latency_ms
        drawn = jitter * draws.exponential(self._draws[0]) if jitter > 0.0 else 0.0
        return int((fixed + drawn) * NS_PER_MS)

    def _count(self) -> int:
        self.state.num_sent += 1
        return self.state.num_sent

    def _schedule(self, arrival: Arrival) -> None:
        bisect.insort(self.state.arrivals, arrival, key=_when)


def _when(arrival: Arrival) -> tuple[int, int]:
    return arrival.ts, arrival.seq
