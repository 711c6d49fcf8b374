"""Who may talk to whom."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from spyhop.venues.endpoints import LIVE
from tests.k8s.network import Peer, Policies, selects
from tests.k8s.pods import pods
from tests.k8s.rendering import Object

EXCHANGE = Peer(address="13.35.20.1")
METADATA = Peer(address="169.254.169.254")
API_SERVER = Peer(address="10.96.0.1")
STRANGER = Peer({"app": "web"}, "shop")
DNS = Peer({"k8s-app": "kube-dns"}, "kube-system")
PROMETHEUS = Peer({"app.kubernetes.io/name": "prometheus"}, "monitoring")
OPERATOR = Peer({"app.kubernetes.io/name": "kuberay-operator"}, "kuberay-system")

HEADS = ("trading-head", "models-head", "sweep-head", "reports")
PORTS = (22, 80, 443, 5432, 6379, 8000, 8080, 8265, 9443, 10001, 12345, 52365)


@pytest.fixture(scope="module")
def policies(objects: list[Object]) -> Policies:
    return Policies(objects)


@pytest.fixture(scope="module")
def ours(objects: list[Object], policies: Policies) -> dict[str, Peer]:
    """Every pod by the object and group that it is of."""
    return {pod.name: Peer(pod.labels, policies.namespace) for pod in pods(objects)}


def role(peer: Peer) -> str:
    return peer.labels.get("spyhop.dev/role", "")


def may(a: Peer, b: Peer, port: int) -> bool:
    """Who may talk to whom among our own pods, said once more and differently: a table, not selectors."""
    cluster = a.labels.get("spyhop.dev/cluster")
    if cluster is not None and cluster == b.labels.get("spyhop.dev/cluster"):
        return True
    return (role(a), role(b), port) in {
        ("market", "ledger", 5432),
        ("reports", "ledger", 5432),
        ("trading-head", "redis", 6379),
        ("market", "models", 8000),
    }


def test_our_pods_talk_as_the_table_says(policies: Policies, ours: dict[str, Peer]) -> None:
    wrong = [
        (a, b, port)
        for (a, one), (b, other), port in itertools.product(ours.items(), ours.items(), PORTS)
        if policies.permit(one, other, port) != may(one, other, port)
    ]
    assert wrong == []


def ports_of(endpoints: Any) -> set[int]:
    """Return the ports that addresses in a tree of them name, or their schemes mean."""
    if isinstance(endpoints, dict):
        return {port for inner in endpoints.values() for port in ports_of(inner)}
    if not isinstance(endpoints, str) or "://" not in endpoints:
        return set()
    address = urlsplit(endpoints)
    assert address.scheme in ("https", "wss")
    return {address.port or 443}


def test_only_market_pods_reach_an_exchange_and_by_tls_only(policies: Policies, ours: dict[str, Peer]) -> None:
    reaching = {role(pod) for pod in ours.values() for port in PORTS if policies.permit(pod, EXCHANGE, port)}
    ports = {port for pod in ours.values() for port in PORTS if policies.permit(pod, EXCHANGE, port)}
    assert (reaching, ports) == ({"market"}, ports_of(msgspec.to_builtins(LIVE)))


@pytest.mark.parametrize("target", [METADATA, API_SERVER, Peer(address="192.168.1.1"), STRANGER])
def test_nobody_reaches_metadata_the_api_server_or_other_namespaces(
    policies: Policies, ours: dict[str, Peer], target: Peer
) -> None:
    assert not any(policies.permit(pod, target, port) for pod in ours.values() for port in PORTS)


def test_everybody_may_resolve_names(policies: Policies, ours: dict[str, Peer]) -> None:
    assert all(policies.permit(pod, DNS, 53, protocol) for pod in ours.values() for protocol in ("UDP", "TCP"))
    assert not any(policies.permit(pod, DNS, 443) for pod in ours.values())


def test_strangers_get_nowhere(policies: Policies, ours: dict[str, Peer]) -> None:
    labelled_as_ours = Peer({"spyhop.dev/cluster": "trading", "spyhop.dev/role": "market"}, "shop")
    unlabelled = Peer({}, policies.namespace)
    for stranger in (STRANGER, EXCHANGE, labelled_as_ours, unlabelled, Peer(PROMETHEUS.labels, "shop")):
        assert not any(policies.permit(stranger, pod, port) for pod in ours.values() for port in PORTS)


def test_prometheus_reads_metrics_of_ray_and_nothing_else(
    policies: Policies, ours: dict[str, Peer], objects: list[Object]
) -> None:
    read = {name for name, pod in ours.items() for port in PORTS if policies.permit(PROMETHEUS, pod, port)}
    ports = {port for pod in ours.values() for port in PORTS if policies.permit(PROMETHEUS, pod, port)}
    assert read == {pod.name for pod in pods(objects) if pod.is_ray}
    assert ports == {8080}


def test_the_operator_asks_heads_and_proxies(policies: Policies, ours: dict[str, Peer]) -> None:
    asked = {role(pod) for pod in ours.values() for port in PORTS if policies.permit(OPERATOR, pod, port)}
    assert asked == {*HEADS, "models"}
    assert all(policies.permit(OPERATOR, pod, 8265) for pod in ours.values() if role(pod) in HEADS)


def test_the_pod_that_cleans_up_behind_a_cluster_reaches_redis(policies: Policies, ours: dict[str, Peer]) -> None:
    # KubeRay makes it of the head's template and changes this one label
    cleaning = Peer(ours["spyhop-trading/head"].labels | {"ray.io/node-type": "redis-cleanup"}, policies.namespace)
    assert policies.permit(cleaning, ours["spyhop-redis/pod"], 6379)
    assert not policies.permit(cleaning, EXCHANGE, 443)


@pytest.mark.slow
def test_every_policy_is_needed(objects: list[Object], policies: Policies, ours: dict[str, Peer]) -> None:
    everyone = [*ours.values(), Peer({}, policies.namespace), EXCHANGE, STRANGER, DNS, PROMETHEUS, OPERATOR]

    def permitted(policies: Policies) -> list[bool]:
        pairs = itertools.product(everyone, everyone, (53, 443, 5432, 6379, 8000, 8080, 8265))
        return [policies.permit(one, other, port) for one, other, port in pairs]

    all_of_them = permitted(policies)
    names = [made["metadata"]["name"] for made in objects if made["kind"] == "NetworkPolicy"]
    idle = [
        name
        for name in names
        if permitted(Policies([made for made in objects if made["metadata"]["name"] != name])) == all_of_them
    ]
    assert idle == []


def test_the_monitor_finds_what_prometheus_may_read(objects: list[Object]) -> None:
    [monitor] = [made for made in objects if made["kind"] == "PodMonitor"]
    found = [pod for pod in pods(objects) if selects(monitor["spec"]["selector"], pod.labels)]
    assert found
    assert {pod.name for pod in found} == {pod.name for pod in pods(objects) if pod.is_ray}
    [endpoint] = monitor["spec"]["podMetricsEndpoints"]
    for pod in found:
        ports = {port["name"]: port["containerPort"] for port in pod.spec["containers"][0]["ports"]}
        assert ports[endpoint["port"]] == 8080


def test_budgets_guard_what_must_not_go(objects: list[Object], overlay: Path) -> None:
    budgets = [made["spec"] for made in objects if made["kind"] == "PodDisruptionBudget"]
    guarded = {
        pod.role: budget["maxUnavailable"]
        for pod in pods(objects)
        for budget in budgets
        if selects(budget["selector"], pod.labels)
    }
    assert guarded == {"market": 1, "models": 1, "trading-head": 0, "ledger": 0, "redis": 0}


def test_services_lead_to_their_pods(objects: list[Object]) -> None:
    for service in (made for made in objects if made["kind"] == "Service"):
        [pod] = [pod for pod in pods(objects) if selects({"matchLabels": service["spec"]["selector"]}, pod.labels)]
        ports = {port["name"]: port["containerPort"] for port in pod.spec["containers"][0]["ports"]}
        assert all(ports[port["targetPort"]] == port["port"] for port in service["spec"]["ports"])
        assert pod.owner["spec"]["serviceName"] == service["metadata"]["name"]
