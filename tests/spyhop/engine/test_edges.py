from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.engine.edges import Inlet, Outbox, Position, Receipt
from spyhop.errors import StateError

Step = Callable[["Line"], None]


def receipt(wanted: int, durable: int) -> Receipt:
    return Receipt(Position(wanted), Position(durable))


def filled(*parcels: bytes) -> Outbox:
    outbox = Outbox()
    for parcel in parcels:
        outbox.put(parcel, count=len(parcel))
    return outbox


def test_a_repeat_and_an_early_parcel_are_not_accepted() -> None:
    inlet = Inlet()
    assert inlet.accept(0, 2, 5) == 0
    assert inlet.accept(0, 2, 5) is None
    assert inlet.accept(3, 1, 9) is None
    assert inlet.accept(2, 1, 5) == 0
    assert inlet.receipt == Receipt(Position(3, 5), Position())


def test_of_a_parcel_that_was_cut_elsewhere_only_what_is_new_is_taken() -> None:
    inlet = Inlet()
    inlet.accept(0, 5, 10)
    assert inlet.accept(3, 4, 12) == 2
    assert inlet.wanted == Position(7, 12)
    assert inlet.accept(2, 3, 11) is None


def test_a_promise_without_messages_is_news_once() -> None:
    inlet = Inlet()
    inlet.accept(0, 3, 10)
    assert inlet.accept(1, 1, 20) == 1
    assert inlet.wanted == Position(3, 20)
    assert inlet.accept(3, 0, 20) is None


def test_of_promises_that_wait_the_newest_is_carried() -> None:
    outbox = Outbox()
    for watermark in (3, 5, 9):
        outbox.put(b"promise", 0, watermark)
    outbox.put(b"message", 1, 11)
    assert [(parcel.data, parcel.watermark) for parcel in outbox.snapshot()[1]] == [(b"message", 11)]
    outbox.put(b"promise", 0, 12)
    outbox.put(b"later", 0, 13, after=2)  # waits for records that the one before does not wait for
    assert [parcel.watermark for parcel in outbox.snapshot()[1]] == [11, 12, 13]


def test_a_promise_whose_answer_has_not_come_may_be_replaced() -> None:
    outbox = Outbox()
    outbox.put(b"first", 0, 3)
    in_flight = outbox.unsent()
    assert in_flight is not None
    outbox.put(b"second", 0, 5)
    outbox.acknowledge(Receipt(Position(0, in_flight.watermark), Position(0, in_flight.watermark)))
    second = outbox.unsent()
    assert second is not None
    assert (second.data, second.watermark) == (b"second", 5)
    outbox.acknowledge(Receipt(Position(0, 5), Position(0, 0)))
    assert outbox.unsent() is None
    # a promise that was sent and is not durable there need not be kept beside one that says more
    outbox.put(b"third", 0, 7, after=1)
    assert [parcel.data for parcel in outbox.snapshot()[1]] == [b"third"]
    third = outbox.unsent()
    assert third is not None
    assert third.data == b"third"


def test_parcels_are_kept_until_durable_there() -> None:
    outbox = filled(b"ab", b"c", b"de")
    outbox.acknowledge(receipt(wanted=3, durable=2))
    assert outbox.first == 2
    assert [parcel.data for parcel in outbox.snapshot()[1]] == [b"c", b"de"]
    unsent = outbox.unsent()
    assert unsent is not None
    assert (unsent.first, unsent.data) == (3, b"de")


def test_what_is_durable_only_in_part_is_kept_whole() -> None:
    outbox = filled(b"abc")
    outbox.acknowledge(receipt(wanted=2, durable=2))
    assert outbox.first == 0
    assert not outbox.is_sent


def test_a_promise_is_kept_until_it_is_durable_too() -> None:
    outbox = Outbox()
    outbox.put(b"", count=0, watermark=7)
    outbox.acknowledge(Receipt(Position(0, 7), Position(0, 6)))
    assert outbox.is_sent
    assert len(outbox) == 1
    outbox.acknowledge(Receipt(Position(0, 7), Position(0, 7)))
    assert not len(outbox)


def test_a_receiver_that_came_back_older_gets_the_old_parcels_again() -> None:
    outbox = filled(b"a", b"b", b"c")
    outbox.acknowledge(receipt(wanted=3, durable=1))
    assert outbox.is_sent
    outbox.acknowledge(receipt(wanted=1, durable=1))
    unsent = outbox.unsent()
    assert unsent is not None
    assert (unsent.first, unsent.data) == (1, b"b")


def test_a_receiver_that_knows_more_than_a_restored_sender_is_no_error() -> None:
    outbox = filled(b"a")
    outbox.acknowledge(receipt(wanted=9, durable=9))
    assert outbox.is_sent
    outbox.put(b"b", count=1)
    unsent = outbox.unsent()
    assert unsent is not None
    assert unsent.first == 1


def test_asking_for_what_is_gone_is_an_error() -> None:
    outbox = filled(b"a")
    outbox.acknowledge(receipt(wanted=1, durable=1))
    with pytest.raises(StateError):
        outbox.acknowledge(receipt(wanted=0, durable=0))


class Line:
    """A sender that makes 0, 1, 2, ... (message n is at time n), a receiver, and the disks of both."""

    def __init__(self) -> None:
        self.outbox, self.made = Outbox(limit=10_000), 0
        self.inlet, self.effects = Inlet(), list[int]()
        self.checkpoint_sender()
        self.checkpoint_receiver()

    def make(self) -> None:
        self.made += 1

    def cut(self) -> None:
        first = self.outbox.next
        self.outbox.put(bytes(range(first, self.made)), count=self.made - first, watermark=self.made)

    def send(self, *, answer_arrives: bool = True) -> None:
        parcel = self.outbox.unsent()
        if parcel is None:
            self.outbox.rewind()
            return
        num_known = self.inlet.accept(parcel.first, parcel.end - parcel.first, parcel.watermark)
        if num_known is not None:
            self.effects.extend(parcel.data[num_known:])
        if answer_arrives:
            self.outbox.acknowledge(self.inlet.receipt)

    def lose(self) -> None:
        self.send(answer_arrives=False)

    def checkpoint_sender(self) -> None:
        self.sender = (self.made, *self.outbox.snapshot())

    def checkpoint_receiver(self) -> None:
        self.inlet.checkpointed()
        self.receiver = (self.inlet.wanted, list(self.effects))

    def crash_sender(self) -> None:
        self.outbox = Outbox(limit=10_000)
        self.made, next_, parcels = self.sender
        self.outbox.restore(next_, parcels)

    def crash_receiver(self) -> None:
        self.inlet = Inlet()
        self.inlet.restore(self.receiver[0])
        self.effects = list(self.receiver[1])


STEPS = (
    Line.make,
    Line.cut,
    Line.send,
    Line.lose,
    Line.checkpoint_sender,
    Line.checkpoint_receiver,
    Line.crash_sender,
    Line.crash_receiver,
)


@given(st.lists(st.sampled_from(STEPS), max_size=120))
def test_every_message_takes_effect_once_and_in_order_wherever_parcels_are_cut(script: list[Step]) -> None:
    line = Line()
    for step in script:
        step(line)
    # whatever was made once is made again: the sender is deterministic
    line.made = max(line.made, len(line.effects))
    line.cut()
    for _ in range(400):
        line.send()
    assert line.effects == list(range(line.made))
    assert line.inlet.wanted == Position(line.made, line.made)
