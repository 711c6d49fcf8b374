"""What happens to the supervisor between two wishes: epochs at the entries they name, an operator's words at a time.

A word gets the first time that nothing can have been said of yet, one nanosecond behind everything promised. Until it
has taken effect nothing behind that time is promised or judged, so its place is the same in every life and in a replay.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from spyhop.engine.streams import END_OF_TIME
from spyhop.model.control import Obeyed, Word
from spyhop.model.entries import Recorded
from spyhop.model.verdicts import EpochBegan

NUM_REMEMBERED = 64
"""How many words are known by their numbers: who says one again does so within seconds."""


class Turns:
    """Epochs and words that wait for their places, and how the newest words were obeyed."""

    def __init__(self) -> None:
        self._epochs: list[EpochBegan] = []
        self._words: list[Obeyed] = []
        self._obeyed: dict[int, Obeyed] = {}

    def begin(self, epochs: Iterable[EpochBegan]) -> None:
        """Let fencing epochs begin at the entries they name."""
        self._epochs = sorted([*self._epochs, *epochs], key=lambda began: began.at_seq)

    def repeat(self, said: Iterable[Recorded]) -> None:
        """Let all take place where it did, in a life that is over or in the session that is replayed."""
        said = list(said)
        self.begin(one for one in said if isinstance(one, EpochBegan))
        words = [one for one in said if isinstance(one, Obeyed) and not self._knows(one.word.number)]
        self._words = sorted([*self._words, *words], key=lambda one: one.ts)

    def tell(self, word: Word, seq: int, reached: int) -> bool:
        """Give a word its time behind `reached`, the newest promised; False where it must be said again later.

        That is while an older life is made again, of which the `seq`-th entry is not the last, before the first event
        and after the last one.
        """
        if self._knows(word.number):
            return True
        is_older = any(began.at_seq > seq for began in self._epochs)
        if is_older or not 0 < reached < END_OF_TIME - 1:
            return False
        newest = self._words[-1].ts if self._words else 0
        self._words.append(Obeyed(ts=max(reached + 1, newest), word=word))
        return True

    def _knows(self, number: int) -> bool:
        return number in self._obeyed or any(word.word.number == number for word in self._words)

    def epoch_due(self, seq: int) -> EpochBegan | None:
        """Remove and return the oldest epoch that begins at the `seq`-th entry or before it."""
        return self._epochs.pop(0) if self._epochs and self._epochs[0].at_seq <= seq else None

    @property
    def next_word(self) -> int:
        """Return when the next word takes effect; the end of time when there is none."""
        return self._words[0].ts if self._words else END_OF_TIME

    def take(self) -> Word:
        """Remove and return the next word."""
        return self._words.pop(0).word

    def remember(self, said: Iterable[Recorded]) -> None:
        """Remember of what a supervisor said how words were obeyed, and forget the oldest of too many."""
        self._obeyed |= {one.word.number: one for one in said if isinstance(one, Obeyed)}
        for number in list(self._obeyed)[:-NUM_REMEMBERED]:
            del self._obeyed[number]

    def answer(self, number: int) -> Obeyed | None:
        """Return how a word was obeyed, None while it was not."""
        return self._obeyed.get(number)

    def snapshot(self) -> bytes:
        """Return what was obeyed; who said what still waits says it again, and a journal keeps what took effect."""
        return msgspec.msgpack.encode(list(self._obeyed.values()))

    def restore(self, snapshot: bytes) -> None:
        """Take the state of `snapshot`."""
        known = msgspec.msgpack.decode(snapshot, type=list[Obeyed])
        self._obeyed = {word.word.number: word for word in known}
