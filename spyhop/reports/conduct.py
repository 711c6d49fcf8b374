"""The part of a report that is about what was decided, refused and asked for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from spyhop.model.decisions import STRATEGIES, Decision, Intent
from spyhop.model.orders import Fill, Liquidity, OrderChanged, OrderStatus
from spyhop.model.verdicts import Approved, Refused
from spyhop.reports.model import Count, Decisions, Orders

_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w.]*\w)")


def decisions(
    made: Sequence[Decision], intents: Sequence[Intent], approved: Sequence[Approved], refused: Sequence[Refused]
) -> Decisions:
    """Return what was looked at, wanted and refused; a decision counts once under each of its reasons."""
    whole = [decision.probabilities for decision in made if len(decision.probabilities) == len(STRATEGIES)]
    means = np.mean(whole, axis=0).tolist() if whole else [0.0] * len(STRATEGIES)
    return Decisions(
        num_decisions=len(made),
        num_intents=len(intents),
        num_approved=len(approved),
        winners=dict(Counter(decision.strategy for decision in made).most_common()),
        mean_probabilities=dict(zip(STRATEGIES, means, strict=True)),
        non_entries=counted((pattern(reason), reason) for decision in made for reason in decision.reasons),
        refusals=counted(
            (verdict.code, f"measured {verdict.measured:g}, limit {verdict.limit:g}") for verdict in refused
        ),
    )


def orders(changes: Sequence[OrderChanged], fills: Sequence[Fill]) -> Orders:
    """Return what became of orders."""
    reached = Counter({(change.client_order_id, change.status) for change in changes})
    ends = Counter(status for _, status in reached)
    makers = sum(fill.liquidity is Liquidity.MAKER for fill in fills)
    rejected = [change for change in changes if change.status is OrderStatus.REJECTED]
    return Orders(
        num_orders=len({change.client_order_id for change in changes}),
        num_rejected=ends[OrderStatus.REJECTED],
        num_cancelled=ends[OrderStatus.CANCELLED],
        num_fills=len(fills),
        maker_share=makers / len(fills) if fills else None,
        rejections=counted((pattern(change.reason) or "no reason given", change.reason) for change in rejected),
    )


def pattern(reason: str) -> str:
    """Return a reason with what was measured, its first number, left open, so that like is counted with like."""
    return _NUMBER.sub("…", reason, count=1)


def counted(said: Iterable[tuple[str, str]]) -> list[Count]:
    """Return how often each thing was said, most often first, with the last example of it."""
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for what, example in said:
        counts[what] += 1
        examples[what] = example
    return [
        Count(what, count, examples[what])
        for what, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
