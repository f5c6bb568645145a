"""Nodes: how they are created, changed and deleted, in which order it is checked, and what their Stats say."""

from __future__ import annotations

from tests.raw import encode
from tests.scripts import ask
from tests.scripts.model import Connect, Script, Send

CREATING = Script(
    "creating",
    "Every kind of node by every opcode that creates one, and the Stats of node and parent.",
    (
        Connect(0),
        Send(0, (ask.exists("/"), ask.get("/"), ask.exists("/zookeeper"), ask.get("/zookeeper/config"))),
        Send(0, (ask.children2("/zookeeper"), ask.descendants("/"), ask.get_acl("/zookeeper/config"))),
        Send(0, (ask.create("/a", b"one"), ask.get("/a"), ask.exists("/"))),
        Send(0, (ask.create2("/b", b"two"), ask.get("/b"), ask.exists("/"))),
        Send(0, (ask.create("/null", None), ask.get("/null"), ask.create("/empty", b""), ask.get("/empty"))),
        Send(0, (ask.put("/null", b"x"), ask.get("/null"), ask.put("/null", None), ask.get("/null"))),
        Send(0, (ask.create("/a/e", b"", flags=ask.EPHEMERAL), ask.get("/a/e"), ask.exists("/a"))),
        Send(0, (ask.create2("/a/e2", b"", flags=ask.EPHEMERAL), ask.create("/a/e/child"))),
        Send(0, (ask.create_container("/box"), ask.get("/box"), ask.create_container("/box"))),
        Send(0, (ask.create_container("/box0", flags=0), ask.get("/box0"))),
        Send(0, (ask.create("/flag4", flags=ask.CONTAINER), ask.create2("/flag4b", flags=ask.CONTAINER))),
        Send(0, (ask.create_ttl("/ttl"), ask.get("/ttl"), ask.create_ttl("/ttl-", flags=ask.TTL_SEQUENCE))),
        Send(0, (ask.create_ttl("/t", ttl=0), ask.create_ttl("/t", ttl=-1), ask.create_ttl("/t", ttl=1))),
        Send(0, (ask.create_ttl("/u", ttl=2**40), ask.create_ttl("/u", ttl=2**40 - 1), ask.exists("/u"))),
        Send(0, tuple(ask.create("/f", flags=flags) for flags in (5, 6, 7, -1, 99))),
        Send(0, tuple(ask.create2("/f", flags=flags) for flags in (5, 6, 7, -1, 99))),
        Send(0, (ask.children("/"), ask.children2("/"), ask.descendants("/"), ask.descendants("/a"))),
    ),
)

SEQUENCES = Script(
    "sequences",
    "Sequence numbers count every creation under the parent, and survive deletes but not the parent.",
    (
        Connect(0),
        Send(0, (ask.create("/s"), ask.create("/s/n-", flags=ask.SEQUENCE), ask.create("/s/plain"))),
        Send(
            0, (ask.create("/s/n-", flags=ask.SEQUENCE), ask.create2("/s/m-", flags=ask.EPHEMERAL_SEQUENCE))
        ),
        Send(0, (ask.delete("/s/plain"), ask.create("/s/", flags=ask.SEQUENCE), ask.exists("/s"))),
        Send(0, (ask.create("/s/.", flags=ask.SEQUENCE), ask.create("/s/..", flags=ask.SEQUENCE))),
        Send(
            0,
            (
                ask.create("/", flags=ask.SEQUENCE),
                ask.create("", flags=ask.SEQUENCE),
                ask.create("x", flags=2),
            ),
        ),
        Send(0, (ask.create("/s//", flags=ask.SEQUENCE), ask.create("/no/", flags=ask.SEQUENCE))),
        Send(0, (ask.multi(ask.create("/s/q", flags=2), ask.create("/s/q", flags=2), ask.delete("/nope")),)),
        Send(0, (ask.create("/s/q", flags=ask.SEQUENCE), ask.children2("/s"))),
        Send(0, (ask.create("/r"), ask.create("/r/x", flags=2), ask.create("/r/x", flags=2))),
        Send(
            0,
            (ask.delete("/r/x0000000000"), ask.delete("/r/x0000000001"), ask.exists("/r"), ask.delete("/r")),
        ),
        Send(0, (ask.create("/r"), ask.create("/r/x", flags=2), ask.exists("/r"))),
    ),
)

ODD = (
    "", "/", "a", "a/b", "/a/", "//", "//a", "/a//b", "/.", "/..", "/a/.", "/a/..", "/a/./b", "/a/../b", "/...", "/.x",
    "/x.", "/..x", "/a\0b", "/\0", "/\x01", "/\x1f", "/\x7f", "/\x9f", "/\xa0", "/\ud7ff", "/\ue000", "/\uf8ff", "/\uf900",
    "/\ufff0", "/\uffef", "/ ", "/a b", "/\u00e4", b"/\xf0\x9f\x98\x80", b"/\xff", b"/\xed\xa0\x80", b"/\xc3", "/zookeeper",
    "/zookeeper/quota", "/zookeeper/config", "/zookeeper/x", "/nope/x", "/nope//x", "/a/x",
)  # fmt: skip

ODD_PATHS = Script(
    "odd-paths",
    "What each operation says to paths that are wrong, strange or special.",
    (
        Connect(0),
        Send(0, (ask.create("/a"),)),
        *(Send(0, (ask.create(path, b"d"), ask.exists(path))) for path in ODD),
        *(Send(0, (ask.put(path), ask.set_acl(path), ask.get(path), ask.get_acl(path))) for path in ODD),
        *(
            Send(0, (ask.children(path), ask.children2(path), ask.descendants(path), ask.sync(path)))
            for path in ODD
        ),
        *(
            Send(0, (ask.multi(ask.check(path)), ask.multi(ask.put(path)), ask.multi(ask.delete(path))))
            for path in ODD
        ),
        *(Send(0, (ask.create2(path), ask.delete(path))) for path in ODD),
        *(
            Send(
                0,
                (
                    ask.create(None, op=op),
                    ask.delete(None),
                    ask.exists(None),
                    ask.get(None),
                    ask.children(None),
                ),
            )
            for op in (encode.CREATE, encode.CREATE2, encode.CREATE_CONTAINER)
        ),
        Send(
            0,
            (ask.put(None), ask.set_acl(None), ask.get_acl(None), ask.children2(None), ask.descendants(None)),
        ),
        Send(
            0, (ask.sync(None), ask.ephemerals(None), ask.multi(ask.check(None)), ask.multi(ask.create(None)))
        ),
        Send(
            0, (ask.add_watch(None), ask.check_watches(None), ask.remove_watches(None), ask.create_ttl(None))
        ),
        Send(0, (ask.multi_read(ask.get(None)), ask.children2("/"))),
    ),
)

CHANGING = Script(
    "changing",
    "Versions, and what a change does to the Stat of a node and its parent.",
    (
        Connect(0),
        Send(0, (ask.create("/v", b"0"), ask.create("/v/c"), ask.create("/v/d"))),
        Send(
            0,
            (ask.put("/v", b"12", 0), ask.put("/v", b"x", 0), ask.put("/v", b"345", 1), ask.put("/v", b"6")),
        ),
        Send(0, (ask.put("/v", b"x", -2), ask.put("/v", b"x", 2**31 - 1), ask.exists("/v"), ask.exists("/"))),
        Send(0, (ask.set_acl("/v", encode.OPEN, 1), ask.set_acl("/v", encode.OPEN, 0), ask.set_acl("/v"))),
        Send(0, (ask.get_acl("/v"), ask.exists("/v"))),
        Send(0, (ask.put("/v/c", b"deep"), ask.exists("/v"), ask.delete("/v/c", 0), ask.delete("/v/c", 1))),
        Send(
            0, (ask.exists("/v"), ask.delete("/v"), ask.delete("/v", 9), ask.delete("/v/d"), ask.exists("/v"))
        ),
        Send(0, (ask.delete("/v"), ask.delete("/v"), ask.exists("/v"), ask.exists("/"))),
        Send(
            0,
            (
                ask.put("/", b"root"),
                ask.get("/"),
                ask.put("/zookeeper/config", b"x"),
                ask.get("/zookeeper/config"),
            ),
        ),
        Send(
            0,
            (ask.put("/zookeeper", b"z"), ask.set_acl("/zookeeper/config"), ask.get_acl("/zookeeper/config")),
        ),
        Send(0, (ask.delete("/zookeeper/config"), ask.delete("/zookeeper/quota"), ask.delete("/"))),
    ),
)

ERROR_ORDER = Script(
    "error-order",
    "When several things are wrong at once, the first check in ZooKeeper's order answers.",
    (
        Connect(0),
        Send(0, (ask.create("/e", flags=ask.EPHEMERAL), ask.create("/locked", acl=encode.READ_ONLY))),
        Send(
            0, (ask.create("/hidden", acl=((16, "world", "anyone"),)), ask.create("/p"), ask.create("/p/q"))
        ),
        Send(
            0,
            (
                ask.create("/nope/x", acl=()),
                ask.create("nope", acl=()),
                ask.create("/nope/x", acl=(), flags=77),
            ),
        ),
        Send(0, (ask.create("/locked/x"), ask.create("/locked/."), ask.create("/locked/x", acl=()))),
        Send(
            0,
            (
                ask.create("/e/x"),
                ask.create("/e/."),
                ask.create("/e"),
                ask.create("/p/q"),
                ask.create("/p/."),
            ),
        ),
        Send(0, (ask.delete("/p", 7), ask.delete("/p"), ask.delete("/locked/x"), ask.delete("/nope/x", 7))),
        Send(
            0,
            (
                ask.put("/locked", b"", 7),
                ask.put("/nope", b"", 7),
                ask.put("/p/", b"", 7),
                ask.put("/p", b"", 7),
            ),
        ),
        Send(0, (ask.set_acl("/locked", (), 7), ask.set_acl("/nope", (), 7), ask.set_acl("/p/", (), 7))),
        Send(0, (ask.set_acl("/locked", encode.OPEN, 7), ask.set_acl("/nope", encode.OPEN, 7))),
        Send(0, (ask.get("/hidden"), ask.exists("/hidden"), ask.get_acl("/hidden"), ask.children("/hidden"))),
        Send(0, (ask.children2("/hidden"), ask.descendants("/hidden"), ask.multi(ask.check("/hidden", 7)))),
        Send(0, (ask.delete("/hidden", 9), ask.delete("/hidden"), ask.exists("/hidden"))),
        Send(0, (ask.create_ttl("/nope/x", flags=0, ttl=5), ask.create_ttl("/nope/x", flags=9, ttl=0))),
    ),
)

SCRIPTS = (CREATING, SEQUENCES, ODD_PATHS, CHANGING, ERROR_ORDER)
