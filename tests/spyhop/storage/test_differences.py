from __future__ import annotations

import msgspec
import pytest

from spyhop.model.decisions import Contribution, Decision, Trigger
from spyhop.model.entries import Entry
from spyhop.model.orders import FundingPaid
from spyhop.model.tape import Side
from spyhop.storage.differences import differences


def paid(seq: int, amount: float = 0.5) -> Entry:
    return Entry(seq, "order", seq, FundingPaid(ts=seq, ts_venue=seq, instrument=0, rate=1e-4, lots=2, amount=amount))


def decided(score: float) -> Entry:
    decision = Decision(
        seq=0,
        ts=9,
        instrument=0,
        trigger=Trigger.SHARP,
        price=5.0,
        probabilities=(0.25, 0.75),
        strategy="WAIT_AND_SEE",
        probability=0.75,
        confidence=0.5,
        side=Side.NONE,
        evidence=(Contribution("obi", 0.1, 2.0, 0.2), Contribution("vpin", 0.1, 2.0, score)),
    )
    return Entry(9, "decision", 0, decision)


def test_equal_journals_have_no_difference_in_whatever_order() -> None:
    assert differences([paid(1), paid(0)], [paid(0), paid(1)]) is None
    assert differences([], []) is None
    assert differences([paid(0, float("nan"))], [paid(0, float("nan"))]) is None


def test_a_journal_that_was_written_and_read_equals_what_was_said() -> None:
    said = decided(msgspec.structs.replace(paid(0)).ts)  # a whole number where a float belongs
    assert differences([msgspec.json.decode(msgspec.json.encode(said), type=Entry)], [said]) is None


def test_the_first_difference_is_named_with_both_values_to_the_bit() -> None:
    found = differences([paid(0), paid(1, 0.1 + 0.2), paid(2)], [paid(0), paid(1, 0.3), paid(2, 7.0)])
    assert found is not None
    assert (found.index, found.field) == (1, "amount")
    assert str(found) == (
        "entry 1 (FundingPaid, order 1 at 1970-01-01T00:00:00.000 = 1), amount: "
        "recorded 0.30000000000000004 = 0x1.3333333333334p-2, replayed 0.3 = 0x1.3333333333333p-2"
    )


def test_a_difference_deep_inside_has_its_path() -> None:
    found = differences([decided(0.2)], [decided(0.3)])
    assert found is not None
    assert found.field == "evidence[1].score"


def test_zeros_of_two_signs_differ() -> None:
    found = differences([paid(0, 0.0)], [paid(0, -0.0)])
    assert found is not None
    assert "-0x0.0p+0" in found.replayed


@pytest.mark.parametrize(
    ("recorded", "replayed", "text"),
    [
        ([paid(0)], [], "replayed nothing"),
        ([], [paid(0)], "recorded nothing"),
        ([paid(0), paid(2)], [paid(0), paid(1), paid(2)], "order 1 at"),
        ([paid(9)], [Entry(9, "order", 9, decided(0.0).message)], "replayed Decision"),
    ],
)
def test_missing_extra_and_different_messages_are_said(recorded: list[Entry], replayed: list[Entry], text: str) -> None:
    assert text in str(differences(recorded, replayed))


def test_evidence_of_another_length_is_said() -> None:
    shorter = decided(0.2)
    assert isinstance(shorter.message, Decision)
    message = msgspec.structs.replace(shorter.message, evidence=shorter.message.evidence[:1])
    found = differences([decided(0.2)], [Entry(9, "decision", 0, message)])
    assert found is not None
    assert (found.field, found.recorded, found.replayed) == ("length of evidence", "2", "1")
