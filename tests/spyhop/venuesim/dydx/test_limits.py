from __future__ import annotations

from decimal import Decimal

import pytest

from spyhop.venuesim.dydx.limits import BlockRates, check_equity
from spyhop.venuesim.dydx.transactions import Rejected


def test_twenty_stateful_orders_in_a_hundred_blocks() -> None:
    rates = BlockRates()
    for height in range(10):
        rates.count_stateful("a", height)
        rates.count_stateful("a", height)
    with pytest.raises(Rejected, match="100 blocks") as refused:
        rates.count_stateful("a", 99)
    assert refused.value.code == 5001
    rates.count_stateful("b", 99)  # another address has its own
    rates.count_stateful("a", 100)  # the first two have left the window


def test_four_hundred_short_term_orders_in_a_block() -> None:
    rates = BlockRates()
    for _ in range(400):
        rates.count_short_term("a", 7)
    with pytest.raises(Rejected):
        rates.count_short_term("a", 7)
    rates.count_short_term("a", 8)


@pytest.mark.parametrize(
    ("equity", "num_open", "is_allowed"),
    [("19.99", 0, False), ("20", 0, True), ("20", 1, False), ("1000", 9, True), ("1000", 10, False)],
)
def test_equity_bounds_open_stateful_orders(equity: str, num_open: int, *, is_allowed: bool) -> None:
    if is_allowed:
        check_equity(Decimal(equity), num_open)
        return
    with pytest.raises(Rejected) as refused:
        check_equity(Decimal(equity), num_open)
    assert refused.value.code == 10001
