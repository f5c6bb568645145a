"""What a namespace holds when it is made: `meta`, `ids`, and ZooKeeper's default nodes (reference 3.7).

All their zxids are 0. The root reports cversion -1 and /zookeeper -2, for ZooKeeper puts their children in without
counting them; here that is a `kids/` with children and no creations.
"""

from __future__ import annotations

from parkeeper.tree import encoding
from parkeeper.tree.acl import OPEN, READ_ONLY, AccessList
from parkeeper.tree.encoding import Meta
from parkeeper.tree.node import Kids, Znode


def _node(access: AccessList, aversion: int = 0) -> bytes:
    return encoding.encode_node(Znode(0, 0, 0, 0, 0, aversion, 0, access, b"", 0, 0))


def items(meta: Meta) -> dict[str, bytes]:
    """Item name -> value, for one commit guarded by `meta` = 0."""
    nodes = {
        "": _node(OPEN),
        "zookeeper": _node(OPEN),
        "zookeeper/quota": _node(OPEN),
        "zookeeper/config": _node(READ_ONLY, aversion=-1),
    }
    made = {"meta": encoding.encode_meta(meta), "ids": encoding.encode_ids(0)}
    for path, value in nodes.items():
        made["node/" + path] = value
        made["data/" + path] = b""
    made["kids/"] = encoding.encode_kids(Kids(0, 1, 0, 0))
    made["kids/zookeeper"] = encoding.encode_kids(Kids(0, 2, 0, 0))
    return made
