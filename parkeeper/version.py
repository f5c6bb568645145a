"""Our version, and the ZooKeeper version whose behaviour we reproduce and report."""

from __future__ import annotations

from importlib.util import find_spec

VERSION = "0.1.0"

ZOOKEEPER_VERSION = "3.9.3"
"""The version reported by `srvr`, `stat`, `envi` and `mntr`; clients parse it (reference 11.2)."""

RELEASED = "11/24/2026 00:00 GMT"
"""The day of this version, as the version line wants it: go-zookeeper parses `built on 01/02/2006 15:04 GMT`."""

FULL_VERSION = f"{ZOOKEEPER_VERSION}-parkeeper-{VERSION}, built on {RELEASED}"
"""What `srvr`, `stat`, `envi` and `mntr` say; clients read the digits at its start."""


def build() -> str:
    """How the hot path runs here: "compiled" (by mypyc, pyproject.toml) or "plain Python"."""
    spec = find_spec("parkeeper.wire.jute")
    return (
        "plain Python" if spec is None or spec.origin is None or spec.origin.endswith(".py") else "compiled"
    )
