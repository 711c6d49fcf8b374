from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.reports import charts

FINITE = st.floats(-1e9, 1e9)


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)


def rectangles(svg: str) -> list[dict[str, str]]:
    return [part.attrib for part in parsed(svg).iter("rect")]


@given(values=st.lists(FINITE, min_size=1, max_size=12))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_bars_stay_in_the_picture_and_keep_their_side(values: list[float]) -> None:
    found = rectangles(charts.bars([("<name> & more", value, "x") for value in values], "bars"))
    zero = float(next(parsed(charts.bars([("n", value, "x") for value in values], "b")).iter("line")).attrib["x1"])
    assert len(found) == len(values)
    for value, box in zip(values, found, strict=True):
        x, width = float(box["x"]), float(box["width"])
        assert x >= -1
        assert x + width <= charts.WIDTH + 1
        assert (x >= zero - 1) if value >= 0 else (x <= zero + 1)


@given(points=st.lists(st.tuples(FINITE, FINITE), min_size=2, max_size=30))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_a_line_of_anything_is_a_picture(points: list[tuple[float, float]]) -> None:
    svg = charts.steps(sorted(points), "equity", "USDT")
    assert "nan" not in svg
    for line in parsed(svg).iter("polyline"):
        for pair in line.attrib["points"].split():
            x, y = map(float, pair.split(","))
            assert 0 <= x <= charts.WIDTH
            assert 0 <= y <= 220


@given(values=st.lists(FINITE, min_size=1, max_size=60))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_histogram_counts_every_value_once_on_its_side_of_zero(values: list[float]) -> None:
    root = parsed(charts.histogram(values, "net", "bp"))
    counts = {"loss": 0, "gain": 0}
    for box in root.iter("rect"):
        counts["loss" if "loss" in box.attrib["fill"] else "gain"] += int(box[0].text or 0)
    assert counts["loss"] + counts["gain"] == len(values)
    assert counts["loss"] <= sum(value < 0 for value in values)
    assert counts["loss"] >= sum(value < -1e-6 for value in values)


@pytest.mark.parametrize("place", [-0.5, 0.0, 0.5, 1.0, 7.0])
def test_a_mark_outside_is_drawn_at_the_edge(place: float) -> None:
    root = parsed(charts.interval(0.1, 0.4, [("p*", place, "loss")], "rate"))
    assert all(0 <= float(line.attrib["x1"]) <= charts.WIDTH for line in root.iter("line"))
    assert rectangles(charts.interval(0.0, 1.0, [], "rate"))[0]["width"] == "700.0"


def test_nothing_to_draw_is_said() -> None:
    for said in (charts.bars([], "a"), charts.steps([(0, 1)], "a", ""), charts.histogram([], "a", "")):
        assert "nothing to draw" in said


def test_names_are_escaped_and_long_ones_cut() -> None:
    svg = charts.bars([("<script>" + "x" * 60, 1.0, "&")], 'say "hi"')
    assert "<script>" not in svg
    assert "…" in svg
    parsed(svg)
