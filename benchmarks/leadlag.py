"""Hayashi-Yoshida at many shifts: 200,000 x 100,000 ticks, 201 lags, on one core.

`python -m benchmarks.leadlag [--rounds N]` prints one JSON object a line: `hy_seconds` beside `hy_bare_seconds`, the
textbook's loop with two pointers compiled alike, and `hy_searchsorted_seconds`, the same sums by array calls, with
their ratios; all three must agree. `placebo_seconds` is one placebo of the same size, `study_seconds` a whole study of
an hour of quotes of which one in twenty moves the mid.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numba
import numpy as np
import numpy.typing as npt

from benchmarks.output import say
from spyhop.numerics.lead_lag import Moves, covariances, moves, turned
from spyhop.research.lead_lag.estimate import LeadLagParams, measured
from spyhop.research.lead_lag.series import series

HOUR = 3_600_000_000_000
SHIFTS = np.arange(-100, 101, dtype=np.int64) * 10_000_000

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def walk(generator: np.random.Generator, num: int, share_moving: float = 1.0) -> tuple[Ints, Floats]:
    times = np.unique(generator.integers(0, HOUR, num))
    steps = generator.standard_normal(len(times)) * (generator.random(len(times)) < share_moving)
    return times, 100.0 * np.exp(np.cumsum(1e-5 * steps))


@numba.njit
def bare(tx: Ints, x: Floats, ty: Ints, y: Floats, shifts: Ints) -> Floats:
    """Two monotone pointers: the first Y interval that ends after t_(i-1), the first that begins at t_i or later."""
    n, m = len(tx), len(ty)
    found = np.zeros(len(shifts))
    for s in range(len(shifts)):
        theta = shifts[s]
        j, k = 1, 1
        for i in range(1, n):
            while j < m and ty[j] - theta <= tx[i - 1]:
                j += 1
            k = max(k, j)
            while k < m and ty[k - 1] - theta < tx[i]:
                k += 1
            found[s] += (x[i] - x[i - 1]) * (y[k - 1] - y[j - 1])
    return found


def by_searching(x: Moves, y: Moves, shifts: Ints) -> Floats:
    level = np.concatenate([[0.0], np.cumsum(y.size)])
    found = np.empty(len(shifts))
    for k, theta in enumerate(shifts):
        low = np.searchsorted(y.end, x.begin + theta, side="right")
        high = np.searchsorted(y.begin, x.end + theta, side="left")
        found[k] = np.sum(x.size * (level[np.maximum(high, low)] - level[low]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    generator = np.random.default_rng(1)
    (tx, x), (ty, y) = walk(generator, 200_000), walk(generator, 100_000)
    left, right = moves(tx, np.log(x)), moves(ty, np.log(y))
    log_x, log_y = np.log(x), np.log(y)
    runs: dict[str, Callable[[], object]] = {
        "hy": lambda: covariances(moves(tx, log_x), moves(ty, log_y), SHIFTS),
        "hy_bare": lambda: bare(tx, log_x, ty, log_y, SHIFTS),
        "hy_searchsorted": lambda: by_searching(left, right, SHIFTS),
        "placebo": lambda: covariances(left, turned(right, 0, HOUR, HOUR // 3), SHIFTS),
    }
    ours = covariances(left, right, SHIFTS)
    for other in (bare(tx, log_x, ty, log_y, SHIFTS), by_searching(left, right, SHIFTS)):
        if not np.allclose(ours, other, rtol=1e-9, atol=1e-15):
            raise SystemExit("the three do not agree")
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds):
        for name, run in runs.items():
            if name == "hy_searchsorted" and best[name] < float("inf"):
                continue  # once is enough for what takes so long
            began = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - began)
    on = "200,000 x 100,000 ticks, 201 lags, one core"
    for name, seconds in best.items():
        say(f"{name}_seconds", seconds, "s", on=on)
    say("hy_over_bare", best["hy"] / best["hy_bare"], "ratio", on=on)
    say("hy_searchsorted_over_hy", best["hy_searchsorted"] / best["hy"], "ratio", on=on)
    quotes = [
        series(name, *walk(generator, num, 0.05), "receive", "mids") for name, num in (("a", 200_000), ("b", 100_000))
    ]
    began = time.perf_counter()
    measured(quotes[0], quotes[1], LeadLagParams(max_lag_s=1.0))
    say("study_seconds", time.perf_counter() - began, "s", on="the same as quotes, 5 % of them moves; 199 placebos")


if __name__ == "__main__":
    main()
