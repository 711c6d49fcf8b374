from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from spyhop.clock import NS_PER_HOUR, NS_PER_S, iso_ms
from spyhop.errors import MissingInput
from spyhop.model.control import Session
from spyhop.model.decisions import LEAD_FOLLOW
from spyhop.model.entries import Entry, Recorded
from spyhop.model.observations import Leader, LeadFeatures, Observation
from spyhop.model.orders import TradeClosed
from spyhop.model.verdicts import RiskState, RiskStateChanged
from spyhop.reports.day import Told, of_day, read_day
from spyhop.reports.day_model import Day, Group
from spyhop.risk.comparisons import compared
from spyhop.storage.journal import FactWriter, write_session
from tests.spyhop import trades

T = 1_764_350_100 * NS_PER_S
MakeSession = Callable[..., Session]
Story = Callable[..., list[Entry]]


def told(session: Session, entries: list[Entry]) -> Told:
    return Told(session, sorted(entries, key=lambda entry: entry.ts))


def only(day: Day) -> Group:
    (group,) = day.groups
    return group


def led(entries: list[Entry]) -> list[Entry]:
    """Return the same story as LEAD_FOLLOW's."""
    changed = []
    for entry in entries:
        message: Any = entry.message
        if hasattr(message, "strategy"):
            message = msgspec.structs.replace(message, strategy=LEAD_FOLLOW)
        elif hasattr(message, "intent"):
            message = msgspec.structs.replace(
                message, intent=msgspec.structs.replace(message.intent, strategy=LEAD_FOLLOW)
            )
        elif hasattr(message, "client_order_id"):
            message = msgspec.structs.replace(message, client_order_id=f"led-{message.client_order_id}")
        changed.append(msgspec.structs.replace(entry, message=message))
    return changed


def test_sessions_of_one_mode_are_added_up(make_session: MakeSession, make_story: Story) -> None:
    first, second = make_session(), make_session(id="s20251128_181500_000000")
    group = only(of_day([told(first, make_story([2.0])), told(second, make_story([5.0, -3.0]))], 24, now=0))
    assert (group.mode, group.is_simulated, group.sessions) == ("paper", False, [first.id, second.id])
    total = group.total
    assert (total.win_rate.trades, total.win_rate.wins) == (3, 2)
    assert total.money.net == pytest.approx(4.0)
    assert total.money.net == pytest.approx(total.money.gross - total.money.fees - total.money.funding)
    assert total.triggers == {"interval": 3}
    assert (total.decisions.num_intents, total.decisions.num_approved) == (3, 3)
    assert [(each.what, each.count, each.example) for each in total.decisions.refusals] == [
        ("min_interval", 3, "measured 12.5, limit 60")
    ]
    assert total.verdict.headline.startswith("no demonstrated edge")
    # both tell of the same five minutes
    assert any("added up all the same" in note for note in group.notes)


def test_modes_and_simulated_data_are_never_added_up_and_a_back_test_is_alone(
    make_session: MakeSession, make_story: Story
) -> None:
    story = make_story([5.0])
    sessions = [
        make_session(),
        make_session(mode="live"),
        make_session(is_simulated=True),
        make_session(mode="backtest", id="s20251128_200000_000000"),
        make_session(mode="backtest", id="s20251128_210000_000000"),
    ]
    day = of_day([told(session, story) for session in sessions], 24, now=story[-1].ts + 1)
    assert [(group.mode, group.is_simulated, len(group.sessions)) for group in day.groups] == [
        ("paper", False, 1),
        ("live", False, 1),
        ("paper", True, 1),
        ("backtest", False, 1),
        ("backtest", False, 1),
    ]
    assert all(group.total.money.net == pytest.approx(5.0) for group in day.groups)


def test_only_what_lies_in_the_window_counts(make_session: MakeSession, make_story: Story) -> None:
    story = make_story([1.0] * 24)  # a trade every five minutes
    group = only(of_day([told(make_session(), story)], 1, now=0))
    last = max(entry.ts for entry in story)
    assert (group.first, group.last) == (iso_ms(last - NS_PER_HOUR), iso_ms(last))
    assert group.total.win_rate.trades == 12
    # every order of the story is called for by the intent 0, whose trade closed before the window
    assert group.notes == ["1 entries were filled in the window and not closed in it; no money here has them."]


def test_a_live_window_ends_now_and_leaves_out_what_is_older(make_session: MakeSession, make_story: Story) -> None:
    story = make_story([1.0])
    later = max(entry.ts for entry in story) + 25 * NS_PER_HOUR
    group = only(of_day([told(make_session(mode="live"), story)], 24, now=later))
    assert (group.sessions, group.last, group.total.win_rate.trades) == ([], iso_ms(later), 0)
    assert group.total.verdict.headline == "no demonstrated edge: no trade was closed"


def test_lead_follow_stands_apart(make_session: MakeSession, make_story: Story) -> None:
    mine, others = led(make_story([4.0, 4.0])), make_story([-1.0])
    group = only(of_day([told(make_session(id="s1"), others), told(make_session(id="s2"), mine)], 24, now=0))
    lead = group.lead_follow
    assert (lead.win_rate.trades, lead.win_rate.wins) == (2, 2)
    assert lead.money.net == pytest.approx(8.0)
    assert (lead.decisions.num_decisions, lead.decisions.num_intents, lead.decisions.num_approved) == (2, 2, 2)
    assert (lead.orders.num_orders, lead.num_filled) == (2, 2)
    assert sum(each.count for each in lead.decisions.refusals) == 2
    assert (group.total.orders.num_orders, group.total.win_rate.trades) == (3, 3)
    assert [(line.name, line.trades, round(line.net, 6)) for line in group.by_strategy] == [
        (LEAD_FOLLOW, 2, 8.0),
        ("WHALE_PUMP", 1, -1.0),
    ]
    assert [(line.name, line.intents, line.trades) for line in group.by_symbol] == [
        ("binance-usdm:BTCUSDT", 3, 3),
        ("binance-usdm:ETHUSDT", 0, 0),
    ]


def test_the_graver_of_both_scopes_is_the_state_of_an_instrument(make_session: MakeSession, make_story: Story) -> None:
    def changed(at_s: int, state: RiskState, before: RiskState, instrument: int) -> Entry:
        ts = T + at_s * NS_PER_S
        message = RiskStateChanged(
            ts=ts, state=state, before=before, reasons=("data_age: 6 against 5",), instrument=instrument
        )
        return Entry(ts, "risk", at_s, message)

    ok, suspect, halt = RiskState.CAN_TRADE, RiskState.SUSPECT, RiskState.HALT
    changes = [
        changed(30, halt, ok, 0),
        changed(60, suspect, ok, -1),
        changed(75, ok, halt, 0),
        changed(90, ok, suspect, -1),
    ]
    story = [Entry(T, "decision", 0, make_story([])[0].message), *changes]
    story.append(Entry(T + 120 * NS_PER_S, "decision", 1, make_story([])[0].message))
    group = only(of_day([told(make_session(), story)], 24, now=0))
    assert {one.name: one.shares for one in group.states} == {
        "binance-usdm:BTCUSDT": {"can_trade": 0.5, "halt": 0.375, "suspect": 0.125},
        "binance-usdm:ETHUSDT": {"can_trade": 0.75, "suspect": 0.25},
    }
    assert {one.seconds for one in group.states} == {120.0}
    assert sum(each.count for each in group.halts) == 2
    # the window cuts them: its last minute holds no more than the end of the halt
    cut = only(of_day([told(make_session(), story)], 60 / 3600, now=0))
    assert cut.states[0].shares == {"can_trade": 0.5, "halt": 0.25, "suspect": 0.25}


def test_a_signal_is_a_decision_at_which_the_rule_held(make_session: MakeSession) -> None:
    def seen(seq: int, side: int, cause: str) -> Entry:
        features = LeadFeatures(
            spread=0.001, basis=0.0, is_basis_known=False, leader_return=-0.002, window_ns=1, age_ns=1, side=side
        )
        leader = Leader(instrument=0, mid=100.0, last=100.0, ts=T, age_ns=1, features=features)
        numbers: dict[str, Any] = dict.fromkeys(
            ("mid", "last", "spread", "depth_bid", "depth_ask", "fill_buy", "fill_sell", "sigma_1m", "volatility_rank"),
            1.0,
        )
        observed = Observation(ts=T + seq, instrument=1, ts_venue=T, age_ns=1, atr=1.0, leader=leader, **numbers)
        message: Recorded = compared(observed, cause, "can_trade")
        return Entry(T + seq, "risk", seq, message)

    said = [seen(0, -1, "decision"), seen(1, 0, "decision"), seen(2, 1, "decision"), seen(3, 1, "risk_state")]
    assert only(of_day([told(make_session(), said)], 24, now=0)).signals == 2


def test_sessions_are_read_from_their_folder(tmp_path: Path, make_session: MakeSession, make_story: Story) -> None:
    for mode, name in (("paper", "s1"), ("live", "s2")):
        write_session(tmp_path / name, make_session(mode=mode, id=name))
        facts = FactWriter(tmp_path / name)
        facts.append(make_story([3.0]))
        facts.close()
    assert [group.mode for group in read_day(tmp_path, 24, now=T).groups] == ["paper", "live"]
    assert [group.mode for group in read_day(tmp_path, 24, now=T, mode="live").groups] == ["live"]
    with pytest.raises(MissingInput, match="there is no backtest session in"):
        read_day(tmp_path, 24, now=T, mode="backtest")
    with pytest.raises(MissingInput, match="there is no session in"):
        read_day(tmp_path / "none", 24, now=T)


def test_a_day_counts_pairs_and_those_that_began_before_it_whole(
    make_session: MakeSession, legs: Callable[..., tuple[TradeClosed, TradeClosed]]
) -> None:
    own, other = legs()
    # the first leg left just before the window begins, the pair ended in it
    end = msgspec.structs.replace(trades.ended(other.ts, own, other), ts=own.ts + NS_PER_HOUR - 1)
    later = legs(20, lost=1.0)
    own_end = trades.ended(own.ts + NS_PER_HOUR, *later, seq=20)
    later = tuple(msgspec.structs.replace(leg, ts=own_end.ts) for leg in later)
    story = trades.told(own, other, end, *later, own_end)
    (group,) = of_day([Told(make_session(), story)], 1, now=0).groups
    for tally in (group.total, group.lead_follow):
        assert (tally.win_rate.trades, tally.win_rate.wins) == (2, 1)
        assert tally.money.net == pytest.approx(1.0)
        assert tally.expectancy.mean_bps == pytest.approx(0.5)
    (line,) = group.by_strategy
    assert (line.name, line.trades, line.wins, line.net) == (LEAD_FOLLOW, 2, 1, pytest.approx(1.0))
    assert [(each.trades, each.wins) for each in group.by_symbol] == [(2, 1), (0, 0)]
