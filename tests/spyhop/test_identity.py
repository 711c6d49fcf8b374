from __future__ import annotations

from spyhop.identity import client_order_id, session_id, trade_id

TS = 1_764_350_100_123_456_789


def test_a_trade_has_the_shape_of_the_seed() -> None:
    assert trade_id(TS, 1) == "WT_20251128_171500_0001"


def test_sessions_sort_by_time() -> None:
    assert session_id(TS) < session_id(TS + 1_000) < session_id(TS + 10**12)


def test_client_order_ids_fit_the_venue() -> None:
    assert len(client_order_id(session_id(TS), 999_999)) <= 36
