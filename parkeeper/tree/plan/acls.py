"""setACL. Source: PrepRequestProcessor, case setACL (reference 2.2)."""

from __future__ import annotations

from parkeeper.errors import Refused
from parkeeper.tree import acl
from parkeeper.tree.answers import STAT, Answer
from parkeeper.tree.paths import validate
from parkeeper.tree.plan.context import Context, expect
from parkeeper.tree.view import View
from parkeeper.wire import requests
from parkeeper.wire.codes import Code


def set_acl(view: View, record: object, context: Context) -> Answer:
    """The version asked for is aversion; nothing else moves. Allowed on special nodes."""
    path, entries, version = expect(record, requests.SetAcl)
    validate(path)
    if path is None:
        raise Refused(Code.BAD_ARGUMENTS)
    access = acl.fixup(entries, context.identities)
    node = view.node(path)
    if node is None:
        raise Refused(Code.NO_NODE)
    acl.require(node.acl, acl.ADMIN, context.identities)
    if version not in (-1, node.aversion):
        raise Refused(Code.BAD_VERSION)
    return Answer(STAT, after=view.set_acl(path, node.with_acl(access)))
