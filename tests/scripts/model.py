"""Scripts: what several raw clients do to one server, step by step, as data that can be kept in a file.

A script runs the same on ZooKeeper and on parkeeper (`tests.scripts.run`), and what each answered is compared after
mapping what differs by nature (`tests.scripts.normal`). Only one connection acts in a step; then all are
quiet before the next step, so the order of what happens is the same everywhere.

What is not known when a script is written is named by where it comes from: a session by the connection that was
granted it, a zxid by the step after which it was the newest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Args:
        op: opcode.
        body: its bytes after the header.
        note: the same in words, for whoever reads a recording.
        xid: None: numbered from 1 per connection.
        since: step whose zxid replaces the first eight bytes of the body (setWatches).
    """

    op: int
    body: bytes
    note: str
    xid: int | None = None
    since: int | None = None


@dataclass(frozen=True, slots=True)
class Connect:
    """Open connection number `conn` and shake hands; `requests` go out in the same write.

    Args:
        timeout: milliseconds asked for.
        resume: connection whose session is asked for again; None: a new one.
        session: asked for in place of that one's id.
        password: in place of the right one; an empty one stands for null.
        since: step whose zxid is given as the last one seen; -1: one far ahead of any server.
        read_only: the byte, or None to leave it out.
    """

    conn: int
    timeout: int = 10_000
    resume: int | None = None
    session: int | None = None
    password: bytes | None = None
    since: int | None = None
    read_only: bool | None = None
    requests: tuple[Request, ...] = ()


@dataclass(frozen=True, slots=True)
class Send:
    """Requests in one write; `ends` says that the server closes the connection for one of them."""

    conn: int
    requests: tuple[Request, ...]
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Bytes:
    """Bytes as they are on an open socket; `conn` is opened for them when it is new. The server must close."""

    conn: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Drop:
    """Close the socket without a word; the session lives on."""

    conn: int


@dataclass(frozen=True, slots=True)
class Expire:
    """Wait until the server has expired the session of `conn`, which sends nothing meanwhile."""

    conn: int


Step = Connect | Send | Bytes | Drop | Expire
KINDS: Mapping[str, type[Step]] = {kind.__name__: kind for kind in (Connect, Send, Bytes, Drop, Expire)}


@dataclass(frozen=True, slots=True)
class Script:
    """A name, what it is about, and its steps."""

    name: str
    about: str
    steps: tuple[Step, ...]


def _plain(value: object) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Request):
        return {
            name: _plain(getattr(value, name))
            for name in Request.__slots__
            if getattr(value, name) is not None
        }
    return value


def step_to_json(step: Step) -> Json:
    """A step as JSON: its kind and every field that is not None."""
    fields = {name: _plain(getattr(step, name)) for name in type(step).__slots__}
    kept = {name: value for name, value in fields.items() if value is not None and value != []}
    return {"step": type(step).__name__, **kept}


def _request(said: Json) -> Request:
    return Request(**{**said, "body": bytes.fromhex(said["body"])})


def step_from_json(said: Json) -> Step:
    """The step that `step_to_json` was given."""
    rest = {name: value for name, value in said.items() if name != "step"}
    for name in ("data", "password"):
        if name in rest:
            rest[name] = bytes.fromhex(rest[name])
    if "requests" in rest:
        rest["requests"] = tuple(_request(request) for request in rest["requests"])
    return KINDS[said["step"]](**rest)
