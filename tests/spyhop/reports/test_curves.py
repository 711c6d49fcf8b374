from __future__ import annotations

import re
from xml.etree import ElementTree

from spyhop.reports.charts import WIDTH
from spyhop.reports.curves import curve

POINTS = [(-2.0, 0.1), (-1.0, -0.2), (0.0, 0.0), (1.0, 0.8), (2.0, 0.1)]


def test_a_curve_is_drawn_with_its_bands_and_its_mark() -> None:
    picture = curve(POINTS, "Correlation <by> shift", "s", level=0.15, span=(0.5, 1.5), mark=1.0)
    svg = ElementTree.fromstring(picture)
    assert svg.get("aria-label") == "Correlation <by> shift"
    (line,) = svg.findall("polyline")
    ys = [float(point.split(",")[1]) for point in line.get("points", "").split()]
    assert ys.index(min(ys)) == 3  # the highest correlation is highest on the page
    level, span = svg.findall("rect")
    assert float(level.get("y", "0")) > min(ys)
    xs = [float(point.split(",")[0]) for point in line.get("points", "").split()]
    assert xs[2] < float(span.get("x", "0")) < xs[3]
    assert any(text.text == "1" for text in svg.findall("text"))


def test_nothing_leaves_the_picture() -> None:
    picture = curve(POINTS, "c", "s", level=5.0, span=(-9.0, 9.0), mark=9.0)
    for x in re.findall(r' x[12]?="([-\d.]+)"', picture):
        assert 0.0 <= float(x) <= WIDTH
    for y in re.findall(r' y[12]?="([-\d.]+)"', picture):
        assert 0.0 <= float(y) <= 280.0


def test_too_few_points_draw_nothing() -> None:
    assert "nothing to draw" in curve([(0.0, 1.0)], "c", "s")
