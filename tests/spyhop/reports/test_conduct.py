from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from spyhop.model.decisions import Decision
from spyhop.model.entries import Entry
from spyhop.model.orders import Fill, OrderChanged, OrderStatus
from spyhop.model.verdicts import Refused
from spyhop.reports import conduct
from spyhop.reports.model import Count


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("probability 0.43 is not above 0.70", "probability … is not above 0.70"),
        ("61.2 s since the last trade is below 60.0 s", "… s since the last trade is below 60.0 s"),
        ("the hour is closed: liquidity 0.05 is below 0.10", "the hour is closed: liquidity … is below 0.10"),
        ("WHALE_2 has no direction", "WHALE_2 has no direction"),
        ("no two-sided book", "no two-sided book"),
    ],
)
def test_like_reasons_are_counted_with_like(reason: str, expected: str) -> None:
    assert conduct.pattern(reason) == expected


def test_the_commonest_comes_first_with_its_last_example() -> None:
    assert conduct.counted([("b", "1"), ("a", "2"), ("b", "3"), ("c", "4")]) == [
        Count("b", 2, "3"),
        Count("a", 1, "2"),
        Count("c", 1, "4"),
    ]
    assert conduct.counted([]) == []


def test_decisions_refusals_and_orders_are_counted(make_story: Callable[[list[float]], list[Entry]]) -> None:
    said = [entry.message for entry in make_story([7.0, -18.0])]
    decided = [each for each in said if isinstance(each, Decision)]
    held_back = msgspec.structs.replace(decided[0], reasons=("probability 0.43 is not above 0.70", "too soon"))
    refused = [each for each in said if isinstance(each, Refused)]
    found = conduct.decisions([*decided, held_back], [], [], refused)
    assert found.num_decisions == 3
    assert found.winners == {"WHALE_PUMP": 3}
    assert found.mean_probabilities["WHALE_PUMP"] == pytest.approx(0.78)
    assert [(each.what, each.count) for each in found.non_entries] == [
        ("probability … is not above 0.70", 1),
        ("too soon", 1),
    ]
    assert found.refusals == [Count("min_interval", 2, "measured 12.5, limit 60")]
    changes = [each for each in said if isinstance(each, OrderChanged)]
    rejected = msgspec.structs.replace(
        changes[0], client_order_id="x", status=OrderStatus.REJECTED, reason="notional 3 is below 5"
    )
    orders = conduct.orders([*changes, *changes, rejected], [each for each in said if isinstance(each, Fill)])
    assert (orders.num_orders, orders.num_rejected, orders.num_fills) == (3, 1, 4)
    assert orders.maker_share == 0.5
    assert orders.rejections == [Count("notional … is below 5", 1, "notional 3 is below 5")]
    assert conduct.orders([], []).maker_share is None
