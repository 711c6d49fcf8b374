"""The pods that the objects of an overlay become, with the labels that KubeRay puts on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.k8s.rendering import Object

CLUSTERS = {
    "RayCluster": ("spec",),
    "RayService": ("spec", "rayClusterConfig"),
    "RayJob": ("spec", "rayClusterSpec"),
    "RayCronJob": ("spec", "jobTemplate", "rayClusterSpec"),
}
SUBMITTERS = {"RayJob": ("spec",), "RayCronJob": ("spec", "jobTemplate")}


class Pod:
    """A pod template: which object it is of, its labels, its spec."""

    def __init__(self, owner: Object, name: str, template: Object, more: Object) -> None:
        self.name = f"{owner['metadata']['name']}/{name}"
        self.owner = owner
        self.labels: dict[str, str] = template["metadata"]["labels"] | more
        self.spec: Object = template["spec"]

    @property
    def is_ray(self) -> bool:
        """Whether Ray runs in it."""
        return "ray.io/node-type" in self.labels

    @property
    def role(self) -> str:
        """Its label spyhop.dev/role."""
        return self.labels["spyhop.dev/role"]

    @property
    def containers(self) -> list[Object]:
        """Its containers, those that run before the others first."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    @property
    def secrets(self) -> set[tuple[str, str]]:
        """Name and key of every secret that it is given."""
        return set(_references(self.spec))


def pods(objects: list[Object]) -> list[Pod]:
    """Return every pod of an overlay, one for each template."""
    found = []
    for made in objects:
        if made["kind"] in ("StatefulSet", "Deployment"):
            found.append(Pod(made, "pod", made["spec"]["template"], {}))
        for cluster in clusters(made):
            groups = [("head", cluster["headGroupSpec"])]
            groups += [(group["groupName"], group) for group in cluster.get("workerGroupSpecs", [])]
            for name, group in groups:
                kind = "head" if name == "head" else "worker"
                more = {"ray.io/node-type": kind, "ray.io/is-ray-node": "yes"} | group.get("labels", {})
                found.append(Pod(made, name, group["template"], more))
        if made["kind"] in SUBMITTERS and (job := inside(made, SUBMITTERS[made["kind"]])):
            found.append(Pod(made, "submitter", job["submitterPodTemplate"], {}))
    return found


def clusters(made: Object) -> list[Object]:
    """Return the specification of the Ray cluster that an object makes, if it makes one."""
    cluster = inside(made, CLUSTERS[made["kind"]]) if made["kind"] in CLUSTERS else None
    return [cluster] if cluster else []


def jobs(objects: list[Object]) -> dict[str, Object]:
    """Return every Ray job of an overlay by its name, scheduled ones too."""
    return {
        made["metadata"]["name"]: inside(made, SUBMITTERS[made["kind"]]) or {}
        for made in objects
        if made["kind"] in SUBMITTERS
    }


def inside(made: Object, path: tuple[str, ...]) -> Object | None:
    """Return what lies at a path, None where it ends before."""
    node: Any = made
    for part in path:
        node = node.get(part)
        if node is None:
            return None
    return dict(node)


def _references(node: Any) -> Iterator[tuple[str, str]]:
    if isinstance(node, list):
        for inner in node:
            yield from _references(inner)
    if not isinstance(node, dict):
        return
    for key, inner in node.items():
        if key == "secretKeyRef":
            yield inner["name"], inner["key"]
        elif key == "secret":
            yield from ((inner.get("name") or inner["secretName"], item["key"]) for item in inner["items"])
        elif key == "secretRef":
            yield inner["name"], "*"
        else:
            yield from _references(inner)
