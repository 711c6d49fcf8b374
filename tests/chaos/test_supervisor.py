"""The supervisor killed with SIGKILL in a live session: its approvals end with their lease, the next life goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.supervisor import LEASE_S, Death, Departure, departures, measured, outages
from spyhop.clock import NS_PER_S
from spyhop.model.entries import Entry
from spyhop.storage.journal import read_facts, sessions


def entries(runs: Path) -> list[Entry]:
    return [entry for name in sessions(runs) for entry in read_facts(runs / name)]


@pytest.mark.storm  # that trading resumes in time is up to a market that nobody scripts
@pytest.mark.ray
@pytest.mark.slow
def test_nothing_leaves_between_the_lease_of_a_dead_supervisor_and_the_epoch_of_the_next(
    local_ray: None, prepared_kernels: None, tmp_path: Path
) -> None:
    (outage,) = measured(tmp_path, deaths=1, speed=8.0, down_s=2.0)
    # it was away for longer than anything that it had approved was good for
    assert outage.back_s > 2 * LEASE_S
    assert outage.violations == 0
    # then trading went on, under a new epoch, and no sooner than there was one
    assert outage.resumed_s is not None
    assert outage.resumed_s > LEASE_S
    assert {one.epoch for one in departures(entries(tmp_path)) if not one.is_refused} > {1}


def at(seconds: float) -> int:
    return round(seconds * NS_PER_S)


def test_an_entry_of_the_dead_is_counted_from_when_its_lease_is_over() -> None:
    death = Death(at(100.0), at(130.0), epoch=1)
    told = [
        Departure(at(99.0), 1),
        Departure(at(100.0 + LEASE_S - 0.1), 1),
        Departure(at(131.0), 2, is_refused=True),
        Departure(at(135.0), 2),
    ]
    (fine,) = outages([death], told)
    assert (fine.violations, fine.back_s, fine.first_refused_s, fine.resumed_s) == (0, 30.0, 31.0, 35.0)
    assert fine.last_old_s == pytest.approx(LEASE_S - 0.1)
    (late,) = outages([death], [*told[:2], Departure(at(100.0 + LEASE_S + 0.1), 1), *told[2:]])
    assert late.violations == 1


def test_each_death_has_the_time_until_the_next() -> None:
    deaths = [Death(at(0.0), at(1.0), 1), Death(at(50.0), at(51.0), 2)]
    first, second = outages(deaths, [Departure(at(10.0), 2), Departure(at(55.0), 3)])
    assert (first.resumed_s, second.resumed_s) == (10.0, 5.0)
    assert (first.violations, second.violations) == (0, 0)
