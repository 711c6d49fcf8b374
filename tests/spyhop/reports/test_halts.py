"""Halts as a person reads them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from spyhop.clock import NS_PER_S
from spyhop.model.entries import Entry, Recorded
from spyhop.model.observations import Comparison, EffectiveDiff, Leader, Observation
from spyhop.model.verdicts import RiskState, RiskStateChanged
from spyhop.reports.halts import Blame, Halt, blamed, halts, listing, seed_record, text
from spyhop.risk.comparisons import compared

T = 1_764_350_107 * NS_PER_S
NAMES = {0: "binance-usdm:BTCUSDT", 1: "dydx:BTC-USD"}
THRESHOLDS = {"effective_diff.suspect": 0.01, "effective_diff.halt": 0.03, "data_age.halt": 5.0}


def observed(mid: float, buy: float, sell: float, instrument: int = 1, **given: Any) -> Observation:
    shown: dict[str, Any] = {
        "ts": T,
        "instrument": instrument,
        "mid": mid,
        "last": mid,
        "ts_venue": T,
        "age_ns": 300_000_000,
        "spread": 0.1,
        "depth_bid": 50_000.0,
        "depth_ask": 1_200.0,
        "fill_buy": buy,
        "fill_sell": sell,
        "sigma_1m": 0.0008,
        "volatility_rank": 0.5,
        "atr": 1.0,
        "leader": Leader(instrument=0, mid=100.0, last=100.0, ts=T, age_ns=300_000_000),
    }
    return Observation(**{**shown, **given})


def changed(
    state: RiskState, before: RiskState, *reasons: str, after_s: float = 0.0, instrument: int = 1
) -> RiskStateChanged:
    ts = T + round(after_s * NS_PER_S)
    return RiskStateChanged(ts=ts, state=state, before=before, reasons=reasons, instrument=instrument)


def comparison(seen: Observation, cause: str = "risk_state", after_s: float = 0.0) -> Comparison:
    made = compared(seen, cause, RiskState.HALT, "", THRESHOLDS)
    return msgspec.structs.replace(made, ts=T + round(after_s * NS_PER_S))


def told(*messages: Recorded) -> list[Halt]:
    return halts([Entry(message.ts, "risk", seq, message) for seq, message in enumerate(messages)])


HALTED = changed(RiskState.HALT, RiskState.CAN_TRADE, "effective_diff: 0.035 against 0.03")
FREE = changed(RiskState.CAN_TRADE, RiskState.HALT, after_s=130.0)
CASES = (
    # a dear mid, a thin book, an old price: each makes 350 bp to buy at 103.50 against 100
    (observed(103.4, 103.5, 103.3), Blame.DEVIATION),
    (observed(100.1, 103.5, 100.0), Blame.SLIPPAGE),
    (observed(103.4, 103.5, 103.3, age_ns=50 * 60 * NS_PER_S, sigma_1m=0.004), Blame.AGE),
)


@pytest.mark.parametrize(("seen", "blame"), CASES)
def test_a_difference_is_put_down_to_the_part_that_made_it(seen: Observation, blame: Blame) -> None:
    (halt,) = told(HALTED, comparison(seen))
    assert halt.blame is blame
    (diff,) = [comparison.buy for comparison in halt.comparisons]
    assert diff is not None
    assert diff.total == pytest.approx(0.035)


def test_what_made_a_difference_smaller_is_not_to_blame() -> None:
    assert blamed(EffectiveDiff(total=0.01, deviation=-0.03, slippage=0.04, age=0.0)) is Blame.SLIPPAGE
    assert blamed(EffectiveDiff(total=0.01, deviation=-0.05, slippage=0.04, age=0.02)) is Blame.SLIPPAGE
    assert blamed(EffectiveDiff(total=-0.01, deviation=-0.03, slippage=0.02, age=0.0)) is Blame.DEVIATION
    assert blamed(EffectiveDiff(total=-0.03, deviation=-0.01, slippage=0.0, age=-0.02)) is Blame.AGE


def test_a_halt_lasts_until_the_next_change_of_its_scope() -> None:
    elsewhere = changed(RiskState.SUSPECT, RiskState.CAN_TRADE, "data_age: 3 against 2", after_s=20.0, instrument=0)
    worse = changed(RiskState.ESCAPE, RiskState.HALT, "effective_diff: 0.2 against 0.1", after_s=60.0)
    found = told(HALTED, elsewhere, worse, FREE)
    assert [(halt.instrument, halt.state, halt.until) for halt in found] == [
        (1, RiskState.HALT, worse.ts),
        (0, RiskState.SUSPECT, None),
        (1, RiskState.ESCAPE, FREE.ts),
    ]
    assert [halt.blame for halt in found] == [Blame.OTHER, Blame.DATA, Blame.OTHER]
    assert found[0].start == T - 60 * NS_PER_S
    assert found[0].end == worse.ts + 60 * NS_PER_S
    assert found[1].end == elsewhere.ts + 60 * NS_PER_S


def test_only_the_comparisons_of_the_change_belong_to_it() -> None:
    mine = comparison(CASES[0][0])
    other = comparison(observed(100.0, 100.1, 99.9, instrument=2))
    (halt,) = told(comparison(CASES[1][0]), HALTED, mine, other, comparison(CASES[1][0], "decision"), FREE)
    assert halt.comparisons == (mine,)
    everything = changed(RiskState.HALT, RiskState.CAN_TRADE, "daily_drawdown: 0.09 against 0.08", instrument=-1)
    (halt,) = told(everything, mine, other, comparison(CASES[1][0], after_s=30.0))
    assert halt.comparisons == (mine, other)
    assert halt.blame is Blame.OTHER


def test_entries_of_other_stages_and_their_order_do_not_matter() -> None:
    entries = [
        Entry(FREE.ts, "risk", 2, FREE),
        Entry(T, "risk", 1, comparison(CASES[0][0])),
        Entry(T, "risk", 0, HALTED),
    ]
    (halt,) = halts(entries)
    assert (halt.until, len(halt.comparisons)) == (FREE.ts, 1)
    assert halts([Entry(T, "order", 0, HALTED)]) == []


def test_a_person_reads_the_sum_the_limits_and_what_to_play() -> None:
    (halt,) = told(HALTED, comparison(CASES[1][0]), FREE)
    assert text(halt, NAMES).splitlines() == [
        "2025-11-28T17:15:07.000 UTC  dydx:BTC-USD  HALT after CAN_TRADE, for 2 min 10 s",
        "It comes down to slippage: the book is thin for the size.",
        "  effective_diff: 0.035 against 0.03",
        "",
        "dydx:BTC-USD: mid 100.1, spread 0.1, 0.3 s old, its clock +0.000 s",
        "  within 5 bp: bids 50,000, asks 1,200; one deviation of a minute is 8.00 bp",
        "  leader binance-usdm:BTCUSDT: mid 100, 0.3 s old",
        "  to buy at 103.5: +350.00 bp = mid deviation +10.00 bp, slippage +340.00 bp, age +0.00 bp",
        "  to sell at 100: +0.00 bp = mid deviation +10.00 bp, slippage -10.00 bp, age +0.00 bp",
        "",
        "Limits in force: effective_diff.suspect 0.01, effective_diff.halt 0.03",
        "",
        "To see it again, play 2025-11-28T17:14:07.000 to 2025-11-28T17:18:17.000 UTC.",
    ]


def test_what_is_missing_is_said() -> None:
    alone = observed(100.0, 101.0, 99.0, leader=None)
    (halt,) = told(changed(RiskState.HALT, RiskState.SUSPECT, "volatility: 12 against 10"), comparison(alone))
    shown = text(halt, {})
    assert "instrument 1  HALT after SUSPECT, and lasts" in shown
    assert "no leader to be compared with" in shown
    (halt,) = told(HALTED, comparison(observed(100.0, 0.0, 99.0)))
    assert "to buy: no price" in text(halt, NAMES)
    (halt,) = told(changed(RiskState.HALT, RiskState.CAN_TRADE, instrument=-1))
    assert "everything  HALT" in text(halt, NAMES)
    assert "no reason is left" in text(halt, NAMES)


def test_a_list_has_a_line_a_halt() -> None:
    assert listing([], NAMES) == "Nothing was halted."
    lines = listing(told(HALTED, comparison(CASES[0][0]), FREE), NAMES).splitlines()
    expected = "   1  2025-11-28T17:15:07.000 UTC  dydx:BTC-USD  HALT after CAN_TRADE, for 2 min 10 s: mid deviation"
    assert lines == [expected]


def test_the_record_has_every_field_of_the_seed_under_its_name() -> None:
    seen = observed(100.1, 103.5, 100.0, score=-0.8, aligned=-1.0, rsi_1m=40.0, rsi_15m=60.0)
    record = seed_record(comparison(seen), NAMES)
    assert {name: record[name] for name in record if not name.startswith("effective_diff")} == {
        "ts": "2025-11-28T17:15:07.000Z",
        "minute_bucket": "2025-11-28T17:15:00.000Z",
        "symbol": "dydx:BTC-USD",
        "cause": "risk_state",
        "dydx_mid": 100.1,
        "dydx_last": 100.1,
        "dydx_ts": "2025-11-28T17:15:07.000Z",
        "dydx_age_ms": 300.0,
        "binance_mid": 100.0,
        "binance_last": 100.0,
        "binance_ts": "2025-11-28T17:15:07.000Z",
        "binance_age_ms": 300.0,
        "expected_fill_buy": 103.5,
        "expected_fill_sell": 100.0,
        "risk_state": "halt",
        "halt_reason": "",
        "thresholds": THRESHOLDS,
        "signal_score": -0.8,
        "mtf_aligned": -1.0,
        "rsi_1m": 40.0,
        "rsi_5m": None,
        "rsi_15m": 60.0,
    }
    assert record["effective_diff_signed_buy"] == pytest.approx((103.5 - 100.0) / 100.0)
    assert record["effective_diff_signed_sell"] == pytest.approx((100.0 - 100.0) / 100.0)
    parts = record["effective_diff_parts_buy"]
    assert isinstance(parts, dict)
    assert parts["total"] == parts["deviation"] + parts["slippage"] + parts["age"]
    assert msgspec.json.decode(msgspec.json.encode(record)) == record


def test_a_record_without_a_leader_or_a_price_says_nothing_of_them() -> None:
    record = seed_record(comparison(observed(0.0, 0.0, 0.0, leader=None, ts_venue=0)), NAMES)
    assert not any(name.startswith("binance") for name in record)
    for name in ("dydx_mid", "dydx_ts", "expected_fill_buy", "effective_diff_signed_sell", "effective_diff_parts_buy"):
        assert record[name] is None


def test_a_halt_is_json() -> None:
    (halt,) = told(HALTED, comparison(CASES[0][0]), FREE)
    assert msgspec.json.decode(msgspec.json.encode(halt), type=Halt) == halt
