"""The detection stage: events of one instrument in, rows out."""

from __future__ import annotations

import numpy as np

from spyhop.detectors.loop import advance
from spyhop.detectors.state import (
    DetectionParams,
    bars_of,
    new_state,
    parameters_of,
    restored,
    snapshot,
    statistics_of,
)
from spyhop.errors import SnapshotMismatch
from spyhop.model import rows as rows_model
from spyhop.model.instruments import Instrument
from spyhop.model.rows import ROW, Rows
from spyhop.model.tape import EVENT, Events

_NS = 1_000_000_000
_MAX_ROWS = 4_096


class DetectionStage:
    """Folds the tape of one instrument; pure: rows depend on events alone, wherever the tape is cut."""

    def __init__(self, instrument: Instrument, params: DetectionParams) -> None:
        self.instrument, self.params = instrument, params
        self._state = new_state(instrument, params)

    def on(self, events: Events) -> Rows:
        """Fold `events` (in order, of this instrument) and return the rows that became due."""
        if events.dtype != EVENT:
            raise TypeError(f"events must be rows of the tape, not {events.dtype}")
        if not len(events):
            return rows_model.empty()
        done = 0
        batches: list[Rows] = []
        # two rows more than there are seconds: the boundary before the first event, and the end of the session
        room = min(max(int((events["ts_recv"][-1] - events["ts_recv"][0]) // _NS), 0) + 2, _MAX_ROWS)
        while done < len(events):
            rows = np.zeros(room, ROW)
            done, num_rows = advance(self._state, events, done, rows)
            batches.append(rows[:num_rows])
        return batches[0] if len(batches) == 1 else np.concatenate(batches)

    def closed_bars(self) -> dict[str, np.void]:
        """Return the newest closed bar of each interval that has one, as records of `market.bars.BAR`."""
        return bars_of(self._state)

    def snapshot(self) -> bytes:
        return snapshot(self._state)

    def restore(self, snapshot: bytes) -> None:
        """Take the state of `snapshot`; raise SnapshotMismatch if its layout or its parameters are not ours."""
        state = restored(snapshot)
        ours, theirs = parameters_of(self._state), parameters_of(state)
        if ours != theirs:
            raise SnapshotMismatch("detection parameters", ours[:8].hex(), theirs[:8].hex())
        self._state = state

    def statistics(self) -> dict[str, float]:
        """Return counters of what was folded and of what was set aside, by name."""
        return statistics_of(self._state)
