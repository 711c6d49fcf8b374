"""A curve over an axis with bands behind it, as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from spyhop.reports.charts import WIDTH, nothing

_LEFT, _RIGHT, _TOP, _FOOT, _HEIGHT = 60, 12, 14, 34, 280


def curve(
    points: Sequence[tuple[float, float]],
    label: str,
    unit: str,
    *,
    level: float = 0.0,
    span: tuple[float, float] | None = None,
    mark: float | None = None,
) -> str:
    """Return the line through `points`, x rising, before a band from -`level` to `level` and one over `span` of x.

    `mark` is an x that is marked, `unit` that of x.
    """
    if len(points) < 2:
        return nothing(label)
    xs, ys = [x for x, _ in points], [y for _, y in points]
    low, high = min(0.0, -level, *ys), max(0.0, level, *ys)
    wide, tall = (xs[-1] - xs[0]) or 1.0, (high - low) or 1.0
    base = _HEIGHT - _FOOT

    def across(x: float) -> float:
        return _LEFT + (min(max(x, xs[0]), xs[-1]) - xs[0]) / wide * (WIDTH - _LEFT - _RIGHT)

    def down(y: float) -> float:
        return _TOP + (high - y) / tall * (base - _TOP)

    parts = []
    if level > 0.0:
        parts.append(
            f'<rect x="{_LEFT}" y="{down(level):.1f}" width="{WIDTH - _LEFT - _RIGHT}" '
            f'height="{down(-level) - down(level):.1f}" fill="var(--soft)" opacity="0.22"/>'
        )
    if span is not None:
        parts.append(
            f'<rect x="{across(span[0]):.1f}" y="{_TOP}" width="{max(across(span[1]) - across(span[0]), 1.0):.1f}" '
            f'height="{base - _TOP}" fill="var(--cost)" opacity="0.3"/>'
        )
    if xs[0] < 0.0 < xs[-1]:
        parts.append(f'<line x1="{across(0.0):.1f}" y1="{_TOP}" x2="{across(0.0):.1f}" y2="{base}" class="axis"/>')
    parts.append(f'<line x1="{_LEFT}" y1="{down(0.0):.1f}" x2="{WIDTH - _RIGHT}" y2="{down(0.0):.1f}" class="axis"/>')
    line = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in points)
    parts.append(f'<polyline points="{line}" class="line"/>')
    if mark is not None:
        x = across(mark)
        parts.append(
            f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{base}" class="mark" stroke="var(--loss)"/>'
            f'<text x="{x:.1f}" y="{_TOP - 3}" text-anchor="middle" class="number">{mark:g}</text>'
        )
    for y in sorted({low, 0.0, high}):
        parts.append(f'<text x="{_LEFT - 8}" y="{down(y) + 4:.1f}" text-anchor="end" class="number">{y:.3g}</text>')
    ends = ((xs[0], "start"), (0.5 * (xs[0] + xs[-1]), "middle"), (xs[-1], "end"))
    for x, anchor in ends:
        parts.append(
            f'<text x="{across(x):.1f}" y="{base + 18}" text-anchor="{anchor}" class="number">'
            f"{x:g} {escape(unit)}</text>"
        )
    name = escape(label, quote=True)
    return (
        f'<svg viewBox="0 0 {WIDTH} {_HEIGHT}" role="img" aria-label="{name}"><title>{name}</title>'
        f"{''.join(parts)}</svg>"
    )
