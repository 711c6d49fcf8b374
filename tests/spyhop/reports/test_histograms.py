from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from spyhop.reports.charts import WIDTH
from spyhop.reports.histograms import distribution, means, paths


def drawn(picture: str) -> ElementTree.Element:
    assert "nan" not in picture
    assert "inf" not in picture
    return ElementTree.fromstring(picture)


def numbers(root: ElementTree.Element, tag: str, name: str) -> list[float]:
    return [float(one.attrib[name]) for one in root.iter(tag) if name in one.attrib]


def test_a_bar_is_as_tall_as_its_count() -> None:
    root = drawn(distribution([(-2.0, 10), (0.0, 40), (1.0, 20)], 1.0, [("entry", 5.0)], "A & B", "bp"))
    assert numbers(root, "rect", "height") == pytest.approx([42.5, 170, 85])
    assert root.attrib["aria-label"] == "A & B"
    # the mark lies beyond the bins, and the picture holds it
    assert all(0 <= x <= WIDTH for x in numbers(root, "line", "x1"))
    assert "entry" in "".join(root.itertext())


def test_a_mean_lies_in_its_interval_and_zero_is_marked() -> None:
    root = drawn(
        means([("calm", 2.0, (-1.0, 5.0), "9"), ("wild", -4.0, (-6.0, -2.0), "7"), ("none", None, None, "0")], "x")
    )
    zero, calm, wild = [(float(one.attrib["x1"]), float(one.attrib["x2"])) for one in root.iter("line")]
    centres = numbers(root, "circle", "cx")
    assert calm[0] < zero[0] < calm[1]
    assert wild[1] < zero[0]
    assert centres == pytest.approx([(calm[0] + calm[1]) / 2, (wild[0] + wild[1]) / 2], abs=0.11)
    strokes = [one.attrib["stroke"] for one in root.iter("circle")]
    # what holds zero says nothing, and has no colour of gain or loss
    assert strokes == ["var(--line)", "var(--loss)"]


def test_a_mean_without_an_interval_is_hollow() -> None:
    root = drawn(means([("one", 3.0, None, "1 trade")], "x"))
    (circle,) = root.iter("circle")
    assert circle.attrib["fill"] == "none"


def test_lines_share_their_axes_and_their_names_do_not_lie_on_one_another() -> None:
    line = [(0.0, 0.0), (1.0, 2.0), (2.0, 4.0)]
    root = drawn(paths([("a", "gain", line), ("b", "line", line), ("c", "cost", [])], "x", "bp", "minutes"))
    first, second = (one.attrib["points"] for one in root.iter("polyline"))
    assert first == second
    ys = [float(one.attrib["y"]) for one in root.iter("text") if one.text in ("a", "b")]
    assert abs(ys[0] - ys[1]) >= 13
    heights = [float(point.split(",")[1]) for point in first.split()]
    assert heights[0] > heights[1] > heights[2]


@pytest.mark.parametrize(
    "picture",
    [
        distribution([], 1.0, [], "x", "bp"),
        means([("a", None, None, "0")], "x"),
        paths([("a", "gain", [])], "x", "bp", "min"),
    ],
)
def test_nothing_is_told_in_words(picture: str) -> None:
    assert re.fullmatch(r'<p class="nothing">x: nothing to draw\.</p>', picture)
