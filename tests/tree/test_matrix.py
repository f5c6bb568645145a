"""The event matrix, cell by cell."""

import pytest

from parkeeper.tree.acl import OPEN
from parkeeper.tree.watches import PERSISTENT, RECURSIVE, WatchTable
from tests.tree.grove import Listener

CREATED, DELETED, CHANGED, CHILDREN = 1, 2, 3, 4


def change(watches, kind):
    """Something happens to /p/n."""
    if kind == "create":
        watches.created("/p/n", OPEN, "/p", OPEN, 7)
    elif kind == "set":
        watches.changed("/p/n", OPEN, 7)
    else:
        watches.deleted("/p/n", OPEN, "/p", OPEN, 7)


WATCHES = {
    "data on n": lambda table, w: table.watch_data("/p/n", w),
    "child on n": lambda table, w: table.watch_child("/p/n", w),
    "data on p": lambda table, w: table.watch_data("/p", w),
    "child on p": lambda table, w: table.watch_child("/p", w),
    "persistent on n": lambda table, w: table.watch("/p/n", w, PERSISTENT),
    "persistent on p": lambda table, w: table.watch("/p", w, PERSISTENT),
    "recursive on n": lambda table, w: table.watch("/p/n", w, RECURSIVE),
    "recursive on p": lambda table, w: table.watch("/p", w, RECURSIVE),
    "recursive on root": lambda table, w: table.watch("/", w, RECURSIVE),
    "recursive beside": lambda table, w: table.watch("/p/nn", w, RECURSIVE),
    "recursive below": lambda table, w: table.watch("/p/n/x", w, RECURSIVE),
}

# Reference 5.2, the table; N = /p/n, P = /p.
TOLD = {
    "create": {
        "data on n": [(CREATED, "/p/n")],
        "child on p": [(CHILDREN, "/p")],
        "persistent on n": [(CREATED, "/p/n")],
        "persistent on p": [(CHILDREN, "/p")],
        "recursive on n": [(CREATED, "/p/n")],
        "recursive on p": [(CREATED, "/p/n")],
        "recursive on root": [(CREATED, "/p/n")],
    },
    "set": {
        "data on n": [(CHANGED, "/p/n")],
        "persistent on n": [(CHANGED, "/p/n")],
        "recursive on n": [(CHANGED, "/p/n")],
        "recursive on p": [(CHANGED, "/p/n")],
        "recursive on root": [(CHANGED, "/p/n")],
    },
    "delete": {
        "data on n": [(DELETED, "/p/n")],
        "child on n": [(DELETED, "/p/n")],
        "child on p": [(CHILDREN, "/p")],
        "persistent on n": [(DELETED, "/p/n")],
        "persistent on p": [(CHILDREN, "/p")],
        "recursive on n": [(DELETED, "/p/n")],
        "recursive on p": [(DELETED, "/p/n")],
        "recursive on root": [(DELETED, "/p/n")],
    },
}


@pytest.mark.parametrize("watch", WATCHES)
@pytest.mark.parametrize("kind", TOLD)
def test_matrix(kind, watch):
    """One watch, one change: exactly these events; a one-shot watch is then used up, another stays."""
    table, listener = WatchTable(), Listener()
    WATCHES[watch](table, listener)
    change(table, kind)
    expected = TOLD[kind].get(watch, [])
    assert listener.told() == expected
    change(table, kind)
    one_shot = watch.startswith(("data", "child"))
    assert listener.told() == ([] if one_shot else expected)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("create", [(CREATED, "/p/n"), (CHILDREN, "/p")]),
        ("set", [(CHANGED, "/p/n")]),
        ("delete", [(DELETED, "/p/n"), (CHILDREN, "/p")]),
    ],
)
def test_matrix_when_one_connection_has_every_watch(kind, expected):
    """One packet per change and path, the node's before the parent's."""
    table, listener = WatchTable(), Listener()
    for register in WATCHES.values():
        register(table, listener)
    change(table, kind)
    assert listener.told() == expected
