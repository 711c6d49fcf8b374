"""The right to trade an account: runs out, is renewed, passes on, and never belongs to two."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from spyhop.clock import NS_PER_S, EventClock
from spyhop.errors import StorageFailed
from spyhop.storage.lease import GRACE_S, LASTS_S, Holder, Lease, this_machine

Claim = Callable[..., Lease]
NOW = 1_764_350_100 * NS_PER_S


@pytest.fixture
def clock() -> EventClock:
    return EventClock(NOW)


@pytest.fixture
def claim(tmp_path: Path, clock: EventClock) -> Claim:
    def made(owner: str, machine: str = "one") -> Lease:
        return Lease(tmp_path / "accounts" / "a.lease", owner, machine, clock)

    return made


def wait(clock: EventClock, seconds: float) -> None:
    clock.advance(int(seconds * NS_PER_S))


def test_the_first_has_it_until_it_runs_out_unless_it_is_renewed(claim: Claim, clock: EventClock) -> None:
    lease = claim("a")
    assert (lease.is_held, lease.holder()) == (False, None)
    assert lease.take()
    assert (lease.is_held, lease.epoch) == (True, 1)
    wait(clock, LASTS_S - 0.1)
    assert lease.is_held
    assert lease.renew()
    wait(clock, LASTS_S - 0.1)
    assert lease.is_held
    wait(clock, 0.1)
    assert [lease.is_held] == [False]
    # late, but nobody else came
    assert lease.renew()
    assert (lease.is_held, lease.epoch) == (True, 1)


def test_another_machine_waits_until_it_has_run_out_and_a_request_signed_in_time_is_void(
    claim: Claim, clock: EventClock
) -> None:
    first, second = claim("a"), claim("b", "two")
    assert first.take()
    wait(clock, LASTS_S)
    assert not first.is_held
    assert not second.take()
    wait(clock, GRACE_S - 0.001)
    assert not second.take()
    wait(clock, 0.002)
    assert second.take()
    assert (second.is_held, second.epoch, first.is_held) == (True, 2, False)


def test_who_comes_back_after_another_took_over_can_neither_keep_nor_take_it(claim: Claim, clock: EventClock) -> None:
    first, second = claim("a"), claim("b", "two")
    assert first.take()
    wait(clock, LASTS_S + GRACE_S)
    assert second.take()
    assert not first.renew()
    assert not first.take()
    first.release()
    assert (first.is_held, second.renew(), second.is_held) == (False, True, True)
    assert second.holder() == Holder("b", "two", 2, clock.now_ns() + int(LASTS_S * NS_PER_S), is_locked=True)


def test_on_one_machine_a_dead_owner_is_outlived_at_once_and_a_silent_one_is_not(claim: Claim) -> None:
    first, second = claim("a"), claim("b")
    assert first.take()
    assert not second.take()
    assert first._life >= 0
    os.close(first._life)  # what the kernel does for a process that was killed
    first._life = -1
    assert second.take()
    assert second.epoch == 2
    assert not first.renew()


def test_who_took_over_from_one_that_stands_still_is_not_taken_for_dead_when_that_one_dies(
    claim: Claim, clock: EventClock
) -> None:
    still, second, third = claim("a"), claim("b"), claim("c")
    assert still.take()
    wait(clock, LASTS_S + GRACE_S)
    assert second.take()  # without the kernel's lock, which `still` has
    os.close(still._life)
    still._life = -1
    assert not third.take()
    assert second.renew()
    assert second.is_held
    assert not third.take()
    holder = second.holder()
    assert holder is not None
    assert holder.is_locked


def test_what_is_given_back_is_free_everywhere(claim: Claim) -> None:
    first, second = claim("a"), claim("b", "two")
    assert first.take()
    first.release()
    assert not first.is_held
    assert second.take()
    assert second.epoch == 2


def test_while_another_reads_nothing_is_taken_and_nothing_lost(claim: Claim, tmp_path: Path) -> None:
    first = claim("a")
    assert first.take()
    with (tmp_path / "accounts" / "a.lock").open() as busy:
        fcntl.flock(busy, fcntl.LOCK_EX)
        assert not claim("b", "two").take()
        assert first.renew()
    assert first.is_held


def test_a_record_that_cannot_be_read_gives_nobody_the_right(claim: Claim, tmp_path: Path) -> None:
    first = claim("a")
    assert first.take()
    (tmp_path / "accounts" / "a.lease").write_bytes(b"{")
    with pytest.raises(StorageFailed):
        claim("b").take()
    with pytest.raises(StorageFailed):
        first.renew()
    (tmp_path / "accounts" / "a.lease").write_bytes(msgspec.json.encode(Holder("a", "one", 7, 0, is_locked=False)))
    assert not first.renew()


def test_a_machine_that_slept_or_whose_clock_was_put_back_holds_nothing(claim: Claim, clock: EventClock) -> None:
    class Slept(EventClock):
        def monotonic_ns(self) -> int:
            return 0

    class PutBack(EventClock):
        def now_ns(self) -> int:
            return NOW

    for kind in (Slept, PutBack):
        own = kind(NOW)
        lease = Lease(claim("x").path.with_name(f"{kind.__name__}.lease"), "a", "one", own)
        assert lease.take()
        assert lease.is_held
        wait(own, LASTS_S)
        assert not lease.is_held


def test_a_machine_has_a_name_that_lasts_until_it_is_started_again() -> None:
    assert this_machine() == this_machine() != ""
