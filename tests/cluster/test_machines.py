from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from cluster import cli, machines
from cluster.topology import Node
from spyhop.errors import MissingInput, UserError

NODES = """
[[nodes]]
name = "head"
cpus = 0
memory_gb = 16
is_head = true

[[nodes]]
name = "m1"
cpus = 4
memory_gb = 16
labels = {role = "market"}

[[nodes]]
name = "m2"
cpus = 4
memory_gb = 16
labels = {role = "market"}

[[nodes]]
name = "s1"
cpus = 16
memory_gb = 32
labels = {role = "sweep"}
"""


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.exit_code(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("SYMBOLS", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "nodes.toml"
    path.write_text(NODES)
    return path


def test_the_table_says_who_runs_where(nodes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, "topology", "--nodes", str(nodes), "--symbols", "A,B,C,D", "--lost", "m1")
    assert code == 0
    lines = {line.split()[0]: line.rstrip() for line in out.splitlines() if line}
    assert lines["head"].endswith("nothing")
    assert lines["s1"].endswith("sweeps")
    runs = lines["m1"] + lines["m2"]
    for actor in ("executor:paper:main", "ensemble", "risk", "ledger", "conductor", *(f"feed:{one}" for one in "ABCD")):
        assert actor in runs
    assert "moves from m1 to m2" in out
    assert "every market node sees" in out


def test_json_says_the_same(nodes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(
        capsys, "topology", "--nodes", str(nodes), "--symbols", "A,B,C,D", "--lost", "m1", "--live", "--json"
    )
    told = json.loads(out)
    assert code == 0
    assert set(told["actors"].values()) == {"m1", "m2"}
    assert {"orders", "executor:live:binance-usdm:main"} <= set(told["actors"])
    assert {each["actor"] for each in told["moves"]} == {
        actor for actor, node in told["actors"].items() if node == "m1"
    }
    assert [each["node"] for each in told["sweep"]] == ["s1"]
    assert sorted(symbol for each in told["market"] for symbol in each["symbols"]) == list("ABCD")


def test_the_executors_of_two_accounts_are_apart(nodes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, "topology", "--nodes", str(nodes), "--symbols", "A,A-USD", "--live", "--json")
    actors = json.loads(out)["actors"]
    assert code == 0
    assert actors["executor:live:binance-usdm:main"] != actors["executor:live:dydx:main"]


def test_this_machine_alone_carries_a_small_session(nodes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, "topology", "--json", "--symbols", "A")
    assert code == 0
    assert set(json.loads(out)["actors"].values()) == {os.uname().nodename}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--nodes", "no.toml"], "there is no file of nodes at no.toml"),
        (["--nodes", "nodes.toml", "--address", "auto"], "exclude each other"),
        (["--nodes", "nodes.toml", "--lost", "m9"], "there is no node m9; there are head, m1, m2, s1"),
        (["--nodes", "nodes.toml", "--lost", "m1", "--lost", "m2"], "nothing may trade"),
        (["--nodes", "bad.toml"], "unknown field `cpu`"),
        (["--nodes", "torn.toml"], "torn.toml: "),
    ],
)
def test_mistakes_are_sentences(
    arguments: list[str], sentence: str, nodes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes.with_name("bad.toml").write_text(NODES.replace("cpus", "cpu"))
    nodes.with_name("torn.toml").write_text("[[nodes")
    code, out, error = said(capsys, "topology", *arguments)
    assert (code, out) == (2, "")
    assert sentence in " ".join(error.split())
    assert "Traceback" not in error


def row(**changed: Any) -> dict[str, Any]:
    return {
        "Alive": True,
        "NodeID": "a" * 56,
        "NodeManagerHostname": "m1",
        "Resources": {"CPU": 8.0, "memory": 21e9, "node:10.0.0.11": 1.0},
        "Labels": {"ray.io/node-id": "a" * 56, "role": "market"},
        **changed,
    }


def test_the_table_of_ray_is_read() -> None:
    head = row(NodeID="b" * 56, NodeManagerHostname="head", Resources={"node:__internal_head__": 1.0}, Labels={})
    found = machines.of_table([row(), head, row(NodeID="c" * 56, Alive=False)])
    assert found == [
        Node(name="m1", cpus=8.0, memory_gb=21.0, labels={"role": "market"}, id="a" * 56),
        Node(name="head", cpus=0.0, memory_gb=0.0, is_head=True, id="b" * 56),
    ]
    twins = machines.of_table([row(), row(NodeID="c" * 56)])
    assert [node.name for node in twins] == ["m1-aaaaaaaa", "m1-cccccccc"]


def test_up_and_down_are_the_commands_of_ray(
    nodes: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = nodes.with_name("ray")
    fake.write_text('#!/bin/sh\necho "told: $@"\nexit 7\n')
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(nodes.with_name("python")))
    nodes.with_name("mine.yaml").touch()
    assert cli.exit_code(["up", "mine.yaml", "-y", "--no-config-cache"]) == 7
    assert cli.exit_code(["down", "mine.yaml", "--workers-only"]) == 7
    assert capfd.readouterr().out.splitlines() == [
        "ray up mine.yaml -y --no-config-cache",
        "told: up mine.yaml -y --no-config-cache",
        "ray down mine.yaml --workers-only",
        "told: down mine.yaml --workers-only",
    ]
    with pytest.raises(MissingInput, match="no cluster file at other"):
        machines.ray_command("up", Path("other.yaml"), [])


def test_where_no_ray_answers_it_is_said_at_once() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(UserError, match=f"no Ray answers at {address}: "):
            machines.of_ray(address)
    with pytest.raises(UserError, match="expected HOST:PORT"):
        machines.of_ray("somewhere")
