"""multi and multiRead: results before, at and after a failure; what they allow; what they leave behind."""

from __future__ import annotations

from dataclasses import replace

from tests.raw import encode
from tests.scripts import ask
from tests.scripts.model import Connect, Request, Script, Send

MULTIS = Script(
    "multi",
    "All or nothing: results, one zxid for all, and no trace of what failed.",
    (
        Connect(0),
        Send(0, (ask.multi(), ask.multi_read(), ask.exists("/"))),
        Send(
            0,
            (
                ask.multi(ask.create("/a", b"1"), ask.create2("/b", None), ask.put("/a", b"22", 0)),
                ask.get("/a"),
            ),
        ),
        Send(
            0,
            (
                ask.get("/b"),
                ask.exists("/"),
                ask.multi(ask.check("/a", 1), ask.delete("/b", 0)),
                ask.exists("/b"),
            ),
        ),
        Send(0, (ask.multi(ask.create("/c"), ask.check("/a", 7), ask.create("/d")), ask.children2("/"))),
        Send(
            0, (ask.multi(ask.create("/c"), ask.create("/c")), ask.multi(ask.delete("/zz"), ask.create("/c")))
        ),
        Send(
            0, (ask.multi(ask.create("/p"), ask.create("/p/q"), ask.put("/p/q", b"x"), ask.check("/p/q", 1)),)
        ),
        Send(
            0,
            (
                ask.exists("/p"),
                ask.get("/p/q"),
                ask.multi(ask.delete("/p/q"), ask.delete("/p")),
                ask.exists("/p"),
            ),
        ),
        Send(
            0,
            (
                ask.multi(ask.create("/t"), ask.delete("/t"), ask.create("/t"), ask.delete("/t")),
                ask.exists("/"),
            ),
        ),
        Send(0, (ask.multi(*(ask.create("/s-", flags=2) for _ in range(5))), ask.create("/s-", flags=2))),
        Send(0, (ask.multi(ask.create("/e", flags=1), ask.create("/e/x")), ask.exists("/e"))),
        Send(0, (ask.multi(ask.create("/e", flags=1), ask.create("/f-", flags=3)), ask.ephemerals())),
        Send(0, (ask.multi(ask.create("/box", flags=4), ask.create2("/box2", flags=4)), ask.exists("/box"))),
        Send(
            0,
            (
                ask.multi(
                    ask.create_container("/box3"), ask.create_ttl("/ttl"), ask.create_ttl("/t-", flags=6)
                ),
            ),
        ),
        Send(0, (ask.multi(ask.create_container("/box4", flags=0)), ask.multi(ask.create_ttl("/u", ttl=0)))),
        Send(0, (ask.multi(ask.put("/a", b""), ask.put("/a", None), ask.put("/a", b"z")), ask.get("/a"))),
        Send(0, (ask.multi(ask.put("/", b"root"), ask.check("/"), ask.delete("/")), ask.get("/"))),
        Send(
            0,
            (
                ask.create("/ro", acl=encode.READ_ONLY),
                ask.multi(ask.put("/a"), ask.put("/ro"), ask.put("/a")),
            ),
        ),
        Send(0, (ask.multi(ask.create("/x", acl=((31, "nope", "y"),))), ask.multi(ask.create("/x", acl=())))),
        Send(
            0,
            (ask.multi(ask.create("bad"), ask.create("/y")), ask.multi(ask.create("/y"), ask.create("/y/"))),
        ),
        Send(
            0,
            (ask.multi(ask.check("/nope"), ask.check("/a")), ask.multi(ask.check("/a"), ask.check("/nope"))),
        ),
        Send(0, (ask.multi(*(ask.put("/a", str(i).encode()) for i in range(100))), ask.get("/a"))),
        Send(0, (ask.multi(ask.create("/g"), ask.create("/g/1"), ask.delete("/g/1")), ask.exists("/g"))),
    ),
)

READS = Script(
    "multi-read",
    "Each read stands alone; watches in it are ignored.",
    (
        Connect(0),
        Send(
            0, (ask.create("/a", b"1"), ask.create("/a/b"), ask.create("/no", acl=((2, "world", "anyone"),)))
        ),
        Send(
            0, (ask.multi_read(ask.get("/a"), ask.children("/a"), ask.get("/nope"), ask.children("/nope")),)
        ),
        Send(0, (ask.multi_read(ask.get("/no"), ask.children("/no"), ask.get("/a/b"), ask.get("")),)),
        Send(0, (ask.multi_read(ask.get("/a", True), ask.children("/a", True)), ask.check_watches("/a"))),
    ),
)


def allowed(request: Request) -> tuple[Request, ...]:
    """The request first, last and alone, in a multi and in a multiRead."""
    good, read = ask.put("/a", b"1"), ask.get("/a")
    return (
        ask.multi(request),
        ask.multi(good, request),
        ask.multi(request, good),
        ask.multi_read(request),
        ask.multi_read(read, request),
        ask.multi_read(request, read),
    )


KINDS = Script(
    "multi-kinds",
    "What may stand in a multi or a multiRead, and what makes the whole request malformed.",
    (
        Connect(0),
        Send(0, (ask.create("/a", b"0"), ask.create("/a/b"))),
        *(
            Send(0, allowed(request))
            for request in (
                ask.get("/a"),
                ask.children("/a"),
                ask.children2("/a"),
                ask.exists("/a"),
                ask.get_acl("/a"),
                ask.set_acl("/a"),
                ask.sync("/a"),
                ask.check("/a"),
                ask.raw(encode.PING),
                ask.raw(encode.CLOSE_SESSION),
                ask.raw(encode.MULTI, encode.multi([])),
                ask.raw(encode.DELETE_CONTAINER, encode.only_path("/a/b")),
                ask.raw(0),
                ask.raw(-1),
                ask.raw(997),
                ask.create("/bad", flags=7),
                ask.create("/bad", flags=-1),
                ask.create("/bad", flags=5),
                ask.create("/bad", acl=None),
                ask.create(None),
                ask.put(None),
                ask.delete(None),
                ask.check(None),
                ask.create_ttl("/bad", flags=7),
                ask.create_ttl("/bad", ttl=-1),
            )
        ),
        Send(0, (ask.get("/a"), ask.exists("/"), ask.check_watches("/a"))),
    ),
)


def ended(body: bytes, note: str, op: int = encode.MULTI) -> Request:
    return Request(op, body, note)


def head(op: int, done: bool = False, error: int = -1) -> bytes:
    return encode.multi_header(op, done, error)


FRAMING = Script(
    "multi-framing",
    "Terminators: only `done` ends the list; a list that ends without is malformed.",
    (
        Connect(0),
        Send(0, (ask.create("/a"),)),
        Send(0, (ended(b"", "multi, empty body"), ended(b"", "multiRead, empty body", encode.MULTI_READ))),
        Send(0, (ended(head(5) + encode.set_data("/a", b"1"), "multi without terminator"),)),
        Send(
            0,
            (
                ended(
                    head(5) + encode.set_data("/a", b"1") + head(7, True, 9), "multi, terminator type 7 err 9"
                ),
            ),
        ),
        Send(
            0,
            (
                ended(
                    head(5, error=44) + encode.set_data("/a", b"2") + head(-1, True),
                    "multi, err 44 in a header",
                ),
            ),
        ),
        Send(0, (ended(head(-1) + head(-1, True), "multi, type -1 that is not done"),)),
        Send(0, (ended(head(-1, True) + head(5) + encode.set_data("/a", b"3"), "multi, an op after done"),)),
        Send(
            0, (ended(head(4) + encode.path_watch("/a"), "multiRead without terminator", encode.MULTI_READ),)
        ),
        *(
            Send(0, (ask.cut(ask.multi(ask.put("/a", b"4"), ask.check("/a")), n),))
            for n in (1, 5, 8, 9, 10, 13, 20)
        ),
        *(
            Send(0, (ask.cut(ask.multi_read(ask.get("/a"), ask.get("/nope")), n),))
            for n in (1, 8, 9, 10, 13, 20)
        ),
        Send(0, (ask.longer(ask.multi(ask.put("/a", b"5")), b"more"), ask.get("/a"))),
        Send(0, (replace(ask.multi(ask.put("/a", b"6")), op=encode.MULTI_READ, note="multiRead [setData]"),)),
    ),
)

SCRIPTS = (MULTIS, READS, KINDS, FRAMING)
