"""The covariance of two prices that tick at different times, at many shifts of one against the other.

Hayashi and Yoshida (2005) multiply every increment of X with every increment of Y over an interval that overlaps its
own; Hoffmann, Rosenbaum and Yoshida (2013, arXiv 1303.4871) shift the times of Y back by theta first,

    U(theta) = sum_ij dX_i dY_j  where  (t_(i-1), t_i]  meets  (s_(j-1) - theta, s_j - theta]

and take the theta with the largest |U| for the lag: above 0, X leads Y. For one i the sum over j telescopes, to the
newest Y at the end of the interval, rounded up to the next tick, less the Y before its beginning; so one shift
costs one walk through both series.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spyhop.numerics._jit import kernel

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@kernel
def block_covariances(tx: Ints, x: Floats, ty: Ints, y: Floats, shifts: Ints, first: Ints) -> Floats:
    """Return U (blocks, shifts) of the increments of X by block: those of its ticks `first[b]` to `first[b + 1]` - 1.

    `tx`, `ty` are times in nanoseconds, strictly rising, `x`, `y` prices or their logarithms, `shifts` nanoseconds;
    `first` begins with 1 and ends with len(tx) for all of X. Increments of Y count wherever they lie, so the
    blocks add up to the whole.
    """
    num_blocks = len(first) - 1
    m = len(ty)
    found = np.zeros((num_blocks, len(shifts)))
    for k in range(len(shifts)):
        theta = shifts[k]
        next_y = 0
        for b in range(num_blocks):
            i = first[b]
            if i >= first[b + 1]:
                continue
            before = tx[i - 1] + theta
            while next_y < m and ty[next_y] <= before:
                next_y += 1
            begin = y[max(next_y - 1, 0)]
            x_before = x[i - 1]
            total = 0.0
            for i in range(first[b], first[b + 1]):
                now = tx[i] + theta
                while next_y < m and ty[next_y] < now:
                    next_y += 1
                end = y[min(next_y, m - 1)]
                total += (x[i] - x_before) * (end - begin)
                x_before = x[i]
                if next_y < m and ty[next_y] == now:
                    next_y += 1
                begin = y[max(next_y - 1, 0)]
            found[b, k] = total
    return found


def variation(x: Floats) -> float:
    """Return the sum of the squared increments."""
    return float(np.sum(np.diff(x) ** 2))


def covariances(tx: Ints, x: Floats, ty: Ints, y: Floats, shifts: Ints) -> Floats:
    """Return U (shifts,) of the whole series; zeros with fewer than two ticks of either."""
    if len(tx) < 2 or len(ty) < 2:
        return np.zeros(len(shifts))
    whole: Floats = block_covariances(tx, x, ty, y, shifts, np.array([1, len(tx)]))[0]
    return whole


def correlations(tx: Ints, x: Floats, ty: Ints, y: Floats, shifts: Ints) -> Floats:
    """Return rho (shifts,) = U / sqrt(sum dX^2 sum dY^2); zeros where a series does not move."""
    scale = float(np.sqrt(variation(x) * variation(y)))
    return covariances(tx, x, ty, y, shifts) / scale if scale > 0.0 else np.zeros(len(shifts))


def lead_lag_ratio(shifts: Ints, rho: Floats) -> float:
    """Return sum of rho^2 over shifts above 0 / the same below 0 (Huth, Abergel 2014): above 1, X leads; inf, nan."""
    above, below = float(np.sum(rho[shifts > 0] ** 2)), float(np.sum(rho[shifts < 0] ** 2))
    return above / below if below > 0.0 else (np.inf if above > 0.0 else np.nan)


def turned(times: Ints, values: Floats, offset: int) -> tuple[Ints, Floats]:
    """Return the series with its increments moved `offset` ns later, what leaves at the end coming in at the start.

    0 < offset < its length in time. The increments keep their order and their gaps, but for the one that would
    straddle the seam, which is left out: a placebo whose every property is that of the series, but not its place.
    """
    length = int(times[-1] - times[0])
    split = int(np.searchsorted(times, times[-1] - offset, side="left"))
    moved = np.concatenate([times[split:] + (offset - length), times[1:split] + offset])
    levels = np.concatenate(
        [values[split:] - values[split], values[1:split] + (values[-1] - values[split] - values[0])]
    )
    return moved, levels
