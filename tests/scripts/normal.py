"""Maps away what differs between two servers by nature, so that what is left must be equal.

- zxids in Stats and events become ranks among all that the transcript shows; a header's zxid becomes its kind
  (0, -1 or "+"), and it is checked that those of one connection never fall, nor are below one in the same reply.
- sessions are named after the connection that was granted them; passwords after their session.
- times that are set become "set"; it is checked that a node never written since its creation has mtime = ctime.
- children, and whoAmI, have no order; digest ids that `auth` was replaced by have none among themselves.
- a ping's reply and an auth's have no place among the others: they are listed on their own.
- events of the end of a session have no order: they are sorted; those on the connection that expires don't count.
- what is known to differ, by the table in `tests.scripts.known`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, cast

from tests.raw import decode, encode
from tests.raw.decode import Fields
from tests.scripts.known import echoed, hide
from tests.scripts.model import Connect, Expire, Request, Script, Send, Step
from tests.scripts.run import Observed, Seen

ZXIDS = ("czxid", "mzxid", "pzxid")
OUT_OF_TURN = {encode.PING: "pings", encode.AUTH: "auths"}


def normalise(script: Script, transcript: Sequence[Observed], older: bool = False) -> list[Fields]:
    """What each step showed, in a form that two servers must agree on.

    Args:
        older: one of them is of 3.8, whose events carry no zxid (`tests.scripts.older`).
    """
    return _Normaliser(transcript, older).steps(script)


class _Normaliser:
    def __init__(self, transcript: Sequence[Observed], older: bool) -> None:
        self._transcript = transcript
        self._older = older
        self._pending: dict[int, list[tuple[int, Request]]] = {}
        self._sessions: dict[int, int] = {}
        self._passwords: dict[int, bytes | None] = {}
        self._newest: dict[int, int] = {}
        self._zxids: set[int] = set()
        self._xids: dict[int, Iterator[int]] = {}

    def steps(self, script: Script) -> list[Fields]:
        steps = [self._step(step, seen) for step, seen in zip(script.steps, self._transcript, strict=True)]
        ranks = {zxid: rank for rank, zxid in enumerate(sorted(self._zxids), 1)}
        return [cast("Fields", _ranked(step, ranks)) for step in steps]

    def _step(self, step: Step, observed: Observed) -> Fields:
        if isinstance(step, Connect | Send):
            self._expect(step.conn, step.requests)
        ends = isinstance(step, Expire) or (
            isinstance(step, Connect | Send) and any(ask.op == encode.CLOSE_SESSION for ask in step.requests)
        )
        return {
            f"conn {conn}": self._connection(step, conn, seen, ends)
            for conn, seen in sorted(observed.seen.items())
        }

    def _expect(self, conn: int, requests: tuple[Request, ...]) -> None:
        xids = self._xids.setdefault(conn, itertools.count(1))
        asked = ((next(xids) if ask.xid is None else ask.xid, ask) for ask in requests)
        self._pending.setdefault(conn, []).extend(asked)

    def _connection(self, step: Step, conn: int, seen: Seen, ends: bool) -> Fields:
        frames = list(seen.frames)
        shown: Fields = {"closed": seen.closed}
        if isinstance(step, Connect) and step.conn == conn and frames:
            shown["handshake"] = self._handshake(conn, frames.pop(0))
        packets: list[Fields] = []
        if isinstance(step, Expire) and step.conn == conn:
            frames = []  # whether an event reaches the socket before it is closed is chance in ZooKeeper
        for frame in frames:
            try:
                opcode, packet = self._packet(conn, frame)
            except (ValueError, KeyError) as error:
                opcode, packet = 0, {"unreadable": frame.hex(), "because": repr(error)}
            if opcode in OUT_OF_TURN:
                cast("list[Fields]", shown.setdefault(OUT_OF_TURN[opcode], [])).append(packet)
            else:
                packets.append(packet)
        shown["packets"] = _without_order(packets) if ends else packets
        return shown

    def _handshake(self, conn: int, frame: bytes) -> Fields:
        answer = decode.connect_response(frame)
        owner = self._sessions.setdefault(answer.session, conn) if answer.session else None
        password: object = answer.password and answer.password.hex()
        if answer.session and len(answer.password or b"") == 16:
            known = self._passwords.setdefault(answer.session, answer.password)
            password = f"of session {owner}" if known == answer.password else password
        return {
            **answer._asdict(),
            "session": 0 if owner is None else f"session {owner}",
            "password": password,
        }

    def _packet(self, conn: int, frame: bytes) -> tuple[int, Fields]:
        """(opcode it answers, 0 for an event; what it says)."""
        answer = decode.reply(frame)
        if answer.xid == -1:
            said = decode.event(answer)
            zxid = -1 if self._older else self._zxid(said.zxid)
            problems = [] if said.zxid == -1 else self._falls(conn, said.zxid)
            return 0, {
                "event": said.type,
                "state": said.state,
                "path": echoed(said.path),
                "zxid": zxid,
                **_if(problems),
            }
        request = self._answered(conn, answer.xid)
        opcode = request.op
        fields = cast("Fields", self._mapped(decode.body(opcode, answer)))
        problems = [str(problem) for problem in _find(fields, "problem")]
        if answer.zxid > 0 and opcode not in OUT_OF_TURN:
            problems += self._falls(conn, answer.zxid)
            inside = (cast("_Zxid", zxid).value for name in ZXIDS for zxid in _find(fields, name))
            if max(inside, default=0) > answer.zxid:
                problems.append("the header's zxid is below one in the reply")
        header = answer.zxid if answer.zxid in {0, -1} else "+"
        reply: Fields = {"xid": answer.xid, "zxid": header, "err": answer.err, **fields, **_if(problems)}
        return opcode, hide(request, reply)

    def _answered(self, conn: int, xid: int) -> Request:
        pending = self._pending.get(conn, [])
        for i, (expected, request) in enumerate(pending):
            if expected == xid or (request.op == encode.PING and xid == encode.PING_XID):
                del pending[i]
                return request
        raise KeyError(f"nobody asked for xid {xid}")

    def _falls(self, conn: int, zxid: int) -> list[str]:
        if zxid < self._newest.get(conn, 0):
            return ["a zxid falls on this connection"]
        self._newest[conn] = zxid
        return []

    def _zxid(self, zxid: int) -> object:
        if zxid <= 0:
            return zxid
        self._zxids.add(zxid)
        return _Zxid(zxid)

    def _mapped(self, value: object) -> object:
        if isinstance(value, dict):
            return self._fields(cast("Fields", value))
        if isinstance(value, list):
            return [self._mapped(item) for item in cast("list[object]", value)]
        return value

    def _fields(self, fields: Fields) -> Fields:
        mapped: Fields = {}
        for name, value in fields.items():
            if name in ZXIDS:
                mapped[name] = self._zxid(cast("int", value))
            elif name in {"ctime", "mtime"}:
                mapped[name] = "set" if value else 0
            elif name == "owner":
                mapped[name] = f"session {self._sessions[value]}" if value in self._sessions else value
            elif name == "children" and value is not None:
                mapped[name] = sorted(cast("list[str]", value))
            elif name == "clients":
                mapped[name] = sorted(cast("list[Any]", value), key=repr)
            elif name == "acl" and value is not None:
                mapped[name] = _acl(cast("list[Fields]", value))
            else:
                mapped[name] = self._mapped(value)
        if "ctime" in fields and fields["czxid"] == fields["mzxid"] and fields["ctime"] != fields["mtime"]:
            mapped["problem"] = "never written, yet mtime is not ctime"
        return mapped


class _Zxid:
    """A zxid whose rank is not known yet."""

    def __init__(self, value: int) -> None:
        self.value = value


def _ranked(value: object, ranks: dict[int, int]) -> object:
    if isinstance(value, _Zxid):
        return f"zxid {ranks[value.value]}"
    if isinstance(value, dict):
        return {name: _ranked(item, ranks) for name, item in cast("Fields", value).items()}
    if isinstance(value, list):
        return [_ranked(item, ranks) for item in cast("list[object]", value)]
    return value


def _find(value: object, name: str) -> Iterator[object]:
    """Every value under this name, at any depth, but for zxids that are not above 0."""
    if isinstance(value, dict):
        fields = cast("Fields", value)
        if name in fields and not isinstance(fields[name], int):
            yield fields[name]
        for item in fields.values():
            yield from _find(item, name)
    elif isinstance(value, list):
        for item in cast("list[object]", value):
            yield from _find(item, name)


def _if(problems: Sequence[object]) -> Fields:
    return {"problems": list(problems)} if problems else {}


def _acl(entries: list[Fields]) -> list[Fields]:
    """Neighbours that `auth` may have been replaced by (same permissions, digest) in order of their ids."""
    runs = itertools.groupby(entries, key=lambda entry: (entry["perms"], entry["scheme"]))
    return [
        entry for (_, scheme), run in runs for entry in (sorted(run, key=repr) if scheme == "digest" else run)
    ]


def _without_order(packets: list[Fields]) -> list[Fields]:
    """Sort the events of a session's end: neighbours with the newest zxid among the events."""

    def zxid(packet: Fields) -> int:
        return packet["zxid"].value if "event" in packet and isinstance(packet["zxid"], _Zxid) else 0

    newest = max(map(zxid, packets), default=0)
    ordered: list[Fields] = []
    for is_of_end, group in itertools.groupby(packets, key=lambda packet: zxid(packet) == newest > 0):
        run = list(group)
        if is_of_end:
            run.sort(key=lambda packet: (str(packet["path"]), str(packet["event"])))
        ordered += run
    return ordered


def differences(expected: Sequence[Fields], found: Sequence[Fields]) -> list[str]:
    """Where two normal forms differ, one line each: the step, where in it, both values."""
    lines: list[str] = []
    for number, (one, other) in enumerate(zip(expected, found, strict=True)):
        lines += _differ(f"step {number}", one, other)
    return lines


def _differ(where: str, expected: object, found: object) -> Iterator[str]:
    if isinstance(expected, dict) and isinstance(found, dict):
        one, other = cast("Fields", expected), cast("Fields", found)
        for name in [*one, *(name for name in other if name not in one)]:
            yield from _differ(f"{where} / {name}", one.get(name, "nothing"), other.get(name, "nothing"))
    elif (
        isinstance(expected, list)
        and isinstance(found, list)
        and len(cast("list[object]", expected)) == len(cast("list[object]", found))
    ):
        for i, (a, b) in enumerate(
            zip(cast("list[object]", expected), cast("list[object]", found), strict=True)
        ):
            yield from _differ(f"{where}[{i}]", a, b)
    elif expected != found:
        yield f"{where}: expected {expected!r}, found {found!r}"
