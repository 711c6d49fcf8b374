from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.clock import NS_PER_S
from spyhop.errors import VenueRefused
from spyhop.identity import client_order_id, session_id
from spyhop.model.instruments import Instrument
from spyhop.model.orders import OrderStatus, OrderType, Purpose, SubmitOrder
from spyhop.model.tape import Side, Venue
from spyhop.venues.dydx.answers import Market
from spyhop.venues.dydx.placements import (
    CONDITIONAL,
    FLAGS,
    LAG_BLOCKS,
    LONG_TERM,
    NONCE_NS,
    SHORT_BLOCK_WINDOW,
    SHORT_TERM,
    Placed,
    Placements,
    number_of,
    order_uuid,
)
from spyhop.venuesim.dydx import names, wallets

SESSION = session_id(1_780_000_000 * NS_PER_S)
NAME = client_order_id(SESSION, 1)
BTC = Instrument(id=3, venue=Venue.DYDX, symbol="BTC-USD", tick_size=Decimal(1), lot_size=Decimal("0.0001"))
ETH = Instrument(id=4, venue=Venue.DYDX, symbol="ETH-USD", tick_size=Decimal("0.1"), lot_size=Decimal("0.001"))


def placements() -> Placements:
    return Placements(wallets.TEST_ADDRESS, 0, {3: Market(BTC, 0), 4: Market(ETH, 1)})


def placed(name: str = NAME, *, flags: int = SHORT_TERM, last: int = 110, sent: int = 0) -> Placed:
    order = SubmitOrder(
        ts=0, client_order_id=name, instrument=3, side=Side.BUY, type=OrderType.LIMIT, lots=7, purpose=Purpose.ENTRY,
        price=60_000,
    )  # fmt: skip
    uuid = order_uuid(wallets.TEST_ADDRESS, 0, number_of(name), 0, flags)
    return Placed(uuid, number_of(name), flags, order, last if flags == SHORT_TERM else 0, sent)


@given(st.lists(st.integers(0, 1 << 33), unique_by=lambda n: n % (1 << 32)), st.integers(0, 4 * 10**18))
def test_orders_of_one_session_never_meet(sequences: list[int], ts: int) -> None:
    session = session_id(ts)
    numbers = [number_of(client_order_id(session, sequence)) for sequence in sequences]
    assert len(set(numbers)) == len(numbers)
    assert all(0 <= number < 1 << 32 for number in numbers)


def test_numbers_stay_what_they_were_in_earlier_lives() -> None:
    # CRC-32 of "123456789" is 0xCBF43926, the check value of the algorithm's catalogue
    assert number_of("123456789-5") == 0xCBF43926 + 5
    assert number_of("123456789") == 0xCBF43926
    assert number_of("s20251128_171500_000000-000123") == number_of("s20251128_171500_000000-000122") + 1


def test_two_names_of_one_number_are_noticed() -> None:
    at = placements()
    assert at.learn("123456789-5") == at.learn("123456789-5")
    other = f"123456789-{5 + (1 << 32)}"
    with pytest.raises(VenueRefused, match="same number"):
        at.learn(other)
    assert at.name(number_of(other)) == "123456789-5"


@pytest.mark.parametrize("number", ["", "x", "-1", 4_294_967_295])
def test_what_nobody_placed_has_no_name(number: str | int) -> None:
    assert placements().name(number) == ""


@given(st.integers(0, (1 << 32) - 1), st.integers(0, 128_000), st.integers(0, 500), st.sampled_from(FLAGS))
def test_ids_are_the_indexers(number: int, subaccount: int, pair: int, flags: int) -> None:
    expected = names.order_uuid(wallets.TEST_ADDRESS, subaccount, number, pair, flags)
    assert order_uuid(wallets.TEST_ADDRESS, subaccount, number, pair, flags) == expected


def test_ids_of_learnt_names_are_known_for_every_market_and_kind() -> None:
    at = placements()
    number = at.learn(NAME)
    for pair in (0, 1):
        for flags in (SHORT_TERM, CONDITIONAL, LONG_TERM):
            assert at.name_of_uuid(order_uuid(wallets.TEST_ADDRESS, 0, number, pair, flags)) == NAME
    assert at.name_of_uuid(order_uuid(wallets.TEST_ADDRESS, 0, number, 2, SHORT_TERM)) == ""
    assert at.name_of_uuid("") == ""
    assert at.uuids(NAME, 4) == [order_uuid(wallets.TEST_ADDRESS, 0, number, 1, flags) for flags in FLAGS]


def test_a_short_term_order_is_over_after_its_last_block() -> None:
    at = placements()
    at.place(placed())
    assert at.uuids(NAME, 3) == [placed().uuid]
    assert not at.is_over(NAME, 109 + LAG_BLOCKS, 10**18)
    assert at.is_over(NAME, 110 + LAG_BLOCKS, 0)
    assert at.passed(109 + LAG_BLOCKS) == []
    assert [one.uuid for one in at.passed(110 + LAG_BLOCKS)] == [placed().uuid]
    assert at.passed(200) == []


def test_a_stateful_order_is_void_when_its_nonce_is_too_old() -> None:
    at = placements()
    at.place(placed(flags=LONG_TERM, sent=1_000))
    assert not at.is_over(NAME, 10**9, 1_000 + NONCE_NS)
    assert at.is_over(NAME, 0, 1_001 + NONCE_NS)
    assert at.passed(10**9) == []


def test_what_an_earlier_life_sent_is_over_when_both_windows_have_passed() -> None:
    at = placements()
    at.begin(100, 1_000)
    last = 100 + SHORT_BLOCK_WINDOW + LAG_BLOCKS
    assert at.is_over(NAME, last, 1_001 + NONCE_NS)
    assert not at.is_over(NAME, last - 1, 1_001 + NONCE_NS)
    assert not at.is_over(NAME, last, 1_000 + NONCE_NS)


def test_what_was_not_taken_may_be_placed_again() -> None:
    at = placements()
    at.place(placed())
    at.withdraw(NAME)
    assert (at.placed, at.waiting) == ({}, {})
    at.place(placed())
    told = at.placed[NAME].told(OrderStatus.EXPIRED)
    assert (told.client_order_id, told.lots, told.filled, told.status) == (NAME, 7, 0, OrderStatus.EXPIRED)


def test_blocks_are_noted_and_never_go_back() -> None:
    at = placements()
    at.note_block(100, 5)
    at.note_block(99, 6)
    assert (at.height, at.heard) == (100, 5)
