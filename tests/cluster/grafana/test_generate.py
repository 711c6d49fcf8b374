"""The files that are shipped are those that the table makes, and what Ray writes at its start leaves them alone."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from actors.metrics import TABLE
from cluster.grafana import generate
from cluster.grafana.panels import BOARDS


@pytest.mark.parametrize("path", list(generate.files()), ids=lambda path: path.name)
def test_what_is_shipped_is_what_would_be_generated(path: Path) -> None:
    assert path.read_text() == generate.files()[path], "run python -m cluster.grafana.generate"


def test_nothing_else_lies_there() -> None:
    lying = {path for path in generate.HERE.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert lying == {path for path in generate.files() if generate.HERE in path.parents}


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_a_dashboard_is_one_that_grafana_takes(board: Any) -> None:
    made = json.loads(generate.files()[generate.HERE / "dashboards" / f"{board.uid}.json"])
    assert (made["uid"], made["title"]) == (board.uid, board.title)
    taken: Counter[tuple[int, int]] = Counter()
    for panel in made["panels"]:
        place = panel["gridPos"]
        taken.update((place["x"] + dx, place["y"] + dy) for dx in range(place["w"]) for dy in range(place["h"]))
        assert place["x"] + place["w"] <= 24
        for number, target in enumerate(panel.get("targets", [])):
            assert target["refId"] == "ABCDEFGH"[number]
            assert target["expr"]
    assert set(taken.values()) == {1}, "panels lie on one another"
    assert len({panel["id"] for panel in made["panels"]}) == len(made["panels"])
    variables = {variable["name"] for variable in made["templating"]["list"]}
    assert variables == {"datasource", "session"}


def test_prometheus_finds_the_nodes_as_ray_tells_them() -> None:
    from ray._private.ray_constants import PROMETHEUS_SERVICE_DISCOVERY_FILE

    made = yaml.safe_load(generate.files()[generate.HERE / "prometheus.yml"])
    (job,) = made["scrape_configs"]
    assert job["file_sd_configs"] == [{"files": [f"/tmp/ray/{PROMETHEUS_SERVICE_DISCOVERY_FILE}"]}]
    assert all((generate.HERE / name).is_file() for name in made["rule_files"])


def test_grafana_reads_our_folder_and_not_the_one_that_ray_deletes_at_its_start() -> None:
    from ray.dashboard.modules.metrics import templates

    provisioning = "$__env{SPYHOP_GRAFANA}/provisioning"
    assert f"provisioning = {provisioning}\n" in (generate.HERE / "grafana.ini").read_text()
    assert (generate.HERE / "provisioning" / "datasources").is_dir()
    ours, rays = yaml.safe_load((generate.HERE / "provisioning/dashboards/spyhop.yml").read_text())["providers"]
    assert ours["options"]["path"] == "${SPYHOP_GRAFANA}/dashboards"
    assert rays["options"]["path"].startswith("/tmp/ray/session_latest/metrics/grafana/")
    # the same shape as Ray's own
    (own,) = yaml.safe_load(templates.DASHBOARD_PROVISIONING_TEMPLATE.format(dashboard_output_folder="x"))["providers"]
    assert set(own) == set(ours)


def test_the_list_in_the_docs_names_every_metric() -> None:
    said = generate.listed()
    assert all(f"| `{metric.series}` | {metric.kind} |" in said for metric in TABLE)
