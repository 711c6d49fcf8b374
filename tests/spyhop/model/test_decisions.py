from __future__ import annotations

from spyhop.model.decisions import CLASSES, STRATEGIES


def test_twenty_three_strategies_in_seven_classes() -> None:
    assert len(STRATEGIES) == 23
    assert len(CLASSES) == 7
    assert [name for names in CLASSES.values() for name in names] == list(STRATEGIES)
