"""Pictures of studies as inline SVG: how a spread is spread, means with their intervals, paths after an event."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from spyhop.reports.charts import WIDTH, nothing

_LABEL = 230
_VALUE = 150
_ROW = 26
_PAD = 12


def distribution(
    bins: Sequence[tuple[float, int]], width: float, marks: Sequence[tuple[str, float]], label: str, unit: str
) -> str:
    """Return counts of bins (low edge, count) of one `width`, with named upright lines at `marks`."""
    if not bins:
        return nothing(label)
    places = [place for _, place in marks]
    low = min(bins[0][0], *places) if places else bins[0][0]
    high = max(bins[-1][0] + width, *places) if places else bins[-1][0] + width
    head, tall, foot = 16 + 14 * len(marks), 170, 24
    base, most, scale = head + tall, max(count for _, count in bins), (WIDTH - 2 * _PAD) / ((high - low) or 1.0)

    def at(value: float) -> float:
        return _PAD + (value - low) * scale

    parts = []
    for edge, count in bins:
        height = count / most * tall
        parts.append(
            f'<rect x="{at(edge):.1f}" y="{base - height:.1f}" width="{max(width * scale - 1, 0.5):.1f}" '
            f'height="{height:.1f}" fill="var(--line)"><title>{edge:g} to {edge + width:g} {escape(unit)}: '
            f"{count:,}</title></rect>"
        )
    parts.append(f'<line x1="0" y1="{base}" x2="{WIDTH}" y2="{base}" class="axis"/>')
    for k, (name, place) in enumerate(marks):
        y = 14 + 14 * k
        anchor, shift = ("start", 4) if at(place) < WIDTH / 2 else ("end", -4)
        parts.append(
            f'<line x1="{at(place):.1f}" y1="{y - 10}" x2="{at(place):.1f}" y2="{base}" class="mark" '
            f'stroke="var(--cost)"/><text x="{at(place) + shift:.1f}" y="{y}" text-anchor="{anchor}">'
            f"{escape(name)}</text>"
        )
    for value, anchor in ((low, "start"), (high, "end")):
        parts.append(
            f'<text x="{at(value):.1f}" y="{base + 18}" text-anchor="{anchor}" class="number">{value:+.1f} '
            f"{escape(unit)}</text>"
        )
    return _svg(base + foot, label, parts)


def means(rows: Sequence[tuple[str, float | None, tuple[float, float] | None, str]], label: str) -> str:
    """Return a point and its interval a row of (name, mean, (low, high), value as text), zero marked.

    A mean without an interval is drawn hollow; a row without a mean says only its text.
    """
    known = [value for _, mean, band, _ in rows for value in ((mean,) if mean is not None else ()) + (band or ())]
    if not known:
        return nothing(label)
    low, high = min(0.0, *known), max(0.0, *known)
    scale = (WIDTH - _LABEL - _VALUE) / ((high - low) or 1.0)

    def at(value: float) -> float:
        return _LABEL + (value - low) * scale

    height = len(rows) * _ROW
    parts = [f'<line x1="{at(0.0):.1f}" y1="0" x2="{at(0.0):.1f}" y2="{height}" class="axis"/>']
    for k, (name, mean, band, text) in enumerate(rows):
        y = k * _ROW + _ROW / 2
        parts.append(f'<text x="{_LABEL - 12}" y="{y + 4}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<text x="{WIDTH}" y="{y + 4}" text-anchor="end" class="number">{escape(text)}</text>')
        if mean is None:
            continue
        colour = "line" if band is None or band[0] <= 0.0 <= band[1] else ("gain" if mean > 0.0 else "loss")
        if band is not None:
            parts.append(
                f'<line x1="{at(band[0]):.1f}" y1="{y}" x2="{at(band[1]):.1f}" y2="{y}" class="mark" '
                f'stroke="var(--{colour})"/>'
            )
        fill = f"var(--{colour})" if band is not None else "none"
        parts.append(
            f'<circle cx="{at(mean):.1f}" cy="{y}" r="4.5" fill="{fill}" stroke="var(--{colour})" stroke-width="1.5"/>'
        )
    return _svg(height, label, parts)


def paths(lines: Sequence[tuple[str, str, Sequence[tuple[float, float]]]], label: str, unit: str, along: str) -> str:
    """Return lines of (name, colour, points) over one another, zero marked, each named at its end."""
    points = [point for _, _, line in lines for point in line]
    if len(points) < 2:
        return nothing(label)
    height, left, right, top, foot = 240, 70, 130, 14, 26
    low, high = min(0.0, *(y for _, y in points)), max(0.0, *(y for _, y in points))
    first, last = min(x for x, _ in points), max(x for x, _ in points)

    def at(x: float, y: float) -> tuple[float, float]:
        px = left + (x - first) / ((last - first) or 1.0) * (WIDTH - left - right)
        return px, top + (high - y) / ((high - low) or 1.0) * (height - top - foot)

    zero = at(first, 0.0)[1]
    parts = [f'<line x1="{left}" y1="{zero:.1f}" x2="{WIDTH - right}" y2="{zero:.1f}" class="axis"/>']
    for value in {low, high, 0.0}:
        y = at(first, value)[1]
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end" class="number">{value:+.1f}</text>')
    taken: list[float] = []
    for name, colour, line in lines:
        if not line:
            continue
        drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in line))
        x, y = at(*line[-1])
        while any(abs(y - other) < 14 for other in taken):
            y += 14
        taken.append(y)
        parts.append(
            f'<polyline points="{drawn}" fill="none" stroke="var(--{colour})" stroke-width="2"/>'
            f'<text x="{x + 8:.1f}" y="{y + 4:.1f}">{escape(name)}</text>'
        )
    parts.append(
        f'<text x="{WIDTH - right}" y="{height - 4}" text-anchor="end">{escape(along)}</text>'
        f'<text x="{left - 8}" y="{height - 4}" text-anchor="end">{escape(unit)}</text>'
    )
    return _svg(height, label, parts)


def _svg(height: float, label: str, parts: Sequence[str]) -> str:
    name = escape(label, quote=True)
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{name}"><title>{name}</title>'
        f"{''.join(parts)}</svg>"
    )
