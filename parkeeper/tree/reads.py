"""The reads: one function per operation, from a replica to the body of the reply.

    read(replica, watches, watcher, record) -> body of the reply, or Refused(code)

Order of checks: the node exists, READ is allowed, then the watch is registered; so nothing is left behind by a
refusal. Only exists registers for a node that is missing. There is no path validation: a bad path is one that no
node has. The empty path is the root (DataTree has it under both names), but a watch on it never fires.

getData is most of all traffic: small bodies are kept on the znode. Replica and planner replace a `Znode` when it
changes, and the replica drops the kept body when the Stat changes through children.
Sources: FinalRequestProcessor, DataTree (getAllChildrenNumber, statNode).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, cast

from parkeeper.errors import Refused
from parkeeper.tree.acl import ADMIN, READ, masked, require
from parkeeper.tree.catchup import set_watches
from parkeeper.tree.children import NONE
from parkeeper.tree.node import Znode, pack_stat
from parkeeper.tree.paths import ROOT
from parkeeper.tree.replica import Replica
from parkeeper.tree.schemes import client_infos
from parkeeper.tree.watches import Watcher, WatchTable
from parkeeper.wire import multi, replies, requests
from parkeeper.wire.codes import Code
from parkeeper.wire.op import Op

KEPT: Final = 1024
"""Bytes of data up to which the body of a getData reply is kept: making it anew costs little beside larger data."""

_BLANKS: Final = "".join(map(chr, range(0x21)))  # what Java's String.trim takes


def get_data(replica: Replica, watches: WatchTable, watcher: Watcher, record: requests.GetData) -> bytes:
    """Data and Stat."""
    path, watch = record
    node = replica.nodes.get(path or ROOT)
    if node is None:
        raise Refused(Code.NO_NODE)
    if not node.acl.world & READ:
        require(node.acl, READ, watcher.identities)
    if watch:
        watches.watch_data(path, watcher)
    return node.reply or _data_body(replica, path or ROOT, node)


def _data_body(replica: Replica, path: str, node: Znode) -> bytes:
    computed = replica.quotas.stats_data(path)
    if computed is not None:
        return replies.data_body(computed, _stat_of(replica, path, node))
    body = replies.data_body(node.data, pack_stat(node, replica.kids.get(path)))
    if node.data is None or len(node.data) <= KEPT:
        node.reply = body
    return body


def exists(replica: Replica, watches: WatchTable, watcher: Watcher, record: requests.Exists) -> bytes:
    """The Stat; the watch is registered for a missing node too."""
    path, watch = record
    if "\0" in path:
        raise Refused(Code.BAD_ARGUMENTS)
    node = replica.nodes.get(path or ROOT)
    if node is not None:
        require(node.acl, READ, watcher.identities)
    if watch:
        watches.watch_data(path, watcher)
    if node is None:
        raise Refused(Code.NO_NODE)
    return _stat_of(replica, path or ROOT, node)


def get_children(
    replica: Replica, watches: WatchTable, watcher: Watcher, record: requests.GetChildren
) -> bytes:
    """The names of the children."""
    path, watch = record
    _readable(replica, watcher, path)
    if watch:
        watches.watch_child(path, watcher)
    return _names_of(replica, path or ROOT)


def multi_read(replica: Replica, watches: WatchTable, watcher: Watcher, record: multi.MultiRead) -> bytes:
    """The results of several getData and getChildren; each is refused on its own.

    Where `record.broken`, whoever makes the reply is to put MARSHALLING_ERROR into its header.
    """
    return multi.multi_body(_result(replica, watches, watcher, kind, each) for kind, each in record.ops)


def _result(
    replica: Replica,
    watches: WatchTable,
    watcher: Watcher,
    kind: int,
    record: requests.GetData | requests.GetChildren,
) -> bytes:
    try:
        if isinstance(record, requests.GetData):
            return multi.result(kind, get_data(replica, watches, watcher, record))
        return multi.result(kind, get_children(replica, watches, watcher, record))
    except Refused as refused:
        return multi.failure(refused.code)


def get_children2(
    replica: Replica, watches: WatchTable, watcher: Watcher, record: requests.GetChildren2
) -> bytes:
    """The names of the children and the Stat."""
    path, watch = record
    node = _readable(replica, watcher, path)
    if watch:
        watches.watch_child(path, watcher)
    return _names_of(replica, path or ROOT) + _stat_of(replica, path or ROOT, node)


def get_acl(replica: Replica, _watches: WatchTable, watcher: Watcher, record: requests.GetAcl) -> bytes:
    """The ACL and the Stat, to whoever may READ or ADMIN; hashes only to the latter."""
    path = record.path or ROOT
    node = replica.nodes.get(path)
    if node is None:
        raise Refused(Code.NO_NODE)
    require(node.acl, READ | ADMIN, watcher.identities)
    return masked(node.acl, watcher.identities) + _stat_of(replica, path, node)


def get_all_children_number(
    replica: Replica,
    _watches: WatchTable,
    watcher: Watcher,
    record: requests.GetAllChildrenNumber,
) -> bytes:
    """How many nodes are below, at any depth."""
    path = record.path or ROOT
    _readable(replica, watcher, path)
    if path == ROOT:
        return replies.int_body(len(replica.nodes) - 1)
    # Parents are far fewer than nodes, so this looks through them only.
    below = path + "/"
    return replies.int_body(
        sum(
            len(names)
            for parent, names in replica.children.items()
            if parent == path or parent.startswith(below)
        )
    )


def get_ephemerals(
    replica: Replica,
    _watches: WatchTable,
    watcher: Watcher,
    record: requests.GetEphemerals,
) -> bytes:
    """The paths of the session's own ephemerals that begin with a text; null, blank or `/`: all."""
    prefix = record.prefix or ""
    paths = replica.ephemerals.of(watcher.session)
    if prefix.strip(_BLANKS) not in ("", ROOT):
        paths = [path for path in paths if path.startswith(prefix)]
    return replies.children_body(paths)


def who_am_i(_replica: Replica, _watches: WatchTable, watcher: Watcher, _record: requests.WhoAmI) -> bytes:
    """The identities of the connection."""
    return replies.who_am_i_body(client_infos(watcher.identities))


def check_watches(
    _replica: Replica,
    watches: WatchTable,
    watcher: Watcher,
    record: requests.CheckWatches,
) -> bytes:
    """NO_WATCHER unless the connection has a watch of that type there."""
    if not watches.contains(record.path, watcher, record.type):
        raise Refused(Code.NO_WATCHER)
    return b""


def remove_watches(
    _replica: Replica,
    watches: WatchTable,
    watcher: Watcher,
    record: requests.RemoveWatches,
) -> bytes:
    """End watches of a type; NO_WATCHER if there were none."""
    if not watches.remove(record.path, watcher, record.type):
        raise Refused(Code.NO_WATCHER)
    return b""


def add_watch(_replica: Replica, watches: WatchTable, watcher: Watcher, record: requests.AddWatch) -> bytes:
    """A persistent watch, wherever: neither the node nor READ is asked for."""
    watches.watch(record.path, watcher, record.mode)
    return replies.int_body(Code.OK)


def catch_up(replica: Replica, watches: WatchTable, watcher: Watcher, record: requests.SetWatches) -> bytes:
    """setWatches and setWatches2 (`parkeeper.tree.catchup`)."""
    set_watches(replica, watches, watcher, record)
    return b""


def _readable(replica: Replica, watcher: Watcher, path: str) -> Znode:
    """The node at a path, if the watcher may read it."""
    node = replica.nodes.get(path or ROOT)
    if node is None:
        raise Refused(Code.NO_NODE)
    require(node.acl, READ, watcher.identities)
    return node


def _names_of(replica: Replica, path: str) -> bytes:
    names = replica.children.get(path)
    return NONE if names is None else names.encoded()


def _stat_of(replica: Replica, path: str, node: Znode) -> bytes:
    """The Stat as read; a stats node's length is that of what is computed for it."""
    computed = replica.quotas.stats_data(path)
    return pack_stat(node if computed is None else node.with_bytes(computed), replica.kids.get(path))


Read = Callable[[Replica, WatchTable, Watcher, object], bytes]

# The opcode table pairs each number with the decoder of the record that its function here takes.
READS: Final = cast(
    "dict[int, Read]",
    {
        Op.EXISTS: exists,
        Op.GET_DATA: get_data,
        Op.GET_ACL: get_acl,
        Op.GET_CHILDREN: get_children,
        Op.GET_CHILDREN2: get_children2,
        Op.MULTI_READ: multi_read,
        Op.CHECK_WATCHES: check_watches,
        Op.REMOVE_WATCHES: remove_watches,
        Op.SET_WATCHES: catch_up,
        Op.SET_WATCHES2: catch_up,
        Op.GET_EPHEMERALS: get_ephemerals,
        Op.GET_ALL_CHILDREN_NUMBER: get_all_children_number,
        Op.ADD_WATCH: add_watch,
        Op.WHO_AM_I: who_am_i,
    },
)
