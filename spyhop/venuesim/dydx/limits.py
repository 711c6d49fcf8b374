"""How much an address may ask of the chain: orders per block, and stateful orders per equity."""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from typing import Final

from spyhop.venuesim.dydx import chain
from spyhop.venuesim.dydx.checks import clob

_EQUITY_TIERS: Final = ((100_000, 1_000), (10_000, 100), (1_000, 10), (100, 5), (20, 1))
"""From this equity in USDC so many stateful orders may be open, as the venue documents."""


class BlockRates:
    """Counts what every address had placed; all by height, so that nothing is kept for longer than the window."""

    def __init__(self) -> None:
        self._short_term: dict[str, tuple[int, int]] = {}
        self._stateful: dict[str, deque[int]] = {}

    def count_short_term(self, address: str, height: int) -> None:
        """Count a short-term order or cancel in the block after `height`; raise 5001."""
        at, number = self._short_term.get(address, (height, 0))
        number = number + 1 if at == height else 1
        if number > chain.SHORT_TERM_PER_BLOCK:
            raise clob(5001, f"more than {chain.SHORT_TERM_PER_BLOCK} short term orders in 1 block")
        self._short_term[address] = (height, number)

    def count_stateful(self, address: str, height: int) -> None:
        """Count a stateful order in the block after `height`; raise 5001."""
        heights = self._stateful.setdefault(address, deque())
        while heights and heights[0] <= height - chain.STATEFUL_WINDOW_BLOCKS:
            heights.popleft()
        if sum(1 for at in heights if at == height) >= chain.STATEFUL_PER_BLOCK:
            raise clob(5001, f"more than {chain.STATEFUL_PER_BLOCK} stateful orders in 1 block")
        if len(heights) >= chain.STATEFUL_PER_WINDOW:
            raise clob(
                5001, f"more than {chain.STATEFUL_PER_WINDOW} stateful orders in {chain.STATEFUL_WINDOW_BLOCKS} blocks"
            )
        heights.append(height)


def check_equity(equity: Decimal, num_open: int) -> None:
    """Raise 10001 when one more stateful order is too many for `equity`."""
    allowed = next((number for floor, number in _EQUITY_TIERS if equity >= floor), 0)
    if num_open >= allowed:
        raise clob(10001, f"{num_open} open, equity {equity:f}")
