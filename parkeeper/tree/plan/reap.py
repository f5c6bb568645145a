"""Reaping: the janitor deletes TTL nodes whose time is up and containers that are empty (reference 9).

Checked again here, under guards: what changed meanwhile stays. Sources: ContainerManager, PrepRequestProcessor case
deleteContainer.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from parkeeper.errors import Refused
from parkeeper.tree.answers import NOTHING, Answer
from parkeeper.tree.node import CONTAINER, ttl_of
from parkeeper.tree.plan.context import Context, expect
from parkeeper.tree.view import View
from parkeeper.wire.codes import Code

REAP: Final = -20
"""Number of the operation inside the keeper; a client's deleteContainer is refused."""


class Reap(NamedTuple):
    """A candidate."""

    path: str


def reap(view: View, record: object, context: Context) -> Answer:
    """Delete it if it is still due; else Refused(BAD_VERSION), which nobody hears."""
    path = expect(record, Reap).path
    node = view.node(path)
    kids = view.kids(path)
    if node is None or (kids is not None and kids.count):
        raise Refused(Code.BAD_VERSION)
    view.stat(path)
    ttl = ttl_of(node.owner)
    if node.owner == CONTAINER:
        used = kids is not None and kids.creates > 0
        unused = context.container_unused
        due = used or (unused > 0 and view.now - node.mtime > unused)
    else:
        due = ttl > 0 and view.now - node.mtime > ttl
    if not due:
        raise Refused(Code.BAD_VERSION)
    view.delete(path)
    return NOTHING
