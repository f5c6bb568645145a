"""reconfig: disabled, as in a ZooKeeper that was not told otherwise (reference 2.2)."""

from __future__ import annotations

from parkeeper.errors import Refused
from parkeeper.tree.answers import Answer
from parkeeper.tree.plan.context import Context
from parkeeper.tree.view import View
from parkeeper.wire.codes import Code


def reconfig(view: View, record: object, context: Context) -> Answer:  # noqa: ARG001  # a rule's signature
    """Always ReconfigDisabled: the members of the ensemble are the keepers that share the store."""
    raise Refused(Code.RECONFIG_DISABLED)
