from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser

import msgspec
import pytest

from spyhop.model.control import Session
from spyhop.model.decisions import STRATEGIES
from spyhop.model.entries import Entry
from spyhop.model.verdicts import Refused
from spyhop.reports.build import build
from spyhop.reports.page import page

VOID = {"meta", "br", "hr", "img", "input", "link"}
MakeStory = Callable[[list[float]], list[Entry]]
MakeSession = Callable[..., Session]


class Reader(HTMLParser):
    """Collects text and attributes, and notes tags that do not close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.mistakes: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.mistakes.append(tag)

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text.append(data)


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.mistakes == []
    assert reader.open == []
    return reader


@pytest.mark.parametrize("nets", [[], [7.0], [7.0, -18.0] * 20])
def test_the_page_is_well_formed_and_needs_nothing_from_elsewhere(
    make_story: MakeStory, make_session: MakeSession, nets: list[float]
) -> None:
    html = page(build(make_session(), make_story(nets)))
    reader = read(html)
    assert not {"script", "link", "img", "iframe"} & set(reader.tags)
    assert not [value for name, value in reader.attributes if name in ("src", "href") or "://" in value]
    assert "url(" not in html
    assert "@import" not in html
    assert "prefers-color-scheme: dark" in html


def test_the_page_holds_the_numbers(make_story: MakeStory, make_session: MakeSession) -> None:
    told = " ".join(read(page(build(make_session(), make_story([7.0, -18.0])))).text)
    for expected in (
        "-11.00 USDT",
        "+5.00",
        "-16.00",
        "no demonstrated edge",
        "72.0 %",
        "50.0 %",
        "min_interval",
        "measured 12.5, limit 60",
        "slippage + 2 bp a side",
        "take_profit 1 (50 %)",
        "no trade",
        "fewer than 90",
        *STRATEGIES,
    ):
        assert expected in told


def test_simulated_data_is_said_before_everything_and_large(make_story: MakeStory, make_session: MakeSession) -> None:
    reader = read(page(build(make_session(is_simulated=True), make_story([7.0]))))
    told = [each for each in reader.text if each.strip()]
    assert told[1] == "SIMULATED DATA"  # after the title
    assert ("class", "simulated") in reader.attributes
    assert ("class", "simulated") not in read(page(build(make_session(), []))).attributes


def test_what_others_wrote_is_never_markup(make_story: MakeStory, make_session: MakeSession) -> None:
    evil = "<script>alert(1)</script>"
    story = make_story([7.0])
    refused = next(entry for entry in story if isinstance(entry.message, Refused))
    assert isinstance(refused.message, Refused)
    story.append(Entry(refused.ts, "risk", 99, msgspec.structs.replace(refused.message, code=evil)))
    html = page(build(make_session(source=evil), story))
    assert evil not in html
    assert "script" not in read(html).tags
