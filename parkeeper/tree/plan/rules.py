"""A request becomes changes, or an error, by ZooKeeper's exact rules (PrepRequestProcessor).

Pure code over a `View`. Which rule serves which operation stands in `RULES`; `plan` applies one. A rule looks through
the view (which notes the guards), writes its changes into it, and returns the `Answer`; it raises `Refused` to answer
with an error code. (Not in the package itself, which can't be compiled.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from parkeeper.tree.answers import Answer
from parkeeper.tree.plan import acls, create, data, delete, multi, reap, reconfig, sessions
from parkeeper.tree.plan.context import Context
from parkeeper.tree.sessions import CLAIM_SESSION, CLOSE_SESSION, OPEN_SESSION
from parkeeper.tree.view import View
from parkeeper.wire.op import Op

Rule = Callable[[View, object, Context], Answer]

OPERATIONS: Final[dict[int, Rule]] = {
    Op.CREATE: create.create,
    Op.CREATE2: create.create2,
    Op.CREATE_CONTAINER: create.create_container,
    Op.CREATE_TTL: create.create_ttl,
    Op.DELETE: delete.delete,
    Op.SET_DATA: data.set_data,
    Op.SET_ACL: acls.set_acl,
    Op.RECONFIG: reconfig.reconfig,
}
"""The writes a client can ask for by themselves."""

RULES: Final[dict[int, Rule]] = {
    **OPERATIONS,
    Op.MULTI: multi.multi,
    OPEN_SESSION: sessions.open_session,
    CLAIM_SESSION: sessions.claim_session,
    CLOSE_SESSION: sessions.close_session,
    reap.REAP: reap.reap,
}


def plan(view: View, op: int, record: object, context: Context) -> Answer:
    """Plan one request between `view.begin()` and taking `view.changes`.

    Raises:
        Refused: with the code to answer. What was changed before is still in the view: whoever calls is to `undo`
            it; the guards are kept.
    """
    return RULES[op](view, record, context)
