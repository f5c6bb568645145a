"""What can go wrong with one call of a store, as values to give to a `Switch` of `FaultyStore`.

Every fault is a callable that gets `send`, which makes the call on the real store, once for each time it is
awaited; what the fault returns or raises is what the caller gets. So a new one is written in a few lines:

    async def twice(send):          # a proxy that sent the request again
        await send()
        return await send()
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import trio

from parkeeper.errors import InDoubt, NotApplied, StoreError

T = TypeVar("T")
Send = Callable[[], Awaitable[T]]


class Fault(Protocol):
    """Stands between a caller and the store for one call."""

    async def __call__(self, send: Send[T], /) -> T:
        """Answer the call.

        Args:
            send: makes the call on the real store.
        """
        ...


class Refuse:
    """The request never reaches the store, and the caller knows it.

    Args:
        error: what is raised; a new one each time.
        text: of the error.
    """

    def __init__(self, error: type[StoreError] = NotApplied, text: str = "refused by a test") -> None:
        self._error = error
        self._text = text

    async def __call__(self, send: Send[T], /) -> T:  # noqa: ARG002, the point of it
        """Raise."""
        await trio.lowlevel.checkpoint()
        raise self._error(self._text)


class Raise:
    """The caller gets an error of any shape, as a `GuardFailed`; the request never reaches the store.

    Args:
        make: makes the error, anew for each call.
    """

    def __init__(self, make: Callable[[], StoreError]) -> None:
        self._make = make

    async def __call__(self, send: Send[T], /) -> T:  # noqa: ARG002, the point of it
        """Raise."""
        await trio.lowlevel.checkpoint()
        raise self._make()


class LoseRequest:
    """The request is lost on its way: in doubt, and never applied.

    Args:
        after: seconds until the caller gives up.
    """

    def __init__(self, after: float = 0.0) -> None:
        self._after = after

    async def __call__(self, send: Send[T], /) -> T:  # noqa: ARG002, the point of it
        """Wait, raise."""
        await trio.sleep(self._after)
        raise InDoubt("the request was lost (by a test)")


class LoseAnswer:
    """The store did as asked, or refused to; its answer is lost: in doubt.

    Args:
        after: seconds until the caller gives up.
    """

    def __init__(self, after: float = 0.0) -> None:
        self._after = after

    async def __call__(self, send: Send[T], /) -> T:
        """Send, wait, raise."""
        try:
            await send()
        except StoreError as error:
            lost = InDoubt(f"the answer was lost (by a test): {error}")
        else:
            lost = InDoubt("the answer was lost (by a test)")
        await trio.sleep(self._after)
        raise lost


class Straggle:
    """In doubt at once; the request is under way still, and reaches the store later.

    Args:
        after: seconds of Trio's clock until it arrives by itself; None: when `arrive` is called.

    Attributes:
        outcomes: what the store answered to each request that has arrived, in order: its result, or the error.
    """

    def __init__(self, after: float | None = None) -> None:
        self._after = after
        self._under_way: list[Send[object]] = []
        self.outcomes: list[object] = []

    async def __call__(self, send: Send[T], /) -> T:
        """Keep a copy, raise."""
        await trio.lowlevel.checkpoint()
        if self._after is None:
            self._under_way.append(send)
        else:
            # It has left the caller's hands: no task of the caller's can be its parent.
            trio.lowlevel.spawn_system_task(self._arrive_late, send, self._after)
        raise InDoubt("the request is under way still (by a test)")

    async def arrive(self) -> None:
        """Let all requests that are under way reach the store, in order."""
        while self._under_way:
            await self._arrive(self._under_way.pop(0))

    async def _arrive_late(self, send: Send[object], seconds: float) -> None:
        await trio.sleep(seconds)
        await self._arrive(send)

    async def _arrive(self, send: Send[object]) -> None:
        try:
            self.outcomes.append(await send())
        except StoreError as error:
            self.outcomes.append(error)


class HoldRequest:
    """The request waits before it reaches the store.

    Args:
        until: event that lets it go.
    """

    def __init__(self, until: trio.Event) -> None:
        self._until = until

    async def __call__(self, send: Send[T], /) -> T:
        """Wait, send."""
        await self._until.wait()
        return await send()


class HoldAnswer:
    """The store did as asked at once; its answer, good or bad, waits.

    Args:
        until: event that lets it go.
    """

    def __init__(self, until: trio.Event) -> None:
        self._until = until

    async def __call__(self, send: Send[T], /) -> T:
        """Send, wait."""
        answer = await _answer_of(send)
        await self._until.wait()
        return answer()


class Slow:
    """The way to the store is long.

    Args:
        seconds: of Trio's clock, from the caller to the store.
        back: and from there to the caller.
    """

    def __init__(self, seconds: float, back: float = 0.0) -> None:
        self._there = seconds
        self._back = back

    async def __call__(self, send: Send[T], /) -> T:
        """Wait, send, wait."""
        await trio.sleep(self._there)
        answer = await _answer_of(send)
        await trio.sleep(self._back)
        return answer()


class Before:
    """Something happens between the caller's plan and its request: another keeper's commit, so that a guard fails.

    Args:
        action: what happens, each time.
    """

    def __init__(self, action: Callable[[], Awaitable[object]]) -> None:
        self._action = action

    async def __call__(self, send: Send[T], /) -> T:
        """Act, send."""
        await self._action()
        return await send()


class After:
    """Something happens between the store's deed and the caller's hearing of it.

    Args:
        action: what happens, each time the store did as asked.
    """

    def __init__(self, action: Callable[[], Awaitable[object]]) -> None:
        self._action = action

    async def __call__(self, send: Send[T], /) -> T:
        """Send, act."""
        answer = await send()
        await self._action()
        return answer


async def _answer_of(send: Send[T]) -> Callable[[], T]:
    """Send, and keep what comes of it: calling the result returns or raises it."""
    try:
        answer = await send()
    except StoreError as caught:
        error = caught

        def fail() -> T:
            raise error

        return fail
    return lambda: answer
