"""Linear scores and softmax with temperature, summed in a fixed order so that a result is the same bits every time."""

from __future__ import annotations

import math
from typing import Any

from spyhop.numerics._jit import kernel


@kernel
def linear_scores(weights: Any, biases: Any, evidence: Any, open_: Any, scores: Any) -> None:
    """Fill `scores[k]` = biases[k] + sum_d weights[k, d] evidence[d], or -inf where `open_[k]` is 0.

    Shapes: weights (K, D), evidence (D,), the others (K,).
    """
    for k in range(weights.shape[0]):
        if open_[k] == 0:
            scores[k] = -math.inf
            continue
        total = biases[k]
        for d in range(weights.shape[1]):
            total += weights[k, d] * evidence[d]
        scores[k] = total


@kernel
def softmax(scores: Any, temperature: float, probabilities: Any) -> None:
    """Fill `probabilities` with exp(s / T) / sum exp(s / T), the largest score subtracted first.

    A score of -inf gets exactly 0. Raise ValueError when no score is finite or the temperature is not above 0.
    """
    highest = -math.inf
    for k in range(scores.shape[0]):
        highest = max(highest, scores[k])
    if not math.isfinite(highest) or not temperature > 0.0:
        raise ValueError("softmax needs a finite score and a temperature above 0")
    total = 0.0
    for k in range(scores.shape[0]):
        probabilities[k] = math.exp((scores[k] - highest) / temperature)
        total += probabilities[k]
    for k in range(scores.shape[0]):
        probabilities[k] /= total
