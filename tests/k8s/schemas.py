"""KubeRay's custom resource definitions as closed JSON schemas: what the API server drops in silence is refused."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from tests.k8s.rendering import Object


class Definitions:
    """The definitions in a folder of gzipped CRDs, by kind, version v1."""

    def __init__(self, folder: Path) -> None:
        self._schemas: dict[str, Object] = {}
        self._validators: dict[str, Any] = {}
        for path in sorted(folder.glob("*.yaml.gz")):
            # PyYAML's C loader: the definitions are a hundred thousand lines
            definition = yaml.load(gzip.decompress(path.read_bytes()), Loader=yaml.CSafeLoader)["spec"]
            [schema] = [v["schema"]["openAPIV3Schema"] for v in definition["versions"] if v["name"] == "v1"]
            self._schemas[definition["names"]["kind"]] = schema

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds that are defined."""
        return frozenset(self._schemas)

    def errors(self, made: Object) -> list[str]:
        """Return what is wrong with an object, each with its place."""
        found = self._validator(made["kind"]).iter_errors(made)
        return [f"{'/'.join(map(str, error.absolute_path))}: {error.message}" for error in found]

    def rules(self, made: Object) -> list[str]:
        """Return the rules in CEL that the API server would ask of an object; nobody asks them here."""
        return _rules(self._schemas[made["kind"]], made)

    def _validator(self, kind: str) -> Any:
        if kind in self._validators:
            return self._validators[kind]
        schema = closed(self._schemas[kind])
        # metadata is the API server's own and open in every definition
        schema["properties"]["metadata"] = {
            "type": "object",
            "properties": {
                "name": {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63},
                "namespace": {"type": "string"},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
            },
            "required": ["name"],
            "additionalProperties": False,
        }
        self._validators[kind] = jsonschema.Draft202012Validator(schema)
        return self._validators[kind]


def closed(node: Object) -> Object:
    """Return an openAPIV3Schema as a JSON schema that permits no property it does not name."""
    if node.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"], **{key: node[key] for key in ("pattern",) if key in node}}
    kept = {
        key: node[key]
        for key in ("type", "enum", "pattern", "maxLength", "minLength", "minimum", "maximum", "minItems", "required")
        if key in node
    }
    if node.get("nullable"):
        kept["type"] = [node["type"], "null"]
    if "properties" in node:
        kept["properties"] = {name: closed(inner) for name, inner in node["properties"].items()}
    if isinstance(node.get("additionalProperties"), dict):
        kept["additionalProperties"] = closed(node["additionalProperties"])
    elif node.get("type") == "object" and "properties" in node:
        kept["additionalProperties"] = False
    if "items" in node:
        kept["items"] = closed(node["items"])
    return kept


def _rules(schema: Object, node: Any) -> list[str]:
    found = [rule["rule"] for rule in schema.get("x-kubernetes-validations", ())]
    if isinstance(node, dict):
        for key, inner in node.items():
            own = schema.get("properties", {}).get(key) or schema.get("additionalProperties")
            found += _rules(own, inner) if isinstance(own, dict) else []
    elif isinstance(node, list):
        found += [rule for inner in node for rule in _rules(schema.get("items", {}), inner)]
    return found


def places(node: Any, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the path of every key in an object, outermost first."""
    found: list[tuple[str | int, ...]] = []
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, inner in pairs:
        if isinstance(node, dict):
            found.append((*at, key))
        found += places(inner, (*at, key))
    return found


def misspelt(made: Object, at: tuple[str | int, ...]) -> Object:
    """Return a copy of an object in which the key at a path has one letter too many."""
    copied: Object = json.loads(json.dumps(made))
    holder: Any = copied
    for part in at[:-1]:
        holder = holder[part]
    key = str(at[-1])
    holder[f"{key}x"] = holder.pop(key)
    return copied
