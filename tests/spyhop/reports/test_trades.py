from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spyhop.clock import NS_PER_DAY, NS_PER_S
from spyhop.model.control import Session
from spyhop.model.orders import TradeClosed
from spyhop.model.tape import Side
from spyhop.reports import trades

T = 1_764_350_100 * NS_PER_S
MakeTrade = Callable[..., TradeClosed]


@given(nets=st.lists(st.floats(-50, 50), max_size=20), slip=st.floats(0, 3), funding=st.floats(-2, 2))
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_money_adds_up(make_trade: MakeTrade, nets: list[float], slip: float, funding: float) -> None:
    told = [make_trade(n, net, slippage=slip, funding=funding, gross=net + 8.0 + funding) for n, net in enumerate(nets)]
    total = trades.money(told)
    assert total.before_slippage - total.slippage == pytest.approx(total.gross, abs=1e-9)
    assert total.gross - total.fees - total.funding == pytest.approx(total.net, abs=1e-9)
    assert total.net == pytest.approx(sum(nets), abs=1e-9)


def test_cost_share_is_told_only_of_a_positive_result(make_trade: MakeTrade) -> None:
    assert trades.money([make_trade(net=7.1)]).cost_share == pytest.approx(8.5 / 15.6)
    assert trades.money([make_trade(net=-18.0)]).cost_share is None
    assert trades.money([]).cost_share is None


def test_break_even_stands_beside_the_win_rate(make_trade: MakeTrade) -> None:
    rate = trades.win_rate([make_trade(n, net) for n, net in enumerate([7.0, 7.0, -18.0])], (0.0015, 0.001), 0.0004)
    assert rate.wins == 2
    assert rate.rate == pytest.approx(2 / 3)
    assert rate.break_even == pytest.approx(0.72, abs=1e-3)
    assert rate.cost_bps == pytest.approx(8.5)
    assert rate.break_even_observed == pytest.approx((10 + 8.5) / 25)
    assert rate.trades_needed is None


def test_how_many_trades_it_would_take_is_asked_of_enough_trades(make_trade: MakeTrade) -> None:
    many = [make_trade(n, net) for n, net in enumerate([7.0, 7.0, -18.0] * 10)]
    needed = trades.win_rate(many, (0.0015, 0.001), 0.0004).trades_needed
    assert needed is not None
    assert needed > 200


def test_without_a_plan_exits_are_read_off_the_trades_of_either_side(make_trade: MakeTrade) -> None:
    long = make_trade()
    short = make_trade(side=Side.SELL, take_profit_price=49_925.0, stop_loss_price=50_050.0)
    rate = trades.win_rate([long, short], None, None)
    assert rate.take_profit_bps == pytest.approx(15.0)
    assert rate.stop_loss_bps == pytest.approx(10.0)
    assert rate.break_even is None
    assert trades.win_rate([], None, 0.0004).break_even is None


def test_no_trades_give_no_number_and_the_widest_interval() -> None:
    rate = trades.win_rate([], (0.0015, 0.001), 0.0004)
    assert rate.rate is None
    assert (rate.interval.low, rate.interval.high) == (0.0, 1.0)
    assert rate.break_even == pytest.approx(0.72, abs=1e-3)
    nothing = trades.expectancy([], {})
    assert nothing.mean_bps is None
    assert nothing.by_student is None


def test_expectancy_is_in_bp_of_notional_and_in_r(make_trade: MakeTrade) -> None:
    told = [make_trade(n, net) for n, net in enumerate([9.0, -18.0, 9.0] * 5)]
    expected = trades.expectancy(told, dict.fromkeys(range(14), 18.0))
    assert expected.mean_bps == pytest.approx(0.0)
    assert expected.median_bps == pytest.approx(9.0)
    assert expected.mean_r == pytest.approx(-0.5 / 14)
    assert expected.profit_factor == pytest.approx(1.0)
    assert expected.by_student is not None
    assert expected.by_bootstrap is not None
    assert expected.by_student.holds_zero
    assert expected == trades.expectancy(told, dict.fromkeys(range(14), 18.0))


def test_a_bootstrap_of_a_few_trades_is_not_told(make_trade: MakeTrade) -> None:
    assert trades.expectancy([make_trade(n) for n in range(9)], {}).by_bootstrap is None
    assert trades.expectancy([make_trade(n) for n in range(10)], {}).by_bootstrap is not None


def test_drawdown_is_seen_from_the_peak_and_inside_trades(make_trade: MakeTrade, make_session: Callable[..., Session]):
    instruments = {each.id: each for each in make_session().instruments}
    told = [make_trade(n, net) for n, net in enumerate([100.0, -300.0, 50.0])]
    told[2] = make_trade(2, 50.0, max_drawdown_frac=-0.05)
    found = trades.risk(told, 10_000.0, instruments, 1.5, T, T + NS_PER_DAY)
    assert found.max_drawdown == pytest.approx(300.0)
    assert found.max_drawdown_frac == pytest.approx(300 / 10_100)
    # 9,800 less 5 % of 10,000 and the fees, from a peak of 10,100
    assert found.with_open_frac == pytest.approx(1 - (9_800 - 500 - 8) / 10_100)
    assert [point.equity for point in found.equity] == pytest.approx([10_000, 10_100, 9_800, 9_850])
    assert (found.worst_trade, found.best_trade) == (-300.0, 100.0)
    assert found.max_leverage == 1.5
    assert found.max_margin_leverage == pytest.approx(100.0)


def test_distance_to_liquidation_is_what_the_worst_price_left(
    make_trade: MakeTrade, make_session: Callable[..., Session]
) -> None:
    instruments = {each.id: each for each in make_session().instruments}
    long = trades.risk([make_trade()], 1e4, instruments, None, T, T).liquidation_distance_frac
    assert long == pytest.approx(0.0060 - 0.0002, abs=1e-4)  # 100x with 0.4 % maintenance: 0.60 % away
    short = make_trade(side=Side.SELL, margin=1_000.0)
    assert trades.risk([short], 1e4, instruments, None, T, T).liquidation_distance_frac == pytest.approx(
        0.0954, abs=1e-3
    )


def test_no_sharpe_ratio_under_ninety_days(make_trade: MakeTrade, make_session: Callable[..., Session]) -> None:
    instruments = {each.id: each for each in make_session().instruments}
    told = [make_trade(n, net, ts=T + n * NS_PER_DAY) for n, net in enumerate([5.0, -3.0, 4.0] * 31)]
    short = trades.risk(told, 1e4, instruments, None, T, T + 89 * NS_PER_DAY)
    assert short.sharpe is None
    assert "fewer than 90" in short.sharpe_note
    whole = trades.risk(told, 1e4, instruments, None, T, T + 93 * NS_PER_DAY)
    equity = 1e4 + np.cumsum([5.0, -3.0, 4.0] * 31)
    daily = np.diff(np.concatenate([[1e4], equity, equity[-1:]])) / np.concatenate([[1e4], equity])
    assert whole.sharpe == pytest.approx(daily.mean() / daily.std(ddof=1) * 365**0.5)
    assert trades.risk(told, None, instruments, None, T, T + 93 * NS_PER_DAY).sharpe is None


def test_an_account_that_is_gone_has_no_fractions(make_trade: MakeTrade, make_session: Callable[..., Session]) -> None:
    instruments = {each.id: each for each in make_session().instruments}
    found = trades.risk([make_trade(net=-20_000.0)], 1e4, instruments, None, T, T)
    assert found.max_drawdown == 20_000.0
    assert found.max_drawdown_frac is None


def test_holding_and_exits_are_counted(make_trade: MakeTrade) -> None:
    found = trades.holding([make_trade(0, 1.0), make_trade(1, -1.0), make_trade(2, -1.0, exit_purpose="liquidation")])
    assert (found.min_s, found.median_s, found.max_s) == (210.0, 210.0, 210.0)
    assert found.exits == {"liquidation": 1, "stop_loss": 1, "take_profit": 1}


def test_symbols_without_trades_are_listed_too(make_trade: MakeTrade, make_session: Callable[..., Session]) -> None:
    instruments = {each.id: each for each in make_session().instruments}
    lines = trades.by_symbol([make_trade(net=5.0), make_trade(1, -2.0)], instruments)
    assert [(line.symbol, line.trades, line.wins, line.net) for line in lines] == [
        ("BTCUSDT", 2, 1, 3.0),
        ("ETHUSDT", 0, 0, 0.0),
    ]


def test_higher_costs_take_what_they_say(make_trade: MakeTrade) -> None:
    money = trades.money([make_trade(net=7.0)])
    told = {each.name: each.net for each in trades.sensitivities(money, money.notional)}
    assert told["as it was"] == 7.0
    assert told["fees x 1.5"] == pytest.approx(3.0)
    assert told["slippage + 2 bp a side"] == pytest.approx(3.0)
    # each of two legs slips
    both = {each.name: each.net for each in trades.sensitivities(money, 2 * money.notional)}
    assert (both["fees x 1.5"], both["slippage + 2 bp a side"]) == (told["fees x 1.5"], pytest.approx(-1.0))
    assert trades.sensitivities(trades.money([]), 0.0) == []


def test_what_has_no_exits_tells_none(make_trade: MakeTrade) -> None:
    bare = make_trade(1, take_profit_price=0.0, stop_loss_price=0.0)
    assert trades.win_rate([make_trade(), bare], None, None).take_profit_bps == pytest.approx(15.0)
    assert trades.win_rate([bare], None, 0.0004).take_profit_bps is None


def test_gains_of_a_few_trades_are_not_called_concentrated(
    make_trade: MakeTrade, make_session: Callable[..., Session]
) -> None:
    instruments = {each.id: each for each in make_session().instruments}

    def share(nets: list[float]) -> float | None:
        told = [make_trade(n, net) for n, net in enumerate(nets)]
        return trades.risk(told, 1e4, instruments, None, T, T).top5_share

    assert share([1.0] * 5) is None
    assert share([1.0] * 10 + [-5.0]) == pytest.approx(0.5)
