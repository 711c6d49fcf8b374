from collections.abc import Callable

from spyhop.model.control import Session
from spyhop.model.entries import Entry
from spyhop.reports.day import Told, of_day
from spyhop.reports.day_page import page


def test_the_page_holds_every_group_escapes_and_needs_nothing_else(
    make_session: Callable[..., Session], make_story: Callable[..., list[Entry]]
) -> None:
    sessions = [make_session(id="s<1>"), make_session(mode="live", is_simulated=True)]
    story = make_story([5.0, -3.0])
    text = page(of_day([Told(session, story) for session in sessions], 24, now=story[-1].ts))
    assert "PAPER, the last 24 hours: 1 session" in text
    assert "LIVE, the last 24 hours: 1 session" in text
    assert text.count('class="verdict"') == 2
    assert "s&lt;1&gt;" in text
    assert "s<1>" not in text
    for told in ("LEAD_FOLLOW", "By strategy", "By symbol", "Risk states", "min_interval", "no demonstrated edge"):
        assert told in text
    assert not any(other in text for other in ("http://", "https://", "<script", "<link"))
    # one of two groups is real, so the banner of a page that is all simulated would lie
    assert 'role="alert"' not in text


def test_a_page_of_simulated_sessions_says_so_at_the_top(
    make_session: Callable[..., Session], make_story: Callable[..., list[Entry]]
) -> None:
    text = page(of_day([Told(make_session(is_simulated=True), make_story([1.0]))], 24, now=0))
    assert text.index('role="alert"') < text.index("The last 24 hours</h1>")


def test_an_empty_page_is_a_page() -> None:
    assert "Nothing was said in the last 12 hours." in page(of_day([], 12, now=0))
