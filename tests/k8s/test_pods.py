"""What every pod is given and kept from, and what KubeRay refuses although its schema permits it."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import zoneinfo
from pathlib import Path
from typing import Any

import pytest
import yaml

from spyhop.config.loading import Sources, load
from spyhop.config.secrets import NAMES
from spyhop.errors import UnknownSetting
from tests.k8s.conftest import K8S
from tests.k8s.pods import Pod, clusters, jobs, pods
from tests.k8s.rendering import Object, loaded

IMAGE = re.compile(r"(?P<name>[a-z0-9./-]+):(?P<tag>\d+(\.\d+)+)")


def named(objects: list[Object], kind: str) -> dict[str, Object]:
    return {made["metadata"]["name"]: made for made in objects if made["kind"] == kind}


def environment(pod: Pod, objects: list[Object]) -> dict[str, str]:
    """Return the variables that the last container of a pod starts with; of secrets the name."""
    container = pod.spec["containers"][-1]
    found: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        found |= named(objects, "ConfigMap")[source["configMapRef"]["name"]]["data"]
    return found | {entry["name"]: entry.get("value", "of a secret") for entry in container.get("env", ())}


def test_no_container_may_more_than_it_needs(objects: list[Object]) -> None:
    for pod in pods(objects):
        own = pod.spec["securityContext"]
        assert own["runAsNonRoot"] is True, pod.name
        assert own["runAsUser"] > 0
        assert own["runAsGroup"] > 0
        assert own["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod.containers:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, (pod.name, container["name"])


def test_the_namespace_refuses_pods_that_may_more(objects: list[Object]) -> None:
    [namespace] = named(objects, "Namespace").values()
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_no_pod_is_given_the_apis_token_or_names_of_services(objects: list[Object]) -> None:
    for pod in pods(objects):
        assert pod.spec["automountServiceAccountToken"] is False, pod.name
        assert pod.spec["enableServiceLinks"] is False, pod.name
        for host in ("hostNetwork", "hostPID", "hostIPC"):
            assert host not in pod.spec
        assert not any("hostPath" in volume for volume in pod.spec.get("volumes", ()))


def test_every_container_says_what_it_needs_and_no_more(objects: list[Object]) -> None:
    for pod in pods(objects):
        for container in pod.containers:
            resources = container["resources"]
            assert resources["requests"].keys() == resources["limits"].keys() == {"cpu", "memory"}, pod.name


def test_what_trades_gets_exactly_what_it_asks_for(objects: list[Object]) -> None:
    # equal requests and limits: such a pod is evicted last
    [market] = [pod for pod in pods(objects) if pod.role == "market"]
    [container] = market.spec["containers"]
    assert container["resources"]["requests"] == container["resources"]["limits"]


def test_images_are_pinned_and_ours_is_one(objects: list[Object]) -> None:
    images = {container["image"] for pod in pods(objects) for container in pod.containers}
    parts = {image: IMAGE.fullmatch(image) for image in images}
    assert all(parts.values()), parts
    assert {part["name"] for part in parts.values() if part} == {"registry.example.com/spyhop", "postgres", "redis"}
    [ours] = {image for image in images if "spyhop" in image}
    assert ours.endswith(f":{importlib.metadata.version('spyhop')}")


def test_ray_is_of_the_version_that_is_installed(objects: list[Object]) -> None:
    versions = {cluster["rayVersion"] for made in objects for cluster in clusters(made)}
    assert versions == {importlib.metadata.version("ray")}


def test_every_volume_is_there_and_used(objects: list[Object]) -> None:
    claims, maps = named(objects, "PersistentVolumeClaim"), named(objects, "ConfigMap")
    for pod in pods(objects):
        volumes = {volume["name"]: volume for volume in pod.spec.get("volumes", ())}
        own = {claim["metadata"]["name"] for claim in pod.owner["spec"].get("volumeClaimTemplates", ())}
        mounted = {mount["name"] for container in pod.containers for mount in container.get("volumeMounts", ())}
        assert mounted - own <= volumes.keys(), pod.name
        unused = volumes.keys() - mounted
        assert unused == set(), (pod.name, unused)
        for volume in volumes.values():
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims
            for source in volume.get("projected", {}).get("sources", ()):
                assert "secret" in source or source["configMap"]["name"] in maps


def test_secrets_are_named_in_the_example_and_have_no_value_anywhere(objects: list[Object]) -> None:
    example = loaded(K8S / "secrets.example.yaml")
    assert {made["kind"] for made in example} == {"Secret"}
    assert {value for made in example for value in made["stringData"].values()} == {""}
    named_there = {(made["metadata"]["name"], key) for made in example for key in made["stringData"]}
    asked = {secret for pod in pods(objects) for secret in pod.secrets}
    asked |= {(cluster["authOptions"]["secretName"], "auth_token") for made in objects for cluster in clusters(made)}
    asked.add(("spyhop-redis", "password"))
    assert asked <= named_there
    assert named_there - asked <= {("spyhop-exchange-keys", ".env")}


def test_no_manifest_holds_a_secret(objects: list[Object]) -> None:
    kept = ("password", "secret", "token", "key", "passphrase")
    for pod in pods(objects):
        for container in pod.containers:
            for variable in container.get("env", ()):
                if any(word in variable["name"].lower() for word in kept) and "value" in variable:
                    assert variable["value"].startswith("/run/secrets/"), (pod.name, variable["name"])
    for path in K8S.rglob("*"):
        if path.is_file():
            text = path.read_text()
            assert not re.search(r"\b[0-9a-fA-F]{32,}\b", text), path
            assert not re.search(r"\b[A-Za-z0-9+/]{48,}={0,2}(?![\w/.-])", text), path
            assert not re.search(r"://[^/@\s]+:[^/@\s]+@", text), path


def test_exchange_keys_are_a_file_on_market_pods_of_the_live_overlay(objects: list[Object], overlay: Path) -> None:
    with_keys = {pod.name for pod in pods(objects) for name, _ in pod.secrets if name == "spyhop-exchange-keys"}
    assert with_keys == ({"spyhop-trading/market"} if overlay.name == "live" else set())
    for pod in pods(objects):
        assert not environment(pod, objects).keys() & NAMES.keys()
    if with_keys:
        # .env is read where the process stands, which is where the settings are
        [market] = [pod for pod in pods(objects) if pod.role == "market"]
        [container] = market.spec["containers"]
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        assert mounts[container["workingDir"]] == "settings"


def test_the_ledgers_password_goes_to_who_writes_or_reads_it(objects: list[Object]) -> None:
    asked = {pod.role for pod in pods(objects) if ("spyhop-ledger", "password") in pod.secrets}
    assert asked == {"market", "reports", "ledger"}


def test_our_settings_understand_every_variable_of_a_pod(objects: list[Object], tmp_path: Path) -> None:
    together: dict[str, str] = {}
    for pod in pods(objects):
        together |= environment(pod, objects)
    load(Sources(folder=tmp_path, environment=together))
    # why enableServiceLinks is false: Kubernetes would name our services so, and settings refuse what they do not know
    with pytest.raises(UnknownSetting):
        load(Sources(folder=tmp_path, environment={"SPYHOP_REDIS_SERVICE_HOST": "10.0.0.1"}))


def test_a_dead_node_is_noticed_as_soon_as_on_hosts_of_ones_own(objects: list[Object]) -> None:
    ray_up = " ".join(yaml.safe_load((K8S.parent / "cluster" / "onprem.yaml").read_text())["head_start_ray_commands"])
    theirs = dict(re.findall(r"(RAY_health_check_\w+|RAY_worker_niceness)=(\w+)", ray_up))
    assert len(theirs) >= 4
    for pod in pods(objects):
        if pod.is_ray:
            own = environment(pod, objects)
            assert {name: own[name] for name in theirs} == theirs


def test_the_head_carries_nothing_and_market_pods_say_that_they_are(objects: list[Object]) -> None:
    for made in objects:
        for cluster in clusters(made):
            assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
            for group in cluster.get("workerGroupSpecs", ()):
                assert group["labels"] == {"role": group["groupName"]}
    [trading] = named(objects, "RayCluster").values()
    groups = {group["groupName"]: group for group in trading["spec"]["workerGroupSpecs"]}
    assert groups.keys() == {"market", "sweep"}
    market, sweep = groups["market"], groups["sweep"]
    assert market["replicas"] == market["minReplicas"] == market["maxReplicas"] >= 2
    assert sweep["replicas"] == sweep["minReplicas"] == 0


def test_pools_of_machines_are_not_mixed(objects: list[Object]) -> None:
    pools: dict[str, set[str]] = {}
    for pod in pods(objects):
        if pod.role == "submitter":
            continue
        terms: Any = pod.spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        [expression] = terms["nodeSelectorTerms"][0]["matchExpressions"]
        [pool] = expression["values"]
        pools.setdefault(pool, set()).add(pod.role)
        tolerated = [one["value"] for one in pod.spec.get("tolerations", ()) if one["key"] == "spyhop.dev/pool"]
        assert tolerated == ([] if pool == "system" else [pool]), pod.name
    assert pools["market"] == {"market"}
    assert pools["sweep"] == {"sweep", "sweep-head"}
    [market] = [pod for pod in pods(objects) if pod.role == "market"]
    [apart] = market.spec["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert apart["topologyKey"] == "kubernetes.io/hostname"
    assert apart["labelSelector"]["matchLabels"].items() <= market.labels.items()


def test_databases_are_asked_whether_they_are_well(objects: list[Object]) -> None:
    for pod in pods(objects):
        if pod.role in ("ledger", "redis"):
            [container] = pod.spec["containers"]
            assert {"readinessProbe", "livenessProbe"} <= container.keys()
        elif pod.is_ray:
            # the operator puts in its own where there are none, and they know Ray's ports
            assert not any("Probe" in key for key in pod.spec["containers"][0])


def test_kernels_are_there_before_ray_starts(objects: list[Object]) -> None:
    for pod in (pod for pod in pods(objects) if pod.is_ray):
        [kernels] = pod.spec["initContainers"]
        target = environment(pod, objects)["SPYHOP_KERNEL_CACHE"]
        assert kernels["command"][-1] == target
        for container in pod.containers:
            assert {"name": "kernels", "mountPath": target} in container["volumeMounts"]


def test_what_the_operator_itself_refuses_is_not_asked_of_it(objects: list[Object]) -> None:
    """KubeRay 1.7.0, controllers/ray/utils/validation.go."""
    for made in objects:
        for cluster in clusters(made):
            assert cluster.keys().isdisjoint({"networkPolicy", "tlsOptions", "historyServerOptions"}), "gates, off"
            assert cluster.get("gcsFaultToleranceOptions", {}).get("backend", "redis") == "redis", "gate, off"
            assert cluster["authOptions"]["mode"] == "token"
            assert ("upgradeStrategy" in cluster) == (made["kind"] == "RayCluster")
            for group in (cluster["headGroupSpec"], *cluster.get("workerGroupSpecs", ())):
                parameters = group["rayStartParams"].keys()
                assert "labels" not in parameters
                assert not (group.get("resources") and parameters & {"num-cpus", "num-gpus", "memory", "resources"})
                for variable in group["template"]["spec"]["containers"][0].get("env", ()):
                    assert variable["name"] not in ("RAY_REDIS_ADDRESS", "REDIS_PASSWORD", "RAY_enable_autoscaler_v2")
    [trading] = named(objects, "RayCluster").values()
    assert trading["spec"]["upgradeStrategy"] == {"type": "None"}
    assert trading["spec"]["gcsFaultToleranceOptions"]["redisAddress"] == "spyhop-redis:6379"
    for name, job in jobs(objects).items():
        assert not job.get("suspend") or job["shutdownAfterJobFinishes"], name
        if selector := job.get("clusterSelector"):
            assert selector == {"ray.io/cluster": trading["metadata"]["name"]}
            assert job.keys().isdisjoint({"suspend", "backoffLimit", "shutdownAfterJobFinishes", "rayClusterSpec"})
    for report in named(objects, "RayCronJob").values():
        assert report["spec"]["timeZone"] in zoneinfo.available_timezones()
        assert re.fullmatch(r"\d+ \d+ \* \* \*", report["spec"]["schedule"])


@pytest.mark.slow
def test_redis_hears_its_password_and_its_arguments_do_not(objects: list[Object], tmp_path: Path) -> None:
    [redis] = [pod for pod in pods(objects) if pod.role == "redis"]
    [container] = redis.spec["containers"]
    stub = tmp_path / "redis-server"
    stub.write_text('#!/bin/sh\necho "$@"\ncat\n')
    stub.chmod(0o755)
    told = subprocess.run(
        [*container["command"], *container["args"]],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "REDIS_PASSWORD": "planted"},
        capture_output=True,
        check=True,
        text=True,
        timeout=10,
    )
    arguments, said = told.stdout.splitlines()
    assert "--appendonly yes --appendfsync always" in arguments
    assert arguments.endswith(" -")
    assert "planted" not in arguments
    assert said == "requirepass planted"
