"""How far a venue's clock is ahead of ours, with bounds that hold and not only an estimate.

Both sources bound the offset. A question about the time was answered between our sending and our receiving, so
the offset lies between `venue - received` and `venue - sent`. A frame cannot come before what it tells has happened,
so the offset is at least `event - received`. All bounds widen with age by as much as clocks may drift apart, and what
all of them leave is an interval; its middle is the estimate. Quick answers and young frames win by themselves, being
the tightest. When an answer leaves nothing of the interval, one of the clocks was set, or that answer lies: a second
one that agrees with it, or a frame that does, decides.
"""

from __future__ import annotations

from spyhop.clock import NS_PER_MS
from spyhop.venues.adapter import VenueTime

MAX_DRIFT_PPM = 100
NEWS_NS = 5 * NS_PER_MS
_NO_BOUND = 1 << 62


def drifted(ns: int, ppm: int) -> int:
    """Return how far two clocks may drift apart within `ns`, rounded up so that many short steps add up."""
    return -(-abs(ns) * ppm // 1_000_000)


class _Bounds:
    """low <= offset <= high, as of the time `at`."""

    __slots__ = ("at", "high", "low")

    def __init__(self, at: int, low: int, high: int) -> None:
        self.at, self.low, self.high = at, low, high

    def widened(self, at: int, drift_ppm: int) -> _Bounds:
        slack = drifted(at - self.at, drift_ppm)
        return _Bounds(at, self.low - slack, self.high + slack)

    def and_also(self, other: _Bounds) -> _Bounds | None:
        low, high = max(self.low, other.low), min(self.high, other.high)
        return _Bounds(self.at, low, high) if low <= high else None


class ClockOffset:
    """The offset of one venue: its clock minus ours. Pure: fed with what was heard, asked at any time.

    `resolution_ns` is the unit of the venue's times, which are cut to it. While no question was answered the offset
    is not known; then it is taken to be 0, or as much as frames prove it to be above that.
    """

    def __init__(self, *, resolution_ns: int = NS_PER_MS, max_drift_ppm: int = MAX_DRIFT_PPM) -> None:
        self._resolution_ns = resolution_ns
        self._max_drift_ppm = max_drift_ppm
        self._bounds: _Bounds | None = None  # from answers, and from frames once there is an answer
        self._proven: tuple[int, int] | None = None  # (when, at least) by frames alone, before any answer
        self._doubted: _Bounds | None = None  # of an answer that contradicts
        self._told_ns = 0
        self.num_samples = 0
        self.num_steps = 0
        self.num_contradictions = 0

    @property
    def is_known(self) -> bool:
        return self._bounds is not None

    @property
    def is_doubted(self) -> bool:
        """Whether something heard contradicts the bounds, so that the venue should be asked again soon."""
        return self._doubted is not None

    @property
    def offset_ns(self) -> int:
        """Return the venue's clock minus ours."""
        if self._bounds is not None:
            return (self._bounds.low + self._bounds.high) // 2
        return max(self._proven[1], 0) if self._proven is not None else 0

    @property
    def uncertainty_ns(self) -> int | None:
        """Return how far off `offset_ns` can have been when something was last heard; None while it is not known."""
        return None if self._bounds is None else (self._bounds.high - self._bounds.low + 1) // 2

    @property
    def skew_ms(self) -> float:
        """Return the offset in milliseconds, for reports."""
        return self.offset_ns / NS_PER_MS

    def age_ns(self, ts_event: int, ts_recv: int) -> int:
        """Return how old what happened at `ts_event` of the venue's clock was at `ts_recv` of ours."""
        return ts_recv + self.offset_ns - ts_event

    def on_answer(self, asked: VenueTime) -> None:
        """Take an answer to a question about the time; one that was received before it was sent is ignored."""
        if asked.ts_recv < asked.ts_sent:
            return
        self.num_samples += 1
        most = asked.ts_venue + self._resolution_ns - asked.ts_sent
        most += drifted(asked.ts_recv - asked.ts_sent, self._max_drift_ppm)
        told = _Bounds(asked.ts_recv, asked.ts_venue - asked.ts_recv, most)
        if self._bounds is None:
            self._start(told)
            return
        both = self._bounds.widened(told.at, self._max_drift_ppm).and_also(told)
        if both is not None:
            self._bounds, self._doubted = both, None
            return
        self.num_contradictions += 1
        agreed = self._doubted and self._doubted.widened(told.at, self._max_drift_ppm).and_also(told)
        if agreed:
            self.num_steps += 1
            self._bounds, self._doubted = agreed, None
        else:
            self._doubted = told

    def on_frame(self, ts_event: int, ts_recv: int) -> None:
        """Take a frame's time of what it tells and of its arrival; one call with the youngest of a batch is enough.

        Only for what is sent after it happened: trades, quotes, book frames. A bar's times are not of that kind.
        """
        least = ts_event - ts_recv
        if self._bounds is None:
            self._prove(least, ts_recv)
            return
        widened = self._bounds.widened(ts_recv, self._max_drift_ppm)
        if least > widened.high:
            self.num_contradictions += 1
            self._doubted = self._doubted or _Bounds(ts_recv, least, _NO_BOUND)
            return
        widened.low = max(widened.low, least)
        self._bounds = widened

    def news(self, threshold_ns: int = NEWS_NS) -> int | None:
        """Return the offset if it is known and should be written to the tape, else None; what is returned is news once.

        It is news when it differs from what was last told by more than `threshold_ns` and than its own uncertainty.
        """
        if not self.is_known or abs(self.offset_ns - self._told_ns) <= max(threshold_ns, self.uncertainty_ns or 0):
            return None
        self._told_ns = self.offset_ns
        return self._told_ns

    def _start(self, told: _Bounds) -> None:
        self._bounds = told
        if self._proven is not None:
            at, least = self._proven
            self.on_frame(told.at + least - drifted(told.at - at, self._max_drift_ppm), told.at)

    def _prove(self, least: int, ts_recv: int) -> None:
        if self._proven is not None:
            at, proven = self._proven
            if least <= proven - drifted(ts_recv - at, self._max_drift_ppm):
                return
        self._proven = ts_recv, least
