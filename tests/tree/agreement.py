"""Two keepers over one store, held against a tree of plain dicts at every commit.

Both keepers plan on replicas that lag; a commit happens if its guards hold, however late. Then

- every answer, code and bytes, is the one that the plain tree gives at that point of the order: guards suffice;
- a keeper that applied its plans, one that followed bytes and one that loaded the items are equal in every field;
- watchers at all of them were told the same, in the same order, and what the plain tree says;
- every revision a replica would guard is the item's, and no item is left behind by a znode that is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from parkeeper.tree.batch import Batch, Planned
from parkeeper.tree.plan.reap import REAP
from parkeeper.tree.sessions import CLAIM_SESSION, OPEN_SESSION, ClaimSession, CloseSession, OpenSession
from parkeeper.tree.view import revision_of
from tests.tree.drawn import GOOD, PLANTED, WHO, Ask, AskSession, Step
from tests.tree.grove import Listener
from tests.tree.ledger import Asked, Entry, Flight, Keeper, Ledger, body_of, picture
from tests.tree.plain import Call, Plain, allowed

WATCHED = ("/", "/a", "/a/b", "/b")

Told = dict[str, list[tuple[int, int, str]]]


class Record(NamedTuple):
    """What a commit was to do: answers by the plain tree, events and replica by the follower."""

    answers: list[tuple[int, bytes | None]]
    told: Told
    picture: dict[str, object]


class Plan(NamedTuple):
    """A batch not committed yet: at which point of the log it was planned, and what it said it needs at most."""

    batch: Batch[Asked]
    at: int
    writes: int
    size: int


class Watched(Keeper):
    """A keeper with listeners: recursive ones at the root, one that stays at some paths, and one-shot watches.

    What it was told and answered is compared with the records of `past`, commit by commit.
    """

    def __init__(self, ledger: Ledger, id: int, past: dict[int, Record]) -> None:
        super().__init__(ledger, id)
        self.past = past
        self.listeners = {name: Listener(who) for name, who in WHO.items()}
        for listener in self.listeners.values():
            self.watches.watch("/", listener, 1)
        persistent = self.listeners["persistent"] = Listener()
        for path in WATCHED:
            self.watches.watch(path, persistent, 0)
        self.listeners["once"] = Listener()

    def begin(self) -> None:
        """One-shot watches are set anew for every commit."""
        for path in GOOD:
            self.watches.watch_data(path, self.listeners["once"])
            self.watches.watch_child(path, self.listeners["once"])

    def done(self, entry: Entry, flight: Flight | None) -> None:
        told: Told = {name: listener.told_with_zxid() for name, listener in self.listeners.items()}
        record = self.past.get(entry.revision)
        if record is None:
            self.last = told
            return
        assert told == record.told
        # What a stranger wrote just before may reach a keeper after its own commit, and then shows in its Stats.
        early = any(each.revision < entry.revision and not each.keeper for each in self.ledger.log[self.at :])
        if flight is not None and not early:
            assert flight.answers == record.answers
        if flight is not None and early:
            assert [code for code, _ in flight.answers] == [code for code, _ in record.answers]
        if not early:
            assert picture(self.replica) == record.picture


class Ensemble:
    """Keepers 1 and 2 plan; keeper 3 follows every commit at once.

    Args:
        base: zxid_base.
        stride: between the revisions of two commits.
    """

    def __init__(self, base: int, stride: int) -> None:
        self.ledger = Ledger(base, stride)
        self.plain = Plain()
        self.now = 1_000
        self.given = 0
        self.past: dict[int, Record] = {}
        self.keepers = [Watched(self.ledger, 1, self.past), Watched(self.ledger, 2, self.past)]
        self.follower = Watched(self.ledger, 3, {})
        self.planned: dict[int, Plan] = {}
        for keeper in self.keepers:
            keeper.register()
        opens = [AskSession(OPEN_SESSION, 0, 0)] * 2
        for keeper, batch in ((0, opens), (1, opens), (0, PLANTED)):
            self.keepers[keeper].catch_up()
            self.plan(self.keepers[keeper], batch, 1_000)
            self.land(self.keepers[keeper], True)
        assert self.plain.nodes.keys() >= set(GOOD[:4])

    def step(self, step: Step) -> None:
        """What a script says."""
        keeper = self.keepers[step.number]
        self.now += step.later
        idle = keeper.id not in self.planned and keeper.flight is None
        if step.kind in ("work", "plan") and idle:
            if step.kind == "work":
                keeper.catch_up()
            self.plan(keeper, step.batch, 6 + step.amount if step.amount < 10 else 1_000)
        if step.kind in ("work", "land"):
            self.land(keeper, step.at_once)
        if step.kind == "deliver":
            for _ in range(step.amount):
                keeper.deliver()
        if step.kind == "stranger":
            self.stranger(GOOD[step.amount % len(GOOD)], [b"x", b"strange", None][step.amount % 3])
        if step.kind == "reload":
            self.planned.pop(keeper.id, None)
            keeper.flight = None
            keeper.load()

    # Planning.

    def plan(self, keeper: Keeper, batch: Sequence[Ask | AskSession], most: int) -> None:
        """Plan what was drawn."""
        self.propose(keeper, [self.asked(keeper, each) for each in batch], most)

    def propose(self, keeper: Keeper, asked: Sequence[Asked], most: int = 1_000) -> None:
        """Plan a batch of at most so many writes on a replica that may lag."""
        bounds = 0, 0

        def fits(guards: int, puts: int, deletes: int, size: int) -> bool:
            nonlocal bounds
            if puts + deletes > most:
                return False
            bounds = puts + deletes, size
            return True

        planned = keeper.plan(asked, self.now, fits)
        if planned.planned:
            self.planned[keeper.id] = Plan(planned, keeper.at, *bounds)

    def asked(self, keeper: Keeper, drawn: Ask | AskSession) -> Asked:
        """What was drawn, asked by or about a session that the keeper knows."""
        known = keeper.replica.sessions
        if isinstance(drawn, Ask):
            mine = [id for id, record in known.items() if record.owner == keeper.id] or [99]
            session = 0 if drawn.op == REAP else mine[drawn.session % len(mine)]
            return Asked(drawn.op, drawn.record, session, WHO[drawn.who])
        op, index, most = drawn
        if op == OPEN_SESSION:
            self.given += 1
            return Asked(op, OpenSession(keeper.id << 32 | self.given, 4_000 + index))
        session = [*known, 99][index % (len(known) + 1)]
        if op == CLAIM_SESSION:
            return Asked(op, ClaimSession(session, 5_000 + index), most=most)
        seen = known[session].rev - index % 2 if session in known and index > 4 else None
        return Asked(op, CloseSession(session, seen), most=most)

    # Committing.

    def land(self, keeper: Keeper, at_once: bool = True) -> None:
        plan = self.planned.pop(keeper.id, None)
        if plan is None:
            return
        batch = plan.batch
        if batch.changes_nothing:
            if plan.at == len(self.ledger.log):
                for each in batch.planned:
                    assert body_of(each) == self.call(keeper, batch, each, 0)
            return
        before = dict(self.ledger.items)
        flight = keeper.send(batch)
        if flight is None:
            return
        for name, value in flight.sealed.puts.items():
            if name in before and before[name][0] == value:  # as the encoding's docs allow
                assert name.startswith(("data/", "node/", "stat/", "kids/")), name
        sealed = flight.sealed
        names = [*sealed.puts, *sealed.deletes]
        assert len(names) + len(batch.taken) <= plan.writes
        size = sum(len(name.encode()) for name in names) + sum(map(len, sealed.puts.values()))
        assert size + len(sealed.journal) <= plan.size
        self.committed(keeper, flight)
        if at_once:
            keeper.answered()

    def committed(self, keeper: Keeper, flight: Flight) -> None:
        """A commit happened: what the plain tree says to it, and what the follower makes of it."""
        wanted: list[tuple[int, bytes | None]] = []
        events: list[tuple[int, int, str, tuple]] = []
        for each in flight.batch.planned:
            zxid = self.ledger.base + flight.revision * 4096 + each.position
            wanted.append(self.call(keeper, flight.batch, each, zxid))
            events += [(zxid, *event) for event in self.plain.events]
        self.follower.catch_up()
        for name, who in WHO.items():
            ids = tuple(map(tuple, who.ids))
            visible = [(zxid, type, path) for zxid, type, path, acl in events if allowed(acl, 1, ids)]
            assert self.follower.last[name] == [event for event in visible if event[1] != 4]
            if name == "nobody":
                assert self.follower.last["persistent"] == [each for each in visible if each[2] in WATCHED]
        self.past[flight.revision] = Record(wanted, self.follower.last, picture(self.follower.replica))
        self.check()

    def call(
        self, keeper: Keeper, batch: Batch[Asked], each: Planned[Asked], zxid: int
    ) -> tuple[int, bytes | None]:
        """What the plain tree answers."""
        asked = each.asked
        deleted = tuple(change.path for change in each.changes if change.kind == 2)
        revision = (zxid - self.ledger.base) // 4096
        ids = tuple(map(tuple, asked.identities.ids))
        return self.plain.ask(
            Call(
                asked.op, asked.record, asked.session, ids, zxid, revision, batch.view.now, keeper.id,
                asked.most, deleted,
            )
        )  # fmt: skip

    def stranger(self, path: str, data: bytes | None) -> None:
        """Another program writes or deletes a data key, but never null data: emptied again, it may load as null."""
        if path in self.plain.nodes and self.plain.nodes[path].data is None:
            return
        self.ledger.stranger(path, data)
        self.follower.catch_up()
        if path in self.plain.nodes and (data or self.plain.nodes[path].data):
            self.plain.nodes[path].data = data or b""
        self.check()

    def check(self) -> None:
        """Follower, items and plain tree agree."""
        replica, plain, items = self.follower.replica, self.plain, self.ledger.items
        assert picture(replica) == picture(self.ledger.load())
        assert replica.nodes.keys() == plain.nodes.keys()
        seen = picture(replica)["nodes"]
        for path, node in plain.nodes.items():
            stat, _, acl, data = seen[path]
            assert (stat, acl, data) == (node.stat().hex(), node.acl, node.data), path
            assert set(replica.children.get(path, ())) == node.children
            if path.endswith("/zookeeper_stats"):
                assert replica.quotas.stats_data(path) == plain.usage(path[len("/zookeeper/quota") : -16])
        assert replica.data_size == sum(
            len(path) + len(node.data or b"") for path, node in plain.nodes.items()
        )
        for now in (self.now, self.now + 10, self.now + 400_000):
            assert set(replica.reaping.candidates(now, replica.kids, 300_000)) == plain.due(now)
        owners = {node.owner for node in plain.nodes.values() if node.kind == "e"}
        assert {owner: set(replica.ephemerals.of(owner)) for owner in replica.ephemerals.sessions()} == {
            owner: plain.owned(owner) for owner in owners
        }
        assert {id: (each.timeout, each.owner, each.closing) for id, each in replica.sessions.items()} == {
            id: (each.timeout, each.keeper, each.closing) for id, each in plain.sessions.items()
        }
        self.check_items(items)

    def check_items(self, items: dict[str, tuple[bytes, int]]) -> None:
        """Every item is that of a znode or session, at the revision that would be guarded."""
        for name, (_, revision) in items.items():
            kind = name.partition("/")[0]
            if kind in ("node", "stat", "kids", "session"):
                assert revision_of(self.follower.replica, name) == revision, name
        for path, node in self.follower.replica.nodes.items():
            assert ("stat/" + path[1:] in items) == (node.stat_rev > 0)
            assert ("kids/" + path[1:] in items) == (path in self.follower.replica.kids)

    def end(self) -> None:
        """All catch up."""
        for keeper in self.keepers:
            keeper.catch_up()
            assert picture(keeper.replica) == picture(self.follower.replica)
