"""What the eldest keeper does for all (orphans, TTL nodes and containers: test_ensemble.py)."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from parkeeper.options import Options
from tests.server.ensemble import ensemble


async def test_a_keeper_long_gone_is_forgotten(autojump_clock: MockClock) -> None:
    """Its head and fence go, hours after it; never before."""
    async with ensemble(2, Options(tick_time=500, forget_after=60.0)) as group:
        await group.stop(1)
        incarnation = group.keepers[0].incarnation
        assert incarnation is not None
        registry = incarnation.replica.registry
        await trio.sleep(50)
        assert (2 in registry.keepers, 2 in registry.heads, 2 in registry.fences) == (False, True, True)
        await trio.sleep(20)
        assert (2 in registry.heads, 2 in registry.fences) == (False, False)
        client = await group.client(0)
        assert await client.create("/after") == "/after"


async def test_the_eldest_that_lives_is_on_duty(autojump_clock: MockClock) -> None:
    """When it goes, the next one takes over."""
    async with ensemble(3, Options(tick_time=500)) as group:

        def on_duty() -> list[bool]:
            return [
                each.incarnation.janitor.on_duty for each in group.keepers if each.incarnation is not None
            ]

        assert on_duty() == [True, False, False]
        await group.stop(0)
        await trio.sleep(1)
        assert on_duty() == [True, False]
