"""multi: all or nothing, one zxid, each operation seeing the ones before it.

Sources: PrepRequestProcessor.pRequestHelper case multi, Op.Create.getOpcode (reference 4).
"""

from __future__ import annotations

from parkeeper.errors import Refused
from parkeeper.tree.answers import FAILED_MULTI, MULTI, Answer
from parkeeper.tree.plan import create, data, delete
from parkeeper.tree.plan.context import Context, expect
from parkeeper.tree.view import View
from parkeeper.wire import requests
from parkeeper.wire.codes import Code
from parkeeper.wire.multi import Multi
from parkeeper.wire.op import Op


def multi(view: View, record: object, context: Context) -> Answer:
    """The results of all, or their codes: 0 before the failing one, -2 (RuntimeInconsistency) after it.

    A failed multi is answered with header code 0 and changes nothing; sequence numbers go back too.

    Raises: `Refused` only with MARSHALLING_ERROR, for a null id in an access list.
    """
    operations = expect(record, Multi).ops
    results: list[tuple[int, Answer]] = []
    for done, (op, each) in enumerate(operations):
        try:
            results.append((op, _operation(view, op, each, context)))
        except Refused as refused:
            # No KeeperException in ZooKeeper: the whole request is answered with it.
            if refused.code == Code.MARSHALLING_ERROR:
                raise
            view.undo()
            after = len(operations) - done - 1
            codes = (Code.OK,) * done + (refused.code,) + (Code.RUNTIME_INCONSISTENCY,) * after
            return Answer(FAILED_MULTI, codes=codes)
    return Answer(MULTI, results=tuple(results))


def _operation(view: View, op: int, record: object, context: Context) -> Answer:
    kind = create.KINDS.get(op)
    if kind is not None:
        answer = kind(view, record, context)
        return answer if op == Op.CREATE else answer.with_stat()
    if op == Op.DELETE:
        return delete.delete(view, record, context)
    if op == Op.CHECK:
        return data.check(view, record, context)
    return data.set_data(view, expect(record, requests.SetData), context)
