"""What may be concluded from a sweep: nothing, unless every test says otherwise; each said in words."""

from __future__ import annotations

from collections.abc import Sequence

from spyhop.reports.model import Interval, Verdict
from spyhop.reports.verdict import NO_EDGE, SIMULATED_GAIN
from spyhop.research.sweeps.model import Check, Deflated, Overfit, Score, Superior, Walk

LEAST_DSR = 0.95
MOST_SPA_P = 0.05
MOST_NULL_SHARE = 0.05
MIN_ACTIVE = 10
"""Out-of-sample periods with a result; an interval of fewer says nothing."""


def checks_of(
    deflated: Deflated | None,
    superior: Superior | None,
    overfit: Overfit | None,
    walk: Walk,
    final: Score | None,
    final_interval: Interval | None,
) -> list[Check]:
    """Return every test's outcome; the last only where the final period was opened."""
    checks = [_of_deflated(deflated), _of_superior(superior), _of_overfit(overfit), _of_walk(walk)]
    if final is not None:
        checks.append(_of_final(final, final_interval))
    return checks


def judge(
    checks: Sequence[Check], num_positive: int, num_eligible: int, *, final_opened: bool, is_simulated: bool = False
) -> Verdict:
    """Return the verdict; the default is "no demonstrated edge", and of simulated data the only one.

    `num_positive` of `num_eligible` settings, those that traded often enough, earned anything before the final period.
    """
    reasons = [
        f"{num_positive:,} of the {num_eligible:,} settings that traded often enough earned anything after costs "
        "before the final period.",
        *(check.said for check in checks),
    ]
    if num_eligible == 0:
        return Verdict(has_edge=False, headline=f"{NO_EDGE}: no setting traded often enough to be judged", reasons=[])
    failed = [check.name for check in checks if not check.passed]
    if failed:
        return Verdict(has_edge=False, headline=f"{NO_EDGE}: fails {_listed(failed)}", reasons=reasons)
    if is_simulated:
        return Verdict(has_edge=False, headline=f"{NO_EDGE}: {SIMULATED_GAIN}", reasons=reasons)
    if final_opened:
        reasons.append("What is left is to trade it on paper for as long as the least track record says.")
        return Verdict(has_edge=True, headline="an edge by every test, and in the final period", reasons=reasons)
    reasons.append("The final period has not been opened: it is the one test that the search cannot have spoiled.")
    return Verdict(
        has_edge=True, headline="an edge by every test so far; the final period is unopened", reasons=reasons
    )


def _of_deflated(deflated: Deflated | None) -> Check:
    name = "deflated Sharpe ratio"
    if deflated is None:
        return Check(name=name, passed=None, said="Deflated Sharpe ratio: no setting could be chosen.")
    passed = deflated.dsr > LEAST_DSR
    return Check(
        name=name,
        passed=passed,
        said=(
            f"Deflated Sharpe ratio {deflated.dsr:.3f} (needs more than {LEAST_DSR}): the chosen setting has "
            f"{deflated.sharpe:+.3f} a period before the final period, and the best of {deflated.num_trials:,} trials "
            f"has {deflated.expected_best:+.3f} by luck alone."
        ),
    )


def _of_superior(superior: Superior | None) -> Check:
    name = "superior ability"
    if superior is None:
        return Check(name=name, passed=None, said="Superior ability: no setting's result varies.")
    passed = superior.p < MOST_SPA_P
    than = "is better than not trading" if passed else "cannot be told from the luckiest of as many worthless ones"
    return Check(
        name=name,
        passed=passed,
        said=(
            f"Superior predictive ability p = {superior.p:.3f} (needs less than {MOST_SPA_P}): the best of "
            f"{superior.num_settings:,} settings {than}."
        ),
    )


def _of_overfit(overfit: Overfit | None) -> Check:
    name = "probability of overfitting"
    if overfit is None:
        return Check(name=name, passed=None, said="Probability of overfitting: too few settings or periods to say.")
    passed = overfit.p < MOST_NULL_SHARE
    return Check(
        name=name,
        passed=passed,
        said=(
            f"Probability of overfitting {overfit.pbo:.3f}: so often the best setting of one half of the periods is at "
            f"or below the median in the other half. Were all settings worth the same it would lie between "
            f"{overfit.null_low:.2f} and {overfit.null_high:.2f} nine times in ten, and be as low as here with "
            f"p = {overfit.p:.3f} (needs less than {MOST_NULL_SHARE}). It says whether the order lasts, not "
            "whether any of them earns; where all earn alike it sees nothing."
        ),
    )


def _of_walk(walk: Walk) -> Check:
    name, earned = "out of sample", walk.out_of_sample
    said = (
        f"Out of sample {earned.mean_bps:+.3f} bp a period over {earned.num_periods} periods, {earned.num_active} of "
        "them with a result, each earned by a setting chosen before it"
    )
    intervals = [interval for interval in (walk.by_student, walk.by_bootstrap) if interval is not None]
    if earned.num_active < MIN_ACTIVE:
        return Check(name=name, passed=None, said=f"{said}; an interval asks for {MIN_ACTIVE}.")
    bounds = " and ".join(f"{interval.low:+.3f} to {interval.high:+.3f}" for interval in intervals)
    return Check(
        name=name,
        passed=bool(intervals) and all(interval.low > 0.0 for interval in intervals),
        said=f"{said}; 95 % intervals {bounds} (Student, bootstrap; need to be above 0).",
    )


def _of_final(final: Score, interval: Interval | None) -> Check:
    bounds = f"; 95 % interval {interval.low:+.3f} to {interval.high:+.3f}" if interval is not None else ""
    said = f"Final period, opened: {final.mean_bps:+.3f} bp a period over {final.num_periods} periods{bounds}."
    return Check(name="final period", passed=final.mean_bps > 0.0, said=said)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
