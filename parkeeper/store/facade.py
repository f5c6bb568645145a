"""What parkeeper asks of a store: order guarded commits, and tell every keeper of them in that order.

The facade moves **bytes under item names** and knows nothing of ZooKeeper. A name is a `str`: `meta`, `ids`,
`node/<path>`, `stat/<path>`, `data/<path>`, `kids/<path>`, `session/<id>`, `keeper/<id>`, `head/<id>`,
`fence/<id>`, `turn/<id>` (PROTOCOL section 2; `<path>` without its leading slash, the root's is empty, ids in
decimal). Adapters map names to keys (`parkeeper.store.keys`), and know sizes, revisions and limits.

A commit is made by a keeper and moves its `head/<keeper>`, whose value an adapter packs itself from `Head` and
the journal (`parkeeper.store.heads`): so an adapter can tell whose commit it sees, which one, and how many data
keys belong to it, without knowing what an item means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn, Protocol, runtime_checkable


class Head(NamedTuple):
    """Who made a commit and which one it is: the identity that settles doubt (PROTOCOL sections 2 and 3).

    `incarnation` is random, 63 bits; `counter` is dense and moves only when a commit happened; `attempt` is new
    with every plan and every empty commit. The three together name a commit. All fit in unsigned 64 bits.
    """

    incarnation: int
    counter: int
    attempt: int


class Item(NamedTuple):
    """One named value with the revision of the commit (or beat) that last wrote it."""

    name: str
    value: bytes
    revision: int


class Commit(NamedTuple):
    """Writes that become true together, if every guarded name still has the revision named.

    Args:
        keeper: whose commit: its `head/<keeper>` is rewritten. 0: no head moves (only to make a namespace).
        head: identity of this commit; None exactly when keeper is 0.
        guards: name -> revision it must have, 0 for absent. Includes `head/<keeper>` and `fence/<keeper>`.
        puts: name -> value; never `head/`.
        deletes: names to remove; may be absent in the store.
        journal: the changes in order, for the followers.
        seen: the newest revision under `head/` that was applied when this was planned. When the guards don't
            fit, an adapter may guard "nothing under `head/` newer than `seen`" in place of all guards but those
            of `head/`, `fence/`, `keeper/`, `ids` and `meta`.
        newest: the keeper whose head stands at `seen`, 0 if none is known. Whoever guards as above guards that it
            stands there as well: a store that was put back to a backup has nothing newer either.
        sole: no other keeper was registered at `seen`: an adapter may let its change stream be late by a little while
            our commits follow each other, if it can tell by their answers that nobody else committed.
    """

    keeper: int
    head: Head | None
    guards: Mapping[str, int]
    puts: Mapping[str, bytes]
    deletes: Sequence[str] = ()
    journal: bytes = b""
    seen: int = 0
    newest: int = 0
    sole: bool = False


class Receipt(NamedTuple):
    """A commit happened: its revision, and the newest revision under `head/` before it (0: none)."""

    revision: int
    previous: int


class Committed(NamedTuple):
    """A commit as the change stream tells it: everything it put and deleted (its `head/` excepted)."""

    revision: int
    keeper: int
    head: Head
    journal: bytes
    puts: Mapping[str, bytes]
    deletes: Sequence[str] = ()


class Changed(NamedTuple):
    """A change outside commits, or one to `keeper/`, `turn/` or `meta`; or a stranger's to `data/`.

    `value` None: gone. A commit's own puts and deletes of `keeper/`, `turn/` and `meta` are told in the commit only.
    """

    revision: int
    name: str
    value: bytes | None


Event = Committed | Changed


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything under the namespace and the data prefix, consistent at one revision.

    Args:
        revision: the newest revision under `head/` (0: no keeper ever registered).
        position: where `follow(after=position)` continues without a gap; at least `revision`.
        items: every item, `head/` excepted.
        heads: keeper -> (identity, revision of its head).
    """

    revision: int
    position: int
    items: Sequence[Item]
    heads: Mapping[int, tuple[Head, int]] = field(default_factory=dict[int, tuple[Head, int]])


@dataclass(frozen=True, slots=True)
class Survey:
    """One linearizable read of all heads and keepers, to prove that the past is still there."""

    heads: Mapping[int, tuple[Head, int]]
    keepers: Mapping[int, tuple[bytes, int]]


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """What one commit and one value may hold.

    Args:
        value: bytes of the largest value.
        shared: True if several processes may use this store at once (etcd, Consul); memory is shared by the
            keepers of one process; sqlite is not shared: every other keeper found in it is dead.
        keeper_ttl: default seconds without a new beat after which a keeper may be declared dead.
        inline: True if a commit may be made without letting another task run: then whoever commits gives the
            others their turn. (A pass of the scheduler is a tenth of what a small commit costs.)
        batch: writes that are worth putting into one commit; the more there are, the longer is the stretch in which
            they are planned and applied without a break.
    """

    value: int
    shared: bool
    keeper_ttl: float = 6.0
    inline: bool = False
    batch: int = 4096


class Store(Protocol):
    """A store of bytes under names with ordered, guarded commits. Errors: `parkeeper.errors.StoreError`.

    Every method may be called by several tasks at once; `commit` by one task at a time.
    """

    @property
    def limits(self) -> StoreLimits: ...

    def fits(self, guards: int, puts: int, deletes: int, size: int) -> bool:
        """Whether one commit can hold so many guards, puts and deletes and `size` bytes of names and values.

        `guards` counts all but `head/` and `fence/` of the keeper; `puts` all but the head. The adapter adds its
        own overhead. With 0 guards: whether there is any way at all, by guarding "nothing newer than `seen`". With
        some: if it can, it can hold less of each as well, down to one guard.
        """
        ...

    async def open(self) -> None:
        """Connect and check that the store can serve us.

        Raises: `Unavailable` (worth waiting for), `AccessDenied`, `Incompatible` (both final).
        """
        ...

    async def aclose(self) -> None: ...

    async def load(self) -> Snapshot: ...

    async def commit(self, commit: Commit) -> Receipt:
        """Apply a commit atomically.

        Raises: `GuardFailed`, `NotApplied`, `Unavailable`, `Rejected`, `InDoubt`. One try: an adapter may go to
        another endpoint after a definite "not applied", never after a doubt; whoever is in doubt calls again
        with the same commit.
        """
        ...

    async def put(self, name: str, value: bytes | None) -> None:
        """Write (None: delete) without a guard; no commit. For `turn/` only."""
        ...

    async def read(self, name: str) -> Item | None:
        """Linearizable read of one item."""
        ...

    async def head(self) -> int:
        """Linearizable: the newest revision under `head/`."""
        ...

    async def survey(self) -> Survey:
        """Linearizable: all heads and all keepers in one read."""
        ...

    async def beat(self, keeper: int, guard: int, value: bytes) -> int:
        """Rewrite `keeper/<id>` if it still has revision `guard`; returns the new revision.

        On a connection of its own, so that no commit delays it. Raises: `GuardFailed`, `NotApplied`,
        `Unavailable`, `InDoubt`.
        """
        ...

    async def follow(self, after: int, deliver: Callable[[Event], None]) -> NoReturn:
        """Tell every event after a revision, in order of revision, none twice, none skipped.

        `deliver` is synchronous and must not raise; what it was given counts as followed. The adapter yields to
        the scheduler between events often enough (1 ms).

        Raises: `Cut` when the stream broke (the caller proves the past with `survey`, then follows again from
        the last revision delivered), `Compacted`, `WentBack`, `AccessDenied`.
        """
        ...

    async def compact(self, revision: int) -> None:
        """Forget history up to a revision, where the store keeps one and we are asked to; else nothing."""
        ...


@runtime_checkable
class PatientStore(Protocol):
    """What a store may offer besides: it sees by itself that no commit takes too long."""

    async def watch_commits(self) -> NoReturn:
        """Runs beside the commits: those that take too long end in doubt (too long is longer after each of them).

        Without it they do so as well, at a higher price.
        """
        ...


@runtime_checkable
class PromptStore(Protocol):
    """What a store with `StoreLimits.inline` may offer besides: a commit and a read by a plain call.

    Both are what `Store.commit` and `Store.head` are otherwise, and may be called between two steps of those. A commit
    is made in two steps: after the first it is true and may be applied, after the second others may be told.
    """

    def ready(self) -> int:
        """How many writes a commit by a plain call had better hold now; 0: it would have to wait."""
        ...

    def commit_now(self, commit: Commit) -> Receipt | None:
        """Apply a commit atomically; None, with nothing done, if that has to wait for something.

        Before another step of the scheduler, and before anybody is told of it, `durable` has to be called.

        Raises: `GuardFailed`, `NotApplied`, `Unavailable`, `Rejected`, `InDoubt`; a store that is in doubt stays so
        until it is opened anew.
        """
        ...

    def durable(self) -> None:
        """Wait, without letting others have a turn, until what `commit_now` committed can't be lost any more.

        Raises: `InDoubt`: it may be lost. The store stays in doubt.
        """
        ...

    def head_now(self) -> int:
        """Linearizable: the newest revision under `head/`."""
        ...
