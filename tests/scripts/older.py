"""Where ZooKeeper 3.8.0 differs from 3.9.3, which parkeeper follows: what a script for 3.8.0 leaves out.

The words of each entry are those of section 16 of the semantics reference. One difference is in every event (its
header's zxid is -1), so it is hidden, by `tests.scripts.normal`; the others are met by few requests.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from tests.raw import encode
from tests.scripts.model import Connect, Request, Script, Send, Step


class Difference(NamedTuple):
    """One: the reference's words, and whether a request meets it."""

    words: str
    met_by: Callable[[Request], bool]


OPEN = encode.acl_list(encode.OPEN)
MAKERS = {encode.CREATE, encode.CREATE2, encode.SET_ACL}


def _restricts(request: Request) -> bool:
    """Whether it may leave a node that somebody may not READ."""
    return (request.op in MAKERS and OPEN not in request.body) or "[(" in request.note or "((" in request.note


def _odd_in_multi(request: Request) -> bool:
    return request.op == encode.MULTI and bool(_ODD.search(request.note))


_ODD = re.compile(
    r"create2? [^;]*flags=[4-7-]|createContainer [^;]*flags=[^4]|createTTL [^;]*flags=[^56]|None|bytes short|byte \d"
)


DIFFERENCES = (
    Difference("`check` (13) outside multi: no reply at all", lambda request: request.op == encode.CHECK),
    Difference(
        "Result type of op 15 in a multi: 1, path only",
        lambda request: request.op == encode.MULTI and "create2" in request.note,
    ),
    Difference("Bad create flag / null ACL in a multi: sub-result -8 / -114", _odd_in_multi),
    Difference(
        "check/removeWatches types 4, 5: -5; types 1, 2 match any mode in their table. (And any type finds whoever's "
        "watch there is on the path: WatchManager.containsWatcher of 3.8.0, seen on the wire.)",
        lambda request: request.op in {encode.CHECK_WATCHES, encode.REMOVE_WATCHES},
    ),
)

EXISTS = Difference("exists on a node without READ: allowed", lambda request: request.op == encode.EXISTS)
"""Left out where a script has such nodes."""

ONE_MODE = "setWatches2 with one path in both persistent lists: only one mode kept"
"""So it is with any two watches of one connection on one path: the later one's mode is that of both. Therefore a script
keeps but watches of one mode, that of its first one."""


def _mode(request: Request) -> object:
    """Which mode of watches a request registers; None if it registers none."""
    if request.op == encode.ADD_WATCH:
        return request.body[-4:]
    if request.op in {encode.SET_WATCHES, encode.MULTI_READ}:
        return "one-shot"
    if request.op in READS and request.body.endswith(b"\1"):
        return "one-shot"
    return SEVERAL if request.op == encode.SET_WATCHES2 else None


SEVERAL = "several"
READS = {encode.EXISTS, encode.GET_DATA, encode.GET_CHILDREN, encode.GET_CHILDREN2}


def for_3_8(script: Script) -> Script:
    """The script without what meets a difference."""
    every = [request for step in script.steps for request in _requests(step)]
    left_out = (*DIFFERENCES, EXISTS) if any(map(_restricts, every)) else DIFFERENCES
    mode = next((mode for mode in map(_mode, every) if mode not in {None, SEVERAL}), None)

    def kept(request: Request) -> bool:
        return _mode(request) in {None, mode} and not any(other.met_by(request) for other in left_out)

    def without(step: Step) -> Step:
        requests = tuple(filter(kept, _requests(step)))
        if isinstance(step, Send) and step.ends and len(requests) < len(step.requests):
            requests = ()  # what ends the connection stands last, and may be what was left out
        if isinstance(step, Send) and not requests:
            return Send(step.conn, ())  # (a step keeps its number, by which a `since` names it)
        return replace(step, requests=requests) if isinstance(step, Connect | Send) else step

    return replace(script, steps=tuple(map(without, script.steps)))


def _requests(step: Step) -> tuple[Request, ...]:
    return step.requests if isinstance(step, Connect | Send) else ()
