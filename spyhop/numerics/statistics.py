"""Numbers about trades and returns, each with what it is worth: intervals, break-even, drawdown, ratios.

Fractions everywhere (0.0015 = 15 bp); arrays are float64 (n,). Written for reports: clear before fast.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]
Interval: TypeAlias = tuple[float, float]

DAYS_A_YEAR = 365
_NORMAL = NormalDist()
_BOOTSTRAP_CELLS = 4_000_000


def wilson(num_successes: int, num_trials: int, level: float = 0.95) -> Interval:
    """Return Wilson's score interval of a probability; (0, 1) without trials (Wilson 1927)."""
    if num_trials == 0:
        return 0.0, 1.0
    z = _NORMAL.inv_cdf(0.5 + level / 2)
    p, n = num_successes / num_trials, num_trials
    centre = p + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # at the ends the interval reaches them exactly; the formula does but for rounding
    low = (centre - half) / scale if num_successes else 0.0
    high = (centre + half) / scale if num_successes < n else 1.0
    return low, high


def trip_outcomes(
    take_profit: float,
    stop_loss: float,
    entry_fee: float,
    take_profit_fee: float,
    stop_fee: float,
    slippage_entry: float = 0.0,
    slippage_take_profit: float = 0.0,
    slippage_stop: float = 0.0,
) -> tuple[float, float]:
    """Return (net gain at the take profit, net loss at the stop), both as positive fractions of the entry's notional.

    Exit fees are charged on the notional at the exit.
    """
    gain = take_profit - entry_fee - take_profit_fee * (1 + take_profit) - slippage_entry - slippage_take_profit
    loss = stop_loss + entry_fee + stop_fee * (1 - stop_loss) + slippage_entry + slippage_stop
    return gain, loss


def break_even(gain: float, loss: float) -> float:
    """Return the win rate at which gaining `gain` and losing `loss` (both net, positive) comes to zero.

    1 when a win gains nothing: then no win rate is enough.
    """
    if gain <= 0.0:
        return 1.0
    return min(1.0, max(0.0, loss / (gain + loss))) if gain + loss > 0.0 else 0.0


def trades_needed(break_even_rate: float, win_rate: float, size: float = 0.05, power: float = 0.80) -> int:
    """Return how many trades tell `win_rate` from `break_even_rate`, one-sided test of `size` with `power`."""
    distance = abs(win_rate - break_even_rate)
    if distance == 0.0:
        raise ValueError("equal win rates cannot be told apart")
    spread = _NORMAL.inv_cdf(1 - size) * math.sqrt(break_even_rate * (1 - break_even_rate))
    spread += _NORMAL.inv_cdf(power) * math.sqrt(win_rate * (1 - win_rate))
    return math.ceil((spread / distance) ** 2)


def student_quantile(p: float, dof: int) -> float:
    """Return the quantile of Student's t for 0 < p < 1 and dof >= 1, to 1e-9 relative."""
    if p < 0.5:
        return -student_quantile(1 - p, dof)
    low, high = 0.0, 1.0
    while _student_cdf(high, dof) < p:
        low, high = high, 2 * high
    for _ in range(200):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        if _student_cdf(middle, dof) < p:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


# P(T <= t) for t >= 0, by the incomplete beta function
def _student_cdf(t: float, dof: int) -> float:
    if t == 0.0:
        return 0.5
    return 1.0 - 0.5 * _incomplete_beta(0.5 * dof, 0.5, dof / (dof + t * t))


# regularised; continued fraction by Lentz (Abramowitz & Stegun 26.5.8)
def _incomplete_beta(a: float, b: float, x: float) -> float:
    if x <= 0.0 or x >= 1.0:
        return min(1.0, max(0.0, x))
    if x > (a + 1) / (a + b + 2):
        return 1.0 - _incomplete_beta(b, a, 1 - x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    c, d = 1.0, 1.0 / (1.0 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, 1_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d, c = 1 / (1 + even * d), 1 + even / c
        value *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = 1 / (1 + odd * d), 1 + odd / c
        value *= d * c
        if abs(d * c - 1) < 1e-16:
            break
    return front * value / a


def t_interval(x: Array, level: float = 0.95) -> Interval | None:
    """Return Student's interval of the mean, None for fewer than two numbers."""
    n = len(x)
    if n < 2:
        return None
    half = student_quantile(0.5 + level / 2, n - 1) * float(np.std(x, ddof=1)) / math.sqrt(n)
    mean = float(np.mean(x))
    return mean - half, mean + half


def bootstrap_interval(
    x: Array, rng: np.random.Generator, level: float = 0.95, num_draws: int = 10_000
) -> Interval | None:
    """Return the percentile interval of the mean over resamples, None for fewer than two numbers."""
    n = len(x)
    if n < 2:
        return None
    means = np.empty(num_draws)
    step = max(1, _BOOTSTRAP_CELLS // n)
    for start in range(0, num_draws, step):
        stop = min(num_draws, start + step)
        means[start:stop] = x[rng.integers(0, n, (stop - start, n))].mean(axis=1)
    low, high = np.quantile(means, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)


def drawdowns(equity: Array) -> Array:
    """Return equity / highest equity so far - 1, at most 0; equity must be positive."""
    return equity / np.maximum.accumulate(equity) - 1.0


def max_drawdown(equity: Array) -> float:
    """Return the deepest drawdown as a fraction at most 0; 0 for no equity."""
    return float(drawdowns(equity).min()) if len(equity) else 0.0


def profit_factor(pnl: Array) -> float | None:
    """Return what was won over what was lost, None while nothing was lost."""
    lost = -float(pnl[pnl < 0].sum())
    return float(pnl[pnl > 0].sum()) / lost if lost > 0.0 else None


def sharpe(returns: Array, periods_a_year: float = DAYS_A_YEAR) -> float | None:
    """Return mean / standard deviation of returns, annualised; None for fewer than two or constant returns."""
    if len(returns) < 2:
        return None
    deviation = float(np.std(returns, ddof=1))
    return float(np.mean(returns)) / deviation * math.sqrt(periods_a_year) if deviation > 0.0 else None


def sortino(returns: Array, periods_a_year: float = DAYS_A_YEAR) -> float | None:
    """Return mean over downside deviation (root mean square of the losses), annualised; None without losses."""
    if len(returns) < 2:
        return None
    downside = math.sqrt(float(np.mean(np.minimum(returns, 0.0) ** 2)))
    return float(np.mean(returns)) / downside * math.sqrt(periods_a_year) if downside > 0.0 else None
