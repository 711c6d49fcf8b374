"""Every entrypoint through our own command line, every settings file through our own loader, Serve's through Ray's."""

from __future__ import annotations

import json
import shlex
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import typer
import yaml
from sqlalchemy.engine import make_url

from spyhop.config.loading import Sources, load
from spyhop.config.settings import Settings
from spyhop.errors import SpyhopError
from tests.k8s.pods import jobs, pods
from tests.k8s.rendering import Object


def settings_of(overlay: Path, tmp_path: Path) -> Settings:
    in_force, _ = load(Sources(file=overlay / "spyhop.toml", folder=tmp_path))
    return in_force.settings


def parsed(entrypoint: str) -> tuple[str, dict[str, Any]]:
    """Return the command and its options as our command line reads them; nothing is run."""
    from cluster.cli import app

    program, *arguments = shlex.split(entrypoint)
    assert program == "spyhop"
    root: Any = typer.main.get_command(app)
    context = root.make_context(program, arguments)
    name, command, rest = root.resolve_command(context, [*context._protected_args, *context.args])
    made = command.make_context(name, list(rest), parent=context)
    return name, made.params


@pytest.fixture
def entrypoints(objects: list[Object]) -> dict[str, str]:
    return {name: job["entrypoint"] for name, job in jobs(objects).items()}


def test_our_command_line_reads_every_entrypoint(entrypoints: dict[str, str], overlay: Path) -> None:
    commands = {name: parsed(entrypoint)[0] for name, entrypoint in entrypoints.items()}
    expected = {"spyhop-sweep": "sweep", "spyhop-daily-report": "report"}
    # a live session is started by a person, who types a word
    assert commands == (expected | {"spyhop-session": "run"} if overlay.name == "paper" else expected)


def test_a_misspelt_option_is_noticed(entrypoints: dict[str, str]) -> None:
    for entrypoint in entrypoints.values():
        with pytest.raises(Exception, match=r"(?i)no such option") as told:
            parsed(entrypoint.replace("--config", "--confg"))
        assert hasattr(told.value, "format_message")


def test_reports_and_sessions_are_of_the_overlays_own_mode(entrypoints: dict[str, str], overlay: Path) -> None:
    is_live = overlay.name == "live"
    for name in entrypoints.keys() - {"spyhop-sweep"}:
        _, options = parsed(entrypoints[name])
        assert (options["live"], options["paper"]) == (is_live, not is_live), name


def test_every_file_of_an_entrypoint_is_mounted_where_it_runs(objects: list[Object], tmp_path: Path) -> None:
    where = {pod.name: pod for pod in pods(objects)}
    drivers = {
        "spyhop-session": "spyhop-trading/market",
        "spyhop-sweep": "spyhop-sweep/head",
        "spyhop-daily-report": "spyhop-daily-report/head",
    }
    [settings] = [made for made in objects if made["metadata"]["name"] == "spyhop-settings"]
    for name, job in jobs(objects).items():
        _, options = parsed(job["entrypoint"])
        container = where[drivers[name]].spec["containers"][0]
        writable = {mount["mountPath"]: not mount.get("readOnly", False) for mount in container["volumeMounts"]}
        config = PurePosixPath(options["config"])
        assert str(config.parent) in writable
        assert config.name in settings["data"]
        if out := options.get("out"):
            assert writable[f"/{PurePosixPath(out).parts[1]}"], name
        if lake := options.get("lake"):
            assert lake in writable


def test_a_sessions_driver_runs_where_the_exchanges_are_reached(objects: list[Object], overlay: Path) -> None:
    if overlay.name == "live":
        assert "spyhop-session" not in jobs(objects)
        return
    asked = json.loads(jobs(objects)["spyhop-session"]["entrypointResources"])
    [trading] = [made for made in objects if made["kind"] == "RayCluster"]
    groups = (trading["spec"]["headGroupSpec"], *trading["spec"]["workerGroupSpecs"])
    able = [
        group.get("groupName", "head")
        for group in groups
        if all(float(group.get("resources", {}).get(name, 0)) >= amount for name, amount in asked.items())
    ]
    assert able == ["market"]


def test_settings_are_ours_and_point_at_what_is_mounted(objects: list[Object], overlay: Path, tmp_path: Path) -> None:
    settings = settings_of(overlay, tmp_path)
    session = settings.session
    assert session.speed == 1
    [settings_map] = [made for made in objects if made["metadata"]["name"] == "spyhop-settings"]
    assert settings_map["data"]["spyhop.toml"] == (overlay / "spyhop.toml").read_text()
    by_role = {pod.role: pod for pod in pods(objects)}
    mounts = {mount["mountPath"] for mount in by_role["market"].spec["containers"][0]["volumeMounts"]}
    assert f"/{PurePosixPath(session.runs).parts[1]}" in mounts

    url = make_url(session.ledger_url)
    [database] = by_role["ledger"].spec["containers"]
    given = {variable["name"]: variable["value"] for variable in database["env"]}
    assert (url.username, url.database) == (given["POSTGRES_USER"], given["POSTGRES_DB"])
    assert url.host in {made["metadata"]["name"] for made in objects if made["kind"] == "Service"}
    assert url.password is None


def test_a_misspelt_setting_is_noticed(overlay: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text((overlay / "spyhop.toml").read_text().replace("symbols", "symbls"))
    with pytest.raises(SpyhopError, match="symbls"):
        load(Sources(file=wrong, folder=tmp_path))


def test_what_the_sweep_varies_is_a_setting(entrypoints: dict[str, str], overlay: Path, tmp_path: Path) -> None:
    from tune.grounds import is_cheap, own_paths
    from tune.space import parsed as space_of

    _, options = parsed(entrypoints["spyhop-sweep"])
    objective = options["objective"]
    base = settings_of(overlay, tmp_path)
    space = space_of(options["param"], own_paths(objective), base, is_cheap=is_cheap(objective))
    assert len(list(space.grid())) == 9


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`")
def test_serve_is_told_only_what_it_knows(objects: list[Object]) -> None:
    from ray.serve.schema import ServeDeploySchema

    from serve.app import build

    [models] = [made for made in objects if made["kind"] == "RayService"]
    said = yaml.safe_load(models["spec"]["serveConfigV2"])
    understood = ServeDeploySchema.model_validate(said)
    assert unread(said, understood) == []
    # it reads a misspelt key and says nothing, so the comparison above is what notices
    said["applications"][0]["deployments"][0]["num_replica"] = 2
    assert unread(said, ServeDeploySchema.model_validate(said)) == ["num_replica"]

    [application] = understood.applications
    assert application.import_path == "serve.app:build"
    assert [deployment.name for deployment in application.deployments] == [build({})._bound_deployment.name]
    [group] = models["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    [container] = group["template"]["spec"]["containers"]
    assert {"name": "serve", "containerPort": understood.http_options.port} in container["ports"]


def unread(said: Any, understood: Any) -> list[str]:
    """Return the keys that a model did not take."""
    if isinstance(said, list):
        return [key for one, model in zip(said, understood, strict=True) for key in unread(one, model)]
    if isinstance(said, dict) and hasattr(type(understood), "model_fields"):
        fields = type(understood).model_fields
        return [key for key in said if key not in fields] + [
            deeper for key, value in said.items() if key in fields for deeper in unread(value, getattr(understood, key))
        ]
    return []


def test_nothing_that_trades_is_in_the_service_of_models(objects: list[Object]) -> None:
    [models] = [made for made in objects if made["kind"] == "RayService"]
    for pod in pods([models]):
        assert "spyhop.dev/exchanges" not in pod.labels
        assert pod.labels.get("role") != "market"
        assert pod.secrets == set()
