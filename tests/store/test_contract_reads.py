"""What every store promises about names, values, data prefixes and reads."""

import pytest
import trio

from parkeeper.store.facade import Changed, Item
from parkeeper.store.urls import StoreOptions
from tests.store.backends import Pair
from tests.store.conftest import OpenPair
from tests.store.writers import listening, load_items, writers

STRANGE_PATHS = [
    "a b",
    "...",
    "a..b/.hidden",
    "%2F%00",
    'quo"te\\back',
    "=3d",
    "ключ/鍵/\U0001f511",
    "new\nline",
    "\x01\x7f",
    "?x=1&y#z",
    "x" * 700,
]
STRANGE_VALUES = [b"", b"\x00", bytes(range(256)), b"\xff" * 3, "é".encode(), b'{"json": 1}']


# --- names and values -----------------------------------------------------------------------------------------


async def test_items_when_names_and_values_are_strange(store_pair: Pair) -> None:
    """Any path and any bytes come back from load, read and stream; neighbours stay apart."""
    one, _ = await writers(store_pair.a)
    puts = {
        f"{kind}/{path}": STRANGE_VALUES[i % len(STRANGE_VALUES)]
        for i, path in enumerate(STRANGE_PATHS)
        for kind in ("node", "data")
    }
    async with listening(store_pair.b, await store_pair.b.head()) as listener:
        receipt = await one.commit(puts, {name: 0 for name in puts if name.startswith("node/")})
        await listener.reaches(receipt.revision)
    assert dict(listener.commits[-1].puts) == puts
    items = await load_items(store_pair.b)
    for name, value in puts.items():
        assert items[name] == Item(name, value, receipt.revision)
        assert await store_pair.b.read(name) == Item(name, value, receipt.revision)
    gone = await one.commit({}, {f"node/{path}": receipt.revision for path in STRANGE_PATHS}, list(puts))
    assert not puts.keys() & (await load_items(store_pair.a)).keys()
    assert await store_pair.b.head() == gone.revision


@pytest.mark.parametrize(
    ("prefix", "key"), [(None, "parkeeper/data/services/web"), ("app/", "app/services/web")]
)
async def test_data_is_raw(open_pair: OpenPair, prefix: str | None, key: str) -> None:
    """Native programs read a znode's data, byte for byte, under the key that the layout says."""
    async with open_pair(StoreOptions(data_prefix=prefix)) as pair:
        one, _ = await writers(pair.a)
        await one.commit({"node/services/web": b"?", "data/services/web": b"\x00raw\xff"})
        assert await pair.raw(key) == b"\x00raw\xff"
        await one.commit({}, {}, ["node/services/web", "data/services/web"])
        assert await pair.raw(key) is None


@pytest.mark.parametrize("prefix", [None, "app/"])
async def test_data_when_it_has_a_prefix(open_pair: OpenPair, prefix: str | None) -> None:
    """Load and stream tell the same items wherever the data lies, the root's too."""
    async with open_pair(StoreOptions(data_prefix=prefix)) as pair:
        one, _ = await writers(pair.a, pair.b)
        async with listening(pair.b, await pair.b.head()) as listener:
            receipt = await one.commit({"node/a": b"N", "data/a": b"D", "data/": b"root"})
            await listener.reaches(receipt.revision)
            only_data = await one.commit({"data/a": b"E"})
            await listener.reaches(only_data.revision)
        assert [dict(commit.puts) for commit in listener.commits] == [
            {"node/a": b"N", "data/a": b"D", "data/": b"root"},
            {"data/a": b"E"},
        ]
        items = await load_items(pair.b)
        assert items["data/"].value == b"root"
        assert items["data/a"] == Item("data/a", b"E", only_data.revision)


@pytest.mark.parametrize("prefix", [None, "app/"])
async def test_data_when_a_stranger_writes_it(open_pair: OpenPair, prefix: str | None) -> None:
    """A stranger's bytes are served, and told as a change of no commit where the store can tell."""
    async with open_pair(StoreOptions(data_prefix=prefix)) as pair:
        if pair.stranger_put is None:
            pytest.skip("nobody else can write to this store")
        one, _ = await writers(pair.a)
        await one.commit({"node/a": b"N", "data/a": b"ours"})
        async with listening(pair.b, await pair.b.head()) as listener:
            await pair.stranger_put((prefix or "parkeeper/data/") + "a", b"theirs")
            item = await pair.a.read("data/a")
            assert item is not None
            assert item.value == b"theirs"
            assert (await load_items(pair.b))["data/a"] == item
            later = await one.commit({"node/b": b"1"}, {"node/b": 0})
            if pair.strangers_told:
                await listener.until(lambda told: len(told.events) == 2)
                assert Changed(item.revision, "data/a", b"theirs") in listener.events
            else:
                await listener.reaches(later.revision)
                assert listener.changes == []


# --- reads ----------------------------------------------------------------------------------------------------


async def test_load_tells_where_to_follow(store_pair: Pair) -> None:
    """Snapshot and stream join without gap or overlap: what the one has, the other doesn't tell."""
    one, two = await writers(store_pair.a, store_pair.b)
    first = await one.commit({"node/a": b"1"})
    snapshot = await store_pair.b.load()
    assert snapshot.revision == first.revision
    assert snapshot.position >= snapshot.revision
    assert dict(snapshot.heads) == {1: (one.head, one.revision), 2: (two.head, two.revision)}
    async with listening(store_pair.b, snapshot.position) as listener:
        second = await one.commit({"node/a": b"2"})
        await listener.reaches(second.revision)
    assert [event.revision for event in listener.events] == [second.revision]


async def test_load_beside_a_writer(store_pair: Pair) -> None:
    """A snapshot is of one revision, though commits go on: items written together are seen together."""
    one, _ = await writers(store_pair.a, store_pair.b)
    await one.commit({f"node/{i}": b"0" for i in range(15)})
    done = trio.Event()

    async def write() -> None:
        for number in range(1, 60):
            await one.commit({f"node/{i}": b"%d" % number for i in range(15)})
            await trio.lowlevel.checkpoint()
        done.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        while not done.is_set():
            snapshot = await store_pair.b.load()
            nodes = [
                item for item in snapshot.items if item.name.startswith("node/") and item.name != "node/"
            ]
            assert len({(item.value, item.revision) for item in nodes}) == 1
            assert snapshot.revision == nodes[0].revision == snapshot.heads[1][1]


async def test_head_is_that_of_the_last_commit(store_pair: Pair) -> None:
    """`head()` knows every commit that was answered, and nothing else moves it."""
    one, two = await writers(store_pair.a, store_pair.b)
    for number in range(5):
        receipt = await one.commit({"node/a": b"%d" % number})
        assert await store_pair.b.head() == receipt.revision
    await two.send_beat(b"tick")
    await store_pair.a.put("turn/1", b"ticket")
    assert await store_pair.b.head() == receipt.revision


async def test_read_when_just_written(store_pair: Pair) -> None:
    """`read` is linearizable: it shows every write that was answered."""
    one, two = await writers(store_pair.a, store_pair.b)
    for number in range(5):
        receipt = await one.commit({"node/a": b"%d" % number})
        assert await store_pair.b.read("node/a") == Item("node/a", b"%d" % number, receipt.revision)
    revision = await two.send_beat(b"tick")
    assert await store_pair.a.read("keeper/2") == Item("keeper/2", b"tick", revision)
    assert await store_pair.a.read("node/absent") is None


async def test_survey_shows_all_heads_and_keepers(store_pair: Pair) -> None:
    """One read proves one's own past and everybody's."""
    one, two = await writers(store_pair.a, store_pair.b)
    await one.commit({"node/a": b"1"})
    await two.send_beat(b"tick")
    survey = await store_pair.b.survey()
    assert dict(survey.heads) == {1: (one.head, one.revision), 2: (two.head, two.revision)}
    assert dict(survey.keepers) == {1: (b"registered", one.beat), 2: (b"tick", two.beat)}
