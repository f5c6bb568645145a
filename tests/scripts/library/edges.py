"""Edges: malformed records and frames, unknown opcodes, what no client should send, quotas."""

from __future__ import annotations

from tests.raw import encode
from tests.scripts import ask
from tests.scripts.model import Bytes, Connect, Request, Script, Send

GOOD = (
    ask.create("/g", b"x"),
    ask.create2("/g", b"x"),
    ask.create_container("/g"),
    ask.create_ttl("/g"),
    ask.delete("/g"),
    ask.exists("/a"),
    ask.get("/a"),
    ask.put("/a", b"x"),
    ask.get_acl("/a"),
    ask.set_acl("/a"),
    ask.children("/a"),
    ask.children2("/a"),
    ask.sync("/a"),
    ask.check_watches("/a"),
    ask.remove_watches("/a"),
    ask.ephemerals("/"),
    ask.descendants("/a"),
    ask.add_watch("/a"),
)

SHORT = Script(
    "short-records",
    "A record that ends too early is malformed, one with bytes after it is fine; the connection stays.",
    (
        Connect(0),
        Send(0, (ask.create("/a", b"0"),)),
        *(Send(0, tuple(ask.cut(good, n) for n in range(1, len(good.body) + 1, 3))) for good in GOOD),
        *(Send(0, (ask.longer(good, b"\x00\xff"),)) for good in GOOD),
        Send(0, (ask.exists("/"), ask.get("/a"), ask.children("/"))),
    ),
)

HUGE, MINUS = encode.i32(2**31 - 1), encode.i32(-2)
PATH = encode.string("/a")


def named(op: int, body: bytes, note: str) -> Request:
    return Request(op, body, note)


LENGTHS = Script(
    "bad-lengths",
    "Impossible lengths of strings, buffers and vectors inside a record.",
    (
        Connect(0),
        Send(0, (ask.create("/a", b"0"),)),
        Send(
            0,
            (
                named(encode.EXISTS, HUGE + b"/a\0", "exists, huge path"),
                named(encode.GET_DATA, MINUS, "getData, path -2"),
            ),
        ),
        Send(
            0,
            (
                named(encode.SET_DATA, PATH + HUGE, "setData, huge data"),
                named(encode.SET_DATA, PATH + MINUS, "-2 data"),
            ),
        ),
        Send(
            0, (named(encode.CREATE, encode.string("/n") + encode.i32(0) + HUGE, "create, huge ACL count"),)
        ),
        Send(
            0,
            (
                named(
                    encode.CREATE,
                    encode.string("/n") + encode.i32(0) + MINUS + encode.i32(0),
                    "create, ACL count -2",
                ),
            ),
        ),
        Send(
            0,
            (
                named(
                    encode.CREATE, encode.string("/n") + encode.i32(0) + encode.i32(1), "create, ACL missing"
                ),
            ),
        ),
        Send(0, (named(encode.SET_ACL, PATH + MINUS + encode.i32(-1), "setACL, count -2"),)),
        Send(0, (named(encode.SET_WATCHES, bytes(8) + HUGE, "setWatches, huge count"),)),
        Send(0, (named(encode.SET_WATCHES, bytes(8) + 3 * encode.i32(-1), "setWatches, null lists"),)),
        Send(0, (named(encode.SET_WATCHES, bytes(8) + 3 * MINUS, "setWatches, counts -2"),)),
        Send(0, (named(encode.SET_WATCHES, bytes(8) + 2 * encode.i32(0), "setWatches, two lists"),)),
        Send(0, (named(encode.SET_WATCHES2, bytes(8) + 3 * encode.i32(0), "setWatches2, three lists"),)),
        Send(0, (named(encode.EXISTS, PATH + b"\x02", "exists, boolean 2"), ask.check_watches("/a"))),
        Send(
            0,
            (
                named(encode.ADD_WATCH, PATH, "addWatch, no mode"),
                named(encode.CHECK_WATCHES, PATH, "checkWatches, no type"),
            ),
        ),
        Send(0, (named(encode.RECONFIG, b"", "reconfig, empty"), ask.reconfig(), ask.get("/a"))),
    ),
)

UNKNOWN = (0, -1, 10, 13, 23, 24, 99, 108, 997, 2**31 - 1, -2, -(2**31), 500)

LAST = Script(
    "unknown-opcodes",
    "Unknown opcodes are answered -6 with zxid -1, and the connection ends.",
    tuple(
        step
        for conn, op in enumerate(UNKNOWN)
        for step in (Connect(conn), Send(conn, (ask.raw(op, encode.path_version("/")),), ends=True))
    ),
)

SASL = Script(
    "sasl",
    "A server without SASL answers any token with a null one.",
    (
        Connect(0),
        Send(0, (ask.sasl(),)),
        Send(0, (ask.sasl(b"token"),)),
        Send(0, (ask.who(), ask.exists("/"))),
    ),
)

FRAMES = Script(
    "bad-frames",
    "A length that cannot be, or a frame too short for a header: the connection ends without an answer.",
    (
        *(
            step
            for conn, data in enumerate(
                (
                    encode.i32(-1),
                    encode.i32(-(2**31)),
                    encode.i32(0x10_0000),
                    encode.i32(2**31 - 1),
                    encode.frame(b""),
                    encode.frame(b"\x00" * 4),
                    encode.frame(b"\x00" * 7),
                )
            )
            for step in (Connect(conn), Bytes(conn, data))
        ),
        Bytes(20, encode.i32(-1)),
        Bytes(21, encode.i32(0x10_0000)),
        Bytes(22, encode.frame(b"")),
        Bytes(23, encode.frame(bytes(10))),
        Bytes(24, encode.frame(bytes(27))),
        Bytes(25, encode.frame(bytes(24) + encode.i32(-2))),
        Bytes(26, encode.frame(bytes(24) + encode.i32(16) + bytes(15))),
        Bytes(27, encode.frame(bytes(24) + encode.i32(2**31 - 1))),
        Bytes(28, b"nope\n"),
    ),
)

LIMITS, STATS = "/zookeeper/quota/q/zookeeper_limits", "/zookeeper/quota/q/zookeeper_stats"

QUOTAS = Script(
    "quotas",
    "A soft quota: usage is counted in the stats node's data, without a version, a zxid or an event.",
    (
        Connect(0),
        Connect(1),
        Send(0, (ask.create("/q", b"12345"), ask.create("/q/a", b"678"), ask.create("/zookeeper/quota/q"))),
        Send(
            0, (ask.create(LIMITS, b"count=2,bytes=5"), ask.create(STATS, b"count=0,bytes=0"), ask.get(STATS))
        ),
        Send(1, (ask.get(STATS, True), ask.add_watch("/zookeeper/quota", 1))),
        Send(
            0,
            (
                ask.create("/q/b", b"xx"),
                ask.get(STATS),
                ask.put("/q", b"1"),
                ask.get(STATS),
                ask.delete("/q/a"),
            ),
        ),
        Send(
            0,
            (
                ask.get(STATS),
                ask.create("/q/b/c"),
                ask.create("/qq", b"no"),
                ask.get(STATS),
                ask.exists(STATS),
            ),
        ),
        Send(0, (ask.multi(ask.create("/q/m", b"mm"), ask.put("/q/b", b"")), ask.get(STATS))),
        Send(0, (ask.put("/q", None), ask.get(STATS), ask.create("/q/e", b"eee", flags=1), ask.get(STATS))),
        Send(0, (ask.delete(LIMITS), ask.put("/q", b"4444"), ask.delete(STATS), ask.exists("/q"))),
        Send(0, (ask.descendants("/zookeeper"), ask.children("/zookeeper/quota"))),
    ),
)

SCRIPTS = (SHORT, LENGTHS, LAST, SASL, FRAMES, QUOTAS)
