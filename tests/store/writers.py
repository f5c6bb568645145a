"""What stands for keepers in tests of stores: one that writes as keepers do, and one that listens."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import count

import trio

from parkeeper.store.facade import Changed, Commit, Committed, Event, Head, Item, Receipt, Store

_incarnations = count(1)


async def make_namespace(store: Store) -> Receipt:
    """The first commit of all, as the first keeper makes it."""
    puts = {"meta": b"meta", "ids": b"0", "node/": b"root", "data/": b""}
    return await store.commit(Commit(0, None, {"meta": 0}, puts))


class Writer:
    """Commits as keeper `keeper`: guards and moves its head, counts, tries.

    Attributes:
        head: identity of the last commit that happened.
        revision: its revision; that of `head/<keeper>`.
        fence: revision of `fence/<keeper>`.
        beat: revision of `keeper/<keeper>`.
    """

    def __init__(self, store: Store, keeper: int) -> None:
        self.store = store
        self.keeper = keeper
        self.head = Head(next(_incarnations), 0, 0)
        self.revision = self.fence = self.beat = 0
        self._attempt = 0

    async def register(self) -> Receipt:
        """Take the id (`ids` is not counted up to it, the tests give ids themselves)."""
        ids = await self.store.read("ids")
        assert ids is not None
        own = {f"keeper/{self.keeper}": 0, f"head/{self.keeper}": 0, f"fence/{self.keeper}": 0}
        puts = {
            "ids": b"%d" % self.keeper,
            f"keeper/{self.keeper}": b"registered",
            f"fence/{self.keeper}": b"own",
        }
        self._attempt += 1
        self.head = Head(self.head.incarnation, 1, self._attempt)
        receipt = await self.store.commit(
            Commit(self.keeper, self.head, {"ids": ids.revision} | own, puts, journal=b"registered")
        )
        self.revision = self.fence = self.beat = receipt.revision
        return receipt

    async def plan(
        self,
        puts: Mapping[str, bytes],
        guards: Mapping[str, int] | None = None,
        deletes: Sequence[str] = (),
        journal: bytes = b"journal",
        seen: int | None = None,
        newest: int = 0,
        sole: bool = False,
    ) -> Commit:
        """The commit that `commit` would make, with an identity of its own."""
        self._attempt += 1
        common = {f"head/{self.keeper}": self.revision, f"fence/{self.keeper}": self.fence}
        return Commit(
            self.keeper,
            Head(self.head.incarnation, self.head.counter + 1, self._attempt),
            common | dict(guards or {}),
            puts,
            deletes,
            journal,
            await self.store.head() if seen is None else seen,
            newest,
            sole,
        )

    async def send(self, commit: Commit) -> Receipt:
        """Make a planned commit; remember it if it happened."""
        receipt = await self.store.commit(commit)
        assert commit.head is not None
        self.head, self.revision = commit.head, receipt.revision
        return receipt

    async def commit(
        self,
        puts: Mapping[str, bytes],
        guards: Mapping[str, int] | None = None,
        deletes: Sequence[str] = (),
        journal: bytes = b"journal",
        seen: int | None = None,
        newest: int = 0,
    ) -> Receipt:
        """Plan and send."""
        return await self.send(await self.plan(puts, guards, deletes, journal, seen, newest))

    async def commit_alone(self, puts: Mapping[str, bytes], sole: bool = True) -> Receipt:
        """As a keeper does that has seen no commit since its own last one; `sole`: nor any other keeper."""
        return await self.send(await self.plan(puts, seen=self.revision, newest=self.keeper, sole=sole))

    async def send_beat(self, value: bytes) -> int:
        """A heartbeat."""
        self.beat = await self.store.beat(self.keeper, self.beat, value)
        return self.beat


async def writers(first: Store, second: Store | None = None) -> tuple[Writer, Writer]:
    """Two registered keepers, 1 and 2, in a namespace that is made for them."""
    await make_namespace(first)
    pair = Writer(first, 1), Writer(second or first, 2)
    for writer in pair:
        await writer.register()
    return pair


class Listener:
    """What a follower was told, and how to wait for more."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._more = trio.Event()

    def deliver(self, event: Event) -> None:
        """Give this to `follow`."""
        self.events.append(event)
        self._more.set()

    @property
    def commits(self) -> list[Committed]:
        """The commits among the events."""
        return [event for event in self.events if isinstance(event, Committed)]

    @property
    def changes(self) -> list[Changed]:
        """The others."""
        return [event for event in self.events if isinstance(event, Changed)]

    async def until(self, done: Callable[["Listener"], bool]) -> None:
        """Wait until enough was told."""
        with trio.fail_after(20):
            while not done(self):
                self._more = trio.Event()
                await self._more.wait()

    async def reaches(self, revision: int) -> None:
        """Wait until an event of this revision, or a later one, was told."""
        await self.until(lambda self: bool(self.events) and self.events[-1].revision >= revision)


@asynccontextmanager
async def listening(store: Store, after: int) -> AsyncIterator[Listener]:
    """Follow a store in the background."""
    listener = Listener()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.follow, after, listener.deliver)
        yield listener
        nursery.cancel_scope.cancel("heard enough")


async def load_items(store: Store) -> dict[str, Item]:
    """By name; each once."""
    snapshot = await store.load()
    items = {item.name: item for item in snapshot.items}
    assert len(items) == len(snapshot.items)
    return items
