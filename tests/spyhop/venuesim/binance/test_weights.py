from __future__ import annotations

import pytest

from spyhop.clock import NS_PER_S
from spyhop.venuesim.binance.errors import BinanceError
from spyhop.venuesim.binance.weights import BAN_S, PATIENCE, Allowance, Limits

LIMITS = Limits(100, 3, 5, 60)


def refused(allowance: Allowance, now_s: float, weight: int = 1) -> BinanceError:
    with pytest.raises(BinanceError) as error:
        allowance.charge("1.2.3.4", weight, int(now_s * NS_PER_S))
    return error.value


def test_weight_is_counted_by_address_and_minute() -> None:
    allowance = Allowance(LIMITS)
    assert [allowance.charge("1.2.3.4", 40, 0), allowance.charge("1.2.3.4", 40, NS_PER_S)] == [40, 80]
    assert allowance.charge("5.6.7.8", 40, NS_PER_S) == 40
    assert allowance.charge("1.2.3.4", 40, 61 * NS_PER_S) == 40


def test_too_much_is_429_until_the_minute_is_over_and_then_forgiven() -> None:
    allowance = Allowance(LIMITS)
    allowance.charge("1.2.3.4", 100, 30 * NS_PER_S)
    error = refused(allowance, 30)
    assert (error.status, error.code, error.retry_after_s) == (429, -1003, 30)
    assert allowance.charge("1.2.3.4", 1, 60 * NS_PER_S) == 1


def test_who_goes_on_asking_is_banned() -> None:
    allowance = Allowance(LIMITS)
    refused(allowance, 48, 101)
    statuses = [refused(allowance, 50).status for _ in range(PATIENCE + 2)]
    assert statuses == [429] * PATIENCE + [418] * 2
    # the minute is over, the ban is not
    error = refused(allowance, 61)
    assert (error.status, error.retry_after_s) == (418, 50 + BAN_S - 61)
    assert "banned until 170000." in error.text
    assert allowance.charge("1.2.3.4", 1, (50 + BAN_S) * NS_PER_S) == 1


def test_requests_that_were_under_way_when_the_first_was_refused_are_forgiven() -> None:
    allowance = Allowance(LIMITS)
    statuses = [refused(allowance, 50 + k / 20, 101).status for k in range(2 * PATIENCE)]
    assert statuses == [429] * 2 * PATIENCE
    assert allowance.charge("1.2.3.4", 1, 60 * NS_PER_S) == 1
    # the next refusal begins anew
    allowance.stop("1.2.3.4", 90 * NS_PER_S)
    assert [refused(allowance, 61 + 2 * k).status for k in range(PATIENCE + 2)] == [429] * (PATIENCE + 1) + [418]


def test_orders_are_counted_in_two_windows() -> None:
    allowance = Allowance(LIMITS)
    told = [allowance.count_order("alice", second * NS_PER_S) for second in (1, 2, 3)]
    assert told[-1] == {"X-MBX-ORDER-COUNT-10S": "3", "X-MBX-ORDER-COUNT-1M": "3"}
    with pytest.raises(BinanceError) as error:
        allowance.count_order("alice", 4 * NS_PER_S)
    assert error.value.code == -1015
    assert allowance.count_order("bob", 4 * NS_PER_S)["X-MBX-ORDER-COUNT-10S"] == "1"
    assert allowance.count_order("alice", 11 * NS_PER_S) == {
        "X-MBX-ORDER-COUNT-10S": "1",
        "X-MBX-ORDER-COUNT-1M": "5",
    }
