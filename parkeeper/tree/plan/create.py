"""create, create2, createContainer, createTTL: check order, sequence numbers, what the znode becomes.

Sources: PrepRequestProcessor.pRequest2TxnCreate, validateCreateRequest; CreateMode.fromFlag; EphemeralType.validateTTL;
DataTree.processTxn (reference 2.2, 3.5). One thing is done otherwise: createTTL with a flag that is no TTL flag
and a negative TTL kills the Java server; here it is refused (-8).
"""

from __future__ import annotations

from typing import Final

from parkeeper.errors import Refused
from parkeeper.tree import acl, quotas
from parkeeper.tree.answers import PATH, Answer
from parkeeper.tree.node import CONTAINER, MAX_TTL, UNWRITTEN, Znode, ttl_owner
from parkeeper.tree.paths import parent_of, require_shape, validate
from parkeeper.tree.plan.context import Context, expect
from parkeeper.tree.view import View
from parkeeper.wire import requests
from parkeeper.wire.codes import Code
from parkeeper.wire.op import Op
from parkeeper.wire.records import Acl

PERSISTENT: Final = 0
EPHEMERAL: Final = 1
SEQUENTIAL: Final = 2
EPHEMERAL_SEQUENTIAL: Final = 3
TTL: Final = 5
TTL_SEQUENTIAL: Final = 6

_SEQUENTIAL: Final = frozenset({SEQUENTIAL, EPHEMERAL_SEQUENTIAL, TTL_SEQUENTIAL})
_TTL: Final = frozenset({TTL, TTL_SEQUENTIAL})


def create(view: View, record: object, context: Context) -> Answer:
    """Opcode 1: answers the path. Flag 4 makes a plain persistent znode here."""
    return plain(view, record, context)


def create2(view: View, record: object, context: Context) -> Answer:
    """Opcode 15: answers path and Stat."""
    return _with_stat(plain(view, record, context))


def create_container(view: View, record: object, context: Context) -> Answer:
    """Opcode 19."""
    return _with_stat(container(view, record, context))


def create_ttl(view: View, record: object, context: Context) -> Answer:
    """Opcode 21."""
    return _with_stat(with_ttl(view, record, context))


def _with_stat(answer: Answer) -> Answer:
    return answer.with_stat()


def plain(view: View, record: object, context: Context) -> Answer:
    """An ephemeral if the flag says so, else a persistent znode."""
    path, data, entries, flags = expect(record, requests.Create)
    owner = context.session if flags in (EPHEMERAL, EPHEMERAL_SEQUENTIAL) else 0
    return _create(view, path, data, entries, flags, -1, owner, context)


def container(view: View, record: object, context: Context) -> Answer:
    """A container, whatever the flags. (With an ephemeral one ZooKeeper takes it for an ephemeral until it is applied:
    it gets no children in the multi that makes it.)"""
    path, data, entries, flags = expect(record, requests.Create)
    answer = _create(view, path, data, entries, flags, -1, CONTAINER, context)
    if flags in (EPHEMERAL, EPHEMERAL_SEQUENTIAL):
        view.childless.add(answer.path)
    return answer


def with_ttl(view: View, record: object, context: Context) -> Answer:
    """A TTL node; TTL in ms, 1 to 2^40-1."""
    path, data, entries, flags, ttl = expect(record, requests.CreateTtl)
    if flags not in _TTL:
        raise Refused(Code.BAD_ARGUMENTS)
    owner = ttl_owner(ttl) if 0 < ttl <= MAX_TTL else 0
    return _create(view, path, data, entries, flags, ttl, owner, context)


KINDS: Final = {
    Op.CREATE: plain,
    Op.CREATE2: plain,
    Op.CREATE_CONTAINER: container,
    Op.CREATE_TTL: with_ttl,
}
"""What a multi's create makes, by the kind that its decoder settled."""


def _create(
    view: View,
    path: str | None,
    data: bytes | None,
    entries: tuple[Acl, ...] | None,
    flags: int,
    ttl: int,
    owner: int,
    context: Context,
) -> Answer:
    """The znode; the answer is its path, and where its Stat will stand."""
    if not PERSISTENT <= flags <= TTL_SEQUENTIAL:
        raise Refused(Code.BAD_ARGUMENTS)
    if flags in _TTL:
        if not context.ttl_nodes:
            raise Refused(Code.UNIMPLEMENTED)
        if not 0 < ttl <= MAX_TTL:
            raise Refused(Code.BAD_ARGUMENTS)
    elif ttl >= 0:
        raise Refused(Code.BAD_ARGUMENTS)
    if path is None:
        raise Refused(Code.MARSHALLING_ERROR)
    require_shape(path)
    access = acl.fixup(entries, context.identities)
    parent = parent_of(path)
    above = view.node(parent)
    if above is None:
        raise Refused(Code.NO_NODE)
    acl.require(above.acl, acl.CREATE, context.identities)
    if flags in _SEQUENTIAL:
        # The stored cversion counts every creation, so the number is unique in this parent (reference 3.5).
        so_far = view.kids(parent)
        path = f"{path}{so_far.creates if so_far is not None else 0:010d}"
    validate(path)
    kids = view.kids(parent)
    if view.peek(path) is not None:
        raise Refused(Code.NODE_EXISTS)
    if above.ephemeral or parent in view.childless:
        raise Refused(Code.NO_CHILDREN_FOR_EPHEMERALS)
    if quotas.forbidden(path):
        raise Refused(Code.BAD_ARGUMENTS)
    try:
        view.replica.quotas.check_create(path, len(data or b""), view.usage)
    except Refused:
        if context.hard_quotas:
            raise
    view.childless.discard(path)
    at = view.zxid
    node = Znode(at, at, view.now, view.now, 0, 0, owner, access, data, UNWRITTEN, 0)
    return Answer(PATH, path, view.create(path, node, parent, kids))
