"""What NetworkPolicies permit, as Kubernetes reads them: what no policy selects is open, the rest adds up."""

from __future__ import annotations

import ipaddress
from typing import Any

from tests.k8s.rendering import Object

Labels = dict[str, str]


class Peer:
    """A pod in a namespace, or an address outside."""

    def __init__(self, labels: Labels | None = None, namespace: str = "", address: str = "") -> None:
        self.labels = labels or {}
        self.namespace = namespace
        self.address = address


class Policies:
    """The policies of one namespace."""

    def __init__(self, objects: list[Object]) -> None:
        self._policies = [made for made in objects if made["kind"] == "NetworkPolicy"]
        [self.namespace] = {made["metadata"]["namespace"] for made in self._policies}

    def permit(self, source: Peer, target: Peer, port: int, protocol: str = "TCP") -> bool:
        """Say whether `source` may open a connection to `target`: out of the one and into the other."""
        return self._side(source, "Egress", target, port, protocol) and self._side(
            target, "Ingress", source, port, protocol
        )

    def _side(self, own: Peer, direction: str, other: Peer, port: int, protocol: str) -> bool:
        if own.address or own.namespace != self.namespace:
            return True  # not ours to say
        rules_of, peers_of = direction.lower(), "to" if direction == "Egress" else "from"
        selecting = [
            made["spec"]
            for made in self._policies
            if direction in made["spec"]["policyTypes"] and selects(made["spec"]["podSelector"], own.labels)
        ]
        return not selecting or any(
            self._matches(rule, peers_of, other, port, protocol)
            for spec in selecting
            for rule in spec.get(rules_of, [])
        )

    def _matches(self, rule: Object, peers_of: str, other: Peer, port: int, protocol: str) -> bool:
        ports = rule.get("ports")
        if ports and not any(one.get("protocol", "TCP") == protocol and one["port"] == port for one in ports):
            return False
        return peers_of not in rule or any(self._is(peer, other) for peer in rule[peers_of])

    def _is(self, peer: Object, other: Peer) -> bool:
        if "ipBlock" in peer:
            return bool(other.address) and within(peer["ipBlock"], other.address)
        if other.address:
            return False
        if "namespaceSelector" in peer:
            named = {"kubernetes.io/metadata.name": other.namespace}
            if not selects(peer["namespaceSelector"], named):
                return False
        elif other.namespace != self.namespace:
            return False
        return selects(peer.get("podSelector", {}), other.labels)


def within(block: Object, address: str) -> bool:
    """Say whether an address is in a block and in none of its exceptions."""
    it = ipaddress.ip_address(address)
    inside = it in ipaddress.ip_network(block["cidr"])
    return inside and not any(it in ipaddress.ip_network(one) for one in block.get("except", []))


def selects(selector: Object, labels: Labels) -> bool:
    """Say whether a label selector matches; an empty one matches all."""
    wanted: Labels = selector.get("matchLabels", {})
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(_holds(expression, labels) for expression in selector.get("matchExpressions", []))


def _holds(expression: dict[str, Any], labels: Labels) -> bool:
    key, operator = expression["key"], expression["operator"]
    if operator == "In":
        return labels.get(key) in expression["values"]
    if operator == "NotIn":
        return labels.get(key) not in expression["values"]
    return (key in labels) == (operator == "Exists")
