from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from spyhop.numerics import _jit


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    package = tmp_path / "spyhop"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "loop.py").write_text("from spyhop.middle import (\n    one,\n    two,\n)\n")
    (package / "middle.py").write_text("from spyhop import leaf\none = two = leaf.x\n")
    (package / "leaf.py").write_text("x = 1\n")
    (package / "other.py").write_text("x = 1\n")
    monkeypatch.setattr(_jit, "_ROOT", tmp_path)
    forget()
    yield package
    monkeypatch.undo()
    forget()


def forget() -> None:
    for kept in (_jit.digest_of, _jit._source, _jit._imports):
        kept.cache_clear()


def test_a_digest_covers_what_a_module_imports_however_indirectly(tree: Path) -> None:
    before = _jit.digest_of("spyhop.loop")
    (tree / "leaf.py").write_text("x = 2\n")
    forget()
    assert _jit.digest_of("spyhop.loop") != before


def test_a_digest_does_not_cover_what_a_module_cannot_reach(tree: Path) -> None:
    before = _jit.digest_of("spyhop.loop")
    (tree / "other.py").write_text("x = 2\n")
    forget()
    assert _jit.digest_of("spyhop.loop") == before
