"""setData, and check inside a multi. Source: PrepRequestProcessor, cases setData and check (reference 2.2)."""

from __future__ import annotations

from parkeeper.errors import Refused
from parkeeper.tree import acl
from parkeeper.tree.answers import NOTHING, STAT, Answer
from parkeeper.tree.paths import validate
from parkeeper.tree.plan.context import Context, expect
from parkeeper.tree.view import View
from parkeeper.wire import requests
from parkeeper.wire.codes import Code


def set_data(view: View, record: object, context: Context) -> Answer:
    """Answers the Stat right after it."""
    path, data, version = expect(record, requests.SetData)
    validate(path)
    if path is None:
        raise Refused(Code.BAD_ARGUMENTS)
    node = view.node(path)
    if node is None:
        raise Refused(Code.NO_NODE)
    acl.require(node.acl, acl.WRITE, context.identities)
    view.stat(path)
    try:
        view.replica.quotas.check_set(path, len(node.data or b""), len(data or b""), view.usage)
    except Refused:
        if context.hard_quotas:
            raise
    if version not in (-1, node.version):
        raise Refused(Code.BAD_VERSION)
    return Answer(STAT, after=view.set_data(path, node, node.with_data(data, view.zxid, view.now)))


def check(view: View, record: object, context: Context) -> Answer:
    """The version of a znode, in a multi."""
    path, version = expect(record, requests.Check)
    validate(path)
    node = view.node(path)
    if node is None:
        raise Refused(Code.NO_NODE)
    acl.require(node.acl, acl.READ, context.identities)
    view.stat(path)
    if version not in (-1, node.version):
        raise Refused(Code.BAD_VERSION)
    return NOTHING
