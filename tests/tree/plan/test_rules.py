"""The planner's table, and what it asks of a record."""

import pytest

from parkeeper.errors import Refused
from parkeeper.tree.plan.context import Context, expect
from parkeeper.tree.plan.rules import OPERATIONS, RULES, plan
from parkeeper.tree.schemes import NOBODY
from parkeeper.tree.view import View
from parkeeper.wire.opcodes import OPERATIONS as WIRE
from parkeeper.wire.opcodes import Kind
from parkeeper.wire.requests import Create, Delete
from tests.tree.planning import OPEN, Bench

CONTEXT = Context(0, NOBODY, True, False, 0)


def test_every_write_has_a_rule():
    """Those a client can ask for, and those of sessions and the janitor."""
    writes = {number for number, operation in WIRE.items() if operation.kind is Kind.WRITE}
    assert writes <= RULES.keys()
    assert RULES.keys() - writes == {-10, -11, -12, -20}
    assert OPERATIONS.keys() | {14} == writes


def test_plan_leaves_undoing_to_the_caller():
    """A refusal raises, its guards are kept; `undo` takes its changes back."""
    bench = Bench()
    view = View(bench.replica, 0, 1)
    view.begin()
    plan(view, 1, Create("/a", b"", OPEN, 0), CONTEXT)
    assert [change.path for change in view.changes] == ["/a"]
    view.begin()
    with pytest.raises(Refused) as refused:
        plan(view, 2, Delete("/b", -1), CONTEXT)
    assert refused.value.code == -101
    view.undo()
    assert view.looked == bench.revisions("node/", "node/b")
    assert view.peek("/a") is not None


def test_expect():
    """The opcode table pairs number and record; another record is a fault of ours."""
    record = Delete("/", -1)
    assert expect(record, Delete) is record
    with pytest.raises(TypeError, match="expected Create, not Delete"):
        expect(record, Create)
