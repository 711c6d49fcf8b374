"""The image: how it is built, what is in it, who runs it."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tests.k8s.conftest import K8S
from tests.k8s.pods import pods
from tests.k8s.rendering import Object

ROOT = K8S.parent
HEAVY = frozenset(("torch", "tensorflow", "jax", "xgboost", "lightning"))


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions in order, continued lines joined."""
    text = re.sub(r"\\\n", " ", "\n".join(_without_comments((K8S / "Dockerfile").read_text())))
    return [(name, " ".join(rest.split())) for name, _, rest in (line.partition(" ") for line in text.splitlines())]


def _without_comments(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def stages() -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for name, rest in instructions():
        if name == "FROM":
            found.append([])
        found[-1].append((name, rest))
    return found


def told(stage: list[tuple[str, str]], name: str) -> list[str]:
    return [rest for said, rest in stage if said == name]


@pytest.fixture(scope="module")
def project() -> dict[str, dict[str, object]]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_only_known_instructions_are_used() -> None:
    known = {"FROM", "RUN", "COPY", "ENV", "WORKDIR", "USER", "ENTRYPOINT"}
    assert {name for name, _ in instructions()} <= known


def test_there_are_three_stages_of_one_pinned_python(project: dict[str, dict[str, object]]) -> None:
    bases = [rest.split()[0] for name, rest in instructions() if name == "FROM"]
    assert len(bases) == 3
    [base] = set(bases)
    match = re.fullmatch(r"python:(\d+\.\d+\.\d+)-slim-\w+", base)
    assert match
    assert match[1] in SpecifierSet(str(project["project"]["requires-python"]))


def test_every_room_of_the_wheel_is_copied_and_nothing_else() -> None:
    tables = tomllib.loads((ROOT / "pyproject.toml").read_text())
    rooms = tables["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    copied = [source for rest in told(stages()[0], "COPY") for source in rest.split()[:-1]]
    named = [name for key in ("readme", "license-files") for name in listed(tables["project"][key])]
    assert sorted(copied) == sorted([*rooms, "pyproject.toml", "CHANGELOG.md", *named])
    assert all((ROOT / source).exists() for source in copied)


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def test_what_is_left_out_leaves_in_what_is_copied() -> None:
    lines = _without_comments((K8S / "Dockerfile.dockerignore").read_text())
    assert lines[0] == "*"
    permitted = {line[1:] for line in lines if line.startswith("!")}
    copied = {source for rest in told(stages()[0], "COPY") for source in rest.split()[:-1]}
    assert permitted == copied
    assert "**/.env" in lines


def test_kernels_are_compiled_at_the_build_for_the_machine_that_runs_them() -> None:
    _, installed, final = stages()
    settings = {}
    for stage in (installed, final):
        for rest in told(stage, "ENV"):
            settings.setdefault(id(stage), {}).update(dict(re.findall(r"(\w+)=(\S+)", rest)))
    build, run = settings.values()
    names = ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "SPYHOP_KERNEL_CACHE")
    assert {name: build[name] for name in names} == {name: run[name] for name in names}
    commands = told(installed, "RUN")
    touched = next(at for at, command in enumerate(commands) if "touch --date=" in command)
    prepared = next(at for at, command in enumerate(commands) if "kernels.prepare()" in command)
    assert touched < prepared == len(commands) - 1
    date = re.search(r"--date=(\S+)", commands[touched])
    assert date
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", date[1]), "whole seconds, which an image keeps"


def test_the_kernels_of_the_image_are_what_pods_copy(objects: list[Object]) -> None:
    [home] = {
        value
        for rest in told(stages()[2], "ENV")
        for name, value in re.findall(r"(\w+)=(\S+)", rest)
        if name == "SPYHOP_KERNEL_CACHE"
    }
    sources = {pod.spec["initContainers"][0]["command"][-2] for pod in pods(objects) if pod.is_ray}
    assert sources == {f"{home}/."}


def test_it_runs_as_the_user_that_pods_ask_for(objects: list[Object]) -> None:
    final = stages()[2]
    [user] = told(final, "USER")
    number, group = map(int, user.split(":"))
    assert number > 0
    for pod in pods(objects):
        if any("spyhop:" in container["image"] for container in pod.containers):
            assert (pod.spec["securityContext"]["runAsUser"], pod.spec["securityContext"]["runAsGroup"]) == (
                number,
                group,
            )
    at_user = [name for name, _ in final].index("USER")
    assert not told(final[at_user:], "RUN"), "what comes after is not done by root"


def test_ray_is_found_by_a_login_shell_and_by_any_other() -> None:
    final = stages()[2]
    [profile] = [rest for rest in told(final, "RUN") if "/etc/profile.d/" in rest]
    assert "/opt/spyhop/venv/bin:$PATH" in profile
    assert any("PATH=/opt/spyhop/venv/bin:$PATH" in rest for rest in told(final, "ENV"))
    assert any("wget" in rest for rest in told(final, "RUN"))


def test_nothing_heavy_is_in_the_image() -> None:
    extras = re.findall(r"spyhop-\*\.whl\)\[(\w+)\]", (K8S / "Dockerfile").read_text())
    assert extras == ["postgres"]
    reached = closure("spyhop", frozenset(extras))
    assert {"ray", "numba", "psycopg"} <= reached
    assert reached & HEAVY == set()


def closure(name: str, extras: frozenset[str]) -> set[str]:
    """Return the names of all that installing a distribution with some extras brings."""
    reached: dict[str, frozenset[str]] = {}
    waiting = [(name, extras)]
    while waiting:
        name, extras = waiting.pop()
        name = re.sub(r"[-_.]+", "-", name).lower()
        if name in reached and extras <= reached[name]:
            continue
        reached[name] = reached.get(name, frozenset()) | extras
        try:
            requirements = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for text in requirements:
            requirement = Requirement(text)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *reached[name])):
                waiting.append((requirement.name, frozenset(requirement.extras)))
    return set(reached)


def test_the_files_named_here_are_there() -> None:
    assert Path(K8S / "Dockerfile.dockerignore").is_file()
