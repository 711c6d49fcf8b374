"""The twenty-three strategies as one: scores from evidence, probabilities, the winner and why it won.

A probability here says how well a strategy fits what is seen, next to the 22 others. It is not a chance of profit.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import numpy as np

from spyhop.model.decisions import STRATEGIES, Contribution, Decision
from spyhop.model.rows import DETECTORS
from spyhop.model.tape import Side
from spyhop.numerics.softmax import linear_scores, softmax
from spyhop.strategies.evidence import NAMES, EvidenceParams, vectors
from spyhop.strategies.gates import GateParams, gates
from spyhop.strategies.weights import Weights


class EnsembleParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`temperature` divides the scores: a lower one makes the winner more certain."""

    temperature: Annotated[float, msgspec.Meta(gt=0)] = 0.35
    evidence: EvidenceParams = EvidenceParams()
    gates: GateParams = GateParams()


class Judgement(msgspec.Struct, frozen=True):
    """All 23 of one row: `scores` and `probabilities` in the order of STRATEGIES, -inf and 0 where a gate is shut."""

    scores: Any
    probabilities: Any
    values: Any
    confidences: Any
    shut: tuple[str, ...]

    @property
    def winner(self) -> int:
        """Return the number of the most probable strategy, the first of equals."""
        return int(np.argmax(self.probabilities))


class Ensemble:
    """Judges rows; holds no state."""

    def __init__(self, params: EnsembleParams, weights: Weights) -> None:
        self._params, self.weights = params, weights

    def judge(self, row: np.void) -> Judgement:
        """Return the scores and probabilities of a ROW record."""
        values, confidences = vectors(row, self._params.evidence)
        mask, shut = gates(row, self._params.gates)
        scores, probabilities = np.empty(len(STRATEGIES)), np.empty(len(STRATEGIES))
        linear_scores(self.weights.matrix, self.weights.biases, values * confidences, mask, scores)
        softmax(scores, self._params.temperature, probabilities)
        return Judgement(scores, probabilities, values, confidences, shut)

    def side(self, judgement: Judgement, k: int) -> Side:
        """Return where strategy `k` points: by definition, else by the sign of its evidence; NONE is no trade."""
        if self.weights.sides[k] is not Side.NONE:
            return self.weights.sides[k]
        pull = _ordered_sum(self.weights.compass[k] * judgement.values * judgement.confidences)
        return Side.BUY if pull > 0.0 else Side.SELL if pull < 0.0 else Side.NONE

    def contributions(self, judgement: Judgement, k: int) -> tuple[Contribution, ...]:
        """Return the evidence behind the score of strategy `k`, the strongest first."""
        weights = self.weights.matrix[k]
        found = [
            Contribution(NAMES[d], evidence, weight, weight * evidence)
            for d in np.flatnonzero(weights).tolist()
            for weight, evidence in [(float(weights[d]), float(judgement.values[d] * judgement.confidences[d]))]
        ]
        return tuple(sorted(found, key=lambda one: (-abs(one.score), one.name)))

    def confidence(self, judgement: Judgement, k: int, row: np.void) -> float:
        """Return how far strategy `k` may be believed, 0..1: coverage x agreement.

        Coverage is the mean confidence of its evidence, weighted by |weight|: how much of what it asks about is
        known. Agreement is the share of what was found that speaks for it: sum of scores above 0 / sum of |scores|.
        A strategy without evidence (WAIT_AND_SEE) has the mean confidence of the fifteen detectors.
        """
        weights = self.weights.matrix[k]
        total = _ordered_sum(np.abs(weights))
        if total == 0.0:
            return _ordered_sum(row["detections"]["confidence"]) / len(DETECTORS)
        coverage = _ordered_sum(np.abs(weights) * judgement.confidences) / total
        scores = weights * judgement.values * judgement.confidences
        found = _ordered_sum(np.abs(scores))
        if found == 0.0:
            return 0.0
        return min(1.0, coverage * _ordered_sum(np.maximum(scores, 0.0)) / found)


def explain(decision: Decision) -> str:
    """Return a decision in lines for a person: the winner, what speaks for and against it, and why no trade."""
    lines = [
        f"{decision.strategy} {decision.side.name} at {decision.price:g}:"
        f" probability {decision.probability:.2f}, confidence {decision.confidence:.2f} ({decision.trigger})"
    ]
    lines += [
        f"  {one.score:+.3f} = {one.weight:+g} x {one.name} {one.evidence:+.3f}"
        for one in decision.evidence
        if one.score != 0.0
    ]
    lines += [f"  no trade: {reason}" for reason in decision.reasons]
    return "\n".join(lines)


# one by one, in order: NumPy's own sum is free to regroup
def _ordered_sum(numbers: Any) -> float:
    total = 0.0
    for number in numbers.tolist():
        total += number
    return total
