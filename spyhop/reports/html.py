"""The pieces that every page is made of: the document with its style, cards, tables, figures."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from spyhop.reports.text import SIMULATED

STYLE = Path(__file__).with_name("page.css").read_text()


def document(title: str, body: str, *, is_simulated: bool) -> str:
    """Return a whole page that needs nothing else; simulated data is said first and largest."""
    banner = ""
    if is_simulated:
        banner = (
            f'<div class="simulated" role="alert">SIMULATED DATA<small>{escape(SIMULATED.split(": ")[1])}; '
            "nothing here says anything about a real market</small></div>"
        )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n"
        f"<body>{banner}<main>{body}</main></body></html>\n"
    )


def cards(told: Sequence[tuple[str, str]]) -> str:
    """Return cards of (value, name)."""
    inner = "".join(f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>" for value, name in told)
    return f'<div class="cards">{inner}</div>'


def figure(picture: str, caption: str) -> str:
    """Return a picture (SVG) over its caption."""
    under = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f"<figure>{picture}{under}</figure>"


def table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table, or a line that says that there is nothing to list."""
    if not rows:
        return '<p class="nothing">Nothing to list.</p>'
    head = "".join(f"<th scope='col'>{escape(name)}</th>" for name in names)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def verdict(headline: str, reasons: Sequence[str], *, has_edge: bool, label: str = "Verdict") -> str:
    """Return what may be concluded, in large type, and why."""
    edge = " edge" if has_edge else ""
    listed = "".join(f"<li>{escape(reason)}</li>" for reason in reasons)
    return (
        f'<section class="verdict{edge}" aria-label="{escape(label)}"><strong>{escape(headline)}</strong>'
        f"<ul>{listed}</ul></section>"
    )


def facts(rows: Sequence[Sequence[str]]) -> str:
    """Return a table of names and what they are, without a head; nothing of none."""
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><tbody>{body}</tbody></table></div>' if body else ""


def notes(said: Sequence[str]) -> str:
    """Return a list of notes under its heading, nothing of none."""
    listed = "".join(f"<li>{escape(note)}</li>" for note in said)
    return f"<h2>Notes</h2><ul>{listed}</ul>" if listed else ""
