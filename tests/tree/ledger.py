"""A store of guarded commits in a dict, and keepers over it: the commit protocol without server, tasks or network.

A `Keeper` plans on its replica, which may lag; the `Ledger` takes a commit if its guards hold, and keeps a log of what
happened, as bytes. A keeper applies its own commits from their plan and all others from the log, as
`parkeeper.server.applier` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from parkeeper.errors import Refused
from parkeeper.tree import answers, genesis, zxid
from parkeeper.tree.batch import Batch, Planned, Sealed
from parkeeper.tree.changes import CREATE, DELETE, SET_DATA, Change
from parkeeper.tree.encoding import KeeperItem, Meta, encode_fence, encode_keeper
from parkeeper.tree.node import pack_stat
from parkeeper.tree.plan.context import Context
from parkeeper.tree.plan.rules import plan
from parkeeper.tree.replica import Replica
from parkeeper.tree.schemes import NOBODY, Identities
from parkeeper.tree.sessions import CLAIM_SESSION, CLOSE_SESSION, OPEN_SESSION
from parkeeper.tree.view import View
from parkeeper.tree.watches import WatchTable

SESSION_OPS = (OPEN_SESSION, CLAIM_SESSION, CLOSE_SESSION)


@dataclass(frozen=True)
class Asked:
    """One request. `session` must be alive and this keeper's, or it is not planned."""

    op: int
    record: object
    session: int = 0
    identities: Identities = NOBODY
    most: int = 0
    hard_quotas: bool = False
    ttl_nodes: bool = True


@dataclass(frozen=True)
class Entry:
    """One thing that happened: a commit, or (`keeper` 0) a stranger's write of a data key."""

    revision: int
    keeper: int
    journal: bytes
    puts: Mapping[str, bytes | None]
    deletes: tuple[str, ...] = ()


class Ledger:
    """Items with revisions, and all that happened to them. Revisions grow by `step`."""

    def __init__(self, base: int = 0, step: int = 1) -> None:
        self.base = base
        self.items: dict[str, tuple[bytes, int]] = {}
        self.log: list[Entry] = []
        self.revision = 0
        self.step = step
        self.commit(1, {}, genesis.items(Meta(bytes(16), bytes(32), base, "")), (), b"")

    @property
    def newest(self) -> int:
        """Revision of the newest commit."""
        return max(entry.revision for entry in self.log if entry.keeper)

    def revision_of(self, name: str) -> int:
        return self.items[name][1] if name in self.items else 0

    def commit(
        self,
        keeper: int,
        guards: Mapping[str, int],
        puts: Mapping[str, bytes],
        deletes: Iterable[str],
        journal: bytes,
    ) -> int | None:
        """The revision, or None if a guard failed."""
        assert not set(puts) & set(deletes)
        if any(self.revision_of(name) != revision for name, revision in guards.items()):
            return None
        self.revision += self.step
        for name in deletes:
            self.items.pop(name, None)
        for name, value in puts.items():
            self.items[name] = value, self.revision
        self.items[f"head/{keeper}"] = b"", self.revision
        self.log.append(Entry(self.revision, keeper, journal, dict(puts), tuple(deletes)))
        return self.revision

    def stranger(self, path: str, data: bytes | None) -> None:
        """Another program writes a data key (None: deletes it)."""
        self.revision += self.step
        if data is None:
            self.items.pop("data" + path, None)
        else:
            self.items["data" + path] = data, self.revision
        self.log.append(Entry(self.revision, 0, b"", {path: data}))

    def load(self) -> Replica:
        """A fresh replica of what is there now."""
        items = [(name, *held) for name, held in self.items.items() if not name.startswith("head/")]
        replica = Replica(self.base)
        for _ in replica.load(items, self.newest):
            pass
        for name, (_, revision) in self.items.items():
            if name.startswith("head/"):
                replica.registry.heads[int(name[5:])] = revision
        return replica


@dataclass
class Flight:
    """A batch on its way: what was sealed, and what each request was answered, once applied."""

    batch: Batch[Asked]
    sealed: Sealed
    revision: int | None = None
    answers: list[tuple[int, bytes | None]] = field(default_factory=list)


class Keeper:
    """A replica with watches that follows a ledger, and plans on it.

    Attributes:
        flight: the own commit that happened and is not applied yet.
        at: how much of the log was delivered.
        fence: revision of its fence when it planned last: what is planned rests on its sessions being its own then.
    """

    def __init__(self, ledger: Ledger, id: int) -> None:
        self.ledger = ledger
        self.id = id
        self.watches = WatchTable()
        self.flight: Flight | None = None
        self.fence = 0
        self.load()

    def load(self) -> None:
        """Begin anew from what the ledger has."""
        self.replica = self.ledger.load()
        self.at = len(self.ledger.log)

    def register(self) -> None:
        """Have a head, a fence and a registration."""
        item = encode_keeper(KeeperItem(self.id, 1, 6000, 0, 0, ()))
        fence = encode_fence(self.id, self.id, 0, 0)
        self.ledger.commit(self.id, {}, {f"keeper/{self.id}": item, f"fence/{self.id}": fence}, (), b"")

    # Planning.

    def plan(
        self, asked: Iterable[Asked], now: int, fits: Callable[..., bool] = lambda *_: True
    ) -> Batch[Asked]:
        """Plan requests into one batch, up to the first that no longer fits."""
        batch = Batch[Asked](View(self.replica, now, self.id), fits)
        self.fence = self.replica.registry.fences.get(self.id, 0)
        for each in asked:
            if self.alive(each, batch.view) and not plan_one(batch, each):
                break
        return batch

    def alive(self, asked: Asked, view: View) -> bool:
        """Whether the session that asks is open here, as the committer's planner asks."""
        record = view.session(asked.session)
        mine = record is not None and record.owner == self.id and not record.closing
        return mine or asked.session == 0 or asked.op in SESSION_OPS

    def send(self, batch: Batch[Asked]) -> Flight | None:
        """Commit a batch; None if another keeper was first."""
        sealed = batch.seal()
        guards = {
            **sealed.guards,
            f"fence/{self.id}": self.fence,
            f"head/{self.id}": self.ledger.revision_of(f"head/{self.id}"),
        }
        fences = {f"fence/{each}": encode_fence(self.id, 1, 1, self.ledger.revision) for each in batch.taken}
        puts = {**sealed.puts, **fences}
        revision = self.ledger.commit(self.id, guards, puts, sealed.deletes, sealed.journal)
        if revision is None:
            return None
        self.flight = Flight(batch, sealed, revision)
        return self.flight

    # Applying.

    def answered(self) -> bool:
        """The store's answer came: apply the own commit now if all commits before it are applied."""
        flight = self.flight
        before = [entry.revision for entry in self.ledger.log if entry.keeper]
        if flight is None or before[before.index(flight.revision) - 1] != self.replica.revision:
            return False
        self._apply_own(next(each for each in self.ledger.log if each.revision == flight.revision))
        return True

    def deliver(self) -> bool:
        """The stream brings the next entry of the log; False if there is none."""
        if self.at == len(self.ledger.log):
            return False
        entry = self.ledger.log[self.at]
        self.at += 1
        if not entry.keeper:
            for path, data in entry.puts.items():
                self.replica.stranger(path, data, entry.revision)
        elif entry.revision > self.replica.revision:
            if self.flight is not None and self.flight.revision == entry.revision:
                self._apply_own(entry)
            else:
                self._apply_foreign(entry)
        return True

    def catch_up(self) -> None:
        while self.deliver():
            pass

    def begin(self) -> None:
        """A commit is about to be applied."""

    def done(self, entry: Entry, flight: Flight | None) -> None:
        """A commit is applied as a whole; `flight` is the own one."""

    def _apply_own(self, entry: Entry) -> None:
        flight, self.flight = self.flight, None
        self.begin()
        for planned in flight.batch.planned:
            if planned.position >= 0:
                self.replica.zxid = zxid.of(self.ledger.base, entry.revision, planned.position)
                for change in planned.changes:
                    self._change(change, entry.revision)
            flight.answers.append(body_of(planned))
        self._finish(entry, flight)

    def _apply_foreign(self, entry: Entry) -> None:
        self.begin()
        for write in self.replica.writes(entry.journal, entry.puts, entry.revision):
            self.replica.zxid = zxid.of(self.ledger.base, entry.revision, write.position)
            for change in write.changes:
                self._change(change, entry.revision)
        self._finish(entry, None)

    def _change(self, change: Change, revision: int) -> None:
        replica, watches, path, parent = self.replica, self.watches, change.path, change.parent
        acl = replica.nodes[path].acl if change.kind == DELETE else None
        replica.apply(change, revision)
        if change.kind == CREATE:
            watches.created(path, replica.nodes[path].acl, parent, replica.nodes[parent].acl, replica.zxid)
        elif acl is not None:
            watches.deleted(path, acl, parent, replica.nodes[parent].acl, replica.zxid)
        elif change.kind == SET_DATA:
            watches.changed(path, replica.nodes[path].acl, replica.zxid)

    def _finish(self, entry: Entry, flight: Flight | None) -> None:
        self.replica.registry.commit(entry.keeper, entry.puts, entry.deletes, entry.revision)
        self.replica.reached(entry.revision)
        self.done(entry, flight)


def plan_one(batch: Batch[Asked], asked: Asked) -> bool:
    """Plan one request into a batch; False if it doesn't fit."""
    view = batch.view
    view.begin()
    context = Context(
        asked.session, asked.identities, asked.ttl_nodes, asked.hard_quotas, 300_000, asked.most
    )
    try:
        answer = plan(view, asked.op, asked.record, context)
    except Refused as refused:
        view.undo()
        return batch.refused(asked, refused.code, answers.NOTHING)
    if not view.changes:
        return batch.refused(asked, 0, answer)
    return batch.take(asked, answer)


def body_of(planned: Planned[Asked]) -> tuple[int, bytes | None]:
    """Code and body of an answer; body None if more of a close is to come."""
    answer = planned.answer
    code = planned.code or answer.code
    if answer.unfinished:
        return code, None
    return code, b"" if code else answers.encode(answer)


def picture(replica: Replica) -> dict[str, object]:
    """All that a replica holds, to be compared with that of another."""
    nodes, kids = replica.nodes, replica.kids
    return {
        "revision": (replica.revision, replica.zxid),
        "nodes": {
            path: (pack_stat(node, kids.get(path)).hex(), node.owner, node.acl.entries, node.data)
            for path, node in nodes.items()
        },
        "zxids": {path: (node.czxid, node.mzxid) for path, node in nodes.items()},
        "revisions": {path: (node.node_rev, node.stat_rev) for path, node in nodes.items()},
        "kids": {path: (each.creates, each.count, each.pzxid, each.rev) for path, each in kids.items()},
        "children": {path: sorted(names) for path, names in replica.children.items()},
        "sessions": {
            id: (each.timeout, each.owner, each.created, each.closing, each.claims, each.rev)
            for id, each in replica.sessions.items()
        },
        "ephemerals": {id: sorted(replica.ephemerals.of(id)) for id in replica.ephemerals.sessions()},
        "ephemeral count": replica.ephemerals.count,
        "ttl and containers": (replica.reaping.ttl_count, replica.reaping.container_count),
        "usage": {path: replica.quotas.stats_data(path) for path in nodes},
        "size": replica.data_size,
        "fences": dict(replica.registry.fences),
        "heads": dict(replica.registry.heads),
        "keepers": dict(replica.registry.keepers),
    }
