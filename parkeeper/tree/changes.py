"""Changes: the effects of a write, one by one, in the order in which watches see them.

A change carries the state after it, so that applying it is assignment. The planner makes them with pending zxids;
a follower makes the same ones from a commit's journal (`parkeeper.tree.journal`).

Assigned is only what the change's guards hold still. A setACL guards `node/` alone, so other keepers may set the data
between its planning and its commit; a setData doesn't guard the children. So of a `SET_ACL` the ACL is taken and no
more, and what a Stat answers is looked up when the change is applied (`After`).

(What every write makes is a plain class: compiled, a named tuple costs half a microsecond, a class of its own a tenth.)
"""

from __future__ import annotations

from typing import Final, NamedTuple

from parkeeper.tree.node import Kids, Znode
from parkeeper.tree.sessions import Session

CREATE: Final = 1
DELETE: Final = 2
SET_DATA: Final = 3
SET_ACL: Final = 4
SET_SESSION: Final = 5
END_SESSION: Final = 6


class After:
    """A znode right after a change: what the Stat in an answer says. Filled in when the change is applied.

    Attributes:
        node: the znode; None until then.
        kids: what its children moved; None while it never had one.
    """

    __slots__ = ("kids", "node")

    def __init__(self) -> None:
        self.node: Znode | None = None
        self.kids: Kids | None = None


class Change:
    """One effect on a znode or a session.

    Attributes:
        kind: one of the numbers above.
        path: of the znode, "" for a session's.
        node: the znode after it; None for a delete and for sessions.
        parent: path of the parent where its `kids` move: create and delete.
        kids: the parent's `Kids` after it.
        session: the session's id where it is about one.
        record: the session after it, None when it ends.
        after: where an answer waits for the Stat.
    """

    __slots__ = ("after", "kids", "kind", "node", "parent", "path", "record", "session")

    def __init__(
        self,
        kind: int,
        path: str,
        node: Znode | None = None,
        parent: str = "",
        kids: Kids | None = None,
        session: int = 0,
        record: Session | None = None,
        after: After | None = None,
    ) -> None:
        self.kind = kind
        self.path = path
        self.node = node
        self.parent = parent
        self.kids = kids
        self.session = session
        self.record = record
        self.after = after

    def __repr__(self) -> str:
        return f"<Change kind={self.kind} path={self.path!r} session={self.session:#x} node={self.node!r}>"


class Write(NamedTuple):
    """The changes of one request: one position, one zxid."""

    position: int
    changes: list[Change]
