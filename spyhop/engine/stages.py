"""What the nodes ask of the stages in them."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from spyhop.model.decisions import Decision, Intent
from spyhop.model.observations import Observation
from spyhop.model.orders import Fact
from spyhop.model.tape import Events
from spyhop.model.verdicts import Approved, RiskStateChanged, Verdict
from spyhop.ports import Stage
from spyhop.risk.recovery import Told


class DecisionOutputLike(Protocol):
    """What a decision stage answers to a row."""

    @property
    def probabilities(self) -> np.ndarray[Any, Any]: ...
    @property
    def decision(self) -> Decision | None: ...
    @property
    def intent(self) -> Intent | None: ...
    @property
    def observation(self) -> Observation | None: ...


class Deciding(Stage, Protocol):
    """What a DecisionNode asks of its stage.

    `decides` says of a row, before it is judged, whether something may be decided on it. It depends on the rows so far
    and on nothing else.
    """

    def decides(self, row: np.void) -> bool: ...
    def on_row(self, row: np.void) -> DecisionOutputLike: ...
    def on_fact(self, fact: Fact) -> None: ...


class Judging(Stage, Told, Protocol):
    """What a RiskNode asks of its stage: to judge, and to be told what it judged in a life before."""

    def on_intent(self, intent: Intent) -> Verdict: ...


class Ordering(Stage, Protocol):
    """What an OrderNode asks of its stage."""

    @property
    def is_idle(self) -> bool: ...
    def on_approved(self, approved: Approved) -> list[Fact]: ...
    def on_risk_state(self, changed: RiskStateChanged) -> list[Fact]: ...
    def advance(self, events: Events, until: int) -> list[Fact]: ...
