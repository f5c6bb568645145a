"""The change stream of a `FaultyStore`: late, silent or broken on command, and never out of order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import NoReturn

import trio

from parkeeper.errors import Compacted, Cut, StoreError
from parkeeper.store.facade import Event, Store


class StreamSwitch:
    """What happens to the streams of one store.

    Attributes:
        followed: calls of `follow` so far.
        following: streams that are open now.
        delivered: events that keepers were told.
        held: events that a keeper would have been told by now, and was not.
        is_down: True while the store can't be reached: `follow` gets `Cut`.
    """

    def __init__(self) -> None:
        self.followed = 0
        self.delivered = 0
        self.is_down = False
        self._streams: list[_Stream] = []
        self._next: deque[StoreError] = deque()
        self._held = False
        self._delay = 0.0
        self._changed = trio.Event()

    def __repr__(self) -> str:
        return f"<StreamSwitch followed={self.followed} delivered={self.delivered} held={self.held}>"

    @property
    def following(self) -> int:
        return len(self._streams)

    @property
    def held(self) -> int:
        return sum(len(stream.waiting) for stream in self._streams)

    def cut(self, reason: str = "cut by a test") -> None:
        """End the streams that are open with `Cut`; what was held is lost to them, not to who follows again."""
        self.fail(lambda: Cut(reason))

    def compacted(self) -> None:
        """End the streams that are open with `Compacted`."""
        self.fail(lambda: Compacted("compacted by a test"))

    def fail(self, make: Callable[[], StoreError]) -> None:
        """End the streams that are open with an error of any kind, such as `WentBack`."""
        for stream in self._streams:
            stream.end(make())

    def fail_next(self, error: StoreError, times: int = 1) -> None:
        """The next calls of `follow` raise this at once, before any event."""
        self._next.extend([error] * times)

    def hold(self) -> None:
        """From now on the stream is silent: open, and nothing comes."""
        self._held = True

    def release(self) -> None:
        """What was held comes, in order, and then what is new."""
        self._held = False
        self._wake()

    @contextmanager
    def holding(self) -> Generator[None, None, None]:
        """Silent for the time of the block."""
        self.hold()
        try:
            yield
        finally:
            self.release()

    def delay(self, seconds: float) -> None:
        """Every event comes so many seconds (of Trio's clock) late; 0: at once."""
        self._delay = seconds
        self._wake()

    async def wait_followed(self, more: int = 1) -> None:
        """Wait until `follow` was called so many times after this began to wait."""
        wanted = self.followed + more
        while self.followed < wanted:
            await self._changed.wait()

    async def wait_delivered(self, more: int = 1) -> None:
        """Wait until so many events were told after this began to wait."""
        wanted = self.delivered + more
        while self.delivered < wanted:
            await self._changed.wait()

    async def wait_held(self, count: int) -> None:
        """Wait until so many events are held."""
        while self.held < count:
            await self._changed.wait()

    async def follow(self, inner: Store, after: int, deliver: Callable[[Event], None]) -> NoReturn:
        """Follow a store under this switch."""
        self.followed += 1
        self.tell()
        if self._next:
            await trio.lowlevel.checkpoint()
            raise self._next.popleft()
        stream = _Stream(self, deliver)
        self._streams.append(stream)
        try:
            async with trio.open_nursery() as nursery:
                stream.scope = nursery.cancel_scope
                nursery.start_soon(stream.read, inner, after)
                nursery.start_soon(stream.pump)
        finally:
            self._streams.remove(stream)
        raise stream.error if stream.error is not None else Cut("the stream ended")

    def due(self, arrived: float) -> float | None:
        """When an event that arrived then is told; None: not before `release`."""
        return None if self._held else arrived + self._delay

    def tell(self) -> None:
        """Wake whoever waits for a counter."""
        self._changed.set()
        self._changed = trio.Event()

    def _wake(self) -> None:
        for stream in self._streams:
            stream.woken.set()


class _Stream:
    """One call of `follow`: the inner stream is read as it comes, and told when it is due."""

    def __init__(self, switch: StreamSwitch, deliver: Callable[[Event], None]) -> None:
        self.waiting: deque[tuple[float, Event]] = deque()
        self.woken = trio.Event()
        self.error: StoreError | None = None
        self.scope: trio.CancelScope | None = None
        self._switch = switch
        self._deliver = deliver

    def end(self, error: StoreError) -> None:
        """Nothing is told any more."""
        if self.error is None:
            self.error = error
        if self.scope is not None:
            self.scope.cancel("ended by a test")

    async def read(self, inner: Store, after: int) -> None:
        """Until the inner stream ends. The error is kept: out of a nursery it would come in a group."""
        try:
            await inner.follow(after, self._take)
        except StoreError as error:
            self.end(error)

    async def pump(self) -> None:
        """Tell what has to wait, when it is due."""
        while True:
            self.woken = trio.Event()
            self._tell_due()
            next_due = self._switch.due(self.waiting[0][0]) if self.waiting else None
            with trio.CancelScope() as scope:
                if next_due is not None:
                    scope.deadline = next_due
                await self.woken.wait()

    def _take(self, event: Event) -> None:
        """What the inner stream tells. Told at once if it is due, without a task switch."""
        self.waiting.append((trio.current_time(), event))
        self._tell_due()
        if self.waiting:
            self.woken.set()
            self._switch.tell()

    def _tell_due(self) -> None:
        while self.waiting and self.error is None:
            due = self._switch.due(self.waiting[0][0])
            if due is None or due > trio.current_time():
                return
            _, event = self.waiting.popleft()
            self._deliver(event)
            self._switch.delivered += 1
            self._switch.tell()
