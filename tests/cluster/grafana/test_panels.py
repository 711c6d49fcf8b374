"""Queries ask for what there is: names of the table, labels that we give, in expressions that close."""

from __future__ import annotations

import re

import pytest

from actors.metrics import TABLE, TAGS, Kind
from cluster.grafana.panels import ALERTS, BOARDS, latest, panel, quantiles, rate

QUERIES = [
    (f"{board.title}: {one.title}", query.expr)
    for board in BOARDS
    for _, several in board.rows
    for one in several
    for query in one.queries
] + [(alert.name, alert.expr) for alert in ALERTS]
SERIES = {
    f"{metric.series}{suffix}": metric
    for metric in TABLE
    for suffix in (("_bucket", "_sum", "_count") if metric.kind is Kind.HISTOGRAM else ("",))
}


@pytest.mark.parametrize("expr", [expr for _, expr in QUERIES], ids=[name for name, _ in QUERIES])
def test_a_query_asks_for_what_the_table_names(expr: str) -> None:
    names = re.findall(r"\bray_\w+", expr)
    assert names
    assert set(names) <= set(SERIES)
    # what only grows is asked for how fast, or as the newest of all lives; a gauge's rate says nothing
    for name in re.findall(r"rate\((ray_\w+)", expr):
        assert SERIES[name].kind is not Kind.GAUGE
    labels = {label.strip() for group in re.findall(r"by \(([^)]*)\)", expr) for label in group.split(",")}
    assert labels <= {*TAGS, "le"}
    assert set(re.findall(r"(\w+)=~?\"", expr)) <= {*TAGS, "SessionName"}
    assert all(expr.count(one) == expr.count(other) for one, other in ("()", "{}", "[]"))


def test_every_metric_is_on_a_dashboard() -> None:
    asked = " ".join(expr for _, expr in QUERIES)
    assert [metric.name for metric in TABLE if f"{metric.series}{{" not in asked.replace("_bucket{", "{")] == []


def test_alerts_have_names_of_their_own_and_say_something() -> None:
    assert len({alert.name for alert in ALERTS}) == len(ALERTS)
    assert {alert.severity for alert in ALERTS} == {"page", "warning"}
    assert all(alert.says.endswith(".") and re.fullmatch(r"\d+[sm]", alert.lasts) for alert in ALERTS)
    watched = " ".join(alert.expr for alert in ALERTS)
    for name in ("risk_state", "drawdown", "feed_mode", "lag_s", "outage_s", "beats_total"):
        assert f"ray_spyhop_{name}" in watched


def test_a_query_says_what_it_is_of() -> None:
    assert latest("equity").expr == 'max by (actor) (ray_spyhop_equity{SessionName=~"$session"})'
    assert latest("orders", "code").expr == (
        'max by (code) (ray_spyhop_orders_total{SessionName=~"$session"}'
        ' and on (WorkerId) ray_spyhop_alive{SessionName=~"$session"})'
    )
    assert rate("orders", "actor, code").legend == "{{actor}} {{code}}"
    assert [query.legend for query in quantiles("decision_seconds")] == ["p50", "p99"]
    assert "ray_spyhop_decision_seconds_bucket{" in quantiles("decision_seconds")[0].expr
    both = panel("two", "none", latest("open_trips"), latest("live_orders"))
    assert [query.legend for query in both.queries] == ["open_trips {{actor}}", "live_orders {{actor}}"]
    assert "round trips under way" in both.about


def test_a_distribution_is_not_asked_for_as_a_number() -> None:
    with pytest.raises(AssertionError, match="decision_seconds"):
        latest("decision_seconds")
