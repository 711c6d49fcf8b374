"""The covariance of two prices that tick at different times, at many shifts of one against the other.

Hayashi and Yoshida (2005) multiply every increment of X with every increment of Y over an interval that overlaps its
own; Hoffmann, Rosenbaum and Yoshida (2013, arXiv 1303.4871) shift the times of Y back by theta first,

    U(theta) = sum_ij dX_i dY_j  where  (t_(i-1), t_i]  meets  (s_(j-1) - theta, s_j - theta]

and take the theta with the largest |U| for the lag: above 0, X leads Y. For one i the sum over j telescopes, to what
Y gains from the first increment that its interval meets to the last; so one shift costs one walk through both series,
and increments of 0 need not be walked at all.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from spyhop.numerics._jit import kernel

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Moves(NamedTuple):
    """The increments of a series that are not 0: each over (begin, end], nanoseconds, in order, without overlap."""

    begin: Ints
    end: Ints
    size: Floats

    @property
    def variation(self) -> float:
        """Return the sum of the squared increments."""
        return float(np.sum(self.size**2))


def moves(times: Ints, values: Floats) -> Moves:
    """Return the moves of a price, or of its logarithm, at strictly rising `times`."""
    size = np.diff(values)
    is_move = size != 0.0
    return Moves(times[:-1][is_move], times[1:][is_move], size[is_move])


@kernel
def _walk(
    x_begin: Ints, x_end: Ints, dx: Floats, y_begin: Ints, y_end: Ints, y: Floats, shifts: Ints, first: Ints
) -> Floats:
    m = len(y_begin)
    found = np.zeros((len(first) - 1, len(shifts)))
    for k in range(len(shifts)):
        theta = shifts[k]
        low = 0
        high = 0
        for b in range(len(first) - 1):
            total = 0.0
            for i in range(first[b], first[b + 1]):
                begin = x_begin[i] + theta
                end = x_end[i] + theta
                while low < m and y_end[low] <= begin:
                    low += 1
                high = max(high, low)
                while high < m and y_begin[high] < end:
                    high += 1
                total += dx[i] * (y[high] - y[low])
            found[b, k] = total
    return found


def block_covariances(x: Moves, y: Moves, shifts: Ints, first: Ints) -> Floats:
    """Return U (blocks, shifts); the moves of X of block b are `first[b]` to `first[b + 1]` - 1, those of Y anywhere.

    `shifts` are nanoseconds; `first` begins with 0 and ends with the number of moves, so that the blocks add up to the
    whole.
    """
    level = np.concatenate([[0.0], np.cumsum(y.size)])
    return _walk(x.begin, x.end, x.size, y.begin, y.end, level, shifts, first)


def covariances(x: Moves, y: Moves, shifts: Ints) -> Floats:
    """Return U (shifts,) of the whole series."""
    whole: Floats = block_covariances(x, y, shifts, np.array([0, len(x.size)]))[0]
    return whole


def correlations(x: Moves, y: Moves, shifts: Ints) -> Floats:
    """Return rho (shifts,) = U / sqrt(sum dX^2 sum dY^2); zeros where a series does not move.

    It estimates a correlation and is none itself: noise can carry it a little beyond 1.
    """
    scale = float(np.sqrt(x.variation * y.variation))
    return covariances(x, y, shifts) / scale if scale > 0.0 else np.zeros(len(shifts))


def lead_lag_ratio(shifts: Ints, rho: Floats) -> float:
    """Return sum of rho^2 over shifts above 0 / the same below 0 (Huth, Abergel 2014): above 1, X leads; inf, nan."""
    above, below = float(np.sum(rho[shifts > 0] ** 2)), float(np.sum(rho[shifts < 0] ** 2))
    return above / below if below > 0.0 else (np.inf if above > 0.0 else np.nan)


def turned(x: Moves, start: int, length: int, offset: int) -> Moves:
    """Return the moves of (start, start + length], `offset` later; what leaves at the end comes in at the start.

    The moves keep their order and their gaps, but for the one that would straddle the seam, which is left out: a
    placebo that shares every property with the series but its place. Times are nanoseconds, 0 <= offset < length.
    """
    begin = start + (x.begin - start + offset) % length
    end = start + 1 + (x.end - start - 1 + offset) % length
    order = np.argsort(begin, kind="stable")
    order = order[begin[order] < end[order]]
    return Moves(begin[order], end[order], x.size[order])
