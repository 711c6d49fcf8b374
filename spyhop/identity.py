"""The only place that makes names up: session ids from the clock, everything else by counting."""

from __future__ import annotations

from spyhop.clock import utc


def session_id(ts_ns: int) -> str:
    """Return the id of a session started at `ts_ns`, such as `s20251128_171500_123456`; sorts by time."""
    at = utc(ts_ns)
    return f"s{at:%Y%m%d_%H%M%S}_{at.microsecond:06d}"


def client_order_id(session: str, sequence: int) -> str:
    """Return the deterministic client order id of a session's `sequence`-th order (36 characters at most)."""
    return f"{session}-{sequence:06d}"


def trade_id(ts_ns: int, sequence: int) -> str:
    """Return the id of a round trip in the seed's shape, `WT_20251128_171500_0001`."""
    return f"WT_{utc(ts_ns):%Y%m%d_%H%M%S}_{sequence:04d}"
