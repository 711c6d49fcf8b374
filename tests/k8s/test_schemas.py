"""Every object against the schema of its kind, closed: a misspelt field is an error, not silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.k8s.conftest import K8S
from tests.k8s.rendering import Object, build
from tests.k8s.schemas import Definitions, misspelt, places

KUBERNETES = "1.33"
RAY = "ray.io/v1"
MONITORING = "monitoring.coreos.com/v1"
# maps whose keys are ours to choose
OPEN = ("labels", "matchLabels", "limits", "requests", "rayStartParams", "resources", "clusterSelector", "data")

POD_MONITOR: Object = {
    "selector": {"matchLabels": {}, "matchExpressions": [{"key": "", "operator": "", "values": [""]}]},
    "podTargetLabels": [""],
    "podMetricsEndpoints": [{"port": "", "interval": "", "scrapeTimeout": ""}],
}
"""All that our monitors say, after the prometheus-operator's API reference; its definitions are not at hand."""


@pytest.fixture(scope="session")
def definitions(recordings: Path) -> Definitions:
    folder = recordings / "kuberay_crds"
    if not folder.is_dir():
        pytest.skip(f"KubeRay's definitions are not at {folder}")
    return Definitions(folder)


def of(objects: list[Object], api: str) -> list[Object]:
    return [made for made in objects if made["apiVersion"] == api]


def test_both_overlays_hold_every_kind_that_the_system_is_made_of(objects: list[Object]) -> None:
    kinds = {made["kind"] for made in objects}
    assert kinds >= {
        "RayCluster", "RayService", "RayJob", "RayCronJob", "StatefulSet", "Service", "PodDisruptionBudget",
        "NetworkPolicy", "PodMonitor", "PersistentVolumeClaim", "ConfigMap", "Namespace",
    }  # fmt: skip
    assert "Secret" not in kinds


def test_no_two_objects_have_one_name(objects: list[Object]) -> None:
    names = [(made["kind"], made["metadata"]["name"]) for made in objects]
    assert len(set(names)) == len(names)


def test_everything_is_in_the_overlays_own_namespace(objects: list[Object], overlay: Path) -> None:
    namespace = f"spyhop-{overlay.name}"
    assert {made["metadata"].get("namespace", made["metadata"]["name"]) for made in objects} == {namespace}


@pytest.mark.slow
def test_ray_objects_are_what_kuberay_defines(objects: list[Object], definitions: Definitions) -> None:
    ours = of(objects, RAY)
    assert {made["kind"] for made in ours} == definitions.kinds
    assert {made["metadata"]["name"]: definitions.errors(made) for made in ours if definitions.errors(made)} == {}


@pytest.mark.slow
def test_every_misspelt_field_of_a_ray_object_is_an_error(definitions: Definitions) -> None:
    unnoticed, tried = [], 0
    for made in of(build(K8S / "overlays" / "paper"), RAY):
        for at in places(made):
            if at[-1] in ("apiVersion", "kind") or at[0] in ("apiVersion", "kind") or (len(at) > 1 and is_open(at)):
                continue
            tried += 1
            if not definitions.errors(misspelt(made, at)):
                unnoticed.append((made["metadata"]["name"], at))
    assert unnoticed == []
    assert tried > 300


def is_open(at: tuple[str | int, ...]) -> bool:
    """A key whose parent is a map of free keys; `resources` is one on a worker group only."""
    parent = at[-2]
    if parent == "resources":
        return at[-1] not in ("limits", "requests")
    return parent in OPEN


@pytest.mark.slow
def test_no_rule_is_asked_that_a_schema_cannot_say(objects: list[Object], definitions: Definitions) -> None:
    # what is left forbids changes, and only an API server knows what was there before
    rules = {rule for made in of(objects, RAY) for rule in definitions.rules(made)}
    assert rules == {"self == oldSelf"}


@pytest.mark.slow
def test_values_of_a_wrong_type_are_errors(objects: list[Object], definitions: Definitions) -> None:
    [cluster] = [made for made in of(objects, RAY) if made["kind"] == "RayCluster"]
    for at, wrong in (
        (("spec", "upgradeStrategy", "type"), "Never"),
        (("spec", "authOptions", "mode"), "open"),
        (("spec", "gcsFaultToleranceOptions", "backend"), "memory"),
        (("spec", "workerGroupSpecs", 0, "replicas"), "3"),
        (("spec", "headGroupSpec", "rayStartParams", "num-cpus"), 0),
    ):
        changed: Any = misspelt(cluster, ("metadata", "namespace"))
        changed["metadata"] = {"name": "it"}
        holder = changed
        for part in at[:-1]:
            holder = holder[part]
        holder[at[-1]] = wrong
        assert definitions.errors(changed), at


@pytest.mark.oracle
@pytest.mark.slow
def test_all_else_is_what_kubernetes_defines(objects: list[Object]) -> None:
    validating = pytest.importorskip("kubernetes_validate")
    others = [made for made in objects if made["apiVersion"] not in (RAY, MONITORING)]
    assert len(others) > 20
    for made in others:
        validating.validate(made, KUBERNETES, strict=True)


@pytest.mark.oracle
@pytest.mark.slow
def test_pod_templates_within_ray_objects_are_what_kubernetes_defines(objects: list[Object]) -> None:
    """KubeRay copied its definition of a pod from one version of Kubernetes; this is another's."""
    validating = pytest.importorskip("kubernetes_validate")
    templates = [at for made in of(objects, RAY) for at in templates_of(made)]
    assert len(templates) >= 10
    for template in templates:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "it"}, "spec": template["spec"]}
        validating.validate(pod, KUBERNETES, strict=True)


@pytest.mark.oracle
@pytest.mark.slow
def test_a_misspelt_field_of_kubernetes_is_an_error(objects: list[Object]) -> None:
    validating = pytest.importorskip("kubernetes_validate")
    [made] = [made for made in objects if made["metadata"]["name"] == "exchanges"]
    for at in places(made):
        if at[-1] == "metadata" or at[0] in ("apiVersion", "kind") or at[-2:-1] == ("matchLabels",):
            continue
        with pytest.raises(validating.ValidationError):
            validating.validate(misspelt(made, at), KUBERNETES, strict=True)


def test_monitors_say_only_what_is_known(objects: list[Object]) -> None:
    [monitor] = of(objects, MONITORING)
    assert unknown(monitor["spec"], POD_MONITOR) == []
    assert unknown({"podMetricsEndpoint": []}, POD_MONITOR) == ["podMetricsEndpoint"]


def unknown(said: Any, known: Any) -> list[str]:
    if isinstance(said, dict) and isinstance(known, dict) and known:
        return [key for key in said if key not in known] + [
            deeper for key, value in said.items() if key in known for deeper in unknown(value, known[key])
        ]
    if isinstance(said, list) and isinstance(known, list):
        return [deeper for value in said for deeper in unknown(value, known[0])]
    return []


def templates_of(made: Object) -> list[Object]:
    """Return every pod template in a ray.io object."""
    found: list[Object] = []

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            for key, inner in node.items():
                if key in ("template", "submitterPodTemplate") and isinstance(inner, dict) and "spec" in inner:
                    found.append(inner)
                walk(inner)
        elif isinstance(node, list):
            for inner in node:
                walk(inner)

    walk(made)
    return found
