"""reconfig: switched off."""

from parkeeper.wire.requests import Reconfig
from tests.tree.planning import ROOT, Bench


def test_reconfig_is_disabled():
    """For everybody, and it rests on nothing."""
    outcome = Bench().ask(16, Reconfig(None, None, "server.1=a:1:1;1", -1), who=ROOT)
    assert (outcome.code, outcome.guards) == (-123, {})
