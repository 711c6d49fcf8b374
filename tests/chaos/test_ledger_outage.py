"""Ten seconds without the ledger's database, under load."""

from __future__ import annotations

import pytest

from benchmarks.outage import OUTAGE_S, Outcome, postgresql_outage, sqlite_outage
from benchmarks.postgres_room import NoServer


def holds(outcome: Outcome) -> None:
    assert outcome.acknowledged > 20
    assert outcome.acknowledged_meanwhile == 0
    assert (outcome.lost, outcome.twice, outcome.differing) == (0, 0, 0)
    assert outcome.beat_age_s < 2.0
    assert outcome.resumed_after_s < 5.0


@pytest.mark.storm
@pytest.mark.timeout(120)
def test_a_sqlite_ledger_held_for_ten_seconds_loses_nothing() -> None:
    holds(sqlite_outage(OUTAGE_S))


@pytest.mark.storm
@pytest.mark.timeout(120)
def test_a_postgresql_server_down_for_ten_seconds_loses_nothing() -> None:
    try:
        holds(postgresql_outage(OUTAGE_S))
    except NoServer as missing:
        pytest.skip(str(missing))
