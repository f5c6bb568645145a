"""The opcode table: what each operation number is (reference 2.1).

A number that is not in `OPERATIONS` is refused like those of kind REFUSED: -6 with zxid -1, then close
(UnimplementedRequestProcessor). What ZooKeeper would do to a client that sends deleteContainer or createSession is
no example to follow (reference 15.1).
"""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple

from parkeeper.errors import Malformed
from parkeeper.wire import multi, requests
from parkeeper.wire.jute import Decoder
from parkeeper.wire.multi import Multi, MultiRead
from parkeeper.wire.op import Op
from parkeeper.wire.requests import (
    AddWatch,
    Auth,
    Check,
    CheckWatches,
    CloseSession,
    Create,
    CreateTtl,
    Delete,
    Exists,
    GetAcl,
    GetAllChildrenNumber,
    GetChildren,
    GetChildren2,
    GetData,
    GetEphemerals,
    Ping,
    Reconfig,
    RemoveWatches,
    Sasl,
    SetAcl,
    SetData,
    SetWatches,
    Sync,
    WhoAmI,
)

__all__ = ["OPERATIONS", "Kind", "Op", "Operation", "Record"]

Record = (
    AddWatch
    | Auth
    | Check
    | CheckWatches
    | CloseSession
    | Create
    | CreateTtl
    | Delete
    | Exists
    | GetAcl
    | GetAllChildrenNumber
    | GetChildren
    | GetChildren2
    | GetData
    | GetEphemerals
    | Multi
    | MultiRead
    | Ping
    | Reconfig
    | RemoveWatches
    | Sasl
    | SetAcl
    | SetData
    | SetWatches
    | Sync
    | WhoAmI
)


class Kind(Enum):
    """How an operation is answered."""

    READ = auto()
    """From this keeper's replica and this connection's watches, at once when no earlier request waits. The
    operations on watches belong here."""
    WRITE = auto()
    """By a plan and a commit. reconfig belongs here: always refused (-123), but in its turn and by the planner."""
    SESSION = auto()
    """About the session or the connection itself, each in its own way: ping, auth, sasl, sync (waits for the
    store's newest commit), closeSession (a commit, then the end)."""
    REFUSED = auto()
    """Not a request: -6, then close. Not decoded."""


class Operation(NamedTuple):
    """One row of the table.

    Attributes:
        name: ZooKeeper's (Request.op2String).
        decode: of the record, which starts behind the 8 bytes of the request header; raises `Malformed`.
        last: what `cons` shows as `lop` (reference 11.2); None: the connection's last operation stays as it was.
        counter: the last part of mntr's `op_count_<counter>`; None: not counted.
    """

    name: str
    kind: Kind
    decode: Decoder[Record]
    last: str | None
    counter: str | None


def _ping(_payload: bytes, _at: int) -> Ping:
    return _PING


def _close_session(_payload: bytes, _at: int) -> CloseSession:
    return _CLOSE_SESSION


def _who_am_i(_payload: bytes, _at: int) -> WhoAmI:
    return _WHO_AM_I


def _never(_payload: bytes, _at: int) -> Ping:
    raise Malformed("a number that is not a request")


_PING, _CLOSE_SESSION, _WHO_AM_I = Ping(), CloseSession(), WhoAmI()
_READ, _WRITE, _SESSION, _REFUSED = Kind.READ, Kind.WRITE, Kind.SESSION, Kind.REFUSED

OPERATIONS: dict[int, Operation] = {
    Op.CREATE: Operation("create", _WRITE, requests.create, "CREA", "create"),
    Op.DELETE: Operation("delete", _WRITE, requests.delete, "DELE", "delete"),
    Op.EXISTS: Operation("exists", _READ, requests.exists, "EXIS", "exists"),
    Op.GET_DATA: Operation("getData", _READ, requests.get_data, "GETD", "get_data"),
    Op.SET_DATA: Operation("setData", _WRITE, requests.set_data, "SETD", "set_data"),
    Op.GET_ACL: Operation("getACL", _READ, requests.get_acl, "GETA", "get_acl"),
    Op.SET_ACL: Operation("setACL", _WRITE, requests.set_acl, "SETA", "set_acl"),
    Op.GET_CHILDREN: Operation("getChildren", _READ, requests.get_children, "GETC", "get_children"),
    Op.SYNC: Operation("sync", _SESSION, requests.sync, "SYNC", "sync"),
    Op.PING: Operation("ping", _SESSION, _ping, "PING", "ping"),
    Op.GET_CHILDREN2: Operation("getChildren2", _READ, requests.get_children2, "GETC", "get_children"),
    Op.MULTI: Operation("multi", _WRITE, multi.multi, "MULT", "multi"),
    Op.CREATE2: Operation("create2", _WRITE, requests.create, "CREA", "create"),
    Op.RECONFIG: Operation("reconfig", _WRITE, requests.reconfig, "RECO", "reconfig"),
    Op.CHECK_WATCHES: Operation("checkWatches", _READ, requests.check_watches, "CHKW", "check_watches"),
    Op.REMOVE_WATCHES: Operation("removeWatches", _READ, requests.remove_watches, "REMW", "remove_watches"),
    Op.CREATE_CONTAINER: Operation("createContainer", _WRITE, requests.create, "CREA", "create"),
    Op.CREATE_TTL: Operation("createTTL", _WRITE, requests.create_ttl, "CREA", "create"),
    Op.MULTI_READ: Operation("multiRead", _READ, multi.multi_read, "MLTR", "multi_read"),
    Op.AUTH: Operation("auth", _SESSION, requests.auth, None, None),
    Op.SET_WATCHES: Operation("setWatches", _READ, requests.set_watches, "SETW", "set_watches"),
    Op.SASL: Operation("sasl", _SESSION, requests.sasl, None, None),
    Op.GET_EPHEMERALS: Operation("getEphemerals", _READ, requests.get_ephemerals, "GETE", "get_ephemerals"),
    Op.GET_ALL_CHILDREN_NUMBER: Operation(
        "getAllChildrenNumber",
        _READ,
        requests.get_all_children_number,
        "GETACN",
        "get_all_children_number",
    ),
    Op.SET_WATCHES2: Operation("setWatches2", _READ, requests.set_watches2, "STW2", "set_watches"),
    Op.ADD_WATCH: Operation("addWatch", _READ, requests.add_watch, "ADDW", "add_watch"),
    Op.WHO_AM_I: Operation("whoAmI", _READ, _who_am_i, "HOMI", "who_am_i"),
    Op.CLOSE_SESSION: Operation("closeSession", _SESSION, _close_session, "CLOS", "close_session"),
    Op.CHECK: Operation("check", _REFUSED, _never, None, "check"),
    Op.DELETE_CONTAINER: Operation("deleteContainer", _REFUSED, _never, "DELE", "delete"),
    Op.CREATE_SESSION: Operation("createSession", _REFUSED, _never, "SESS", "create_session"),
    Op.NOTIFICATION: Operation("notification", _REFUSED, _never, None, None),
    Op.ERROR: Operation("error", _REFUSED, _never, None, None),
}
"""Number -> operation. The handshake counts as createSession (SESS), the janitor's reaping as deleteContainer."""
