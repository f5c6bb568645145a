"""What is the memory store's own; what it shares with all is in the contract suite."""

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from parkeeper.store.facade import Changed, Commit, Head
from parkeeper.store.memory import MemoryServer, MemoryStore
from parkeeper.store.urls import StoreOptions
from tests.store.writers import listening, make_namespace, writers


async def test_delay_makes_every_stream_late(autojump_clock: MockClock) -> None:
    """Commits are answered at once and told later, on Trio's clock."""
    server = MemoryServer()
    one, two = await writers(MemoryStore(server), MemoryStore(server))
    server.delay = 2.0
    start = trio.current_time()
    async with listening(two.store, server.revision) as listener:
        receipt = await one.commit({"node/a": b"1"})
        assert trio.current_time() == start
        await listener.reaches(receipt.revision)
    assert trio.current_time() == start + 2.0


async def test_commit_when_cancelled_has_changed_nothing() -> None:
    """That is looked for before anything is done."""
    server = MemoryServer()
    one, _ = await writers(MemoryStore(server))
    commit = await one.plan({"node/a": b"1"})
    before = server.revision
    with trio.CancelScope() as scope:
        scope.cancel()
        await one.store.commit(commit)
    assert scope.cancelled_caught
    assert server.revision == before


async def test_a_commit_is_copied() -> None:
    """What a caller does to its dict afterwards changes no item and no event."""
    server = MemoryServer()
    store = MemoryStore(server)
    one, _ = await writers(store)
    puts = {"node/a": b"as committed"}
    async with listening(store, server.revision) as listener:
        receipt = await store.commit(Commit(1, Head(1, 2, 1), {"head/1": one.revision}, puts))
        puts["node/a"] = b"changed"
        puts["node/b"] = b"added"
        await listener.reaches(receipt.revision)
    item = await store.read("node/a")
    assert item is not None
    assert item.value == b"as committed"
    assert dict(listener.commits[0].puts) == {"node/a": b"as committed"}


async def test_namespaces_share_a_server_and_nothing_else() -> None:
    """Two ensembles in one store don't see each other's items, heads, or commits."""
    server = MemoryServer()
    a = MemoryStore(server, StoreOptions(namespace="a/"))
    b = MemoryStore(server, StoreOptions(namespace="b/"))
    one, _ = await writers(a)
    position = server.revision
    await make_namespace(b)
    assert await b.head() == 0
    assert {item.name for item in (await b.load()).items} == {"meta", "ids", "node/", "data/"}
    async with listening(b, server.revision) as of_b, listening(a, position) as of_a:
        await one.commit({"node/x": b"1"})
        await b.put("turn/1", b"last")
        await of_b.until(lambda told: bool(told.events))
        await of_a.until(lambda told: bool(told.events))
        await wait_all_tasks_blocked()
    assert of_b.events == [Changed(server.revision, "turn/1", b"last")]
    assert [event.revision for event in of_a.events] == [one.revision]


async def test_namespaces_over_one_data_prefix_tell_each_other_as_strangers() -> None:
    """A commit of the one that writes a native key of the other is a stranger's change there, as on etcd."""
    server = MemoryServer()
    a = MemoryStore(server, StoreOptions(namespace="a/", data_prefix="/"))
    b = MemoryStore(server, StoreOptions(namespace="b/", data_prefix="/"))
    one, _ = await writers(a)
    async with listening(b, server.revision) as listener:
        receipt = await one.commit({"node/x": b"1", "data/x": b"D"})
        await listener.until(lambda told: bool(told.events))
    assert listener.events == [Changed(receipt.revision, "data/x", b"D")]


async def test_survey_of_keepers_that_were_there_before() -> None:
    """A facade made late knows of heads and keepers that came before it, strangers' deletes included."""
    server = MemoryServer()
    one, two = await writers(MemoryStore(server), MemoryStore(server))
    late = MemoryStore(server)
    assert set((await late.survey()).heads) == {1, 2}
    server.stranger_put(b"parkeeper/keeper/1", None)
    server.stranger_put(b"parkeeper/head/2", None)
    survey = await late.survey()
    assert (set(survey.heads), set(survey.keepers)) == ({1}, {2})
    assert await late.head() == one.revision < two.revision


async def test_compact_only_when_asked_to() -> None:
    """The operator's option decides, as on etcd."""
    server = MemoryServer()
    await writers(MemoryStore(server))
    await MemoryStore(server).compact(server.revision)
    assert server.history.first == 0
    await MemoryStore(server, StoreOptions(compact=True)).compact(server.revision)
    assert server.history.first == server.revision
