"""Sessions whose processes are killed and whose venue errs: in the end the venue and we know the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from benchmarks.chaos import Kept, Outcome, storm
from benchmarks.chaos_script import LATE, MAX_LOTS, SYMBOLS, script
from benchmarks.chaos_truth import BARE_S, Word, compare
from spyhop.clock import NS_PER_S

pytestmark = pytest.mark.slow

Spoil = Callable[[Word], object]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    return storm(range(12), tmp_path_factory.mktemp("chaos"), 3, keeps=True)


@pytest.mark.timeout(180)
def test_a_dozen_sessions_end_with_one_truth(outcomes: list[Outcome]) -> None:
    assert {outcome.seed: outcome.violations for outcome in outcomes if outcome.violations} == {}
    killed = [kill for outcome in outcomes for kill in outcome.kills]
    assert len(killed) >= 12
    assert len({kill for kill in killed if not kill.endswith(LATE)}) >= 5
    assert sum(outcome.num_fills for outcome in outcomes) > 50
    assert sum(sum(outcome.hits.values()) for outcome in outcomes) > 20


def _twice(word: Word) -> None:
    word.orders.append(msgspec.structs.replace(word.orders[0], venue_id=1 << 40))


def _ended_otherwise(word: Word) -> None:
    word.orders[0].filled += 1


def _bigger(word: Word) -> None:
    word.orders[0].lots = max(MAX_LOTS.values()) + 1


SPOILS: dict[str, Spoil] = {
    "twice: ": _twice,
    "stranger: ": lambda word: setattr(word.orders[0], "client_id", "nobody"),
    "order: ": _ended_otherwise,
    "absent: ": lambda word: word.orders.remove(next(order for order in word.orders if order.filled)),
    "open: ": lambda word: setattr(word.orders[0], "status", None),
    "fill: ": lambda word: word.trades.pop(),
    "position: ": lambda word: word.positions.update({0: 3}),
    "desk: ": _ended_otherwise,
    "limit: ": _bigger,
}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("finding", list(SPOILS))
def test_what_a_venue_knows_otherwise_is_found(outcomes: list[Outcome], finding: str) -> None:
    kept = Kept.of(max(outcomes, key=lambda outcome: outcome.num_fills))
    assert compare(kept.job, kept.word, kept.quiet).violations == []
    word: Word = msgspec.convert(msgspec.to_builtins(kept.word, str_keys=True), Word, strict=False)
    SPOILS[finding](word)
    assert any(line.startswith(finding) for line in compare(kept.job, word, kept.quiet).violations)


@pytest.mark.timeout(180)
def test_a_position_without_a_stop_is_found(outcomes: list[Outcome]) -> None:
    kept = next(kept for kept in map(Kept.of, outcomes) if any(order.is_stop for order in kept.word.orders))
    word: Word = msgspec.convert(msgspec.to_builtins(kept.word, str_keys=True), Word, strict=False)
    word.orders = [order for order in word.orders if not order.is_stop]
    opened = min(trade.ts for trade in word.trades)
    bare_s = compare(kept.job, word, opened).bare_s
    assert bare_s > compare(kept.job, kept.word, kept.quiet).bare_s
    assert compare(kept.job, kept.word, kept.quiet).bare_s <= BARE_S
    assert bare_s * NS_PER_S <= kept.job.end_s * NS_PER_S


def test_a_script_is_drawn_from_its_seed() -> None:
    assert script(7) == script(7)
    assert script(7) != script(8)
    for seed in range(200):
        drawn = script(seed)
        assert 1 <= len(drawn.kills) <= 3
        assert all(1 <= wish.lots <= MAX_LOTS[SYMBOLS[wish.instrument]] for wish in drawn.wishes)


@pytest.mark.storm
@pytest.mark.timeout(900)
def test_a_hundred_sessions_end_with_one_truth(tmp_path: Path) -> None:
    found = storm(range(1_000, 1_100), tmp_path, 3)
    assert {outcome.seed: outcome.violations for outcome in found if outcome.violations} == {}
