"""Writes the files beside this module, and the list of metrics in docs: `python -m cluster.grafana.generate`.

Grafana is started with our own `grafana.ini`, whose provisioning folder is ours: Ray deletes and rewrites only its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from actors.metrics import TABLE
from cluster.grafana.panels import ALERTS, BOARDS, Alert, Board, Panel

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
DISCOVERY = "/tmp/ray/prom_metrics_service_discovery.json"
RAY_DASHBOARDS = "/tmp/ray/session_latest/metrics/grafana/dashboards"
SCRAPE_S = 10
_WIDTH, _HEIGHT, _PER_ROW = 6, 7, 4
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def files() -> dict[Path, str]:
    """Return the text of every generated file by its path."""
    boards = {HERE / "dashboards" / f"{board.uid}.json": _json(dashboard(board)) for board in BOARDS}
    return boards | {
        HERE / "alerts.yml": _yaml({"groups": [{"name": "spyhop", "rules": [_rule(alert) for alert in ALERTS]}]}),
        HERE / "prometheus.yml": _yaml(_prometheus()),
        HERE / "provisioning" / "dashboards" / "spyhop.yml": _yaml(_providers()),
        HERE / "provisioning" / "datasources" / "prometheus.yml": _yaml(_sources()),
        HERE / "grafana.ini": _INI,
        ROOT / "docs" / "metrics.md": listed(),
    }


def dashboard(board: Board) -> dict[str, Any]:
    """Return a dashboard as Grafana imports it."""
    panels: list[dict[str, Any]] = []
    y = 0
    for heading, several in board.rows:
        panels.append({"type": "row", "title": heading, "gridPos": {"h": 1, "w": 24, "x": 0, "y": y}})
        for number, one in enumerate(several):
            x, down = number % _PER_ROW * _WIDTH, number // _PER_ROW * _HEIGHT
            panels.append(_graph(one, {"h": _HEIGHT, "w": _WIDTH, "x": x, "y": y + 1 + down}))
        y += 1 + (len(several) + _PER_ROW - 1) // _PER_ROW * _HEIGHT
    for number, one_panel in enumerate(panels, 1):
        one_panel["id"] = number
    return {
        "uid": board.uid,
        "title": board.title,
        "tags": ["spyhop"],
        "schemaVersion": 39,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "timezone": "utc",
        "templating": {"list": [_source_variable(), _session_variable()]},
        "panels": panels,
    }


def _graph(panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    steps = [{"color": "green", "value": None}, *({"color": colour, "value": at} for at, colour in panel.steps)]
    custom = {"fillOpacity": 8, "lineWidth": 1, "showPoints": "never"}
    if panel.steps:
        custom |= {"thresholdsStyle": {"mode": "line"}}
    return {
        "type": "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "custom": custom,
                "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + number), "expr": query.expr, "legendFormat": query.legend, "datasource": _SOURCE}
            for number, query in enumerate(panel.queries)
        ],
    }


def _source_variable() -> dict[str, Any]:
    return {"name": "datasource", "type": "datasource", "query": "prometheus", "hide": 2}


def _session_variable() -> dict[str, Any]:
    asked = f"label_values({next(metric.series for metric in TABLE if metric.name == 'beats')}, SessionName)"
    return {
        "name": "session",
        "label": "Session of Ray",
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": asked, "refId": "session"},
        "definition": asked,
        "refresh": 2,
        "sort": 2,
        "includeAll": True,
        "allValue": ".+",
        "multi": False,
    }


def _rule(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expr,
        "for": alert.lasts,
        "labels": {"severity": alert.severity},
        "annotations": {"summary": alert.says},
    }


def _prometheus() -> dict[str, Any]:
    every = {"scrape_interval": f"{SCRAPE_S}s", "evaluation_interval": f"{SCRAPE_S}s"}
    return {
        "global": every,
        "rule_files": ["alerts.yml"],
        "scrape_configs": [{"job_name": "ray", "file_sd_configs": [{"files": [DISCOVERY]}]}],
    }


def _providers() -> dict[str, Any]:
    places = (("Spyhop", "${SPYHOP_GRAFANA}/dashboards"), ("Ray", RAY_DASHBOARDS))
    return {
        "apiVersion": 1,
        "providers": [
            {"name": name, "folder": name, "type": "file", "options": {"path": path}} for name, path in places
        ],
    }


def _sources() -> dict[str, Any]:
    source = {
        "name": "Prometheus",
        "type": "prometheus",
        "access": "proxy",
        "url": "http://localhost:9090",
        "isDefault": True,
    }
    return {"apiVersion": 1, "datasources": [source]}


_INI = """[server]
http_addr = 127.0.0.1

[security]
allow_embedding = true

[auth.anonymous]
enabled = true
org_role = Viewer

[paths]
provisioning = $__env{SPYHOP_GRAFANA}/provisioning
"""


def listed() -> str:
    """Return the list of metrics and of alerts as Markdown."""
    lines = [
        "# Metrics",
        "",
        "Generated by `python -m cluster.grafana.generate` from `actors/metrics.py` and `cluster/grafana/panels.py`.",
        "",
        "Each series has `actor` and `code`, and what Ray adds (`SessionName`, `WorkerId`, ...). An actor",
        "that is started again is a new worker, so ask for `max by (actor)` of a number, and for",
        "`sum by (actor) (rate(...))` of what grows. A counter that has counted nothing is not there.",
        "Ray brings numbers to its endpoint every 10 s. Of a worker that died gauges go within 15 s, counters stay:",
        "ask for those of the living by `... and on (WorkerId) ray_spyhop_alive`.",
        "",
    ]
    lines += _table(
        ("name", "kind", "of", "what", "codes"),
        ((f"`{one.series}`", one.kind, one.by, _what(one.what, one.is_live), _codes(one.codes)) for one in TABLE),
    )
    lines += ["", "## Alerts", ""]
    lines += _table(
        ("alert", "when", "for", "severity"),
        ((one.name, f"`{one.expr}`", one.lasts, one.severity) for one in ALERTS),
    )
    return "\n".join(lines) + "\n"


def _what(what: str, is_live: bool) -> str:
    return f"{what} (live venues)" if is_live else what


def _codes(codes: dict[str, str]) -> str:
    return ", ".join(dict.fromkeys(code for code in codes.values() if code))


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return [f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in row)} |" for row in lines]


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2) + "\n"


def _yaml(value: dict[str, Any]) -> str:
    text: str = yaml.safe_dump(value, sort_keys=False, width=200)
    return "# Generated by python -m cluster.grafana.generate\n" + text


def main() -> None:
    """Write every file."""
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
