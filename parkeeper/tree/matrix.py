"""The event matrix: which change tells whom what. Four rows, since a create and a delete are also news at the parent.

| row | who is told, at the path of the row | of |
| --- | --- | --- |
| `CREATED` | data watches, persistent, recursive here or above | NodeCreated |
| `CHANGED` (setData) | data watches, persistent, recursive here or above | NodeDataChanged |
| `DELETED` | data and child watches, persistent, recursive here or above | NodeDeleted |
| `CHILDREN` (a child came or went) | child watches, persistent | NodeChildrenChanged |

Data and child watches are one-shot: being told ends them. Whoever is there by several watches is told once.
setACL, failed requests and moving quota statistics tell nobody anything.
Sources: DataTree.createNode, deleteNode, setData; WatchManager.triggerWatch.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from parkeeper.wire.events import EventType


class Row(NamedTuple):
    """What one event reaches, besides the persistent watches at its path.

    Attributes:
        type: of the event.
        data: whether it uses up the data watches at its path.
        child: whether it uses up the child watches at its path.
        recursive: whether it reaches recursive watches at its path and above.
    """

    type: EventType
    data: bool
    child: bool
    recursive: bool


CREATED: Final = Row(EventType.CREATED, data=True, child=False, recursive=True)
CHANGED: Final = Row(EventType.DATA_CHANGED, data=True, child=False, recursive=True)
DELETED: Final = Row(EventType.DELETED, data=True, child=True, recursive=True)
CHILDREN: Final = Row(EventType.CHILDREN_CHANGED, data=False, child=True, recursive=False)
