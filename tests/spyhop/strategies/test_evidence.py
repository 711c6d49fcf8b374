"""Evidence derived from rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from spyhop.model.rows import DETECTORS, empty
from spyhop.strategies.evidence import NAMES, EvidenceParams, derived, vectors

PARAMS = EvidenceParams()
MIRROR = {
    "pushed_up": "pushed_down",
    "quiet_buying": "quiet_selling",
    "swept_low": "swept_high",
    "swept_low_closing": "swept_high_closing",
    "near_support": "near_resistance",
    "support_bid": "resistance_offered",
    "support_node": "resistance_node",
}
MIRROR |= {other: one for one, other in MIRROR.items()}
SIGNED = {
    *("whale_pressure", "book_imbalance", "order_flow", "trade_flow", "burst_flow", "momentum", "trend", "alignment"),
    *("divergence", "structure_shift", "pattern", "turn_side", "liquidation_side", "breakout_side", "funding_side"),
    "crowding",
}


@pytest.mark.parametrize("seed", range(40))
def test_every_value_lies_in_its_range_and_every_confidence_in_0_to_1(
    random_row: Callable[[int], np.void], seed: int
) -> None:
    for name, (value, confidence) in derived(random_row(seed), PARAMS).items():
        low = -1.0 if name in SIGNED else 0.0
        assert low <= value <= 1.0, name
        assert 0.0 <= confidence <= 1.0, name


@pytest.mark.parametrize("seed", range(40))
def test_a_mirrored_market_gives_mirrored_evidence(
    random_row: Callable[[int], np.void], mirrored: Callable[[np.void], np.void], seed: int
) -> None:
    row = random_row(seed)
    seen, other = derived(row, PARAMS), derived(mirrored(row), PARAMS)
    # nobody has given stealthy selling a name
    for name in set(NAMES) - {"stealth_buying"}:
        value, confidence = seen[name]
        if name in SIGNED:
            assert other[name] == (pytest.approx(-value, abs=1e-12), confidence), name
        else:
            assert other[MIRROR.get(name, name)] == (pytest.approx(value, abs=1e-12), confidence), name


def test_an_empty_row_has_no_confidence_in_anything() -> None:
    assert {confidence for _, confidence in derived(empty(1)[0], PARAMS).values()} == {0.0}


@pytest.mark.parametrize("seed", range(10))
def test_without_confident_detectors_only_facts_of_their_own_are_evidence(
    random_row: Callable[[int], np.void], seed: int
) -> None:
    row = random_row(seed)
    row["detections"]["confidence"] = 0.0
    known = {name for name, (_, confidence) in derived(row, PARAMS).items() if confidence > 0.0}
    facts = {"alignment", "structure_shift", "swept_low", "swept_high", "funding_carry", "funding_side", "news"}
    assert known <= facts


def test_both_is_the_smaller_of_two(make_row: Callable[..., np.void]) -> None:
    seen = derived(make_row(wpi=0.8, momentum=0.3), PARAMS)
    assert seen["pushed_up"] == (0.3, 1.0)
    assert seen["quiet_buying"] == (0.7, 1.0)
    assert seen["pushed_down"] == (0.0, 1.0)


def test_confidence_of_a_combination_is_the_least(make_row: Callable[..., np.void]) -> None:
    row = make_row(wpi=0.8, momentum=0.3)
    row["detections"][DETECTORS.index("momentum")]["confidence"] = 0.25
    assert derived(row, PARAMS)["pushed_up"] == (0.3, 0.25)


def test_silent_whales_are_evidence_on_a_busy_tape_alone(make_row: Callable[..., np.void]) -> None:
    row = make_row()
    row["detections"][DETECTORS.index("wpi")]["confidence"] = 0.0
    assert derived(row, PARAMS)["quiet_whales"] == (1.0, 1.0)
    row["detections"][DETECTORS.index("wpi")]["ready"] = 0
    assert derived(row, PARAMS)["quiet_whales"] == (1.0, 0.0)


def test_an_unranked_vpin_says_nothing(make_row: Callable[..., np.void]) -> None:
    assert derived(make_row(), PARAMS)["benign"] == (1.0, 0.0)
    assert derived(make_row(evidence={"vpin_cdf": 0.95}), PARAMS)["toxic"] == (pytest.approx(0.5), 1.0)


def test_a_breakout_is_confirmed_by_flow_its_way_and_contested_by_the_other(make_row: Callable[..., np.void]) -> None:
    up = {"va_pos": 1.0, "poc_dist": 0.9}
    confirmed = derived(make_row(evidence=up | {"ofi_z": 4.0}), PARAMS)
    contested = derived(make_row(evidence=up | {"ofi_z": -4.0}), PARAMS)
    assert confirmed["breakout_side"] == contested["breakout_side"] == (0.9, 1.0)
    assert confirmed["breakout_confirmed"][0] == 0.9
    assert confirmed["breakout_contested"][0] == 0.0
    assert contested["breakout_confirmed"][0] == 0.0
    assert contested["breakout_contested"][0] == 0.9


def test_longs_that_are_liquidated_press_the_price(make_row: Callable[..., np.void]) -> None:
    seen = derived(make_row(evidence={"liq_realised_long": 0.8, "liq_long": 90.0}), PARAMS)
    assert seen["liquidation_side"] == (-0.8, 1.0)
    assert seen["liquidation_heat"] == (0.5, 1.0)


def test_funding_is_evidence_while_it_is_current(make_row: Callable[..., np.void]) -> None:
    row = make_row(evidence={"funding_apr": 0.45}, confidence=0.0)
    assert derived(row, PARAMS)["funding_carry"] == (pytest.approx(0.5), 1.0)
    assert derived(row, PARAMS)["funding_side"] == (-1.0, 1.0)
    row["detections"][DETECTORS.index("funding_rate")]["age_ms"] = 28_800_001.0
    assert derived(row, PARAMS)["funding_carry"][1] == 0.0


def test_vectors_hold_the_same_pieces_in_the_order_of_names(random_row: Callable[[int], np.void]) -> None:
    row = random_row(3)
    values, confidences = vectors(row, PARAMS)
    assert list(zip(values.tolist(), confidences.tolist(), strict=True)) == list(derived(row, PARAMS).values())
    assert tuple(derived(row, PARAMS)) == NAMES
