"""Small pictures as inline SVG: no script, no font, nothing from elsewhere; colours come from the page's variables."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import pairwise

WIDTH = 720
_LABEL = 260
_VALUE = 110
_ROW = 24


def bars(rows: Sequence[tuple[str, float, str]], label: str, colours: Sequence[str] = ()) -> str:
    """Return horizontal bars of (name, value, value as text); negative values go left of the zero line.

    `colours` are names of the page's colour variables, one a row.
    """
    if not rows:
        return nothing(label)
    low, high = min(0.0, *(value for _, value, _ in rows)), max(0.0, *(value for _, value, _ in rows))
    scale = (WIDTH - _LABEL - _VALUE) / ((high - low) or 1.0)
    zero = _LABEL - low * scale
    parts = []
    for k, (name, value, text) in enumerate(rows):
        y = k * _ROW
        x, width = (zero, value * scale) if value >= 0 else (zero + value * scale, -value * scale)
        colour = colours[k] if k < len(colours) else ("gain" if value >= 0 else "loss")
        parts.append(
            f'<text x="{_LABEL - 10}" y="{y + 16}" text-anchor="end">{escape(_cut(name))}</text>'
            f'<rect x="{x:.1f}" y="{y + 4}" width="{max(width, 0.5):.1f}" height="{_ROW - 8}" rx="2" '
            f'fill="var(--{colour})"/>'
            f'<text x="{max(x + width, zero) + 8:.1f}" y="{y + 16}" class="number">{escape(text)}</text>'
        )
    height = len(rows) * _ROW
    parts.append(f'<line x1="{zero:.1f}" y1="0" x2="{zero:.1f}" y2="{height}" class="axis"/>')
    return _svg(height, label, parts)


def steps(points: Sequence[tuple[float, float]], label: str, unit: str) -> str:
    """Return a line that keeps its value until the next point, with the drawdown from its peak shaded."""
    if len(points) < 2:
        return nothing(label)
    height, top, left = 220, 14, 84
    xs, ys = [x for x, _ in points], [y for _, y in points]
    low, high = min(ys), max(ys)
    span_x, span_y = (max(xs) - min(xs)) or 1.0, (high - low) or 1.0

    def at(x: float, y: float) -> str:
        px = left + (x - min(xs)) / span_x * (WIDTH - left - 10)
        py = top + (high - y) / span_y * (height - 2 * top)
        return f"{px:.1f},{py:.1f}"

    line, peaks, peak = [at(*points[0])], [at(*points[0])], points[0][1]
    for (_, before), (x, y) in pairwise(points):
        line += [at(x, before), at(x, y)]
        peaks.append(at(x, peak))
        peak = max(peak, y)
        peaks.append(at(x, peak))
    under = " ".join([*peaks, *reversed(line)])
    parts = [
        f'<polygon points="{under}" class="under"/>',
        f'<polyline points="{" ".join(line)}" class="line"/>',
    ]
    for y in (high, low) if high > low else (high,):
        px, py = at(min(xs), y).split(",")
        parts.append(f'<text x="{left - 10}" y="{float(py) + 4:.1f}" text-anchor="end" class="number">{y:,.2f}</text>')
        parts.append(f'<line x1="{px}" y1="{py}" x2="{WIDTH - 10}" y2="{py}" class="axis"/>')
    parts.append(f'<text x="{WIDTH - 10}" y="{height - 1}" text-anchor="end">{escape(unit)}</text>')
    return _svg(height, label, parts)


def histogram(values: Sequence[float], label: str, unit: str, num_bins: int = 31) -> str:
    """Return how often values fall into bins of equal width, losses and gains apart; zero is always a bin's edge."""
    if not values:
        return nothing(label)
    reach = max(1e-9, *(abs(value) for value in values))
    half = max(1, num_bins // 2)
    counts = [0] * (2 * half)
    for value in values:
        counts[min(2 * half - 1, int((value / reach + 1.0) * half))] += 1
    height, foot, width = 180, 22, WIDTH / (2 * half)
    parts = []
    for k, count in enumerate(counts):
        tall = count / max(counts) * (height - foot - 16)
        colour = "loss" if k < half else "gain"
        if count:
            parts.append(
                f'<rect x="{k * width + 1:.1f}" y="{height - foot - tall:.1f}" width="{width - 2:.1f}" '
                f'height="{tall:.1f}" fill="var(--{colour})"><title>{count}</title></rect>'
            )
    base = height - foot
    parts.append(f'<line x1="0" y1="{base}" x2="{WIDTH}" y2="{base}" class="axis"/>')
    parts.append(f'<line x1="{WIDTH / 2}" y1="0" x2="{WIDTH / 2}" y2="{base}" class="axis"/>')
    for x, anchor, text in ((0, "start", f"{-reach:.1f}"), (WIDTH / 2, "middle", "0"), (WIDTH, "end", f"{reach:+.1f}")):
        parts.append(
            f'<text x="{x}" y="{height - 4}" text-anchor="{anchor}" class="number">{text} {escape(unit)}</text>'
        )
    return _svg(height, label, parts)


def interval(low: float, high: float, marks: Sequence[tuple[str, float, str]], label: str) -> str:
    """Return a band from `low` to `high` on 0..1, with named marks (name, place, colour) at their places."""
    height, y, left, right = 34 + 18 * len(marks), 14, 10, WIDTH - 10

    def at(share: float) -> float:
        return left + share * (right - left)

    wide = max(at(high) - at(low), 1.0)
    parts = [
        f'<line x1="{left}" y1="{y}" x2="{right}" y2="{y}" class="axis"/>',
        f'<rect x="{at(low):.1f}" y="{y - 7}" width="{wide:.1f}" height="14" rx="3" class="band"/>',
    ]
    for k, (name, place, colour) in enumerate(marks):
        x, text_y = at(min(1.0, max(0.0, place))), y + 26 + 18 * k
        anchor = "start" if place < 0.25 else ("end" if place > 0.75 else "middle")
        parts.append(
            f'<line x1="{x:.1f}" y1="{y - 11}" x2="{x:.1f}" y2="{text_y - 12}" class="mark" '
            f'stroke="var(--{colour})"/>'
            f'<text x="{x:.1f}" y="{text_y}" text-anchor="{anchor}">{escape(name)} {100 * place:.1f} %</text>'
        )
    return _svg(height, label, parts)


def nothing(label: str) -> str:
    """Return a line that says that there is nothing to draw."""
    return f'<p class="nothing">{escape(label)}: nothing to draw.</p>'


def _svg(height: float, label: str, parts: Sequence[str]) -> str:
    name = escape(label, quote=True)
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{name}"><title>{name}</title>'
        f"{''.join(parts)}</svg>"
    )


def _cut(name: str, most: int = 34) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"
