"""Generates scripts: hypothesis strategies for what clients may do, and what the differ leaves out.

Few paths, so that requests meet; every opcode, odd values among the usual ones; several connections that act in turn.
A script holds nothing whose outcome is chance in ZooKeeper itself, and nothing that ends the Java server:

- a `setACL` is the last write of its pipeline: ZooKeeper checks a write that follows against the list from before one
  that it has not applied yet (PrepRequestProcessor keeps no ACL in its pending changes for setACL);
- so is a container made with an ephemeral flag, and no close follows it: until ZooKeeper has applied it, it takes it for
  an ephemeral, gives it no children, and deletes it with its session;
- an `auth` comes first: it takes effect when it is received, for all events after;
- what ends a connection without passing through the queue (an unknown opcode, an auth that fails) stands alone;
- a session that is to expire is made, used and left in neighbouring steps: its time-out is short;
- no quota nodes (limits of "" and stats that are no numbers end the server when they are applied), no createTTL with
  another kind's flag and a negative ttl, no deleteContainer, no createSession (reference 15.1).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from hypothesis import strategies as st

from tests.raw import encode
from tests.raw.encode import Acl, String
from tests.scripts import ask
from tests.scripts.library.edges import UNKNOWN
from tests.scripts.library.nodes import ODD
from tests.scripts.library.rights import ALICE, ALICE_ID, BOB, SINGLE
from tests.scripts.model import Bytes, Connect, Drop, Expire, Request, Script, Send, Step

T = TypeVar("T")
Strategy = st.SearchStrategy

LIVE = 4  # connections at a time
EXPIRES = 400  # milliseconds: two ticks, the least there is


def often(usual: Iterable[T], seldom: Iterable[T], times: int) -> Strategy[T]:
    """One of `usual`, and once in about `times` one of `seldom`."""
    choices = tuple(usual), tuple(seldom)
    return st.integers(0, times - 1).flatmap(lambda n: st.sampled_from(choices[n == times - 1]))


TREE = ("/a", "/a/b", "/a/b/c", "/a/c", "/b", "/b/a")
GROWN = (TREE, TREE, TREE, ("/a", "/a/b", "/b"), ("/a",), ())
USUAL_PATHS = ("/a", "/b", "/a/b", "/a/c", "/b/a", "/a/b/c", "/a", "/a/b")
OTHER_PATHS = (
    "/",
    "/a/s0000000000",
    "/a/s0000000001",
    "/zookeeper",
    "/zookeeper/config",
    "/c",
    "/a/b/c/d",
    *ODD,
)
paths: Strategy[String] = often(USUAL_PATHS, OTHER_PATHS, 8)
nullable_paths: Strategy[String] = often(USUAL_PATHS, (*OTHER_PATHS, None), 8)
data = st.sampled_from((b"", b"x", None, b"data", bytes(100)))
versions = often((-1, -1, -1, -1, 0, 1), (2, 3, -2, 7, 2**31 - 1, -(2**31)), 6)
ALICES: tuple[Acl, ...] = ((31, "digest", ALICE_ID),)
READ_WRITE: tuple[Acl, ...] = ((3, "world", "anyone"), (31, "digest", ALICE_ID))
acls: Strategy[Sequence[Acl] | None] = often(
    (encode.OPEN,) * 9 + (ALICES, READ_WRITE, encode.READ_ONLY), (*SINGLE, ((31, "auth", ""),)), 12
)
flags = often((0, 0, 0, 0, 0, 1, 2, 3), (4, 5, 6, 7, -1), 12)
names = st.sampled_from(("s", "", "x-", ".", "/"))
watches = st.booleans()


def sequential(path: String, name: str, flag: int) -> String:
    """Where a sequential node is asked for: below the path, most of the time."""
    return f"{path}/{name}" if flag in {2, 3, 6} and isinstance(path, str) and name != "/" else path


@st.composite
def creates(draw: st.DrawFn) -> Request:
    flag = draw(flags)
    path = sequential(draw(nullable_paths), draw(names), flag)
    op = draw(st.sampled_from((encode.CREATE, encode.CREATE, encode.CREATE2)))
    return ask.create(path, draw(data), draw(acls), flag, op)


@st.composite
def special_creates(draw: st.DrawFn) -> Request:
    path = draw(paths)
    if draw(st.booleans()):
        return ask.create_container(path, draw(data), draw(st.sampled_from((4, 4, 4, 0, 1, 5))))
    flag = draw(st.sampled_from((5, 5, 6)))
    ttl = draw(st.sampled_from((10**6, 1, 2**40 - 1, 0, -1, 2**40)))
    return ask.create_ttl(sequential(path, draw(names), flag), draw(data), flag, ttl)


deletes = st.builds(ask.delete, nullable_paths, versions)
sets = st.builds(ask.put, nullable_paths, data, versions)
checks = st.builds(ask.check, nullable_paths, versions)
gets = st.builds(ask.get, nullable_paths, watches)
lists = st.builds(ask.children, nullable_paths, watches)
parts = st.one_of(creates(), creates(), special_creates(), deletes, deletes, sets, sets, checks)
multis = st.lists(parts, max_size=5).map(lambda requests: ask.multi(*requests))
multi_reads = st.lists(st.one_of(gets, lists), max_size=4).map(lambda requests: ask.multi_read(*requests))
mixed = st.lists(st.one_of(parts, gets, lists), max_size=3).map(lambda requests: ask.multi(*requests))

requests_ = st.one_of(
    creates(),
    creates(),
    creates(),
    special_creates(),
    deletes,
    deletes,
    sets,
    sets,
    gets,
    gets,
    lists,
    multis,
    multis,
    st.builds(ask.exists, nullable_paths, watches),
    st.builds(ask.exists, paths, st.just(True)),
    st.builds(ask.children2, nullable_paths, watches),
    st.builds(ask.set_acl, nullable_paths, acls, versions),
    st.builds(ask.add_watch, paths, often((0, 1), (-1, 2, 99), 8)),
    st.one_of(
        multi_reads,
        mixed,
        st.builds(ask.get_acl, nullable_paths),
        st.builds(ask.descendants, paths),
        st.builds(ask.ephemerals, often((None, "/", "/a", "/a/"), ("", " ", "x"), 4)),
        st.builds(ask.sync, nullable_paths),
        st.just(ask.ping()),
        st.just(ask.who()),
        st.just(ask.reconfig()),
        st.builds(ask.check_watches, paths, st.integers(0, 6)),
        st.builds(ask.remove_watches, paths, st.integers(0, 6)),
        st.builds(ask.remove_watches, paths, st.integers(1, 5)),
    ),
)


@st.composite
def malformed(draw: st.DrawFn) -> Request:
    """A request whose record ends too early, has bytes after it, or a byte changed."""
    request: Request = draw(requests_)
    how = draw(st.integers(0, 2))
    if how == 0 and request.body:
        return ask.cut(request, draw(st.integers(1, len(request.body))))
    if how == 1 and request.body and request.op not in {encode.CREATE_TTL, encode.MULTI}:
        at = draw(st.integers(0, len(request.body) - 1))
        byte = bytes([draw(st.integers(0, 255))])
        body = request.body[:at] + byte + request.body[at + 1 :]
        if b"quota" not in body:
            return replace(request, body=body, note=f"{request.note}, byte {at} is {byte.hex()}")
    return ask.longer(request, draw(st.binary(min_size=1, max_size=4)))


usual_or_malformed = st.integers(0, 24).flatmap(lambda n: requests_ if n else malformed())
pipelines = st.integers(1, 7).flatmap(lambda size: st.lists(usual_or_malformed, min_size=size, max_size=size))
path_lists = st.lists(paths, max_size=3)
tree = st.sampled_from(TREE)


@st.composite
def watchings(draw: st.DrawFn, path: str) -> Request:
    """A watch of some kind on a path."""
    kinds = (ask.get, ask.exists, ask.children, ask.children2)
    kind = draw(st.integers(0, len(kinds) + 1))
    return kinds[kind](path, True) if kind < len(kinds) else ask.add_watch(path, kind - len(kinds))


@st.composite
def changes(draw: st.DrawFn, path: str) -> Request:
    """Something that whoever watches a path may hear of."""
    child = f"{path}/d"
    parts = (
        ask.put(path, draw(data)),
        ask.delete(path),
        ask.create(path, draw(data)),
        ask.create(child),
        ask.create(child, flags=1),
        ask.delete(child),
        ask.set_acl(path, draw(acls)),
        ask.create(f"{path}/s", flags=2),
    )
    if draw(st.integers(0, 4)):
        return draw(st.sampled_from(parts))
    return ask.multi(*draw(st.lists(st.sampled_from(parts[:6]), min_size=1, max_size=4)))


def in_order(requests: Sequence[Request]) -> tuple[Request, ...]:
    """Reads may follow what is not what it seems until it is applied, writes may not."""
    for i, request in enumerate(requests):
        if unclear(request):
            rest = (later for later in requests[i + 1 :] if later.op in READS)
            return (*requests[: i + 1], *rest)
    return tuple(requests)


def unclear(request: Request) -> bool:
    """Whether ZooKeeper takes what it does for something else until it is applied."""
    return request.op == encode.SET_ACL or bool(_EPHEMERAL_CONTAINER.search(request.note))


_EPHEMERAL_CONTAINER = re.compile(r"createContainer [^;]*flags=[13]")

READS = {
    encode.EXISTS, encode.GET_DATA, encode.GET_ACL, encode.GET_CHILDREN, encode.GET_CHILDREN2, encode.PING,
    encode.WHO_AM_I, encode.MULTI_READ, encode.GET_EPHEMERALS,
}  # fmt: skip


class Story:
    """A script that grows: which connections are open, and what they may be asked."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.steps: list[Step] = [Connect(0)]
        self.open: list[int] = [0]
        self.sessions: list[int] = [0]  # connections whose session may be asked for again
        self.connections = 1

    def grow(self) -> None:
        """Nodes to meet at; those that are there already are refused."""
        some = self.draw(st.sampled_from(GROWN))
        lists = often((encode.OPEN,), (ALICES, READ_WRITE, encode.READ_ONLY), 12)
        made = (ask.create(path, self.draw(data), self.draw(lists)) for path in some)
        self.steps.append(Send(self.one(), tuple(made)))

    def step(self) -> None:
        if self.open:
            self.draw(st.sampled_from(ACTS))(self)
        else:
            self.connect()

    def one(self) -> int:
        return self.draw(st.sampled_from(self.open))

    def new(self) -> int:
        self.connections += 1
        return self.connections - 1

    def send(self) -> None:
        self.steps.append(Send(self.one(), in_order(self.draw(pipelines))))

    def watch(self) -> None:
        """Somebody watches, and somebody changes what is watched."""
        path = self.draw(tree)
        self.steps.append(Send(self.one(), (self.draw(watchings(path)),)))
        requests = self.draw(st.lists(changes(path), min_size=1, max_size=3))
        self.steps.append(Send(self.one(), in_order(requests)))

    def connect(self) -> None:
        if len(self.open) < LIVE:
            conn = self.new()
            self.steps.append(Connect(conn, read_only=self.draw(st.sampled_from((None, False, True)))))
            self.open.append(conn)
            self.sessions.append(conn)

    def resume(self) -> None:
        known = self.draw(st.sampled_from(self.sessions))
        conn = self.new()
        requests = self.draw(st.one_of(st.just([]), pipelines))
        self.steps.append(Connect(conn, resume=known, requests=in_order(requests)))
        self.open = [conn if other == known else other for other in self.open]
        if conn not in self.open:
            self.open.append(conn)
        self.sessions = [conn if other == known else other for other in self.sessions]

    def drop(self) -> None:
        conn = self.one()
        self.steps.append(Drop(conn))
        self.open.remove(conn)

    def expire(self) -> None:
        if self.draw(st.integers(0, 3)):  # it takes as long as a hundred other steps
            self.send()
            return
        conn = self.new()
        made = [request for request in self.draw(pipelines) if request.op == encode.CREATE]
        ephemerals = [ask.create(path, flags=1) for path in self.draw(st.lists(paths, max_size=2))]
        self.steps.append(Connect(conn, timeout=EXPIRES, requests=(*ephemerals, *made)))
        if self.draw(st.booleans()):
            self.steps.append(Drop(conn))
        self.steps.append(Expire(conn))

    def unknown(self) -> None:
        conn = self.one()
        self.steps.append(Send(conn, (ask.raw(self.draw(st.sampled_from(UNKNOWN))),), ends=True))
        self.open.remove(conn)

    def bytes(self) -> None:
        conn = self.one()
        frames = (encode.i32(-1), encode.i32(2**31 - 1), encode.frame(b""), encode.frame(bytes(7)))
        self.steps.append(Bytes(conn, self.draw(st.sampled_from(frames))))
        self.open.remove(conn)

    def bad_auth(self) -> None:
        conn = self.one()
        scheme = self.draw(st.sampled_from(("nope", "sasl", "super", "world", None)))
        self.steps.append(Send(conn, (ask.auth(scheme, b"x"),), ends=True))
        self.open.remove(conn)

    def auth(self) -> None:
        who = self.draw(st.sampled_from((ALICE, ALICE, BOB, b"", b"nocolon")))
        self.steps.append(Send(self.one(), (ask.auth("digest", who), *in_order(self.draw(pipelines)))))

    def catch_up(self) -> None:
        """Watches of before are set again, as a client does that comes back; most often from a little ago."""
        since = max(0, len(self.steps) - 1 - self.draw(st.integers(0, 4)))
        path = self.draw(tree)
        requests = self.draw(st.lists(changes(path), max_size=2))
        self.steps.append(Send(self.one(), in_order(requests)))
        lists = [[path, *self.draw(path_lists)] for _ in range(5)]
        two = self.draw(st.booleans())
        request = ask.set_watches2(since, *lists) if two else ask.set_watches(since, *lists[:3])
        self.steps.append(Send(self.one(), (request,)))

    def close(self) -> None:
        conn = self.one()
        before = in_order(self.draw(pipelines)) if self.draw(st.booleans()) else ()
        if any(map(unclear, before)):
            self.steps.append(Send(conn, before))
            before = ()
        self.steps.append(Send(conn, (*before, ask.close()), ends=True))
        self.open.remove(conn)
        self.sessions = [other for other in self.sessions if other != conn] or [conn]


ACTS: tuple[Callable[[Story], None], ...] = (
    *(Story.send,) * 16, *(Story.grow,) * 4, *(Story.watch,) * 6, *(Story.catch_up,) * 3, *(Story.auth,) * 2,
    *(Story.connect,) * 2, *(Story.resume,) * 2, *(Story.drop,) * 2, *(Story.expire,) * 2, *(Story.close,) * 2,
    Story.unknown, Story.bytes, Story.bad_auth,
)  # fmt: skip
"""What may happen next, as often as it stands here."""


@st.composite
def scripts(draw: st.DrawFn, least: int = 3, most: int = 32) -> Script:
    """A script of so many acts."""
    story = Story(draw)
    story.grow()
    for _ in range(draw(st.integers(least, most))):
        story.step()
    return Script("generated", "generated", tuple(story.steps))
