"""The differ sees: each of these faults, made in a copy of parkeeper's source, is found within 500 scripts.

A fault is one small change of the kind that a person makes; the line it changes must be there, so that a fault that
no longer means anything is noticed.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.conformance.oracle import sides
from tests.conformance.oracle.arena import Arena
from tests.conformance.oracle.generate import scripts
from tests.processes import ROOT
from tests.scripts.model import Script

WITHIN = 500


class Fault(NamedTuple):
    """What is wrong, in which file, and the text that becomes another."""

    name: str
    file: str
    right: str
    wrong: str


FAULTS = (
    Fault(
        "cversion-off-by-one",
        "tree/node.py",
        "Kids(kids.creates, kids.count - 1",
        "Kids(kids.creates + 1, kids.count - 1",
    ),
    Fault(
        "pzxid-of-a-deletion",
        "tree/node.py",
        "kids.count - 1, zxid, UNWRITTEN",
        "kids.count - 1, kids.pzxid, UNWRITTEN",
    ),
    Fault(
        "parent-is-not-told",
        "tree/watches.py",
        "self._fire(DELETED, path, acl, zxid)\n        self._fire(CHILDREN, parent, parent_acl, zxid)",
        "self._fire(DELETED, path, acl, zxid)",
    ),
    Fault(
        "wrong-multi-code",
        "tree/plan/multi.py",
        "(Code.RUNTIME_INCONSISTENCY,) * after",
        "(Code.OK,) * after",
    ),
    Fault(
        "no-watch-on-what-is-missing",
        "tree/reads.py",
        "    if watch:\n        watches.watch_data(path, watcher)\n    if node is None:\n        raise Refused(Code.NO_NODE)",
        "    if node is None:\n        raise Refused(Code.NO_NODE)\n    if watch:\n        watches.watch_data(path, watcher)",
    ),
    Fault(
        "acl-moves-the-version",
        "tree/node.py",
        "fresh.acl, fresh.aversion, fresh.node_rev = other.acl, other.aversion, other.node_rev",
        "fresh.acl, fresh.aversion, fresh.node_rev = other.acl, other.aversion, other.node_rev\n"
        "        fresh.version = next_version(fresh.version)",
    ),
    Fault(
        "persistent-watch-once",
        "tree/watches.py",
        "told.update(self._persistent.crowds[path])",
        "told.update(self._persistent.take(path))",
    ),
    Fault(
        "recursive-hears-of-children",
        "tree/matrix.py",
        "data=False, child=True, recursive=False",
        "data=False, child=True, recursive=True",
    ),
    Fault(
        "catch-up-by-mzxid",
        "tree/catchup.py",
        "(node.czxid if kids is None else kids.pzxid) > seen",
        "node.mzxid > seen",
    ),
    Fault(
        "null-becomes-empty",
        "tree/plan/create.py",
        "access, data, UNWRITTEN",
        'access, data or b"", UNWRITTEN',
    ),
    Fault("hash-is-shown", "tree/acl.py", "if acl.allows(ADMIN, who):", "if acl.allows(READ | ADMIN, who):"),
    Fault(
        "order-of-checks",
        "tree/plan/delete.py",
        "    if version != -1:\n        view.stat(path)\n        if version != node.version:\n"
        "            raise Refused(Code.BAD_VERSION)\n",
        "    if version != -1 and not ((held := view.kids(path)) and held.count):\n        view.stat(path)\n"
        "        if version != node.version:\n            raise Refused(Code.BAD_VERSION)\n",
    ),
)


def with_fault(fault: Fault, into: Path) -> None:
    """A copy of the package with the fault in it."""
    # (Compiled modules would run in place of the copy's source.)
    ignore = shutil.ignore_patterns("__pycache__", "*.so")
    shutil.copytree(ROOT / "parkeeper", into / "parkeeper", ignore=ignore)
    file = into / "parkeeper" / fault.file
    source = file.read_text()
    assert source.count(fault.right) == 1, f"{fault.file} has not the one place to change"
    file.write_text(source.replace(fault.right, fault.wrong))


class FoundError(Exception):
    """The two differ."""


@pytest.mark.conformance
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_found(fault: Fault, tmp_path: Path) -> None:
    """Generated scripts meet the fault, and the comparison shows it."""
    with_fault(fault, tmp_path)
    with Arena(sides.zookeeper(), sides.keepers(source=tmp_path)) as arena:

        @seed(1)
        @settings(
            max_examples=WITHIN,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )
        @given(scripts())
        def agree(script: Script) -> None:
            if arena.diverges(script):
                raise FoundError

        with pytest.raises(FoundError):
            agree()
