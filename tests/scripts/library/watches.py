"""Watches: who is told what, in which order, what is used up, what catches up after a reconnect."""

from __future__ import annotations

from tests.scripts import ask
from tests.scripts.model import Connect, Drop, Request, Script, Send

BY = {
    "data": lambda path: ask.get(path, True),
    "exist": lambda path: ask.exists(path, True),
    "child": lambda path: ask.children(path, True),
    "child2": lambda path: ask.children2(path, True),
    "persistent": lambda path: ask.add_watch(path, 0),
    "recursive": lambda path: ask.add_watch(path, 1),
}
CHANGES: tuple[tuple[Request, ...], ...] = (
    (ask.create("/w/n/c", b"c"),),
    (ask.put("/w/n", b"1"),),
    (ask.put("/w/n/c", b"2"),),
    (ask.set_acl("/w/n"), ask.put("/w/n", b"x", 99), ask.create("/w/n"), ask.delete("/w/n")),
    (ask.delete("/w/n/c"),),
    (ask.delete("/w/n"),),
    (ask.create("/w/n"),),
    (ask.create("/w/n/e", flags=1), ask.create("/w/n/s-", flags=2), ask.create_container("/w/n/box")),
    (ask.create_ttl("/w/n/ttl"), ask.delete("/w/n/ttl")),
    (ask.multi(ask.create("/w/m"), ask.put("/w/m", b"1"), ask.delete("/w/m"), ask.put("/w/n", b"m")),),
    (ask.multi(ask.put("/w/n", b"no"), ask.check("/nope")),),
)


def matrix(*kinds: str) -> Script:
    """Watches of these kinds on a node, its parent and the root, then every change, one by one."""
    watch = tuple(BY[kind](path) for kind in kinds for path in ("/w/n", "/w", "/", "/w/n/c"))
    steps = tuple(step for change in CHANGES for step in (Send(1, watch), Send(0, change)))
    begin = (Connect(0), Connect(1), Send(0, (ask.create("/w"), ask.create("/w/n"))))
    return Script(
        f"watch-{'-'.join(kinds)}", f"Every change seen by {' and '.join(kinds)} watches.", (*begin, *steps)
    )


ONCE = Script(
    "one-shot",
    "A one-shot watch fires once; reads that fail leave none, but for exists.",
    (
        Connect(0),
        Connect(1),
        Send(1, (ask.get("/o", True), ask.children("/o", True), ask.exists("/o", True))),
        Send(0, (ask.create("/o"), ask.put("/o", b"1"), ask.put("/o", b"2"))),
        Send(1, (ask.get("/o", True), ask.get("/o", True), ask.exists("/o", True), ask.get("/o"))),
        Send(0, (ask.put("/o", b"3"), ask.put("/o", b"4"), ask.delete("/o"))),
        Send(1, (ask.exists("/o", True),)),
        Send(0, (ask.create("/o"), ask.delete("/o"), ask.create("/o"))),
        Send(1, (ask.get("", True), ask.children("", True), ask.exists("", True))),
        Send(0, (ask.put("/", b"r"), ask.create("/r"))),
        Send(1, (ask.exists("bad//path/", True), ask.check_watches("bad//path/", 2))),
        Send(1, (ask.multi_read(ask.get("/o", True), ask.children("/o", True)), ask.check_watches("/o"))),
    ),
)

OWN = Script(
    "own-watches",
    "The connection that changes is told too, before its reply.",
    (
        Connect(0),
        Send(0, (ask.exists("/a", True), ask.create("/a"), ask.get("/a", True), ask.put("/a", b"1"))),
        Send(0, (ask.children("/a", True), ask.create("/a/b"), ask.get("/a/b", True), ask.delete("/a/b"))),
        Send(
            0, (ask.add_watch("/a", 1), ask.add_watch("/a", 0), ask.get("/a", True), ask.children("/a", True))
        ),
        Send(
            0,
            (ask.put("/a", b"2"), ask.create("/a/c"), ask.delete("/a/c"), ask.delete("/a"), ask.create("/a")),
        ),
        Send(0, (ask.multi(ask.put("/a", b"3"), ask.create("/a/d"), ask.delete("/a/d"), ask.delete("/a")),)),
    ),
)

MODES = Script(
    "watch-modes",
    "addWatch, checkWatches and removeWatches: which modes a type means, alone and together on one path.",
    (
        Connect(0),
        Send(0, (ask.create("/a"), ask.create("/a/b"))),
        Send(0, tuple(ask.add_watch("/a", mode) for mode in (-1, 2, 3, 99))),
        Send(0, tuple(ask.check_watches("/a", type_) for type_ in range(-1, 8))),
        Send(0, (ask.get("/a", True), ask.children("/a", True))),
        Send(0, tuple(ask.check_watches("/a", type_) for type_ in range(1, 6))),
        Send(0, (ask.add_watch("/a", 0), ask.add_watch("/a", 1))),
        Send(0, tuple(ask.check_watches("/a", type_) for type_ in range(1, 6))),
        *(
            step
            for type_ in (1, 2, 3, 4, 5, 0, 6)
            for step in (
                Send(
                    0,
                    (
                        ask.get("/a", True),
                        ask.children("/a", True),
                        ask.add_watch("/a", 0),
                        ask.add_watch("/a", 1),
                    ),
                ),
                Send(0, (ask.remove_watches("/a", type_), ask.remove_watches("/a", type_))),
                Send(0, tuple(ask.check_watches("/a", check) for check in range(1, 6))),
                Send(0, (ask.put("/a", b"x"), ask.create("/a/x"), ask.delete("/a/x"))),
                Send(0, tuple(ask.check_watches("/a", check) for check in range(1, 6))),
                Send(0, (ask.remove_watches("/a", 3),)),
            )
        ),
        Send(
            0,
            (
                ask.get("/a", True),
                ask.add_watch("/a", 1),
                ask.remove_watches("/a", 2),
                ask.check_watches("/a", 5),
            ),
        ),
        Send(0, (ask.exists("/b", True), ask.check_watches("/b", 2), ask.check_watches("/b", 1))),
        Send(0, (ask.add_watch("", 0), ask.add_watch("nonsense", 1), ask.check_watches("nonsense", 5))),
        Send(0, (ask.add_watch("/a/", 0), ask.put("/a", b"y"), ask.check_watches("/a/", 4))),
    ),
)

CATCH_UP = Script(
    "catch-up",
    "setWatches after a reconnect: what happened since is told at once, the rest is watched.",
    (
        Connect(0),
        Connect(1),
        Send(
            0, tuple(ask.create(path) for path in ("/same", "/changed", "/gone", "/kids", "/kids/k", "/calm"))
        ),
        Send(1, (ask.exists("/"),)),
        Drop(1),
        Send(0, (ask.put("/changed", b"1"), ask.delete("/gone"), ask.create("/new"), ask.create("/kids/k2"))),
        Connect(2, resume=1, since=3),
        Send(
            2,
            (
                ask.set_watches(
                    3,
                    ["/same", "/changed", "/gone"],
                    ["/new", "/never", "/gone"],
                    ["/kids", "/calm", "/gone"],
                ),
            ),
        ),
        Send(
            0, (ask.put("/same", b"1"), ask.put("/changed", b"2"), ask.create("/gone"), ask.create("/never"))
        ),
        Send(
            0, (ask.put("/new", b"n"), ask.create("/kids/k3"), ask.create("/calm/c"), ask.delete("/calm/c"))
        ),
        Send(2, (ask.set_watches(8, ["/same", "/same"], ["/same"], ["/same"]), ask.who())),
        Send(2, (ask.set_watches2(8, ["/same"], ["/x"], ["/same"], ["/same", "/p"], ["/", "/same"]),)),
        Send(2, tuple(ask.check_watches("/same", type_) for type_ in range(1, 6))),
        Send(0, (ask.put("/same", b"3"), ask.create("/same/c"), ask.create("/p"), ask.create("/x"))),
        Send(
            2, (ask.set_watches2(8, persistent=["/same"], recursive=["/same"]), ask.check_watches("/same", 4))
        ),
        Send(2, (ask.set_watches(3, (), (), ()), ask.set_watches2(3))),
        Send(2, (ask.set_watches(3, ["bad", "", "/"], ["bad"], ["", "/"]), ask.check_watches("bad"))),
    ),
)

LIFE = Script(
    "watches-and-connections",
    "Watches go with their connection, not with the session; persistent ones outlive their node.",
    (
        Connect(0),
        Connect(1),
        Send(0, (ask.create("/a"),)),
        Send(1, (ask.get("/a", True), ask.add_watch("/a", 0))),
        Drop(1),
        Send(0, (ask.put("/a", b"1"),)),
        Connect(2, resume=1),
        Send(2, (ask.check_watches("/a"), ask.add_watch("/a", 0), ask.add_watch("/a", 1))),
        Send(
            0,
            (ask.delete("/a"), ask.create("/a"), ask.put("/a", b"2"), ask.create("/a/b"), ask.delete("/a/b")),
        ),
        Connect(3, resume=2),
        Send(3, (ask.check_watches("/a"),)),
        Send(0, (ask.put("/a", b"3"),)),
    ),
)

SCRIPTS = (
    *(matrix(kind) for kind in BY),
    matrix("data", "exist", "child"),
    matrix("data", "child", "persistent", "recursive"),
    matrix("persistent", "recursive"),
    ONCE,
    OWN,
    MODES,
    CATCH_UP,
    LIFE,
)
