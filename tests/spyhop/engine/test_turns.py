"""Words of an operator at the supervisor: where they take effect, and that they do so again in every life."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from spyhop.engine.nodes import RiskNode, RiskOutput
from spyhop.engine.rebuilding import past_of
from spyhop.engine.streams import END_OF_TIME
from spyhop.engine.turns import NUM_REMEMBERED, Turns
from spyhop.engine.vessels import RiskVessel
from spyhop.model.control import Control, Obeyed, Word
from spyhop.model.entries import Entry, Recorded
from spyhop.model.verdicts import EpochBegan

PAUSE = Word(number=7, control=Control.PAUSE)
RESUME = Word(number=8, control=Control.RESUME)


def node_at(make: Any, reached: int, *intents: int) -> RiskNode:
    """Return a node whose wishes are known up to `reached`, and its facts from the beginning of time only."""
    node = RiskNode(make.Judging())
    node.intents.put([make.intent(ts) for ts in intents], reached)
    node.step()
    return node


def told(node: RiskNode) -> list[tuple[str, int]]:
    stage: Any = node._stage
    return list(stage.told)


def words(entries: Sequence[Entry]) -> list[tuple[int, int, int]]:
    return [(entry.seq, entry.ts, entry.message.word.number) for entry in entries if isinstance(entry.message, Obeyed)]


def test_a_word_takes_effect_behind_all_that_was_promised_and_before_all_that_was_not(make: Any) -> None:
    node = node_at(make, 20)
    assert node.tell(PAUSE)
    node.intents.put([make.intent(20), make.intent(22)], 30)
    assert node.step().watermark == 20
    node.facts.put([make.fact(20), make.fact(21)], 40)
    output = node.step()
    assert told(node) == [("intent", 20), ("fact", 20), ("word", 21), ("fact", 21), ("intent", 22)]
    assert words(output.entries) == [(1, 21, 7)]
    assert output.watermark == 30


def test_nothing_behind_a_word_is_promised_before_it_has_taken_effect(make: Any) -> None:
    node = node_at(make, 20)
    node.tell(PAUSE)
    node.intents.put([], 90)
    assert node.step().watermark == 21
    node.facts.put([], 21)
    output = node.step()
    assert (words(output.entries), output.watermark) == ([(0, 21, 7)], 90)


def test_a_word_waits_for_no_wish(make: Any) -> None:
    node = node_at(make, 20)
    node.facts.put([], 25)
    node.tell(PAUSE)
    node.intents.put([], 21)
    assert words(node.step().entries) == [(0, 21, 7)]


def test_a_word_comes_behind_what_the_order_stage_was_promised_in_another_life(make: Any) -> None:
    node = node_at(make, 20)
    node.tell(PAUSE, heard=50)
    node.intents.put([make.intent(48), make.intent(50)], 60)
    node.facts.put([], 60)
    assert words(node.step().entries) == [(2, 51, 7)]


def test_words_keep_their_order(make: Any) -> None:
    node = node_at(make, 20)
    for word in (PAUSE, RESUME):
        assert node.tell(word)
    node.intents.put([], 30)
    node.facts.put([], 30)
    assert words(node.step().entries) == [(0, 21, 7), (1, 21, 8)]


def test_a_word_that_is_said_again_changes_nothing(make: Any) -> None:
    node = node_at(make, 20)
    for _ in range(2):
        assert node.tell(PAUSE)
    node.intents.put([], 30)
    node.facts.put([], 30)
    assert len(words(node.step().entries)) == 1
    copy = RiskNode(make.Judging())
    copy.restore(node.snapshot())
    for one in (node, copy):
        assert one.tell(PAUSE)
        one.intents.put([], 40)
        one.facts.put([], 40)
        assert one.step().entries == []


@pytest.mark.parametrize("reached", [0, END_OF_TIME])
def test_a_word_has_no_place_before_the_first_event_or_behind_the_last(reached: int, make: Any) -> None:
    assert not node_at(make, reached).tell(PAUSE)


def test_a_word_waits_until_an_older_life_has_been_made_again(make: Any) -> None:
    node = node_at(make, 20)
    node.begin_epochs([EpochBegan(ts=0, epoch=2, at_seq=1)])
    assert not node.tell(PAUSE)
    node.intents.put([make.intent(20)], 22)
    node.facts.put([], 22)
    node.step()
    # everything is made again, and the epoch waits for whatever comes first
    assert node.tell(PAUSE)
    node.intents.put([], 30)
    node.facts.put([], 30)
    output = node.step()
    assert [type(entry.message).__name__ for entry in output.entries] == ["EpochBegan", "Obeyed"]


@pytest.mark.parametrize("cut", range(12))
def test_what_was_obeyed_is_obeyed_at_the_same_entry_however_the_inputs_are_cut(cut: int, make: Any) -> None:
    node = node_at(make, 20)
    said = collected(node, make, lambda ts: node.tell(PAUSE) if ts == 24 else node.tell(RESUME) if ts == 27 else None)
    again = RiskNode(make.Judging())
    again.turns.repeat(said)
    replayed: list[Recorded] = []
    for step in ((20, cut + 20), (cut + 20, 32)):
        output = fed(again, make, range(*step), step[1])
        replayed += [entry.message for entry in output.entries]
    replayed += [entry.message for entry in fed(again, make, range(0), END_OF_TIME).entries]
    assert replayed == said
    assert told(again) == told(node)


def collected(node: RiskNode, make: Any, at: Any) -> list[Recorded]:
    said: list[Recorded] = []
    for ts in range(20, 32):
        at(ts)
        if ts % 2 == 0:
            said += [entry.message for entry in fed(node, make, range(ts, ts + 2), ts + 2).entries]
    return said + [entry.message for entry in fed(node, make, range(0), END_OF_TIME).entries]


def fed(node: RiskNode, make: Any, times: range, until: int) -> RiskOutput:
    """Give a node a wish and a fact at each of `times`, and promise that there are no more before `until`."""
    node.intents.put([make.intent(ts) for ts in times if ts >= node.intents.watermark], until)
    node.facts.put([make.fact(ts) for ts in times if ts >= node.facts.watermark], until)
    return node.step()


def test_a_life_that_is_rebuilt_from_the_ledger_knows_how_its_words_were_obeyed(make: Any) -> None:
    node = node_at(make, 20)
    node.tell(PAUSE)
    node.intents.put([], 30)
    node.facts.put([], 30)
    entries = node.step().entries
    again = RiskVessel(RiskNode(make.Judging()))
    again.rebuild(past_of(entries))
    # it answers before it has heard from anybody, and is told nothing anew
    assert again.obey(PAUSE) == entries[0].message
    assert again.node.tell(PAUSE)
    assert again.node.turns.next_word == END_OF_TIME
    assert told(again.node) == [("word", 21)]
    copy = RiskVessel(RiskNode(make.Judging()))
    copy.restore(again.checkpoint())
    assert copy.obey(PAUSE) == entries[0].message


def test_only_so_many_words_are_remembered() -> None:
    turns = Turns()
    said = [Obeyed(ts=number, word=Word(number=number)) for number in range(NUM_REMEMBERED + 3)]
    turns.remember(said)
    assert turns.answer(2) is None
    assert turns.answer(3) == said[3]
    copy = Turns()
    copy.restore(turns.snapshot())
    assert copy.answer(NUM_REMEMBERED + 2) == said[-1]
