from __future__ import annotations

from spyhop.model.rows import DETECTORS, EVIDENCE_FIELDS, ROW, TIMEFRAME, empty


def test_there_are_fifteen_detectors_and_no_name_twice() -> None:
    assert len(DETECTORS) == len(set(DETECTORS)) == 15
    assert len(EVIDENCE_FIELDS) == len(set(EVIDENCE_FIELDS))


def test_a_fresh_row_is_neutral_and_not_ready() -> None:
    row = empty(1)[0]
    assert not row["detections"]["ready"].any()
    assert not row["timeframes"]["ready"].any()
    assert ROW.itemsize < 4_096


def test_every_indicator_has_a_bit() -> None:
    names = TIMEFRAME.names
    assert names is not None
    assert names.index("ready") <= 16
