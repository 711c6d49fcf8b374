"""A process leaves when its parent is dead, and not before."""

from __future__ import annotations

import os

import pytest

from actors import orphans
from actors.orphans import EXIT_ORPHANED, Parent


def test_a_process_leaves_when_another_has_become_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []
    monkeypatch.setattr(orphans.os, "_exit", left.append)
    parent = Parent()
    parent.leave_without()
    assert left == []
    monkeypatch.setattr(os, "getppid", lambda: -1)
    parent.leave_without()
    assert left == [EXIT_ORPHANED]
