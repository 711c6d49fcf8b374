"""The kill switch."""

from __future__ import annotations

from pathlib import Path

from spyhop.clock import EventClock
from spyhop.wiring.killing import NAME, KillSwitch

CLOCK = EventClock(1_764_350_107_000_000_000)


def test_a_switch_that_was_pulled_is_pulled_for_everybody_until_it_is_lifted(tmp_path: Path) -> None:
    runs = tmp_path / "not" / "there"
    assert KillSwitch(runs).pulled() is None
    assert KillSwitch(runs).reason() == ""
    KillSwitch(runs).pull(CLOCK, "fat finger")
    assert KillSwitch(runs).reason() == "killed at 2025-11-28T17:15:07.000: fat finger"
    assert KillSwitch(runs).lift()
    assert KillSwitch(runs).reason() == ""
    assert not KillSwitch(runs).lift()


def test_pulling_again_keeps_the_switch_pulled(tmp_path: Path) -> None:
    for reason in ("first", "second"):
        KillSwitch(tmp_path).pull(CLOCK, reason)
    pulled = KillSwitch(tmp_path).pulled()
    assert pulled is not None
    assert (pulled.ts, pulled.reason) == (CLOCK.now_ns(), "second")


def test_a_switch_that_cannot_be_read_counts_as_pulled(tmp_path: Path) -> None:
    for damage in (b"", b"{", b'{"ts":"now"}', b"\xff"):
        (tmp_path / NAME).write_bytes(damage)
        assert "cannot be read" in KillSwitch(tmp_path).reason()
    (tmp_path / NAME).unlink()
    (tmp_path / NAME).mkdir()
    assert "cannot be read" in KillSwitch(tmp_path).reason()
