"""Sessions: opening, claiming and closing (PROTOCOL section 6).

A close that one commit cannot hold goes in parts: the first marks the record closing (from then on no request, claim
or ephemeral of that session), each deletes some ephemerals, the last removes the record. Whoever finds a session
closing brings its end about before saying "expired".
"""

from __future__ import annotations

from parkeeper.errors import Refused
from parkeeper.tree.answers import EMPTY, NOTHING, Answer
from parkeeper.tree.plan.context import Context, expect
from parkeeper.tree.sessions import ClaimSession, CloseSession, OpenSession, Session
from parkeeper.tree.view import View
from parkeeper.wire.codes import Code


def open_session(view: View, record: object, context: Context) -> Answer:  # noqa: ARG001  # a rule's signature
    """A session nobody had before, of this keeper."""
    session, timeout = expect(record, OpenSession)
    if view.guarded_session(session) is not None:
        raise AssertionError(f"session id {session:#x} was given before")
    view.set_session(session, Session(timeout, view.keeper, view.now, False, 0, -1))
    return NOTHING


def claim_session(view: View, record: object, context: Context) -> Answer:
    """Every re-attach is a commit, also at the keeper that believes itself the owner: older attachments end.

    Unknown: Refused(SESSION_EXPIRED). Closing: the end is brought about, and then it is expired.
    """
    session, timeout = expect(record, ClaimSession)
    found = view.guarded_session(session)
    if found is None:
        raise Refused(Code.SESSION_EXPIRED)
    if found.closing:
        answer = _close(view, session, found, context)
        return Answer(answer.kind, code=Code.SESSION_EXPIRED, unfinished=answer.unfinished)
    if found.owner != view.keeper and found.owner in view.replica.registry.keepers:
        view.taken.add(found.owner)
    view.set_session(session, found.claimed(view.keeper, timeout))
    return NOTHING


def close_session(view: View, record: object, context: Context) -> Answer:
    """The session and its ephemerals go, in the order they were created, under one zxid.

    That of another live keeper rests on that keeper's head as well: it may have created an ephemeral that this
    replica has not seen, and no other guard would tell.

    Refused(SESSION_EXPIRED) if it is gone; Refused(BAD_VERSION) if a clock decided so and the record moved.
    """
    session, expected = expect(record, CloseSession)
    found = view.guarded_session(session)
    if found is None:
        raise Refused(Code.SESSION_EXPIRED)
    if expected is not None and not found.closing and found.rev != expected:
        raise Refused(Code.BAD_VERSION)
    if found.owner != view.keeper and found.owner in view.replica.registry.keepers:
        view.head(found.owner)
        view.taken.add(found.owner)
    return _close(view, session, found, context)


def _close(view: View, session: int, found: Session, context: Context) -> Answer:
    mine = list(view.ephemerals(session))
    part = mine[: context.most] if context.most else mine
    for path in part:
        view.delete(path)
    if len(part) < len(mine):
        if not found.closing:
            view.set_session(session, found.marked())
        return Answer(EMPTY, unfinished=True)
    view.end_session(session)
    return NOTHING
