"""What `kustomize build` makes of our folders: the few fields that they use, and a refusal of any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]

FIELDS = frozenset(
    ("apiVersion", "kind", "namespace", "resources", "generatorOptions", "configMapGenerator", "images", "patches")
)
CLUSTER_SCOPED = frozenset(("Namespace",))


class NotInTheSubset(Exception):
    """A kustomization says something that this renderer does not know."""


def build(folder: Path) -> list[Object]:
    """Return the objects of the kustomization in `folder`, bases and generated ones included."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    if unknown := kustomization.keys() - FIELDS:
        raise NotInTheSubset(f"{folder}: {', '.join(sorted(unknown))}")
    if kustomization.get("generatorOptions", {"disableNameSuffixHash": True}) != {"disableNameSuffixHash": True}:
        raise NotInTheSubset(f"{folder}: generatorOptions")
    objects: list[Object] = []
    for resource in kustomization.get("resources", []):
        path = folder / resource
        objects += build(path) if path.is_dir() else loaded(path)
    objects += [_config_map(folder, entry) for entry in kustomization.get("configMapGenerator", [])]
    for patch in kustomization.get("patches", []):
        _patch(objects, patch)
    for image in kustomization.get("images", []):
        for made in objects:
            _rename_images(made, image)
    if "namespace" in kustomization:
        for made in objects:
            _move(made, kustomization["namespace"])
    return objects


def loaded(path: Path) -> list[Object]:
    """Return the objects of one file. What an alias names twice becomes two: a patch means one of them."""
    return [json.loads(json.dumps(document)) for document in yaml.safe_load_all(path.read_text()) if document]


def _config_map(folder: Path, entry: Object) -> Object:
    if entry.keys() - {"name", "files", "envs"}:
        raise NotInTheSubset(f"{folder}: configMapGenerator {sorted(entry)}")
    data = {Path(name).name: (folder / name).read_text() for name in entry.get("files", [])}
    for name in entry.get("envs", []):
        for line in (folder / name).read_text().splitlines():
            if line.strip() and not line.startswith("#"):
                key, _, value = line.partition("=")
                data[key] = value
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": entry["name"]}, "data": data}


def _patch(objects: list[Object], patch: Object) -> None:
    if patch.keys() != {"target", "patch"}:
        raise NotInTheSubset(f"patches: {sorted(patch)}")
    target = patch["target"]
    group = f"{target['group']}/{target['version']}"
    wanted = (group, target["kind"], target["name"])
    [patched] = [made for made in objects if (made["apiVersion"], made["kind"], made["metadata"]["name"]) == wanted]
    for step in yaml.safe_load(patch["patch"]):
        *parents, last = step["path"].lstrip("/").replace("~1", "/").split("/")
        holder: Any = patched
        for part in parents:
            holder = holder[int(part)] if isinstance(holder, list) else holder[part]
        if step["op"] == "add" and isinstance(holder, list) and last == "-":
            holder.append(step["value"])
        elif step["op"] == "replace" and last in holder:
            holder[last] = step["value"]
        else:
            raise NotInTheSubset(f"patches: {step['op']} {step['path']}")


def _rename_images(node: Any, image: Object) -> None:
    if isinstance(node, dict):
        for key in ("containers", "initContainers"):
            for container in node.get(key, ()):
                if container.get("image") == image["name"]:
                    container["image"] = f"{image['newName']}:{image['newTag']}"
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _rename_images(inner, image)


def _move(made: Object, namespace: str) -> None:
    if made["kind"] == "Namespace":
        made["metadata"]["name"] = namespace
    elif made["kind"] not in CLUSTER_SCOPED:
        made["metadata"]["namespace"] = namespace
