"""Weights as data."""

from __future__ import annotations

import copy
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spyhop.errors import InvalidSetting, MissingInput, UnknownSetting
from spyhop.model.decisions import CLASSES, STRATEGIES
from spyhop.model.tape import Side
from spyhop.strategies.evidence import NAMES
from spyhop.strategies.weights import SHIPPED, build, load

TABLE: dict[str, Any] = tomllib.loads(SHIPPED.read_text())


@pytest.fixture
def table() -> dict[str, Any]:
    return copy.deepcopy(TABLE)


def test_the_shipped_weights_are_priors_and_say_so() -> None:
    assert load().status == "prior"


def test_the_dense_matrix_holds_what_the_file_says() -> None:
    weights = load()
    assert weights.matrix.shape == (23, len(NAMES))
    for k, name in enumerate(STRATEGIES):
        found = {NAMES[d]: weights.matrix[k, d] for d in np.flatnonzero(weights.matrix[k])}
        assert found == TABLE[name].get("evidence", {})
        assert weights.biases[k] == TABLE[name].get("bias", 0.0)


def test_only_waiting_has_a_bias_and_only_it_has_no_evidence() -> None:
    weights = load()
    assert [STRATEGIES[k] for k in np.flatnonzero(weights.biases)] == ["WAIT_AND_SEE"]
    assert [STRATEGIES[k] for k in range(23) if not weights.matrix[k].any()] == ["WAIT_AND_SEE"]


def test_neutral_strategies_and_those_that_need_a_hedge_are_no_trade() -> None:
    weights = load()
    for name in (*CLASSES["neutral"], "CONSOLIDATION", "HIGH_VOLATILITY", "FUNDING_ARBITRAGE"):
        k = STRATEGIES.index(name)
        assert weights.sides[k] is Side.NONE
        assert not weights.compass[k].any()


def test_unknown_evidence_is_refused_with_the_nearest_name(table: dict[str, Any]) -> None:
    table["WHALE_PUMP"]["evidence"]["whale_presure"] = 1.0
    with pytest.raises(UnknownSetting, match=r"WHALE_PUMP\.evidence\.whale_presure.*whale_pressure"):
        build(table)


def test_an_unknown_strategy_is_refused_with_the_nearest_name(table: dict[str, Any]) -> None:
    table["WHALE_JUMP"] = {"direction": "none"}
    with pytest.raises(UnknownSetting, match=r"WHALE_JUMP.*WHALE_.UMP"):
        build(table)


def test_an_unknown_compass_is_refused(table: dict[str, Any]) -> None:
    table["MOMENTUM_SURGE"]["direction"]["trnd"] = 1.0
    with pytest.raises(UnknownSetting, match=r"MOMENTUM_SURGE\.direction\.trnd.*trend"):
        build(table)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"status": "guess"}, "status"),
        ({"WAIT_AND_SEE": {"direction": "up"}}, "WAIT_AND_SEE"),
        ({"WAIT_AND_SEE": {"direction": "none", "bias": "much"}}, "WAIT_AND_SEE"),
        ({"WAIT_AND_SEE": {"direction": "none", "bias": float("nan")}}, "not a finite number"),
        ({"WAIT_AND_SEE": {"direction": "none", "weigths": {}}}, "weigths"),
        ({"WAIT_AND_SEE": 3}, "WAIT_AND_SEE"),
    ],
)
def test_what_is_no_weight_is_refused(table: dict[str, Any], change: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidSetting, match=said):
        build(table | change)


def test_a_missing_strategy_is_refused(table: dict[str, Any]) -> None:
    del table["REBALANCING"]
    with pytest.raises(InvalidSetting, match="REBALANCING"):
        build(table)


def test_a_file_that_is_not_there_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="cannot be read"):
        load(tmp_path / "none.toml")


def test_a_file_that_is_not_toml_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "broken.toml").write_text("status = ")
    with pytest.raises(InvalidSetting, match="not TOML"):
        load(tmp_path / "broken.toml")
