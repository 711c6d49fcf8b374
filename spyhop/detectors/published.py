"""What every detector does alike when it speaks: confidence from sample and age, and which price it looks at."""

from __future__ import annotations

from math import exp
from typing import Any

from spyhop.numerics._jit import kernel

SECOND_NS = 1_000_000_000


@kernel
def price_of(m: Any) -> float:
    """Return the mid, or the last trade while there is no book; 0 before either."""
    return float(m.mid if m.has_book and m.mid > 0.0 else m.last)


@kernel
def publish(detection: Any, value: float, ready: bool, n_eff: float, n_warm: float, age_ns: int, tau_ms: float) -> None:
    """Fill a DETECTION record; what is not ready says 0 with confidence 0.

    Confidence is min(1, n_eff / n_warm) * exp(-age / tau).
    """
    age_ms = max(age_ns, 0) * 1e-6
    detection.age_ms = age_ms
    detection.n_eff = n_eff
    detection.ready = 1 if ready else 0
    detection.value = value if ready else 0.0
    detection.confidence = min(1.0, n_eff / n_warm) * exp(-age_ms / tau_ms) if ready else 0.0
