"""The house keeps its shape: who may import whom, how long a file may be, what lies at the top level."""

from __future__ import annotations

import ast
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "parkeeper"
SOURCES = sorted(PACKAGE.rglob("*.py"))

BASE = ("parkeeper.errors", "parkeeper.options", "parkeeper.version", "parkeeper.log")
MAY_IMPORT = {
    "wire": (*BASE, "parkeeper.wire"),
    "tree": (*BASE, "parkeeper.wire", "parkeeper.tree"),
    "store": (*BASE, "parkeeper.store"),
    "admin": (*BASE, "parkeeper.wire", "parkeeper.admin"),
    "server": (
        *(*BASE, "parkeeper.wire", "parkeeper.tree", "parkeeper.server", "parkeeper.store.facade"),
        "parkeeper.admin.status",  # what it has to tell operators, as values
    ),
    "cli": ("parkeeper",),
    "testing": ("parkeeper",),
}
"""Package -> the modules, with all below them, that its files may import (levels point left only)."""

TOP = {
    ".ci", ".gitignore", "CHANGELOG.md", "Containerfile", "LICENSE", "Makefile", "README.md",
    "examples", "parkeeper", "pyproject.toml", "tests",
}  # fmt: skip
LONGEST = 450  # lines


def imports(source: Path) -> Iterator[str]:
    """Every module a file imports, wherever the statement stands; `from x import y` names x and x.y."""
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source}: a relative import"
            assert node.module is not None
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def below(name: str, roots: tuple[str, ...]) -> bool:
    return any(name == root or name.startswith(f"{root}.") for root in roots)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: str(source.relative_to(ROOT)))
def test_imports_point_to_lower_levels_only(source: Path) -> None:
    """wire and tree know neither trio nor httpx, httpx stays in store, and nobody imports upwards."""
    parts = source.relative_to(PACKAGE).parts
    package = parts[0] if len(parts) > 1 else ""
    for name in imports(source):
        if below(name, ("parkeeper",)) and package:
            assert below(name, MAY_IMPORT[package]), f"{package} may not import {name}"
        if below(name, ("trio", "anyio")):
            assert package not in {"wire", "tree", ""}, f"{package} does no I/O, yet imports {name}"
        if below(name, ("httpx", "httpcore")):
            assert package == "store", f"{package} imports {name}; only store speaks HTTP"


def test_base_modules_import_nothing_of_ours() -> None:
    """errors, options and the like stand at the bottom: they import each other at most."""
    for source in PACKAGE.glob("*.py"):
        for name in imports(source):
            assert not below(name, ("parkeeper",)) or below(name, BASE), f"{source.name} imports {name}"


def test_files_are_short() -> None:
    """A file holds one idea: none is longer than 450 lines, tests and tools included."""
    long = {
        str(source.relative_to(ROOT)): lines
        for folder in ("parkeeper", "tests", "examples")
        for source in (ROOT / folder).rglob("*.py")
        if (lines := len(source.read_text().splitlines())) > LONGEST
    }
    assert not long


def test_top_level_is_fixed() -> None:
    """What is under version control at the top is what the README names."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    assert {line.split("/")[0] for line in listed.stdout.splitlines()} <= TOP


def test_every_module_says_what_it_is_for() -> None:
    """Each source file begins with a docstring."""
    silent = [
        str(source.relative_to(ROOT))
        for source in SOURCES
        if not ast.get_docstring(ast.parse(source.read_text()))
    ]
    assert not silent


def test_compiled_modules_exist():
    """What pyproject.toml lists for mypyc is there: a renamed module would silently run as plain Python."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    hook = project["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["mypyc"]
    missing = [
        path
        for path in (*hook["include"], *hook["exclude"])
        if path.startswith("/") and not (ROOT / path.lstrip("/")).exists()
    ]
    assert missing == []
