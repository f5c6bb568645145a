"""Sessions: handshakes, what outlives a connection, what goes with a session, and requests in a pipeline."""

from __future__ import annotations

from tests.raw import encode
from tests.scripts import ask
from tests.scripts.model import Connect, Drop, Expire, Request, Script, Send

HANDSHAKES = Script(
    "handshakes",
    "With and without the readOnly byte; time-outs; sessions that are right, wrong, unknown or over.",
    (
        Connect(0),
        Connect(1, read_only=False),
        Connect(2, read_only=True),
        Connect(3, timeout=0),
        Connect(4, timeout=-5),
        Connect(5, timeout=1),
        Connect(6, timeout=2**31 - 1),
        Connect(7, timeout=1234),
        Connect(8, password=b""),
        Connect(9, password=b"short"),
        Connect(10, since=0),
        Connect(13, session=0x1234_5678, read_only=False),
        Connect(14, session=-2),
        Drop(1),
        Connect(15, resume=1, timeout=2000, read_only=False),
        Drop(15),
        Connect(16, resume=1, password=b"", read_only=False),
        Connect(17, resume=1, password=b"x" * 16),
        Connect(18, resume=1, password=b"x" * 15),
        Connect(19, resume=1, since=0),
        Send(19, (ask.ping(), ask.exists("/"), ask.ping(77), ask.close()), ends=True),
        Connect(20, resume=1),
        Connect(21, resume=0, requests=(ask.exists("/"),)),  # takes the session from connection 0
        Send(21, (ask.who(), ask.close()), ends=True),
    ),
)

EPHEMERALS = Script(
    "ephemerals",
    "Ephemerals outlive a connection, are found by their owner, and go with the session: by close or by time.",
    (
        Connect(0),
        Connect(1),
        Send(
            0,
            (
                ask.create("/d"),
                ask.create("/d/1", flags=1),
                ask.create("/d/2-", flags=3),
                ask.create("/d2", flags=1),
            ),
        ),
        Send(
            0, tuple(ask.ephemerals(p) for p in (None, "", "/", " ", "/d", "/d/", "/d/1", "/d2", "d", "/x"))
        ),
        Send(1, (ask.ephemerals(), ask.exists("/d/1"), ask.delete("/d2"), ask.create("/d2", flags=1))),
        Send(0, (ask.ephemerals(), ask.create("/d/1", flags=1), ask.create("/d/1/x"))),
        Send(1, (ask.get("/d/1", True), ask.children("/d", True), ask.exists("/d/2-0000000001", True))),
        Drop(0),
        Send(1, (ask.exists("/d/1"), ask.children2("/d"))),
        Connect(2, resume=0, read_only=False),
        Send(
            2,
            (ask.ephemerals(), ask.create("/d/3", flags=1), ask.get("/d/3", True), ask.children("/d", True)),
        ),
        Send(2, (ask.add_watch("/d", 1), ask.add_watch("/d", 0))),
        Send(2, (ask.close(), ask.exists("/d"), ask.create("/late")), ends=True),
        Send(1, (ask.children2("/d"), ask.exists("/late"), ask.exists("/d"))),
        Connect(3, resume=0),
        Connect(4, timeout=400),
        Send(4, (ask.create("/d/x", flags=1), ask.create("/d/y", flags=1))),
        Send(1, (ask.exists("/d/x", True), ask.children("/d", True), ask.add_watch("/d", 1))),
        Drop(4),
        Expire(4),
        Send(1, (ask.children2("/d"),)),
        Connect(5, resume=4),
        Connect(6, timeout=400),
        Send(6, (ask.create("/d/z", flags=1), ask.get("/d/z", True))),
        Expire(6),
    ),
)

PIPELINES = Script(
    "pipelines",
    "Many requests in one write: replies in order, each reading what was written before it and nothing later.",
    (
        Connect(0),
        Connect(1),
        Send(0, (ask.create("/n", b"0"),)),
        Send(1, (ask.get("/n", True), ask.add_watch("/n", 0), ask.add_watch("/", 1))),
        Send(0, (ask.put("/n", b"1"), ask.get("/n"), ask.put("/n", b"2"), ask.get("/n"))),
        Send(
            0,
            (
                ask.get("/n", True),
                ask.put("/n", b"3"),
                ask.get("/n", True),
                ask.put("/n", b"4"),
                ask.get("/n"),
            ),
        ),
        Send(
            0,
            (
                ask.exists("/m", True),
                ask.create("/m"),
                ask.exists("/m", True),
                ask.delete("/m"),
                ask.exists("/m"),
            ),
        ),
        Send(
            0, (ask.create("/p"), ask.create("/p/c"), ask.delete("/p"), ask.delete("/p/c"), ask.delete("/p"))
        ),
        Send(0, (ask.put("/n", b"5", 4), ask.put("/n", b"6", 4), ask.put("/n", b"7", 5), ask.get("/n"))),
        Send(
            0,
            (
                ask.children("/", True),
                ask.create("/x"),
                ask.children("/", True),
                ask.delete("/x"),
                ask.sync(),
            ),
        ),
        Send(
            0, (ask.put("/n", b"8"), ask.ping(), ask.get("/n"), ask.ping(), ask.put("/n", b"9"), ask.ping())
        ),
        Send(0, (ask.get("/nope"), ask.put("/nope"), ask.get("/n"), ask.create("/n"), ask.sync("/nope"))),
        Send(0, (*(ask.put("/n", str(i).encode()) for i in range(40)), ask.get("/n"))),
        Send(0, tuple(r for i in range(20) for r in (ask.put("/n", str(i).encode()), ask.get("/n")))),
        Connect(
            2,
            requests=(ask.auth("digest", b"u:p"), ask.set_watches(9, data=["/n"]), ask.get("/n"), ask.who()),
        ),
        Send(0, (ask.create("/last", flags=1), ask.close()), ends=True),
        Send(1, (ask.exists("/last"),)),
    ),
)


def exists_as(xid: int) -> Request:
    return Request(encode.EXISTS, encode.path_watch("/"), f"exists / with xid {xid}", xid)


XIDS = Script(
    "xids",
    "xids are echoed, whatever they are; only a ping's reply has its own.",
    (
        Connect(0),
        Send(0, tuple(exists_as(xid) for xid in (5, 5, 3, 0, 2**31 - 1, -(2**31), -9, -4, -8, -2))),
        Send(0, (ask.ping(12), ask.ping(0), ask.ping())),
        Send(0, (ask.auth("digest", b"a:b", 33), ask.auth("digest", b"a:b"))),
    ),
)

SCRIPTS = (HANDSHAKES, EPHEMERALS, PIPELINES, XIDS)
