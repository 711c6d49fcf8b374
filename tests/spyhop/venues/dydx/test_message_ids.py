"""Message ids: overtaken answers are no gaps, lost messages are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spyhop.clock import NS_PER_S
from spyhop.venues.dydx.message_ids import ANSWER_PATIENCE_NS, PATIENCE_FRAMES, PATIENCE_NS, MessageIds, Order


def test_ids_in_order_are_new_and_no_gap() -> None:
    ids = MessageIds(1)
    assert [ids.on(number, 0) for number in range(5)] == [Order.NEW] * 5
    assert not ids.has_gap(10**18)


def test_a_lost_message_is_a_gap_once_patience_is_over() -> None:
    ids = MessageIds(0)
    ids.on(0, 0)
    ids.on(2, NS_PER_S)
    assert not ids.has_gap(NS_PER_S + PATIENCE_NS)
    assert ids.has_gap(NS_PER_S + PATIENCE_NS + 1)


def test_a_lost_message_is_a_gap_after_many_others() -> None:
    ids = MessageIds(0)
    ids.on(0, 0)
    for number in range(2, PATIENCE_FRAMES + 4):
        assert not ids.has_gap(0)
        ids.on(number, 0)
    assert ids.has_gap(0)


def test_a_late_message_mends_the_gap() -> None:
    ids = MessageIds(0)
    for number in (0, 2, 3):
        ids.on(number, 0)
    assert ids.on(1, 1) is Order.LATE
    assert not ids.has_gap(10**18)
    assert ids.on(1, 2) is Order.REPEATED


def test_ids_kept_for_answers_may_be_overtaken_for_longer() -> None:
    ids = MessageIds(2)
    ids.on(0, 0)
    ids.on(3, 0)  # 1 and 2 are kept for two `subscribed`
    assert not ids.has_gap(ANSWER_PATIENCE_NS)
    assert ids.has_gap(ANSWER_PATIENCE_NS + 1)
    ids.on(1, 1)
    ids.on_answer()
    assert not ids.has_gap(ANSWER_PATIENCE_NS)
    ids.on(5, 2)  # more is missing than answers are open: 4 is lost
    assert ids.has_gap(2 + PATIENCE_NS + 1)


def test_a_complaint_uses_up_the_id_that_its_subscription_had() -> None:
    ids = MessageIds(1)
    ids.on(0, 0)
    ids.on(2, 0)
    ids.on_error(1)
    assert not ids.has_gap(10**18)
    assert ids.on(3, 0) is Order.NEW


def test_a_complaint_with_the_newest_id_counts_nothing() -> None:
    ids = MessageIds(1)
    ids.on(0, 0)
    ids.on_error(0)
    assert ids.on(1, 0) is Order.NEW
    assert not ids.has_gap(10**18)


def test_a_jump_across_everything_is_a_gap_at_once() -> None:
    ids = MessageIds(0)
    ids.on(10**12, 0)
    assert ids.has_gap(0)


@given(st.permutations(range(20)))
def test_any_order_of_all_messages_has_no_gap(order: list[int]) -> None:
    ids = MessageIds(0)
    verdicts = [ids.on(number, 0) for number in order]
    assert Order.REPEATED not in verdicts
    assert not ids.has_gap(10**18)
