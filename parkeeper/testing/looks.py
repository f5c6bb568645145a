"""What a test can look at: the tree, the sessions and the watches of an ensemble, as plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, Protocol

from parkeeper.testing.member import Member
from parkeeper.tree.acl import AccessList
from parkeeper.tree.node import Znode
from parkeeper.tree.paths import ROOT, parent_of
from parkeeper.tree.replica import Replica

Tree = dict[str, bytes | None]
"""Path -> data, parents before children. The root and what ZooKeeper keeps under `/zookeeper` are left out."""

_SYSTEM: Final = "/zookeeper"


class HasClientId(Protocol):
    """A kazoo client."""

    @property
    def client_id(self) -> tuple[int, bytes] | None:
        """Session id and password; None while it has no session."""
        ...


SessionName = int | str | HasClientId
"""A session by its id, by an ephemeral it owns, or by the kazoo client that holds it."""


class SessionInfo(NamedTuple):
    """A session.

    Attributes:
        id: its number.
        timeout: ms, as negotiated.
        keeper: number of the keeper that owns it, None if that is gone.
        connected: whether a client holds it.
        ephemerals: paths, oldest first.
    """

    id: int
    timeout: int
    keeper: int | None
    connected: bool
    ephemerals: tuple[str, ...]


class Watch(NamedTuple):
    """A watch.

    Attributes:
        kind: `data` (getData, exists), `child` (getChildren), `persistent` or `recursive` (addWatch).
        session: whose.
    """

    kind: str
    session: int


class Node(NamedTuple):
    """A znode.

    Attributes:
        path: of it.
        data: bytes, None for null.
        version: of the data.
        owner: session that it is an ephemeral of, 0: none.
        acl: `(perms, scheme, id)` of each entry.
        ctime, mtime: ms since 1970.
    """

    path: str
    data: bytes | None
    version: int
    owner: int
    acl: tuple[tuple[int, str | None, str | None], ...]
    ctime: int
    mtime: int


def newest(members: Iterable[Member]) -> Replica | None:
    """The replica that has seen most; None if no keeper serves."""
    replicas = [each.incarnation.replica for each in members if each.incarnation is not None]
    return max(replicas, key=lambda replica: replica.revision, default=None)


def tree_of(replica: Replica) -> Tree:
    """Path -> data, sorted."""
    return {path: replica.nodes[path].data for path in sorted(replica.nodes) if _is_users(path)}


def node_of(replica: Replica, path: str) -> Node | None:
    """One znode, None if there is none."""
    node = replica.nodes.get(path)
    if node is None:
        return None
    return Node(path, node.data, node.version, owner_of(node), _entries(node.acl), node.ctime, node.mtime)


def sessions_of(replica: Replica, members: Iterable[Member]) -> dict[int, SessionInfo]:
    """Id -> session."""
    numbers: dict[int, int] = {}
    connected: set[int] = set()
    for member in members:
        if member.incarnation is not None:
            numbers[member.incarnation.keeper] = member.number
            connected |= set(member.incarnation.sessions.attachments)
    return {
        id: SessionInfo(
            id, record.timeout, numbers.get(record.owner), id in connected, tuple(replica.ephemerals.of(id))
        )
        for id, record in replica.sessions.items()
    }


def watches_of(members: Iterable[Member]) -> dict[str, set[Watch]]:
    """Path -> its watches, at any keeper."""
    found: dict[str, set[Watch]] = {}
    for member in members:
        if member.incarnation is not None:
            for kind, path, session in member.incarnation.watches.every():
                found.setdefault(path, set()).add(Watch(kind, session))
    return found


def session_id(replica: Replica, named: SessionName) -> int:
    """The session that is named by its id, by an ephemeral it owns, or by a kazoo client that holds it.

    Raises:
        LookupError: there is none.
    """
    if isinstance(named, int):
        id = named
    elif isinstance(named, str):
        node = replica.nodes.get(named)
        if node is None or not owner_of(node):
            raise LookupError(f"{named} is {'no znode' if node is None else 'not ephemeral'}")
        id = owner_of(node)
    else:
        id = _id_of(named)
    if id not in replica.sessions:
        raise LookupError(f"there is no session {id:#x}")
    return id


def _id_of(client: HasClientId) -> int:
    """Kazoo hides the id while it is disconnected, which is just when a test may want to name it."""
    id = client.client_id[0] if client.client_id is not None else getattr(client, "_session_id", None)
    if not isinstance(id, int):
        raise LookupError(f"{client!r} has no session")  # noqa: TRY004 - it is a client, only not connected yet
    return id


def owner_of(node: Znode) -> int:
    """The session a znode is an ephemeral of, 0 if it is none."""
    return node.owner if node.ephemeral else 0


def to_create(tree: Mapping[str, bytes | str | None], there: Iterable[str]) -> dict[str, bytes | None]:
    """The znodes to create for a tree, missing parents included, parents first.

    Args:
        tree: path -> data, text as UTF-8.
        there: paths that exist.

    Raises:
        ValueError: a path does not begin with a slash.
    """
    existing = {ROOT, *there}
    wanted: dict[str, bytes | None] = {}
    for path, data in tree.items():
        if not path.startswith("/"):
            raise ValueError(f"{path!r} is no path: it does not begin with a slash")
        wanted[path] = data.encode() if isinstance(data, str) else data
        above = parent_of(path)
        while above not in existing and above not in wanted:
            wanted[above] = b""
            above = parent_of(above)
    wanted.pop(ROOT, None)
    return {path: wanted[path] for path in sorted(wanted, key=lambda path: (path.count("/"), path))}


def _is_users(path: str) -> bool:
    return path != ROOT and path != _SYSTEM and not path.startswith(_SYSTEM + "/")


def _entries(acl: AccessList) -> tuple[tuple[int, str | None, str | None], ...]:
    return tuple((each.perms, each.scheme, each.id) for each in acl.entries)
