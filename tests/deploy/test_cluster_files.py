"""The files that `ray up` reads: Ray accepts them, misspelt ones not, and what they start is what is meant."""

from __future__ import annotations

import ast
import copy
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from cluster.topology import MARKET_SELECTOR, SWEEP_SELECTOR

ROOT = Path(__file__).resolve().parent.parent.parent
FILES = ("onprem", "aws", "gcp")
CLOUDS = ("aws", "gcp")
NOTICED_WITHIN_S = 5.0


def document(name: str) -> dict[str, Any]:
    # through JSON, so that what the file says once and means thrice is three things
    read: dict[str, Any] = json.loads(json.dumps(yaml.safe_load((ROOT / "cluster" / f"{name}.yaml").read_text())))
    return read


def closed(**properties: Any) -> dict[str, Any]:
    """A table of exactly these keys, each of which must be there, unless its name ends with a question mark."""
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {key.rstrip("_"): value for key, value in properties.items()},
        "required": [key for key in properties if not key.endswith("_")],
    }


def many(item: Any) -> dict[str, Any]:
    return {"type": "array", "items": item, "minItems": 1}


TEXT, COUNT, FLAG = {"type": "string", "minLength": 1}, {"type": "integer", "minimum": 1}, {"type": "boolean"}

# what Ray's schema leaves open: keys of EC2's RunInstances and of Compute Engine's instances.insert that we use
PROVIDER = {
    "local": closed(type=TEXT, head_ip=TEXT, worker_ips=many(TEXT)),
    "aws": closed(
        type=TEXT, region=TEXT, availability_zone=TEXT, use_internal_ips={"const": True}, cache_stopped_nodes=FLAG
    ),
    "gcp": closed(type=TEXT, region=TEXT, availability_zone=TEXT, project_id=TEXT, use_internal_ips={"const": True}),
}
NODE_CONFIG = {
    "aws": closed(
        InstanceType=TEXT,
        ImageId=TEXT,
        SubnetIds=many(TEXT),
        SecurityGroupIds=many(TEXT),
        BlockDeviceMappings=many(
            closed(DeviceName=TEXT, Ebs=closed(VolumeSize=COUNT, VolumeType=TEXT, DeleteOnTermination_=FLAG))
        ),
        InstanceMarketOptions_=closed(MarketType={"const": "spot"}),
    ),
    "gcp": closed(
        machineType=TEXT,
        disks=many(
            closed(
                boot_=FLAG,
                autoDelete=FLAG,
                type=TEXT,
                initializeParams_=closed(diskSizeGb=COUNT, sourceImage=TEXT),
                source_=TEXT,
                deviceName_=TEXT,
            )
        ),
        networkInterfaces=many(closed(subnetwork=TEXT)),
        scheduling_=many(closed(preemptible=FLAG)),
    ),
}
NODE_TYPE = {
    "properties": {"resources": closed(CPU={"type": "integer"}), "labels": closed(role={"enum": ["market", "sweep"]})},
    "required": ["labels"],
}
HEAD_TYPE = {"properties": {"resources": closed(CPU={"const": 0}), "labels": closed(role={"const": "head"})}}


def examine(read: dict[str, Any]) -> None:
    """Raise for whatever is wrong with a file, first as `ray up` would."""
    import jsonschema
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(copy.deepcopy(read)))
    kind = read["provider"]["type"]
    jsonschema.validate(read["provider"], PROVIDER[kind])
    jsonschema.validate(read["auth"], closed(ssh_user=TEXT, ssh_private_key_=TEXT))
    assert set(read["file_mounts"]) == {"~/spyhop/wheels", "~/.ray/auth_token"}
    for name, node in read.get("available_node_types", {}).items():
        jsonschema.validate(node, HEAD_TYPE if name == read["head_node_type"] else NODE_TYPE)
        jsonschema.validate(node["node_config"], NODE_CONFIG[kind])
        if name != read["head_node_type"]:
            assert node["min_workers"] <= node["max_workers"]
    for needed in ("setup_commands", "head_start_ray_commands", "worker_start_ray_commands"):
        assert read[needed]


def keys_of(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key)
            yield from keys_of(inner, (*path, key))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from keys_of(inner, (*path, at))


def misspelt(read: dict[str, Any], path: tuple[Any, ...]) -> dict[str, Any]:
    changed = copy.deepcopy(read)
    table = changed
    for step in path[:-1]:
        table = table[step]
    table[path[-1][:-1]] = table.pop(path[-1])
    return changed


# names that are ours to give, and those that Ray has a value for without us
OURS = {("available_node_types", "market"), ("available_node_types", "sweep")}


def mistakes() -> Iterator[Any]:
    for name in FILES:
        for path in keys_of(document(name)):
            if path not in OURS:
                yield pytest.param(name, path, id=f"{name}:{'.'.join(map(str, path))}")


@pytest.mark.parametrize("name", FILES)
def test_ray_accepts_it(name: str) -> None:
    examine(document(name))


@pytest.mark.parametrize(("name", "path"), list(mistakes()))
def test_a_misspelt_key_is_refused(name: str, path: tuple[Any, ...], capsys: pytest.CaptureFixture[str]) -> None:
    import jsonschema

    with pytest.raises((jsonschema.ValidationError, ValueError, KeyError, AssertionError, click.ClickException)):
        examine(misspelt(document(name), path))
    capsys.readouterr()


# What the commands do is seen by doing them, in a home of their own, with a `ray` that only writes down what it is told

FAKE_RAY = f"""#!{sys.executable}
import json, os, sys
told = {{"arguments": sys.argv[1:], "environment": {{k: v for k, v in os.environ.items() if k.startswith("RAY_")}}}}
with open(os.environ["TOLD"], "a") as file:
    file.write(json.dumps(told) + "\\n")
"""
FAKES = {"ray": FAKE_RAY, "sudo": "#!/bin/sh\n", "mountpoint": "#!/bin/sh\n"}


def started(home: Path, commands: list[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Run start commands in bash; return what `ray start` would do, by its own parser, and Ray's environment then."""
    from ray.scripts.scripts import start

    tools, told = home / "tools", home / "told"
    tools.mkdir()
    for name, text in FAKES.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    environment = {"HOME": str(home), "PATH": f"{tools}:/usr/bin:/bin", "TOLD": str(told), "RAY_HEAD_IP": "10.0.0.10"}
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command], env=environment, capture_output=True, text=True, check=False, timeout=20
        )
        assert done.returncode == 0, done.stderr
    said = [json.loads(line) for line in told.read_text().splitlines()]
    assert [each["arguments"][0] for each in said] == ["stop", "start"]
    with start.make_context("ray start", list(said[1]["arguments"][1:])) as context:
        return context.params, said[1]["environment"]


@pytest.fixture
def head(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    from ray.autoscaler._private.util import with_envs

    commands = document(request.param)["head_start_ray_commands"]
    # as `ray up` does it, unless its own variable says otherwise
    return started(tmp_path, with_envs(commands, {"RAY_enable_autoscaler_v2": "1"}))


@pytest.fixture
def worker(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    return started(tmp_path, document(request.param)["worker_start_ray_commands"])


@pytest.mark.parametrize("head", FILES, indirect=True)
def test_the_head_works_for_nobody_and_is_seen_by_nobody(head: tuple[dict[str, Any], dict[str, str]]) -> None:
    told, environment = head
    assert told["head"] is True
    assert told["num_cpus"] == 0
    assert told["dashboard_host"] == "127.0.0.1"
    assert told["autoscaling_config"].endswith("/ray_bootstrap_config.yaml")
    assert environment["RAY_AUTH_MODE"] == "token"


@pytest.mark.parametrize("head", FILES, indirect=True)
def test_what_ray_knows_lies_on_a_disk(head: tuple[dict[str, Any], dict[str, str]], tmp_path: Path) -> None:
    _, environment = head
    assert environment["RAY_gcs_storage"] == "rocksdb"
    path = Path(environment["RAY_gcs_storage_path"])
    assert path.is_dir() if path.is_relative_to(tmp_path) else path.is_relative_to("/mnt/spyhop")
    assert not path.is_relative_to("/tmp/ray")


@pytest.mark.parametrize("head", FILES, indirect=True)
def test_a_dead_node_is_noticed_in_time(head: tuple[dict[str, Any], dict[str, str]]) -> None:
    _, environment = head
    period, timeout, threshold = (
        int(environment[f"RAY_health_check_{name}"]) for name in ("period_ms", "timeout_ms", "failure_threshold")
    )
    # it dies just after an answer, and every question that follows waits for its whole time
    assert (period + threshold * (period + timeout)) / 1000 < NOTICED_WITHIN_S
    assert threshold >= 3  # a head under load may miss an answer or two


@pytest.mark.parametrize(("head", "is_v2"), [("onprem", "0"), ("aws", "1"), ("gcp", "1")], indirect=["head"])
def test_the_autoscaler_is_the_one_that_works(head: tuple[dict[str, Any], dict[str, str]], is_v2: str) -> None:
    assert head[1]["RAY_enable_autoscaler_v2"] == is_v2


@pytest.mark.parametrize("worker", FILES, indirect=True)
def test_a_worker_joins_by_token_and_is_not_niced(worker: tuple[dict[str, Any], dict[str, str]]) -> None:
    told, environment = worker
    assert told["address"] == "10.0.0.10:6379"
    assert environment["RAY_AUTH_MODE"] == "token"
    assert environment["RAY_worker_niceness"] == "0"


@pytest.mark.parametrize("name", FILES)
def test_a_worker_that_works_for_this_head_is_not_stopped(name: str, tmp_path: Path) -> None:
    # whoever starts the head anew starts the workers' commands, too: what trades there must not end
    told = tmp_path / "told"
    for tool, text in {"ray": f"#!/bin/sh\necho $1 >> {told}\n", "python": "#!/bin/sh\nexit $MEMBER\n"}.items():
        (tmp_path / tool).write_text(text)
        (tmp_path / tool).chmod(0o755)
    for member, done in (("0", ""), ("1", "stop\nstart\n")):
        told.write_text("")
        environment = {"HOME": str(tmp_path), "PATH": f"{tmp_path}:/usr/bin:/bin", "RAY_HEAD_IP": "10.0.0.10"}
        for command in document(name)["worker_start_ray_commands"]:
            subprocess.run(["bash", "-c", command], env=environment | {"MEMBER": member}, check=True, timeout=20)
        assert told.read_text() == done


@cache
def known_to_ray() -> frozenset[bytes]:
    """Every variable that Ray's programs and modules name."""
    import ray

    home = Path(ray.__file__).parent
    programs = [home / "core/src/ray/gcs/gcs_server", home / "core/src/ray/raylet/raylet", home / "_raylet.so"]
    name = re.compile(rb"RAY_[A-Za-z0-9_]+")
    return frozenset(found for path in (*programs, *home.rglob("*.py")) for found in name.findall(path.read_bytes()))


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_ray_knows_every_variable(name: str) -> None:
    used = set(re.findall(rb"RAY_[A-Za-z0-9_]*[A-Za-z0-9]\b", (ROOT / "cluster" / f"{name}.yaml").read_bytes()))
    assert len(used) > 8
    assert used <= known_to_ray()
    assert b"RAY_worker_nicenes" not in known_to_ray()


@pytest.mark.parametrize("name", FILES)
def test_the_token_is_carried_and_private(name: str) -> None:
    read = document(name)
    assert read["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert "chmod 600 ~/.ray/auth_token" in read["setup_commands"]


@pytest.mark.parametrize("name", FILES)
def test_kernels_are_compiled_at_set_up_by_a_call_that_exists(name: str) -> None:
    (command,) = (each for each in document(name)["setup_commands"] if "python -c" in each)
    code = re.search(r"-c '([^']*)'", command)
    assert code is not None
    imported, called = ast.parse(code[1]).body
    assert isinstance(imported, ast.ImportFrom)
    module = importlib.import_module(f"{imported.module}.{imported.names[0].name}")
    assert isinstance(called, ast.Expr)
    assert isinstance(called.value, ast.Call)
    assert isinstance(called.value.func, ast.Attribute)
    assert callable(getattr(module, called.value.func.attr))


@pytest.mark.parametrize("name", FILES)
def test_every_command_is_a_sentence_of_the_shell(name: str) -> None:
    read = document(name)
    commands = [each for key, value in read.items() if key.endswith("commands") for each in value]
    assert len(commands) > 8
    for command in commands:
        done = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, (command, done.stderr)


@pytest.mark.parametrize("name", FILES)
def test_nothing_secret_stands_in_it(name: str) -> None:
    text = (ROOT / "cluster" / f"{name}.yaml").read_text().lower()
    assert not re.search(r"api_?key|api_?secret|mnemonic|passphrase|password|auth_token\s*=", text)
    assert "0.0.0.0" not in text
    assert "accessconfigs:" not in text


def test_a_machine_of_ones_own_trades_unless_its_file_says_otherwise(tmp_path: Path) -> None:
    from ray._private.label_utils import parse_node_labels_from_yaml_file

    read = document("onprem")
    (tmp_path / "spyhop").mkdir()
    labels = tmp_path / "spyhop" / "labels.yaml"
    for given, expected in ((None, MARKET_SELECTOR), ("role: sweep\n", {"role": "sweep"})):
        labels.unlink(missing_ok=True)
        if given:
            labels.write_text(given)
        for command in read["worker_setup_commands"]:
            subprocess.run(["bash", "-c", command], env={"HOME": str(tmp_path)}, check=True)
        assert parse_node_labels_from_yaml_file(str(labels)) == expected
    shutil.rmtree(tmp_path / "spyhop")
    told, _ = started(tmp_path, read["worker_start_ray_commands"])
    assert told["labels_file"] == str(labels)


@pytest.mark.parametrize("name", CLOUDS)
def test_market_nodes_are_fixed_and_sweep_nodes_come_and_go(name: str) -> None:
    types = document(name)["available_node_types"]
    market, sweep = types["market"], types["sweep"]
    assert market["min_workers"] == market["max_workers"] >= 2
    assert (sweep["min_workers"], sweep["max_workers"] > 0) == (0, True)
    assert market["labels"] == MARKET_SELECTOR
    assert SWEEP_SELECTOR == {"role": "!market"}
    assert sweep["labels"] != MARKET_SELECTOR
    assert sweep["resources"]["CPU"] > 0
    assert market["max_workers"] + sweep["max_workers"] <= document(name)["max_workers"]
    # only what may be lost runs on machines that can be taken away
    assert [kind for kind, node in types.items() if re.search("spot|preemptible", json.dumps(node))] == ["sweep"]


def test_disks_that_matter_outlive_their_machines() -> None:
    aws, gcp = (document(name)["available_node_types"] for name in CLOUDS)
    for kind in ("head", "market"):
        (disk,) = aws[kind]["node_config"]["BlockDeviceMappings"]
        assert disk["Ebs"]["DeleteOnTermination"] is False
    (gcs,) = (disk for disk in gcp["head"]["node_config"]["disks"] if "source" in disk)
    assert gcs["autoDelete"] is False
    assert any(gcs["deviceName"] in command for command in document("gcp")["head_start_ray_commands"])
    assert gcp["market"]["node_config"]["disks"][0]["autoDelete"] is False


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("head", ["onprem"], indirect=True)
def test_a_killed_and_a_frozen_node_are_noticed(head: tuple[dict[str, Any], dict[str, str]]) -> None:
    _, shipped = head
    settings = {name: value for name, value in shipped.items() if name.startswith("RAY_health_check_")}
    # a node that is new is left alone for five seconds, which nobody needs to wait for here
    environment = {**os.environ, **settings, "RAY_AUTH_MODE": "disabled", "RAY_health_check_initial_delay_ms": "0"}
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("lost_nodes.py"))],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    noticed = json.loads(done.stdout.splitlines()[-1])
    assert noticed["killed"] < NOTICED_WITHIN_S
    assert noticed["frozen"] < NOTICED_WITHIN_S
