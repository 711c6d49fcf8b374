"""Statistics as gauges; the names and labels that a dashboard asks for."""

from __future__ import annotations

import pytest

from actors import metrics
from actors.metrics import Meters

Set = tuple[str, float, tuple[tuple[str, str], ...]]


@pytest.fixture
def was_set(monkeypatch: pytest.MonkeyPatch) -> list[Set]:
    """What was set; a gauge of Ray's that is made twice under one name would be two series."""
    kept: list[Set] = []
    made: set[str] = set()

    class Gauge:
        def __init__(self, name: str, description: str, tag_keys: tuple[str, ...]) -> None:
            assert name not in made
            assert description
            made.add(name)
            self.name, self.tag_keys = name, tag_keys

        def set(self, number: float, tags: dict[str, str]) -> None:
            assert set(tags) == set(self.tag_keys)
            kept.append((self.name, number, tuple(sorted(tags.items()))))

    monkeypatch.setattr(metrics, "Gauge", Gauge)
    return kept


def test_a_statistic_becomes_a_gauge_with_its_actor_as_a_label(was_set: list[Set]) -> None:
    Meters("feed:BTCUSDT").publish({"events": 12.0, "lag_s": 0.25})
    labels = (("actor", "feed:BTCUSDT"), ("code", ""))
    assert was_set == [("spyhop_events", 12.0, labels), ("spyhop_lag_s", 0.25, labels)]


def test_a_statistic_by_code_is_one_gauge_with_the_code_as_a_label(was_set: list[Set]) -> None:
    Meters("risk").publish({"refused": 3.0, "refused:max_daily_loss": 2.0, "refused:cooldown": 1.0})
    assert {name for name, _, _ in was_set} == {"spyhop_refused"}
    assert [(number, dict(labels)["code"]) for _, number, labels in was_set] == [
        (3.0, ""),
        (2.0, "max_daily_loss"),
        (1.0, "cooldown"),
    ]


def test_a_name_has_no_character_that_prometheus_refuses(was_set: list[Set]) -> None:
    Meters("risk").publish({"venue_fees.paid": 1.0})
    assert was_set[0][0] == "spyhop_venue_fees_paid"


def test_a_gauge_is_made_once_however_often_it_is_set(was_set: list[Set]) -> None:
    meters = Meters("risk")
    for number in range(3):
        meters.publish({"equity": float(number)})
    assert [number for _, number, _ in was_set] == [0.0, 1.0, 2.0]
