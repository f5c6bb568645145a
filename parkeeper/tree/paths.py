"""Paths of znodes: what a valid one looks like, its parts, and the ones that always exist.

Sources: PathUtils.validatePath, PrepRequestProcessor (validatePathForCreate, getParentPathAndValidate), DataTree.
"""

from __future__ import annotations

import re
from typing import Final

from parkeeper.errors import Refused
from parkeeper.wire.codes import Code

ROOT: Final = "/"
ZOOKEEPER: Final = "/zookeeper"
QUOTA: Final = "/zookeeper/quota"
CONFIG: Final = "/zookeeper/config"

SPECIAL: Final = frozenset({ROOT, ZOOKEEPER, QUOTA, CONFIG})
"""Nodes that every namespace has and nobody can delete (DataTree.isSpecialPath)."""

# Java judges UTF-16 units, so every character outside the Basic Multilingual Plane is two forbidden surrogates.
_FORBIDDEN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\uf8ff\ufff0-\uffff\U00010000-\U0010ffff]")
_RELATIVE: Final = re.compile(r"/\.\.?(?:/|\Z)")


def validate(path: str | None) -> None:
    """Raises Refused(BAD_ARGUMENTS) unless it is a path a znode can have (PathUtils.validatePath)."""
    if path == ROOT:
        return
    if (
        not path
        or path[0] != "/"
        or path[-1] == "/"
        or "//" in path
        # (Of nearly all paths the first two tell that nothing is forbidden, in less than half the time.)
        or (not (path.isascii() and path.isprintable()) and _FORBIDDEN.search(path))
        or ("/." in path and _RELATIVE.search(path))
    ):
        raise Refused(Code.BAD_ARGUMENTS)


def possible(path: str) -> bool:
    """Whether a znode can have this path: `validate` without an exception."""
    try:
        validate(path)
    except Refused:
        return False
    return True


def require_shape(path: str) -> None:
    """The little that create and delete ask before they look at the parent: a slash and no NUL.

    Raises Refused(BAD_ARGUMENTS) (PrepRequestProcessor.validatePathForCreate, getParentPathAndValidate).
    """
    if "/" not in path or "\0" in path:
        raise Refused(Code.BAD_ARGUMENTS)


def parent_of(path: str) -> str:
    """The text before the last slash, the root if that is empty."""
    return path[: path.rfind("/")] or ROOT if "/" in path else ROOT


def name_of(path: str) -> str:
    """The text after the last slash; empty for the root."""
    return path[path.rfind("/") + 1 :]


def join(parent: str, name: str) -> str:
    """The path of a child."""
    return f"/{name}" if parent == ROOT else f"{parent}/{name}"
