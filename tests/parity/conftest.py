from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from spyhop.clock import EventClock
from spyhop.config.settings import SessionConfig, Settings
from spyhop.model.entries import Entry
from spyhop.storage.journal import read_facts
from spyhop.wiring.plan import RunRequest, SessionPlan, plan_session

STARTED = 1_764_350_100_000_000_000


@pytest.fixture
def planned(tmp_path: Path, eager: Callable[[Settings], Settings]) -> Callable[..., SessionPlan]:
    """Make plans of one and the same session, each in a folder of its own."""

    def plan(where: str, *, hours: float = 0.1, speed: float = 0.0, lake: str | None = None) -> SessionPlan:
        session = SessionConfig(hours=hours, speed=speed, runs=str(tmp_path / where))
        request = RunRequest(mode="paper", lake=lake, runner=where)
        return plan_session(eager(Settings(session=session)), request, EventClock(STARTED))

    return plan


@pytest.fixture
def entries() -> Callable[[SessionPlan], list[Entry]]:
    """Read what a session's journal holds."""
    return lambda plan: read_facts(plan.folder)
