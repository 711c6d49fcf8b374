"""The house rules that no linter knows."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HOUSES = ("spyhop", "actors", "serve", "tune", "cluster")
MODULES = sorted(path for house in HOUSES for path in (ROOT / house).rglob("*.py"))
MAX_LINES = 400


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_there_is_a_tree_to_check() -> None:
    assert len(MODULES) > 50


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_every_module_says_what_it_is(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring
    assert "TODO" not in docstring


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_holds_one_idea(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES


@pytest.mark.parametrize(
    "path", sorted(path for house in HOUSES for path in (ROOT / "tests" / house).rglob("test_*.py")), ids=name
)
def test_every_test_file_mirrors_a_module(path: Path) -> None:
    mirrored = path.relative_to(ROOT / "tests")
    module = ROOT / mirrored.parent / mirrored.name.removeprefix("test_")
    package = module.with_suffix("")
    assert module.exists() or package.is_dir()


@pytest.mark.parametrize("path", [path for path in MODULES if path.name != "__init__.py"], ids=name)
def test_every_public_name_has_a_docstring(path: Path) -> None:
    missing = [
        node.name
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert missing == []


def test_nothing_refers_to_the_workplace() -> None:
    texts = [*MODULES, *(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "Makefile", ROOT / "pyproject.toml"]
    offenders = [name(path) for path in texts if path.exists() and "/work/" in path.read_text()]
    assert offenders == []
