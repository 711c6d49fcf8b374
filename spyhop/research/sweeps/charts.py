"""Pictures of a sweep as inline SVG: a heat map, parallel coordinates, in sample against out of sample."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from spyhop.reports.charts import WIDTH, nothing
from spyhop.research.sweeps.model import Heat

_CELL = 30
_LEFT = 110


class Dot(NamedTuple):
    """One setting in a picture: where it is, and how it is drawn (`rest`, `top` or `chosen`)."""

    values: Sequence[float]
    kind: str


_DRAWN = {
    "rest": ("soft", 1.0, 0.16),
    "top": ("line", 1.6, 0.75),
    "chosen": ("cost", 3.4, 1.0),
}


def heat_map(heat: Heat, label: str) -> str:
    """Return cells coloured by the sign and the size of their value; empty where no setting traded."""
    known = [abs(value) for row in heat.cells for value in row if value is not None]
    if not known:
        return nothing(label)
    most = max(known) or 1.0
    wide = min(80.0, (WIDTH - _LEFT - 10) / len(heat.xs))
    numbered = wide >= 44
    parts = []
    for k, row in enumerate(heat.cells):
        y = (len(heat.cells) - 1 - k) * _CELL
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 20}" text-anchor="end" class="number">{heat.ys[k]:g}</text>')
        for j, value in enumerate(row):
            if value is None:
                continue
            x = _LEFT + j * wide
            colour = "gain" if value > 0 else "loss"
            said = f"{heat.x} {heat.xs[j]:g}, {heat.y} {heat.ys[k]:g}: {value:+.3f}"
            parts.append(
                f'<rect x="{x:.1f}" y="{y}" width="{wide - 1:.1f}" height="{_CELL - 1}" fill="var(--{colour})" '
                f'opacity="{0.06 + 0.8 * abs(value) / most:.2f}"><title>{escape(said)}</title></rect>'
            )
            if numbered:
                parts.append(
                    f'<text x="{x + wide / 2:.1f}" y="{y + 20}" text-anchor="middle" class="number">{value:+.2f}</text>'
                )
    base = len(heat.cells) * _CELL
    every = max(1, round(48 / wide))
    for j in range(0, len(heat.xs), every):
        parts.append(
            f'<text x="{_LEFT + (j + 0.5) * wide:.1f}" y="{base + 16}" text-anchor="middle" class="number">'
            f"{heat.xs[j]:g}</text>"
        )
    parts.append(f'<text x="{_LEFT}" y="{base + 36}">{escape(heat.x)} →</text>')
    parts.append(f'<text x="{WIDTH}" y="{base + 36}" text-anchor="end">{escape(heat.y)} ↑</text>')
    return _svg(base + 44, label, parts)


def parallel(names: Sequence[str], dots: Sequence[Dot], label: str) -> str:
    """Return one upright axis a name and one line a setting, whose `values` are one a name."""
    if not dots or len(names) < 2:
        return nothing(label)
    top, tall, left, right = 46, 240, 60, 60
    ends = [(min(column), max(column)) for column in zip(*(dot.values for dot in dots), strict=True)]

    def at(axis: int, value: float) -> tuple[float, float]:
        low, high = ends[axis]
        share = (value - low) / (high - low) if high > low else 0.5
        return left + axis / (len(names) - 1) * (WIDTH - left - right), top + (1 - share) * tall

    parts = []
    for dot in sorted(dots, key=lambda each: list(_DRAWN).index(each.kind)):
        colour, width, opacity = _DRAWN[dot.kind]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(axis, value) for axis, value in enumerate(dot.values)))
        parts.append(
            f'<polyline points="{line}" fill="none" stroke="var(--{colour})" stroke-width="{width}" '
            f'opacity="{opacity}"/>'
        )
    for axis, name in enumerate(names):
        x, _ = at(axis, ends[axis][0])
        anchor = "start" if axis == 0 else ("end" if axis == len(names) - 1 else "middle")
        parts.append(
            f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{top + tall}" class="axis"/>'
            f'<text x="{x:.1f}" y="{14 + 15 * (axis % 2)}" text-anchor="{anchor}">{escape(name)}</text>'
            f'<text x="{x:.1f}" y="{top - 4}" text-anchor="{anchor}" class="number">{ends[axis][1]:.3g}</text>'
            f'<text x="{x:.1f}" y="{top + tall + 15}" text-anchor="{anchor}" class="number">{ends[axis][0]:.3g}</text>'
        )
    return _svg(top + tall + 22, label, parts)


def scatter(dots: Sequence[Dot], label: str, x_name: str, y_name: str) -> str:
    """Return points of (x, y) on one scale for both, zero lines and the diagonal on which nothing decays."""
    if not dots:
        return nothing(label)
    side, foot = 360, 40
    low = min(0.0, *(min(dot.values) for dot in dots))
    high = max(0.0, *(max(dot.values) for dot in dots))
    scale = (side - 20) / ((high - low) or 1.0)
    left = (WIDTH - side) / 2

    def at(x: float, y: float) -> tuple[float, float]:
        return left + 10 + (x - low) * scale, side - 10 - (y - low) * scale

    (zero_x, zero_y), (near_x, near_y), (far_x, far_y) = at(0, 0), at(low, low), at(high, high)
    parts = [
        f'<line x1="{left}" y1="{zero_y:.1f}" x2="{left + side}" y2="{zero_y:.1f}" class="axis"/>',
        f'<line x1="{zero_x:.1f}" y1="0" x2="{zero_x:.1f}" y2="{side}" class="axis"/>',
        f'<line x1="{near_x:.1f}" y1="{near_y:.1f}" x2="{far_x:.1f}" y2="{far_y:.1f}" stroke="var(--soft)" '
        'stroke-dasharray="4 4"/>',
    ]
    for dot in sorted(dots, key=lambda each: list(_DRAWN).index(each.kind)):
        x, y = at(*dot.values)
        colour, width, opacity = _DRAWN[dot.kind]
        said = f"{x_name} {dot.values[0]:+.3f}, {y_name} {dot.values[1]:+.3f}"
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{2 + width}" fill="var(--{colour})" '
            f'opacity="{max(0.35, opacity):.2f}"><title>{escape(said)}</title></circle>'
        )
    parts.append(f'<text x="{left + side}" y="{side + 16}" text-anchor="end">{escape(x_name)} →</text>')
    parts.append(f'<text x="{left}" y="{side + 16}">{escape(y_name)} ↑</text>')
    parts.append(f'<text x="{left - 8}" y="{far_y + 4:.1f}" text-anchor="end" class="number">{high:+.2f}</text>')
    parts.append(f'<text x="{left - 8}" y="{near_y + 4:.1f}" text-anchor="end" class="number">{low:+.2f}</text>')
    return _svg(side + foot - 14, label, parts)


def _svg(height: float, label: str, parts: Sequence[str]) -> str:
    name = escape(label, quote=True)
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{name}"><title>{name}</title>'
        f"{''.join(parts)}</svg>"
    )
