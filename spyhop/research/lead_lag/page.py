"""A lead-lag study as one HTML page that needs nothing else, and as words for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import spyhop
from spyhop.reports import curves
from spyhop.reports.html import document, facts, figure, verdict
from spyhop.reports.text import SIMULATED, UNKNOWN
from spyhop.research.lead_lag.estimate import LeadLagStudy

CLOCKS = {
    "receive": "Actionable: by the times at which the prices reached us",
    "exchange": "Structural: by the venues' own times",
    "unknown": "By the times in the files; nobody said whose clock wrote them",
}
SAYS_NOT = (
    "A lag is a statement about prices, not about money: what may be left of it after the feed's delay, the decision, "
    "the order's way and the costs of a round trip is for the studies of trades to say."
)


def page(studies: Sequence[LeadLagStudy]) -> str:
    """Return the page of one pair, a section for each clock; the first one's verdict stands at the top."""
    first = studies[0]
    title = f"Lead-lag: {first.follower.name} after {first.leader.name}"
    body = (
        f'<h1>{escape(title)}</h1><p class="soft">Spyhop {escape(spyhop.__version__)}</p>'
        f'{"".join(_section(study) for study in studies)}<p class="soft">{escape(SAYS_NOT)}</p>'
    )
    return document(title, body, is_simulated=first.is_simulated)


def _section(study: LeadLagStudy) -> str:
    span = None if study.lag_low_s is None or study.lag_high_s is None else (study.lag_low_s, study.lag_high_s)
    picture = curves.curve(
        list(zip(study.curve.shift_s, study.curve.rho, strict=True)),
        f"Correlation by shift, {study.clock} time",
        "s",
        level=study.null_95,
        span=span,
        mark=study.lag_s,
    )
    caption = (
        f"correlation by shift; to the right of 0 {study.leader.name} leads; grey: what 95 of 100 placebos stay in; "
        "upright band: 95 % interval of the lag"
    )
    return (
        f"<h2>{escape(CLOCKS[study.clock])}</h2>{verdict(study.verdict, study.warnings, has_edge=study.has_lag)}"
        f"{figure(picture, caption)}{facts(rows(study))}{facts(_shares(study))}{facts(_sides(study))}"
    )


def rows(study: LeadLagStudy) -> list[tuple[str, str]]:
    """Return the numbers of a study with their names."""
    interval = (
        UNKNOWN if study.lag_low_s is None or study.lag_high_s is None
        else f"{study.lag_low_s:.4g} to {study.lag_high_s:.4g} s ({study.num_blocks} blocks of {study.block_s:.4g} s)"
    )  # fmt: skip
    return [
        ("lag (above 0: the leader leads)", f"{study.lag_s:.6g} s on a grid of {study.step_s:.4g} s"),
        ("95 % interval of the lag", interval),
        ("correlation at the lag", f"{study.rho:.4f}"),
        ("95 of 100 placebos stay below", f"{study.null_95:.4f} ({study.num_placebos} placebos)"),
        ("share of placebos that reach it", f"{study.null_p:.3f}"),
        (
            "lead-lag ratio (above 1: the leader leads)",
            UNKNOWN if study.lead_lag_ratio is None else f"{study.lead_lag_ratio:.3g}",
        ),
    ]


def words(studies: Sequence[LeadLagStudy]) -> str:
    """Return the studies as plain text, the verdict of each first."""
    lines = []
    for study in studies:
        if study.is_simulated:
            lines.append(f"*** {SIMULATED} ***")
        lines += [CLOCKS[study.clock], f"  VERDICT: {study.verdict}"]
        lines += [f"  {name:<44} {value}" for name, value in [*rows(study), *_shares(study), *_sides(study)]]
        lines += [f"  note: {each}" for each in study.warnings] + [""]
    return "\n".join([*lines, SAYS_NOT]) + "\n"


def _shares(study: LeadLagStudy) -> list[tuple[str, str]]:
    shares = study.shares
    if shares is None:
        return []
    return [
        ("who finds the price", shares.verdict),
        ("information share (Hasbrouck)", f"{shares.information_low:.3f} to {shares.information_high:.3f}"),
        ("component share (Gonzalo, Granger)", f"{shares.component:.3f}"),
        ("information leadership share", f"{shares.information_leadership:.3f}"),
        ("on a grid of", f"{shares.grid_s:.3g} s, {shares.num_rows:,} steps"),
    ]


def _sides(study: LeadLagStudy) -> list[tuple[str, str]]:
    return [
        (
            each.name,
            f"{each.num_ticks:,} prices ({each.what}), {each.num_moves:,} moves; {each.num_unsorted} out of order, "
            f"{each.num_missing} missing, {each.num_repeated} of one time",
        )
        for each in (study.leader, study.follower)
    ]
