"""ZooKeeper's tree as plain dicts, slow and obvious: what the property tests hold the planner and the replicas against.

Written from the rules of ZooKeeper (PrepRequestProcessor, DataTree, DataNode) and from nothing of ours but the
records that requests are decoded into. Answers are the bytes of a reply's body.
"""

from __future__ import annotations

import copy
import struct
from dataclasses import dataclass, field

WORLD = (31, "world", "anyone")
STAT = struct.Struct(">qqqqiiiqiiq")
HEADER = struct.Struct(">iBi")
QUOTA = "/zookeeper/quota"
SPECIAL = ("/", "/zookeeper", QUOTA, "/zookeeper/config")
CONTAINER_UNUSED = 300_000


class Refusal(Exception):
    """An operation is answered with this code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class Node:
    """A znode as a client sees it; `made` counts the children ever created, `kind` is p, e, c or t."""

    acl: tuple
    data: bytes | None
    czxid: int = 0
    mzxid: int = 0
    pzxid: int = 0
    ctime: int = 0
    mtime: int = 0
    version: int = 0
    cversion: int = 0
    aversion: int = 0
    kind: str = "p"
    owner: int = 0
    ttl: int = 0
    made: int = 0
    children: set = field(default_factory=set)

    def stat(self) -> bytes:
        return STAT.pack(
            self.czxid, self.mzxid, self.ctime, self.mtime, self.version, self.cversion, self.aversion,
            self.owner, len(self.data or b""), len(self.children), self.pzxid,
        )  # fmt: skip


@dataclass
class Session:
    timeout: int
    keeper: int
    revision: int
    closing: bool = False


@dataclass
class Call:
    """One request: who asks, when and as which write; `deleted` are the paths a close was seen to delete."""

    op: int
    record: object
    session: int
    ids: tuple
    zxid: int
    revision: int
    now: int
    keeper: int
    most: int = 0
    deleted: tuple = ()


def string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack(">i", len(raw)) + raw


def next_version(version: int) -> int:
    if version == 2**31 - 1:
        return -(2**31)
    return 0 if version == -2 else version + 1


def bad_unit(unit: int) -> bool:
    """Whether a UTF-16 unit may not stand in a path."""
    ranges = ((0, 0x1F), (0x7F, 0x9F), (0xD800, 0xF8FF), (0xFFF0, 0xFFFF))
    return any(low <= unit <= high for low, high in ranges)


def valid(path: str | None) -> bool:
    """What PathUtils.validatePath lets through."""
    if path == "/":
        return True
    if not path or path[0] != "/" or path[-1] == "/":
        return False
    raw = path.encode("utf-16-be", "surrogatepass")
    if any(bad_unit(unit) for (unit,) in struct.iter_unpack(">H", raw)):
        return False
    return all(part not in ("", ".", "..") for part in path[1:].split("/"))


def allowed(acl: tuple, bit: int, ids: tuple) -> bool:
    if any(scheme == "super" for scheme, _ in ids):
        return True
    return any(
        perms & bit and ((scheme, id) == ("world", "anyone") or (scheme, id) in ids)
        for perms, scheme, id in acl
    )


def fixed(acl: tuple | None, ids: tuple) -> tuple:
    """What becomes of an ACL that a request brings."""
    found: list[tuple] = []
    for entry in dict.fromkeys(map(tuple, acl or ())):
        perms, scheme, id = entry
        if scheme == "auth":
            mine = [(perms, *each) for each in ids if each[0] == "digest"]
            if not mine:
                raise Refusal(-114)
            found += mine
        elif entry[1:] == ("world", "anyone") or (scheme == "digest" and id.count(":") == 1):
            found.append(entry)
        else:
            raise Refusal(-114)
    if not found:
        raise Refusal(-114)
    return tuple(found)


class Plain:
    """The tree and its sessions. `events` are those of the last call: (type, path, acl that must allow READ)."""

    def __init__(self) -> None:
        self.nodes = {
            "/": Node((WORLD,), b"", cversion=-1, children={"zookeeper"}),
            "/zookeeper": Node((WORLD,), b"", cversion=-2, children={"quota", "config"}),
            QUOTA: Node((WORLD,), b""),
            "/zookeeper/config": Node(((1, "world", "anyone"),), b"", aversion=-1),
        }
        self.sessions: dict[int, Session] = {}
        self.events: list[tuple[int, str, tuple]] = []

    def ask(self, call: Call) -> tuple[int, bytes | None]:
        """Code and body; body None: no answer yet, more of the close is to come.

        Who asks must be a session of the keeper that planned it, open to this very moment.
        """
        self.events = []
        if call.session:
            asker = self.sessions[call.session]
            assert asker.keeper == call.keeper
            assert not asker.closing
        try:
            if call.op == 14:
                return 0, self._multi(call)
            if call.op in (-10, -11, -12, -20):
                return {-10: self._open, -11: self._close, -12: self._claim, -20: self._reap}[call.op](call)
            return 0, self._one(call, call.op, call.record)[1]
        except Refusal as refusal:
            return refusal.code, b""

    def _multi(self, call: Call) -> bytes:
        before = copy.deepcopy(self.nodes)
        parts = []
        for done, (op, record) in enumerate(call.record.ops):
            try:
                type, body = self._one(call, op, record, in_multi=True)
            except Refusal as refusal:
                self.nodes, self.events = before, []
                codes = [0] * done + [refusal.code] + [-2] * (len(call.record.ops) - done - 1)
                parts = [HEADER.pack(-1, 0, code) + struct.pack(">i", code) for code in codes]
                break
            parts.append(HEADER.pack(type, 0, 0) + body)
        return b"".join(parts) + HEADER.pack(-1, 1, -1)

    def _one(self, call: Call, op: int, record: object, in_multi: bool = False) -> tuple[int, bytes]:
        """Type of a multi's result, and body."""
        if op in (1, 15, 19, 21):
            path = self._create(call, op, record)
            return (1, string(path)) if op == 1 else (15, string(path) + self.nodes[path].stat())
        if op == 2:
            self._delete(call, record)
            return 2, b""
        if op == 5:
            return 5, self._set_data(call, record).stat()
        if op == 7 and not in_multi:
            return 7, self._set_acl(call, record).stat()
        if op == 13 and in_multi:
            node = self._get(record.path, 1, call)
            self._check_version(record.version, node.version)
            return 13, b""
        raise Refusal(-123)  # reconfig

    def _get(self, path: str | None, bit: int, call: Call) -> Node:
        if not valid(path):
            raise Refusal(-8)
        if path not in self.nodes:
            raise Refusal(-101)
        if not allowed(self.nodes[path].acl, bit, call.ids):
            raise Refusal(-102)
        return self.nodes[path]

    def _check_version(self, asked: int, actual: int) -> None:
        if asked not in (-1, actual):
            raise Refusal(-103)

    def _create(self, call: Call, op: int, record) -> str:
        path, flags = record.path, record.flags
        ttl = record.ttl if op == 21 else -1
        if flags not in range(7):
            raise Refusal(-8)
        if flags in (5, 6) and not 0 < ttl <= 0xFF_FFFF_FFFF:
            raise Refusal(-8)
        if flags not in (5, 6) and (ttl >= 0 or op == 21):
            raise Refusal(-8)
        if "/" not in path or "\0" in path:
            raise Refusal(-8)
        acl = fixed(record.acl, call.ids)
        parent = path[: path.rindex("/")] or "/"
        above = self.nodes.get(parent)
        if above is None:
            raise Refusal(-101)
        if not allowed(above.acl, 4, call.ids):
            raise Refusal(-102)
        if flags in (2, 3, 6):
            path += f"{above.made:010d}"
        if not valid(path):
            raise Refusal(-8)
        if path in self.nodes:
            raise Refusal(-110)
        if above.kind == "e":
            raise Refusal(-108)
        if path == QUOTA + "/zookeeper_limits":
            raise Refusal(-8)
        node = Node(acl, record.data, call.zxid, call.zxid, call.zxid, call.now, call.now)
        if op == 19:
            node.kind = "c"
        elif op == 21:
            node.kind, node.ttl = "t", ttl
        elif flags in (1, 3):
            node.kind, node.owner = "e", call.session
        self.nodes[path] = node
        above.children.add(path[path.rindex("/") + 1 :])
        above.made += 1
        above.cversion += 1
        above.pzxid = call.zxid
        self.events += [(1, path, acl), (4, parent, above.acl)]
        return path

    def _delete(self, call: Call, record) -> None:
        path = record.path
        if "/" not in path or "\0" in path or path in SPECIAL:
            raise Refusal(-8)
        above = self.nodes.get(path[: path.rindex("/")] or "/")
        if above is None:
            raise Refusal(-101)
        if not allowed(above.acl, 8, call.ids):
            raise Refusal(-102)
        if path not in self.nodes:
            raise Refusal(-101)
        self._check_version(record.version, self.nodes[path].version)
        if self.nodes[path].children:
            raise Refusal(-111)
        self._remove(path, call.zxid)

    def _remove(self, path: str, zxid: int) -> None:
        parent, _, name = path.rpartition("/")
        above = self.nodes[parent or "/"]
        gone = self.nodes.pop(path)
        above.children.remove(name)
        above.cversion += 1
        above.pzxid = zxid
        self.events += [(2, path, gone.acl), (4, parent or "/", above.acl)]

    def _set_data(self, call: Call, record) -> Node:
        node = self._get(record.path, 2, call)
        self._check_version(record.version, node.version)
        node.version = next_version(node.version)
        node.data, node.mzxid, node.mtime = record.data, call.zxid, call.now
        self.events.append((3, record.path, node.acl))
        return node

    def _set_acl(self, call: Call, record) -> Node:
        if not valid(record.path):
            raise Refusal(-8)
        acl = fixed(record.acl, call.ids)
        node = self._get(record.path, 16, call)
        self._check_version(record.version, node.aversion)
        node.acl, node.aversion = acl, next_version(node.aversion)
        return node

    def _open(self, call: Call) -> tuple[int, bytes]:
        assert call.record.session not in self.sessions
        self.sessions[call.record.session] = Session(call.record.timeout, call.keeper, call.revision)
        return 0, b""

    def _claim(self, call: Call) -> tuple[int, bytes | None]:
        found = self.sessions.get(call.record.session)
        if found is None:
            raise Refusal(-112)
        if found.closing:
            _, body = self._end(call, call.record.session)
            return -112, body
        self.sessions[call.record.session] = Session(call.record.timeout, call.keeper, call.revision)
        return 0, b""

    def _close(self, call: Call) -> tuple[int, bytes | None]:
        found = self.sessions.get(call.record.session)
        if found is None:
            raise Refusal(-112)
        if call.record.expected not in (None, found.revision) and not found.closing:
            raise Refusal(-103)
        return self._end(call, call.record.session)

    def _end(self, call: Call, session: int) -> tuple[int, bytes | None]:
        mine = self.owned(session)
        whole = not call.most or len(mine) <= call.most
        assert set(call.deleted) <= mine
        assert len(set(call.deleted)) == len(call.deleted) == (len(mine) if whole else call.most)
        for path in call.deleted:
            self._remove(path, call.zxid)
        if whole:
            del self.sessions[session]
            return 0, b""
        if not self.sessions[session].closing:
            self.sessions[session].closing = True
            self.sessions[session].revision = call.revision
        return 0, None

    def _reap(self, call: Call) -> tuple[int, bytes]:
        if call.record.path not in self.due(call.now):
            raise Refusal(-103)
        self._remove(call.record.path, call.zxid)
        return 0, b""

    # To look at.

    def owned(self, session: int) -> set[str]:
        return {path for path, node in self.nodes.items() if node.kind == "e" and node.owner == session}

    def due(self, now: int) -> set[str]:
        """What the janitor may delete."""
        return {
            path
            for path, node in self.nodes.items()
            if not node.children
            and (
                (node.kind == "t" and now - node.mtime > node.ttl)
                or (node.kind == "c" and (node.made > 0 or now - node.mtime > CONTAINER_UNUSED))
            )
        }

    def usage(self, top: str) -> bytes:
        """What a zookeeper_stats node of a subtree says."""
        inside = [node for path, node in self.nodes.items() if path == top or path.startswith(top + "/")]
        return b"count=%d,bytes=%d" % (len(inside), sum(len(node.data or b"") for node in inside))
