"""Closed minutes in order, each once, with holes held open until REST has filled them.

What "no hole" means: of all minutes between the first and the newest closed bar on the tape, each stands there exactly
once, in ascending order, unless the venue itself has no bar for it (it was asked, answered with bars before and after,
and had none). To keep that, a bar behind a hole is held back until the hole is filled or the venue has said that
nothing is there. If neither happens while `MAX_HELD` bars wait, the hole is given up and counted; its bars still go on
the tape when they come, late and out of order, once.
"""

from __future__ import annotations

from spyhop.clock import NS_PER_MINUTE
from spyhop.model import tape
from spyhop.model.tape import Events

MAX_HELD = 15
_MAX_REMEMBERED = 4_096


class BarOrder:
    """The closed one-minute bars of one instrument. Bars are pairs of rows, named by their open time (ns).

    Until `anchor` everything is held: what came before the feed began is fetched first.
    """

    def __init__(self) -> None:
        self.newest = 0
        """Open time of the newest bar let go, 0 before any."""
        self.num_silent = 0
        """Minutes for which the venue has no bar."""
        self.num_missing = 0
        """Minutes given up and not come late either."""
        self._held: dict[int, Events] = {}
        self._given_up: set[int] = set()
        self._settled = 0  # the venue has no bars before this one that are not here
        self._is_anchored = False

    def resume(self, newest: int) -> None:
        """Go on after the bar that opened at `newest`, which is on the tape already."""
        self.newest = newest
        self._is_anchored = newest > 0

    def anchor(self) -> None:
        """Let the first bars go: what there was to be fetched has been, or will not be."""
        self._is_anchored = True

    def offer(self, ts_open: int, pair: Events) -> bool:
        """Take a closed bar; return whether it is new."""
        if ts_open in self._held or (ts_open <= self.newest and ts_open not in self._given_up):
            return False
        self._held[ts_open] = pair
        return True

    def answered(self, first: int, last: int) -> None:
        """Note that REST gave all bars that the venue has from `first` to `last` (open times)."""
        hole = self.hole
        if hole is not None and last >= hole[1]:
            self._give_up(hole[0], min(first, hole[1]))
        if hole is None or last >= hole[1]:
            self._settled = max(self._settled, last)

    def take(self) -> Events:
        """Return the bars that may go now, in order."""
        if not self._is_anchored or not self._held:
            return tape.empty()
        late = [ts_open for ts_open in sorted(self._held) if ts_open <= self.newest]
        self._given_up.difference_update(late)
        self.num_missing -= len(late)
        ready = [self._held.pop(ts_open) for ts_open in late]
        if len(self._held) > MAX_HELD and (hole := self.hole) is not None:
            self._give_up(*hole)
            self._settled = hole[1]
        for ts_open in sorted(self._held):
            if not self._follows(ts_open):
                break
            if self.newest:
                self.num_silent += sum(
                    1
                    for minute in range(self.newest + NS_PER_MINUTE, ts_open, NS_PER_MINUTE)
                    if minute not in self._given_up
                )
            ready.append(self._held.pop(ts_open))
            self.newest = ts_open
        return tape.joined(ready)

    def _follows(self, ts_open: int) -> bool:
        return self.newest == 0 or ts_open <= max(self.newest + NS_PER_MINUTE, self._settled)

    def _give_up(self, start: int, end: int) -> None:
        lost = [minute for minute in range(start, end, NS_PER_MINUTE) if minute not in self._held]
        self.num_missing += len(lost)
        self._given_up.update(lost[-_MAX_REMEMBERED:])
        if len(self._given_up) > _MAX_REMEMBERED:
            self._given_up = set(sorted(self._given_up)[-_MAX_REMEMBERED:])

    @property
    def hole(self) -> tuple[int, int] | None:
        """Return the first missing minute and the held bar it ends at; None without a hole. Asked after `take`."""
        if self.newest == 0 or not self._held:
            return None
        return self.newest + NS_PER_MINUTE, min(self._held)

    @property
    def num_held(self) -> int:
        return len(self._held)
