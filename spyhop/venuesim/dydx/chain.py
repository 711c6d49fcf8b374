"""The chain's pace, its names and limits. Height is a function of time, so that everything old has one too."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from spyhop.clock import NS_PER_DAY, NS_PER_MS, NS_PER_S, iso_ms

CHAIN_ID: Final = "dydx-mainnet-1"
BLOCK_NS: Final = NS_PER_S
"""One block a second of the exchange's time."""
_GENESIS_BLOCKS: Final = 1_500_000_000

SHORT_BLOCK_WINDOW: Final = 40
"""How many blocks ahead a short-term order may live."""
STATEFUL_WINDOW_NS: Final = 95 * NS_PER_DAY
STATEFUL_PER_BLOCK: Final = 2
STATEFUL_PER_WINDOW: Final = 20
STATEFUL_WINDOW_BLOCKS: Final = 100
SHORT_TERM_PER_BLOCK: Final = 400
MAX_BATCH_CANCEL: Final = 100
TIMESTAMP_NONCE: Final = 1 << 40
"""Sequences from here on are milliseconds."""
NONCE_WINDOW_MS: Final = 30_000
NUM_NONCES: Final = 20
USDC_RESOLUTION: Final = -6


def height_at(ts: int) -> int:
    """Return the height of the newest block at `ts`."""
    return max(ts // BLOCK_NS - _GENESIS_BLOCKS, 1)


def time_of(height: int) -> int:
    """Return when the block of `height` was made, nanoseconds."""
    return (height + _GENESIS_BLOCKS) * BLOCK_NS


def iso(ts: int) -> str:
    """Return `ts` as the venue writes it, 2025-08-04T00:42:07.119Z."""
    return iso_ms(ts) + "Z"


def epoch_ms(ts: int) -> int:
    """Return `ts` in whole milliseconds."""
    return ts // NS_PER_MS


def plain(number: Decimal) -> str:
    """Return `number` without exponent and without trailing zeros, as the venue writes numbers."""
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
