from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from spyhop.clock import NS_PER_HOUR, NS_PER_S
from spyhop.detectors.stage import DetectionStage
from spyhop.detectors.state import DetectionParams
from spyhop.engine.feed_node import FeedNode, FeedOutput
from spyhop.engine.feeds import ArrayFeed
from spyhop.engine.streams import END_OF_TIME
from spyhop.model import tape
from spyhop.model.rows import RowFlag
from spyhop.model.tape import Events, Kind, Status
from spyhop.simulation.feed import GenerativeFeed, usual_instrument

START = 1_764_288_000 * NS_PER_S
HOURS = 0.01


def all_steps(node: FeedNode) -> list[FeedOutput]:
    outputs = []
    while not node.is_finished:
        outputs.append(node.step())
    return outputs


def all_events(outputs: list[FeedOutput]) -> Events:
    return tape.joined([output.events for output in outputs])


def in_batches(events: Events, size: int) -> ArrayFeed:
    return ArrayFeed([events[at : at + size] for at in range(0, len(events), size)])


def is_end(event: np.void) -> bool:
    return bool(event["kind"] == Kind.STATUS and event["aux"] == Status.SESSION_END)


def real_node(span_s: int = 0) -> FeedNode:
    instrument = usual_instrument("BTCUSDT", 3)
    feed = GenerativeFeed(instrument, seed=7, start_ts=START, hours=HOURS)
    stage = DetectionStage(instrument, DetectionParams())
    return FeedNode("BTCUSDT", instrument.id, feed, stage, START, span_s * NS_PER_S)


# feeds


@pytest.mark.parametrize("size", [1, 2, 3, 4, 100])
@pytest.mark.parametrize("start", [0, 10])
def test_a_feed_ends_after_its_span_one_nanosecond_behind_its_last_event(make: Any, size: int, start: int) -> None:
    events = make.events(10, 20, 30, 39, 40, 50, instrument=4)
    node = FeedNode("a", 4, in_batches(events, size), make.Detection(), start, span_ns=30)
    outputs = all_steps(node)
    whole = all_events(outputs)
    assert whole["ts_recv"].tolist() == [10, 20, 30, 39, 40]
    assert [is_end(event) for event in whole] == [False] * 4 + [True]
    assert whole["instrument"][-1] == 4
    assert (outputs[-1].tape_watermark, outputs[-1].row_watermark) == (END_OF_TIME, END_OF_TIME)
    assert [output.is_finished for output in outputs] == [False] * (len(outputs) - 1) + [True]
    assert [row["ts"] for output in outputs for row in output.rows if row["flags"] & RowFlag.END] == [NS_PER_S]
    assert node.num_events == 5


def test_the_span_of_a_late_instrument_is_counted_from_the_start_of_the_session(make: Any) -> None:
    node = FeedNode("a", 0, ArrayFeed([make.events(25, 35, 45)]), make.Detection(), start_ns=10, span_ns=30)
    assert all_events(all_steps(node))["ts_recv"].tolist() == [25, 35, 36]


def test_without_a_span_a_feed_ends_where_its_source_does(make: Any) -> None:
    whole = all_events(all_steps(FeedNode("a", 0, in_batches(make.events(10, 20, 30), 2), make.Detection())))
    assert whole["ts_recv"].tolist() == [10, 20, 30, 31]
    assert is_end(whole[-1])


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_tape_that_brings_its_own_end_gets_no_second_one(make: Any, size: int) -> None:
    recorded = tape.joined([make.events(10, 20), make.session_end(21)])
    node = FeedNode("a", 0, in_batches(recorded, size), make.Detection())
    outputs = all_steps(node)
    assert np.array_equal(all_events(outputs), recorded)
    assert outputs[-1].tape_watermark == END_OF_TIME
    again = node.finish()
    assert (len(again.events), len(again.rows), again.is_finished) == (0, 0, True)


def test_a_feed_can_be_ended_anywhere_even_before_its_first_event(make: Any) -> None:
    node = make.feed_node("a", 0, in_batches(make.events(10, 20, 30), 1))
    node.step()
    assert node.finish().events["ts_recv"].tolist() == [11]
    assert node.is_finished
    fresh = make.feed_node("a", 0, ArrayFeed([])).finish()
    assert fresh.is_finished
    assert is_end(fresh.events[0])


def test_an_empty_batch_is_no_end(make: Any) -> None:
    node = make.feed_node("a", 0, ArrayFeed([make.events(10), tape.empty(), make.events(20)]))
    marks = [(output.tape_watermark, output.is_finished) for output in [node.step(), node.step(), node.step()]]
    assert marks == [(10, False), (10, False), (20, False)]


def test_no_event_and_no_row_is_older_than_a_promise(prepared_kernels: None) -> None:
    tape_mark = row_mark = num_rows = 0
    for output in all_steps(real_node()):
        assert not len(output.events) or output.events["ts_recv"][0] >= tape_mark
        assert not len(output.rows) or output.rows["ts"][0] >= row_mark
        # the promise reaches as far as it can: to the next row
        assert row_mark == 0 or not len(output.rows) or output.rows["ts"][0] == row_mark
        tape_mark, row_mark = output.tape_watermark, output.row_watermark
        num_rows += len(output.rows)
    assert num_rows > HOURS * 3_600 - 2


@pytest.mark.parametrize("span_s", [0, 20])
def test_a_feed_restored_at_any_cut_goes_on_as_if_nothing_had_been(prepared_kernels: None, span_s: int) -> None:
    reference = real_node(span_s)
    whole = all_steps(reference)
    assert len(whole) > 19
    for cut in range(0, len(whole) + 1, 4):
        first = real_node(span_s)
        head = [first.step() for _ in range(cut)]
        second = real_node(span_s)
        second.restore(first.snapshot())
        assert second.is_finished == first.is_finished
        outputs = head + all_steps(second)
        assert len(outputs) == len(whole)
        for one, other in zip(outputs, whole, strict=True):
            assert one.events.tobytes() == other.events.tobytes()
            assert one.rows.tobytes() == other.rows.tobytes()
            assert (one.tape_watermark, one.row_watermark) == (other.tape_watermark, other.row_watermark)
        assert second.statistics() == reference.statistics()


def test_a_session_of_hours_is_cut_to_them(prepared_kernels: None) -> None:
    span = all_events(all_steps(real_node(span_s=20)))
    assert START + 19 * NS_PER_S < span["ts_recv"][-1] <= START + 20 * NS_PER_S
    assert round(HOURS * NS_PER_HOUR) > 20 * NS_PER_S


# decisions
