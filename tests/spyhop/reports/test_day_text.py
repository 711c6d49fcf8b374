from collections.abc import Callable

from spyhop.model.control import Session
from spyhop.model.entries import Entry
from spyhop.reports.day import Told, of_day
from spyhop.reports.day_text import summary


def test_the_text_keeps_modes_apart_and_says_the_verdict_first(
    make_session: Callable[..., Session], make_story: Callable[..., list[Entry]]
) -> None:
    sessions = [make_session(), make_session(mode="live", is_simulated=True)]
    story = make_story([5.0, -3.0])
    text = summary(of_day([Told(session, story) for session in sessions], 24, now=story[-1].ts))
    paper, live = text.index("PAPER, the last 24 hours: 1 session"), text.index("LIVE, the last 24 hours: 1 session")
    assert paper < live
    assert "SIMULATED DATA" not in text[paper:live]
    assert "SIMULATED DATA" in text[live:]
    assert text.index("VERDICT: no demonstrated edge") < text.index("orders sent")
    for said in ("2 (interval 2)", "2, 2 approved, 2 refused", "2, 2 filled, 0 rejected", "LEAD_FOLLOW", "NET"):
        assert said in text
    assert "min_interval (measured 12.5, limit 60)" in text
    assert all(len(line) <= 120 for line in text.splitlines())


def test_nothing_is_said_as_nothing() -> None:
    assert summary(of_day([], 24, now=0)) == "Nothing was said in the last 24 hours.\n"
