"""When to follow a leader and when to leave again: the rules that studies, sweeps and the live strategy share.

Returns, spreads and thresholds are fractions. `spread` is (follower - leader) / leader, the currencies' basis out of
it where it is known. Rules of the seed's two ways in:

    short   the leader fell by `fall` or more over the window, and the follower stands `premium` or more above it
    long    the leader rose by `rise` or more over the window, and the follower stands `discount` or more below it
"""

from __future__ import annotations

from spyhop.numerics._jit import kernel

LONG_ONLY, BOTH, SHORT_ONLY = 1, 0, -1

NOT_TOUCHED, TAKE_PROFIT, STOP, HORIZON = 0, 1, 2, 3
"""Why a position was left. A bar that touches both exits is taken to have touched the stop first."""


@kernel
def entry_side(
    leader_return: float, spread: float, fall: float, rise: float, premium: float, discount: float, mode: int
) -> int:
    """Return 1 to buy the follower, -1 to sell it, 0 for neither; what is not a number is neither."""
    if mode <= 0 and leader_return <= -fall and spread >= premium:
        return -1
    if mode >= 0 and leader_return >= rise and spread <= -discount:
        return 1
    return 0


@kernel
def touched(side: int, take_profit: float, stop: float, low: float, high: float) -> int:
    """Return which exit prices between `low` and `high` reach: STOP, TAKE_PROFIT or NOT_TOUCHED."""
    if side > 0:
        if low <= stop:
            return STOP
        if high >= take_profit:
            return TAKE_PROFIT
    else:
        if high >= stop:
            return STOP
        if low <= take_profit:
            return TAKE_PROFIT
    return NOT_TOUCHED
