"""ACLs and authentication: what is valid, who may do what, what is hidden, what an event tells to whom."""

from __future__ import annotations

from tests.raw import encode
from tests.raw.encode import Acl
from tests.scripts import ask
from tests.scripts.model import Connect, Script, Send

ALICE, BOB = b"alice:secret", b"bob:secret"
# base64 of the SHA-1 of user:password, as `openssl dgst -sha1 -binary | base64` says.
ALICE_ID = "alice:aYXlLOpEooaV1cRAvUL1fp9Qt7E="
WORLD = ("world", "anyone")

SINGLE: tuple[tuple[Acl, ...] | None, ...] = (
    None,
    (),
    ((31, "world", "anyone"),),
    ((31, "world", "someone"),),
    ((31, "world", None),),
    ((31, "world", ""),),
    ((31, None, "anyone"),),
    ((31, "", "anyone"),),
    ((31, "nope", "x"),),
    ((31, "super", "x"),),
    ((31, "sasl", "x"),),
    ((31, "digest", "x:y"),),
    ((31, "digest", "x"),),
    ((31, "digest", "x:"),),
    ((31, "digest", ":y"),),
    ((31, "digest", "a:b:"),),
    ((31, "digest", "a:b:c"),),
    ((31, "digest", ""),),
    ((31, "digest", None),),
    ((31, "auth", ""),),
    ((31, "auth", None),),
    ((31, "auth", "x"),),
    ((31, "ip", "127.0.0.1"),),
    ((31, "ip", "127.0.0.1/8"),),
    ((31, "ip", "127.0.0.1/33"),),
    ((31, "ip", "127.0.0.1/-1"),),
    ((31, "ip", "127.0.0.1/"),),
    ((31, "ip", "127.0.0.1/x"),),
    ((31, "ip", "127.0.0"),),
    ((31, "ip", "127.0.0.1.1"),),
    ((31, "ip", "256.0.0.1"),),
    ((31, "ip", "localhost"),),
    ((31, "ip", ""),),
    ((0, "world", "anyone"),),
    ((-1, "world", "anyone"),),
    ((64, "world", "anyone"),),
    ((31, *WORLD), (31, *WORLD)),
    ((31, *WORLD), (1, *WORLD), (31, *WORLD)),
    ((1, *WORLD), (31, "digest", "x:y"), (31, "world", "other")),
)

VALIDITY = Script(
    "acl-validity",
    "Which lists may be set, by a client that has no identity and by one that has.",
    (
        Connect(0),
        *(
            Send(
                0,
                (
                    ask.create(f"/c{i}", acl=acl),
                    ask.get_acl(f"/c{i}"),
                    ask.multi(ask.create(f"/m{i}", acl=acl)),
                ),
            )
            for i, acl in enumerate(SINGLE)
        ),
        Send(0, (ask.create("/s"),)),
        *(
            step
            for acl in SINGLE
            # One write a step: a setACL is checked against the list before one that ZooKeeper has not applied yet.
            for step in (Send(0, (ask.set_acl("/s", acl), ask.get_acl("/s"))), Send(0, (ask.set_acl("/s"),)))
        ),
        Connect(1),
        Send(1, (ask.auth("digest", ALICE), ask.who())),
        Send(1, (ask.create("/auth", acl=((31, "auth", ""),)), ask.get_acl("/auth"))),
        Send(1, (ask.create("/auth2", acl=((1, "auth", "x"), (31, *WORLD))), ask.get_acl("/auth2"))),
        Send(1, (ask.auth("digest", BOB), ask.who(), ask.create("/both", acl=((31, "auth", ""),)))),
        Send(1, (ask.get_acl("/both"), ask.exists("/both"))),
    ),
)

ENFORCED = Script(
    "acl-enforced",
    "Each permission alone: what its holder may do, and what a stranger may not.",
    (
        Connect(0),
        Connect(1),
        Send(0, (ask.auth("digest", ALICE), ask.create("/all", acl=((31, "digest", ALICE_ID),)))),
        Send(
            1,
            (ask.get("/all"), ask.exists("/all"), ask.put("/all"), ask.get_acl("/all"), ask.children("/all")),
        ),
        Send(1, (ask.create("/all/x"), ask.delete("/all/x"), ask.set_acl("/all"), ask.children2("/all"))),
        Send(
            1,
            (ask.multi(ask.check("/all")), ask.multi(ask.put("/all"), ask.create("/z")), ask.delete("/all")),
        ),
        Send(0, (ask.create("/all", acl=((31, "digest", ALICE_ID),)), ask.create("/all/k"), ask.get("/all"))),
        *(
            Send(
                1,
                (
                    ask.create(f"/p{bit}", acl=((bit, *WORLD), (31, "digest", ALICE_ID))),
                    ask.get(f"/p{bit}"),
                    ask.exists(f"/p{bit}"),
                    ask.put(f"/p{bit}"),
                    ask.create(f"/p{bit}/c"),
                    ask.delete(f"/p{bit}/c"),
                    ask.get_acl(f"/p{bit}"),
                    ask.children(f"/p{bit}"),
                    ask.set_acl(f"/p{bit}", encode.READ_ONLY),
                ),
            )
            for bit in (0, 1, 2, 4, 8, 16, 3, 31, 32)
        ),
        Send(
            1,
            (ask.auth("digest", b"alice:wrong"), ask.get("/all"), ask.auth("digest", ALICE), ask.get("/all")),
        ),
        Send(
            1,
            (ask.get_acl("/all"), ask.create("/ip", acl=((31, "ip", "127.0.0.0/8"),)), ask.put("/ip", b"x")),
        ),
        Send(1, (ask.create("/far", acl=((31, "ip", "10.1.2.3"),)), ask.get("/far"))),
        Connect(2),
        Send(
            2,
            (
                ask.auth("digest", b""),
                ask.auth("digest", b"nocolon"),
                ask.auth("digest", b"a:b:c"),
                ask.who(),
            ),
        ),
    ),
)

FAILED_AUTH = Script(
    "failed-auth",
    "An auth that fails is answered -115, and the connection ends.",
    (
        Connect(0),
        Send(0, (ask.auth("nope", b"x"),), ends=True),
        Connect(1),
        Send(1, (ask.auth("sasl", b"x"),), ends=True),
        Connect(2),
        Send(2, (ask.auth("digest", None),), ends=True),
        Connect(3),
        Send(3, (ask.auth(None, b"x"),), ends=True),
        Connect(4),
        Send(4, (ask.auth("super", b"x:y"),), ends=True),
        Connect(5),
        Send(5, (ask.auth("world", b"anyone"),), ends=True),
        Connect(6),
        Send(6, (ask.auth("ip", b"10.0.0.1"), ask.who())),
        Connect(7),
        Send(7, (ask.auth("digest", b"\xff\xfe:\x00"), ask.who())),
        Connect(8),
        Send(8, (ask.auth("auth", b"x"),), ends=True),
    ),
)

FILTERED = Script(
    "events-filtered",
    "An event is told only to who may read what it is about; a one-shot watch is used up all the same.",
    (
        Connect(0),
        Connect(1),
        Send(
            0,
            (
                ask.auth("digest", ALICE),
                ask.create("/open"),
                ask.create("/shut", acl=((31, "digest", ALICE_ID),)),
            ),
        ),
        Send(
            1,
            (
                ask.add_watch("/", 1),
                ask.add_watch("/shut", 0),
                ask.exists("/open/x", True),
                ask.get("/open", True),
            ),
        ),
        Send(0, (ask.create("/open/x", acl=((31, "digest", ALICE_ID),)),)),
        Send(1, (ask.remove_watches("/", 5), ask.check_watches("/open/x", 2))),
        Send(
            0,
            (ask.put("/open/x", b"1"), ask.delete("/open/x"), ask.put("/shut", b"2"), ask.create("/shut/y")),
        ),
        Send(
            0,
            (ask.set_acl("/open", ((31, "digest", ALICE_ID),)), ask.put("/open", b"3"), ask.set_acl("/open")),
        ),
        Send(0, (ask.put("/open", b"4"), ask.delete("/shut/y"), ask.delete("/shut"))),
        Send(1, (ask.check_watches("/open", 2), ask.check_watches("/shut", 4))),
    ),
)

SCRIPTS = (VALIDITY, ENFORCED, FAILED_AUTH, FILTERED)
