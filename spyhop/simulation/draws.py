"""Random numbers whose whole state is one word, so that a state's bytes hold the future of its randomness.

SplitMix64 (Steele, Lea, Flood 2014). `*_at` are addressed instead of drawn: the k-th number of a stream is the same
for all who ask, which is how symbols share a common shock without sharing a state.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from spyhop.numerics._jit import kernel

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_STREAM = np.uint64(0xD1B54A32D192ED03)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S12 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(12)
_UNIT = 1.0 / (1 << 52)  # with the half added, the largest is still below 1

DRAWS = np.dtype([("word", "u8")])


@kernel
def _mixed(word: Any) -> Any:
    word = (word ^ (word >> _S30)) * _MIX_1
    word = (word ^ (word >> _S27)) * _MIX_2
    return word ^ (word >> _S31)


@kernel
def uniform(r: Any) -> float:
    """Return the next number in 0 < u < 1 of the record `r` of DRAWS."""
    r.word = r.word + _GOLDEN
    return float((_mixed(r.word) >> _S12) + 0.5) * _UNIT


@kernel
def exponential(r: Any) -> float:
    """Return the next exponential number of mean 1."""
    return -math.log(uniform(r))


@kernel
def normal(r: Any) -> float:
    """Return the next standard normal number (Box-Muller, one of the pair)."""
    radius = math.sqrt(-2.0 * math.log(uniform(r)))
    return radius * math.cos(2.0 * math.pi * uniform(r))


@kernel
def pareto(r: Any, tail: float, cap: float) -> float:
    """Return the next Pareto number of mean 1 before the cut at `cap` (in means); `tail` > 1."""
    return float(min((tail - 1.0) / tail * uniform(r) ** (-1.0 / tail), cap))


@kernel
def _word_at(seed: int, stream: int, k: int) -> Any:
    word = _mixed(np.uint64(seed) + np.uint64(stream) * _STREAM)
    return _mixed(word + np.uint64(k) * _GOLDEN)


@kernel
def uniform_at(seed: int, stream: int, k: int) -> float:
    """Return the `k`-th number in 0 < u < 1 of a stream of `seed`; all three at least 0."""
    return float((_word_at(seed, stream, k) >> _S12) + 0.5) * _UNIT


@kernel
def normal_at(seed: int, stream: int, k: int) -> float:
    """Return the `k`-th standard normal number of a stream of `seed`."""
    radius = math.sqrt(-2.0 * math.log(uniform_at(seed, stream, 2 * k)))
    return radius * math.cos(2.0 * math.pi * uniform_at(seed, stream, 2 * k + 1))


@kernel
def begin(r: Any, seed: int, stream: int) -> None:
    """Set the record `r` of DRAWS to the start of a stream of `seed` (both at least 0)."""
    r.word = _word_at(seed, stream, 0)
