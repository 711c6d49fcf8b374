"""Pictures of a sweep are well-formed and put things where they belong."""

from __future__ import annotations

from xml.etree import ElementTree

from spyhop.research.sweeps.charts import Dot, heat_map, parallel, scatter
from spyhop.research.sweeps.model import Heat

DOTS = [Dot((0.0, 1.0), "rest"), Dot((1.0, 0.5), "top"), Dot((2.0, -1.0), "chosen")]


def _parts(picture: str, tag: str) -> list[ElementTree.Element]:
    return ElementTree.fromstring(picture).findall(tag)


def test_a_heat_map_colours_by_sign_and_size_and_leaves_out_what_is_not_known() -> None:
    heat = Heat(x="a<b", y="c", xs=[1.0, 2.0], ys=[0.0, 5.0], cells=[[0.1, -0.4], [None, 0.2]])
    rects = _parts(heat_map(heat, "a & b"), "rect")
    assert [each.get("fill") for each in rects] == ["var(--gain)", "var(--loss)", "var(--gain)"]
    strengths = [float(each.get("opacity", "0")) for each in rects]
    assert strengths[1] > strengths[2] > strengths[0]
    # greater values of the upright axis stand higher
    assert float(rects[2].get("y", "0")) < float(rects[0].get("y", "0"))
    assert "nothing to draw" in heat_map(Heat(x="a", y="b", xs=[1.0], ys=[1.0], cells=[[None]]), "a")


def test_parallel_lines_go_from_axis_to_axis_and_the_chosen_one_is_drawn_last() -> None:
    lines = _parts(parallel(["a", "b"], DOTS, "lines"), "polyline")
    assert [each.get("stroke") for each in lines] == ["var(--soft)", "var(--line)", "var(--cost)"]
    ends = [point.split(",") for point in str(lines[2].get("points")).split()]
    assert len(ends) == 2
    assert float(ends[0][1]) < float(ends[1][1])  # greatest of a, least of b
    assert "nothing to draw" in parallel(["a", "b"], [], "lines")
    assert ElementTree.fromstring(parallel(["a", "b"], [Dot((1.0, 1.0), "rest")], "one")) is not None


def test_a_scatter_has_one_scale_for_both() -> None:
    circles = _parts(scatter(DOTS, "points", "in", "out"), "circle")
    places = [(float(each.get("cx", "0")), float(each.get("cy", "0"))) for each in circles]
    assert places[2][0] - places[0][0] == places[2][1] - places[0][1]
    assert "nothing to draw" in scatter([], "points", "in", "out")
