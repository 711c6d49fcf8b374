"""The renderer of these tests against kustomize itself, where kubectl brings it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.k8s.rendering import NotInTheSubset, Object, build


def key(made: Object) -> tuple[str, str]:
    return made["kind"], made["metadata"]["name"]


@pytest.mark.oracle
@pytest.mark.slow
def test_it_renders_what_kustomize_renders(overlay: Path, objects: list[Object]) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not on this machine")
    told = subprocess.run([kubectl, "kustomize", str(overlay)], check=True, capture_output=True, text=True, timeout=60)
    theirs = [made for made in yaml.load_all(told.stdout, Loader=yaml.CSafeLoader) if made]
    assert sorted(theirs, key=key) == sorted(objects, key=key)


@pytest.mark.parametrize(
    "said",
    [
        "namePrefix: x-",
        "generatorOptions: {disableNameSuffixHash: false}",
        "configMapGenerator: [{name: x, literals: [a=b]}]",
        "patches: [{path: x.yaml}]",
    ],
)
def test_what_it_does_not_know_it_refuses(tmp_path: Path, said: str) -> None:
    (tmp_path / "kustomization.yaml").write_text(said)
    with pytest.raises(NotInTheSubset):
        build(tmp_path)


def test_a_patch_that_meets_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "it.yaml").write_text("{apiVersion: v1/x, kind: It, metadata: {name: it}, spec: {a: 1}}")
    target = "{group: v1, version: x, kind: It, name: it}"
    patches = f"[{{target: {target}, patch: '[{{op: replace, path: /spec/b, value: 2}}]'}}]"
    (tmp_path / "kustomization.yaml").write_text(f"resources: [it.yaml]\npatches: {patches}")
    with pytest.raises(NotInTheSubset, match="/spec/b"):
        build(tmp_path)
