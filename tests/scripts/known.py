"""Where parkeeper and ZooKeeper 3.9.3 differ on purpose, or where ZooKeeper itself answers by chance.

Each entry takes the answer to a request that meets the difference, and hides what differs on both sides; every
other answer is compared to the last byte.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tests.raw import encode
from tests.raw.decode import Fields
from tests.scripts.model import Request


class Known(NamedTuple):
    """A difference: its name, the reason (with the section of the semantics reference), and what hides it."""

    name: str
    why: str
    hide: Callable[[Request, Fields], Fields]


def _null_path(body: bytes) -> bool:
    return body.startswith(encode.i32(-1))


def _echo(request: Request, answer: Fields) -> Fields:
    if request.op == encode.SYNC and answer["err"] == 0 and request.body[4:].translate(None, _ASCII):
        return {**answer, "path": "as asked"}
    return answer


_ASCII = bytes(range(128))


def _broken_multi_read(request: Request, answer: Fields) -> Fields:
    if request.op == encode.MULTI_READ and answer["err"] == -5 and _only_the_end(answer.get("results", [])):
        return {name: value for name, value in answer.items() if name != "results"}
    return answer


def _only_the_end(results: object) -> bool:
    return isinstance(results, list) and len(results) <= 1


def _null_watch(request: Request, answer: Fields) -> Fields:
    if request.op in {encode.ADD_WATCH, encode.CHECK_WATCHES, encode.REMOVE_WATCHES} and _null_path(
        request.body
    ):
        return {"xid": answer["xid"], "answered": "about a null path"}
    return answer


def _empty_path(request: Request, answer: Fields) -> Fields:
    if (
        request.op == encode.GET_ALL_CHILDREN_NUMBER
        and request.body == encode.string("")
        and "number" in answer
    ):
        return {**answer, "number": "of all nodes"}
    return answer


KNOWN = (
    Known(
        "sync-echo",
        "1.1: Java decodes bytes that are no UTF-8 to another number of U+FFFD, and encodes what lies outside the "
        "BMP in three bytes per surrogate. Only sync and the events of setWatches (`echoed`) echo such a path, for no "
        "node can have it; ours is proper UTF-8.",
        _echo,
    ),
    Known(
        "multi-read-of-nothing",
        "4.3: a multiRead that holds only writes, one with a null path, is answered -5 by both; ZooKeeper adds an "
        "empty list of results, which clients ignore (1.7).",
        _broken_multi_read,
    ),
    Known(
        "watch-on-null",
        "5.1: ZooKeeper keeps watches on a null path, which nothing can fire; we answer -5 as for every other null.",
        _null_watch,
    ),
    Known(
        "descendants-of-the-empty-path",
        '2.2: "" is an alias of "/" for reads; ZooKeeper counts the root as a descendant of it, we do not.',
        _empty_path,
    ),
)


def echoed(path: str) -> str:
    """The path of an event as it is compared, by the first entry of the table."""
    return "as asked" if any(_cannot_be(ord(char)) for char in path) else path


def _cannot_be(char: int) -> bool:
    return char >= 0xFFF0 or 0xD800 <= char < 0xE000  # (U+FFFD stands for what was no UTF-8)


def hide(request: Request, answer: Fields) -> Fields:
    """The answer without what is known to differ."""
    for known in KNOWN:
        answer = known.hide(request, answer)
    return answer
