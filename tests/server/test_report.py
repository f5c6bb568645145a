"""What a keeper tells operators, out of a keeper that serves clients. Words are asked as clients ask them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from parkeeper.admin.status import Access
from parkeeper.admin.words import Words
from parkeeper.server.report import About, Report
from parkeeper.server.serving import State
from parkeeper.version import FULL_VERSION
from tests.server.stage import Client, Stage, create, get_data, request, stage, string

ABOUT = About("memory://", "parkeeper/")


def report(there: Stage, about: About = ABOUT) -> Report:
    """Of the keeper on the stage."""
    return Report(there.keeper, about)


@asynccontextmanager
async def with_words():
    """A stage whose keeper answers every word."""
    async with stage() as there:
        there.keeper.words = Words(report(there), {"*"})
        yield there


async def ask(there: Stage, word: str) -> str:
    """A word's answer, read to the end of its connection."""
    asker = there.call()
    await asker.send(word.encode())
    answer = b""
    while chunk := await asker.stream.receive_some(65536):
        answer += chunk
    return answer.decode()


async def asked(client: Client, *packets: bytes) -> None:
    """Send requests and take their answers."""
    await client.send(*packets)
    await client.answers(len(packets))


async def test_srvr_counts_nodes_sessions_and_requests(autojump_clock):
    """An empty server has ZooKeeper's five nodes; what a client does is counted."""
    async with with_words() as there:
        assert "Mode: standalone\nNode count: 5\n" in await ask(there, "srvr")
        client = await there.client()
        await asked(client, create(1, "/a", b"12345"), get_data(2, "/a"))
        server = report(there).server()
        assert (server.version, server.mode, server.nodes) == (FULL_VERSION, "standalone", 5)
        assert server.zxid == there.services.replica.zxid
        assert server.received >= 3
        assert server.sent >= 3
        assert server.latency.count == 2
        assert (server.connections, server.outstanding) == (1, 0)


async def test_cons_tells_of_each_session_and_of_the_asker(autojump_clock):
    """A client's line has its session, last operation and xid; the asker's only counts."""
    async with with_words() as there:
        client = await there.client(timeout=6000)
        await asked(client, create(1, "/a"), get_data(7, "/a"))
        lines = (await ask(there, "cons")).splitlines()
        mine = next(line for line in lines if "sid=" in line)
        assert mine.startswith(" /10.0.0.1:1001[1](queued=0,")
        assert f"sid={client.session:#x},lop=GETD," in mine
        assert ",to=6000,lcxid=0x7,lzxid=0x" in mine
        asker = next(line for line in lines if line and "sid=" not in line)
        assert asker.startswith(" /10.0.0.1:1002[0](queued=0,")


async def test_mntr_has_the_trees_figures(autojump_clock):
    """Sizes, ephemerals, watches and operations, by ZooKeeper's names."""
    async with with_words() as there:
        client = await there.client()
        await asked(client, create(1, "/e", b"1234567", flags=1), get_data(2, "/e", watch=True))
        lines = dict(line.split("\t") for line in (await ask(there, "mntr")).splitlines())
        assert lines["zk_version"] == FULL_VERSION
        assert lines["zk_znode_count"] == "6"
        assert lines["zk_ephemerals_count"] == "1"
        assert lines["zk_watch_count"] == "1"
        assert lines["zk_global_sessions"] == "1"
        assert lines["zk_approximate_data_size"] == str(44 + len("/e") + 7)  # 44: of an empty ZooKeeper
        assert (lines["zk_op_count_create"], lines["zk_op_count_get_data"]) == ("1", "1")
        assert lines["zk_cnt_updatelatency"] == "1"
        assert int(lines["zk_commit_count"]) >= 1
        assert "zk_synced_followers" not in lines
        assert "zk_parkeeper_worker" not in lines


async def test_dump_lists_sessions_ephemerals_and_connections(autojump_clock):
    """All three, with the session's end as its last traffic and its timeout make it."""
    async with with_words() as there:
        client = await there.client(timeout=10_000)
        await asked(client, create(1, "/e", flags=1))
        text = await ask(there, "dump")
        assert "Session Sets (1)/(1):\n" in text
        assert f"\t{client.session:#x}\nephemeral nodes dump:\n" in text
        assert f"Sessions with Ephemerals (1):\n{client.session:#x}:\n\t/e\n" in text
        assert f"\tip: /10.0.0.1:1001 sessionId: {client.session:#x}\n" in text
        (due,) = report(there).sessions().due
        left = due.expires - there.stats.now_ms()
        assert 8_000 <= left <= 12_100  # 10 s, to a tick of 2 s


async def test_wch_words_tell_who_watches_what(autojump_clock):
    """One data watch of one session; the child watch is not among them, as in ZooKeeper."""
    async with with_words() as there:
        client = await there.client()
        await asked(client, create(1, "/a"), get_data(2, "/a", watch=True))
        await asked(client, request(3, 8, string("/") + b"\1"))
        assert await ask(there, "wchs") == "1 connections watching 1 paths\nTotal watches:1\n"
        assert await ask(there, "wchc") == f"{client.session:#x}\n\t/a\n\n"
        assert await ask(there, "wchp") == f"/a\n\t{client.session:#x}\n\n"


async def test_reset_words_forget_what_was_counted(autojump_clock):
    """srst the server's counts, crst the connections'."""
    async with with_words() as there:
        client = await there.client()
        await asked(client, create(1, "/a"))
        assert report(there).server().received > 0
        assert await ask(there, "srst") == "Server stats reset.\n"
        assert report(there).server().latency.count == 0
        assert await ask(there, "crst") == "Connection stats reset.\n"
        (peer,) = report(there).peers()
        assert (peer.received, peer.latency.count) == (0, 0)


@pytest.mark.parametrize(
    ("state", "access"),
    [
        (State.SERVING, Access.READ_WRITE),
        (State.READ_ONLY, Access.READ_ONLY),
        (State.APART, Access.NOBODY),
        (State.STOPPING, Access.NOBODY),
    ],
)
async def test_access_follows_the_keepers_state(autojump_clock, state, access):
    """Health checks see a keeper that is cut from its store."""
    async with stage() as there:
        there.keeper.serving.become(state)
        assert report(there).access() is access


async def test_words_answer_when_there_is_no_incarnation():
    """Before the first and between two nothing is known of the tree, and no word fails for it."""
    async with stage() as there:
        keeper = there.keeper
        incarnation, keeper.incarnation = keeper.incarnation, None
        try:
            words = Words(report(there), {"*"})
            assert words(b"ruok") == b"imok"
            assert words(b"isro") == b"null"
            assert (words(b"srvr") or b"").startswith(b"This ZooKeeper instance is not currently serving")
            status = report(there)
            assert (status.server().nodes, status.settings().keeper) == (0, 0)
            assert status.monitor().gauges.znode_count == 0
            assert status.sessions().due == ()
            assert status.watching().watches == 0
            assert (list(status.watches_by_session()), dict(status.watches_by_path())) == ([], {})
        finally:
            keeper.incarnation = incarnation


async def test_conf_tells_store_namespace_and_worker(autojump_clock):
    """What ZooKeeper has no word for stands below its lines, with the worker that answered."""
    async with stage(tick_time=300, max_connections_per_address=7) as there:
        settings = report(there, About("etcd://e:2379", "team/", "2/4")).settings()
        assert (settings.tick_time, settings.min_session_timeout, settings.max_session_timeout) == (
            300,
            600,
            6000,
        )
        assert (settings.max_connections, settings.directory) == (7, None)
        assert settings.keeper == 1
        assert dict(settings.more) == {
            "parkeeper.backend": "etcd://e:2379",
            "parkeeper.namespace": "team/",
            "parkeeper.keeperTtl": "6.0",
            "parkeeper.worker": "2/4",
        }


async def test_worker_is_told_in_mntr_and_envi_when_there_are_several():
    """So that one can tell whose figures a scraper was given."""
    async with stage() as there:
        status = report(there, About("etcd://e:2379", "team/", "2/4"))
        assert status.monitor().counters["parkeeper_worker"] == 2
        assert ("parkeeper.worker", "2/4") in status.environment()


async def test_disk_use_is_that_of_the_file_and_its_log(tmp_path: Path):
    """The database and what SQLite keeps beside it; nothing where there is no file yet."""
    async with stage() as there:
        file = tmp_path / "tree.db"
        status = report(there, About(f"sqlite://{file}", "parkeeper/", None, file))
        assert status.disk_use() == 0
        file.write_bytes(bytes(1000))
        (tmp_path / "tree.db-wal").write_bytes(bytes(24))
        assert status.disk_use() == 1024
        assert status.settings().directory == tmp_path
        assert report(there).disk_use() == 0


async def test_waiting_request_is_outstanding_until_its_commit(autojump_clock):
    """queued= and Outstanding count what was received and not answered."""
    async with with_words() as there:
        client = await there.client()
        there.store.close_gate()
        await client.send(create(1, "/a"))
        await trio.testing.wait_all_tasks_blocked()
        (peer,) = report(there).peers()
        assert (peer.queued, report(there).server().outstanding) == (1, 1)
        there.store.open_gate()
        await client.answer()
        assert report(there).server().outstanding == 0
