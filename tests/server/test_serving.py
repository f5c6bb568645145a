"""The state of a keeper."""

from __future__ import annotations

import trio
import trio.testing

from parkeeper.server.serving import Serving, State


def test_it_is_open_only_while_it_answers_somebody():
    """Serving and read-only answer; starting, apart and stopping answer nobody."""
    serving = Serving()
    assert not serving.open
    assert {state for state in State if (serving.become(state), serving.open)[1]} == {
        State.SERVING,
        State.READ_ONLY,
    }
    serving.become(State.READ_ONLY)
    assert serving.read_only
    serving.become(State.SERVING)
    assert not serving.read_only


async def test_until_waits_through_other_states():
    """Whoever waits for a state is woken for that one, not for those before it."""
    serving = Serving()
    met: list[State] = []

    async def wait() -> None:
        met.append(await serving.until(State.SERVING, State.READ_ONLY))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        serving.become(State.APART)
        await trio.testing.wait_all_tasks_blocked()
        assert met == []
        serving.become(State.SERVING)
    assert met == [State.SERVING]
    assert await serving.until(State.SERVING) is State.SERVING
