"""delete. Source: PrepRequestProcessor, case delete (reference 2.2)."""

from __future__ import annotations

from parkeeper.errors import Refused
from parkeeper.tree import acl
from parkeeper.tree.answers import NOTHING, Answer
from parkeeper.tree.paths import SPECIAL, parent_of, require_shape
from parkeeper.tree.plan.context import Context, expect
from parkeeper.tree.view import View
from parkeeper.wire import requests
from parkeeper.wire.codes import Code


def delete(view: View, record: object, context: Context) -> Answer:
    """The parent must allow it; the znode's own ACL is not asked. Odd paths are just not there (-101)."""
    path, version = expect(record, requests.Delete)
    require_shape(path)
    if path in SPECIAL:
        raise Refused(Code.BAD_ARGUMENTS)
    above = view.node(parent_of(path))
    if above is None:
        raise Refused(Code.NO_NODE)
    acl.require(above.acl, acl.DELETE, context.identities)
    node = view.node(path)
    if node is None:
        raise Refused(Code.NO_NODE)
    if version != -1:
        view.stat(path)
        if version != node.version:
            raise Refused(Code.BAD_VERSION)
    kids = view.kids(path)
    if kids is not None and kids.count:
        raise Refused(Code.NOT_EMPTY)
    view.delete(path)
    return NOTHING
