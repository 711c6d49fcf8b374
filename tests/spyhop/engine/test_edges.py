from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.engine.edges import Inlet, Outbox, Receipt
from spyhop.errors import StateError


def test_a_repeat_and_an_early_parcel_are_not_accepted() -> None:
    inlet = Inlet()
    assert inlet.accepts(0)
    assert not inlet.accepts(0)
    assert not inlet.accepts(2)
    assert inlet.accepts(1)


def test_parcels_are_kept_until_durable_there() -> None:
    outbox: Outbox[str] = Outbox()
    for parcel in "abc":
        outbox.put(parcel)
    outbox.acknowledge(Receipt(wanted=2, durable=1))
    assert outbox.snapshot() == (1, ["b", "c"])
    assert outbox.unsent() == (2, "c")


def test_a_receiver_that_came_back_older_gets_the_old_parcels_again() -> None:
    outbox: Outbox[str] = Outbox()
    for parcel in "abc":
        outbox.put(parcel)
    outbox.acknowledge(Receipt(wanted=3, durable=1))
    outbox.acknowledge(Receipt(wanted=1, durable=1))
    assert outbox.unsent() == (1, "b")


def test_asking_for_what_is_gone_is_an_error() -> None:
    outbox: Outbox[str] = Outbox()
    outbox.put("a")
    outbox.acknowledge(Receipt(wanted=1, durable=1))
    with pytest.raises(StateError):
        outbox.acknowledge(Receipt(wanted=0, durable=0))


@given(st.lists(st.sampled_from(["put", "send", "lose", "checkpoint", "crash receiver", "crash sender"]), max_size=80))
def test_every_parcel_takes_effect_once_and_in_order(script: list[str]) -> None:
    outbox: Outbox[int] = Outbox(limit=10_000)
    kept = outbox.snapshot()
    inlet, effects = Inlet(), []
    durable: tuple[int, list[int]] = (0, [])

    def send(*, answer_arrives: bool) -> None:
        unsent = outbox.unsent()
        if unsent is None:
            # as a carrier does when all is quiet: a receiver that came back older cannot ask for what it had
            outbox.cursor = outbox.first
            return
        number, parcel = unsent
        if inlet.accepts(number):
            effects.append(parcel)
        if answer_arrives:
            outbox.acknowledge(inlet.receipt)

    made = 0
    for step in [*script, *["send"] * 200]:
        if step == "put":
            outbox.put(made)
            made += 1
            kept = outbox.snapshot()  # a sender's checkpoint comes before its parcels can leave
        elif step in ("send", "lose"):
            send(answer_arrives=step == "send")
        elif step == "checkpoint":
            durable = (inlet.wanted, list(effects))
            inlet.checkpointed()
        elif step == "crash receiver":
            inlet = Inlet()
            inlet.wanted = inlet.durable = durable[0]
            effects[:] = durable[1]
        elif step == "crash sender":
            first, parcels = kept
            outbox = Outbox(limit=10_000)
            outbox.restore(first, parcels)
    assert effects == list(range(made))
