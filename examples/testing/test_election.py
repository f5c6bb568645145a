"""pytest with kazoo: a leader election survives an expiry and a lost reply.

    pytest examples/testing/test_election.py

The fixture `zookeeper` comes with parkeeper: a ZooKeeper in this process, empty for every test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from election import Candidate

from parkeeper.testing import Ensemble

Join = Callable[[str], Candidate]


@pytest.fixture
def join(zookeeper: Ensemble) -> Iterator[Join]:
    """Makes candidates, which stop with the test."""
    with ExitStack() as stack:

        def make(name: str) -> Candidate:
            candidate = Candidate(zookeeper.hosts, name)
            candidate.start()
            stack.callback(candidate.stop)
            return candidate

        yield make


def test_one_of_three_leads(zookeeper: Ensemble, join: Join) -> None:
    first = join("first")
    assert first.wait(leads=True)
    others = [join("second"), join("third")]
    zookeeper.wait_until(lambda: len(zookeeper.tree()) == 4)  # /election and three candidates in it
    assert not any(each.leads for each in others)


def test_another_one_leads_when_the_leaders_session_expires(zookeeper: Ensemble, join: Join) -> None:
    leader = join("leader")
    assert leader.wait(leads=True)
    heir = join("heir")
    zookeeper.wait_until(lambda: len(zookeeper.tree()) == 3)
    zookeeper.expire(leader.client)
    assert leader.wait(leads=False)
    assert heir.wait(leads=True)
    zookeeper.wait_until(lambda: len(zookeeper.tree()) == 3)  # it is a candidate again, with a new session
    zookeeper.expire(heir.client)
    assert leader.wait(leads=True)
    assert leader.terms == 2


def test_a_lost_reply_leaves_no_candidate_that_nobody_is(zookeeper: Ensemble, join: Join) -> None:
    """A candidate that asks again without looking would wait for its own, forgotten znode for ever."""
    zookeeper.load({"/election": b""})
    fault = zookeeper.lose(op="create", path="/election/*")
    candidate = join("unlucky")
    assert candidate.wait(leads=True)
    assert fault.hits == 1
    assert len(zookeeper.tree()) == 2


def test_nobody_leads_while_the_network_is_cut(zookeeper: Ensemble, join: Join) -> None:
    leader = join("leader")
    assert leader.wait(leads=True)
    zookeeper.stop()
    assert leader.wait(leads=False)
    zookeeper.start()
    assert leader.wait(leads=True)
