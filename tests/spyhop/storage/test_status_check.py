from __future__ import annotations

from typing import Any

import numpy as np

from spyhop.model.tape import Kind, Status
from spyhop.storage.checks import Check
from spyhop.storage.merge import Merged
from spyhop.storage.status_check import StatusCheck


def test_gaps_and_shed_events_are_added_up_over_batches(make: Any) -> None:
    check = StatusCheck(["a"])
    for ts in (10, 20):
        rows = make.rows(Kind.STATUS, [ts, ts + 1, ts + 2], aux=[Status.GAP, Status.SHED, Status.CLOCK])
        rows["qty"], rows["aux2"] = [0, 5, 0], [1_500_000_000, 0, 99_000_000_000]
        check.on(Merged(rows, make.positions(3), np.zeros(3, np.int64)))
    gaps, shed = check.said()
    assert (gaps.check, gaps.count, gaps.is_fault) == (Check.SILENCE, 2, False)
    assert "3.0 s" in gaps.text
    assert [place.ts for place in gaps.places] == [10, 20]
    assert (shed.check, shed.count, shed.text) == (Check.SEQUENCE, 2, "10 events were shed on purpose")


def test_a_recording_without_interruptions_says_nothing(make: Any) -> None:
    check = StatusCheck(["a"])
    check.on(Merged(make.rows(Kind.STATUS, [1], aux=Status.CONNECTED), make.positions(1), np.zeros(1, np.int64)))
    assert list(check.said()) == []
