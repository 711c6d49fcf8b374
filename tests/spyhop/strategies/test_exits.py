"""Exits of a position."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spyhop.clock import NS_PER_MINUTE
from spyhop.model.tape import Side
from spyhop.strategies.exits import ExitParams, exits, reference

SIDES = st.sampled_from([Side.BUY, Side.SELL])


def test_the_seeds_own_trade() -> None:
    # entry 91,500.00 with a tick of 0.01: take profit 91,637.25, stop 91,408.50
    planned = exits(Side.BUY, 9_150_000, ExitParams())
    assert planned is not None
    assert (planned.take_profit, planned.stop) == (9_163_725, 9_140_850)
    assert planned.max_hold_ns == 30 * NS_PER_MINUTE


def test_a_short_is_the_mirror() -> None:
    planned = exits(Side.SELL, 9_150_000, ExitParams())
    assert planned is not None
    assert (planned.take_profit, planned.stop) == (9_136_275, 9_159_150)


def test_a_fraction_that_binary_cannot_hold_is_exact() -> None:
    # 100,000 x 0.0015 is 150.00000000000003 in float64, and a ceiling of that 151
    planned = exits(Side.BUY, 100_000, ExitParams())
    assert planned is not None
    assert planned.take_profit == 100_150


@given(SIDES, st.integers(1_000, 10**9), st.floats(0.0001, 0.2), st.floats(0.0001, 0.2))
def test_distances_are_never_shorter_than_asked_and_less_than_a_tick_longer(
    side: Side, ticks: int, gain: float, loss: float
) -> None:
    planned = exits(side, ticks, ExitParams(take_profit_frac=gain, stop_loss_frac=loss))
    assert planned is not None
    for distance, frac in ((planned.take_profit - ticks, gain), (ticks - planned.stop, loss)):
        assert ticks * frac * (1 - 1e-12) <= side * distance
        assert side * distance < ticks * frac * (1 + 1e-12) + 1


def test_a_price_of_few_ticks_leaves_no_room() -> None:
    assert exits(Side.BUY, 1, ExitParams()) is None
    assert exits(Side.SELL, 1, ExitParams()) is None
    assert exits(Side.BUY, 2, ExitParams()) is not None


def test_no_side_has_no_exits() -> None:
    assert exits(Side.NONE, 100_000, ExitParams()) is None


@given(st.integers(1, 10**9), st.integers(1, 1000))
def test_the_reference_is_the_mid_rounded_toward_our_side(bid: int, spread: int) -> None:
    buyer, seller = reference(Side.BUY, bid, bid + spread), reference(Side.SELL, bid, bid + spread)
    assert bid <= buyer <= bid + spread / 2 <= seller <= bid + spread
    assert seller - buyer == spread % 2
