"""Runs a script against one server and keeps every packet that came back.

After each step every connection sends a `sync` and reads up to its reply: what was due before is then there. The
sync of the connection that acted goes first; the zxid in its reply's header is the step's *mark*.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

from tests.processes import wait_for
from tests.raw import encode
from tests.raw.client import Closed, RawClient
from tests.raw.decode import connect_response, reply
from tests.scripts.model import Bytes, Connect, Drop, Expire, Request, Script, Step
from tests.servers import four_letter_word

Address = tuple[str, int]
FAR_AHEAD = 1 << 62
QUIET_XID = 0x7000_0000
PATIENCE = 15.0  # seconds for any one answer


@dataclass(slots=True)
class Seen:
    """What one connection received in one step: frames without their lengths, and whether the server closed."""

    frames: list[bytes] = field(default_factory=list[bytes])
    closed: bool = False


@dataclass(slots=True)
class Observed:
    """What came back in one step: per connection; and the newest zxid after it."""

    seen: dict[int, Seen]
    mark: int


class Runner:
    """The connections of one script on one server."""

    def __init__(self, addresses: list[Address]) -> None:
        """`addresses`: the members of an ensemble; connection k goes to member k modulo their number."""
        self._addresses = addresses
        self._clients: dict[int, RawClient] = {}
        self._granted: dict[int, tuple[int, bytes | None]] = {}
        self._asked: dict[int, tuple[int, bytes | None]] = {}
        self._marks: list[int] = []
        self._seen: dict[int, Seen] = {}

    def run(self, script: Script) -> list[Observed]:
        """Every step in turn; all sockets are closed at the end, sessions are left to the server."""
        try:
            return [self._step(step) for step in script.steps]
        finally:
            for client in self._clients.values():
                client.close()

    @property
    def granted(self) -> dict[int, tuple[int, bytes | None]]:
        """Connection -> (session id, password) that it was given."""
        return self._granted

    def _step(self, step: Step) -> Observed:
        self._seen = {}
        self._act(step)
        others = [conn for conn in self._clients if conn != step.conn]
        mark = self._quiet(step.conn)
        for conn in others:
            mark = max(mark, self._quiet(conn))
        self._marks.append(mark)
        return Observed({conn: seen for conn, seen in self._seen.items() if seen.frames or seen.closed}, mark)

    def _act(self, step: Step) -> None:
        conn = step.conn
        if isinstance(step, Connect):
            self._connect(step)
        elif isinstance(step, Bytes):
            self._client(conn).send_bytes(step.data)
            self._read_until_closed(conn)
        elif isinstance(step, Expire):
            self._expire(conn)
        elif conn not in self._clients:
            return  # the server closed it in an earlier step, where that is shown
        elif isinstance(step, Drop):
            self._clients.pop(conn).close()
        else:
            self._clients[conn].send_bytes(self._encode(conn, step.requests))
            if step.ends:
                self._read_until_closed(conn)

    def _client(self, conn: int) -> RawClient:
        if conn not in self._clients:
            self._clients[conn] = RawClient.open(self._addresses[conn % len(self._addresses)], PATIENCE)
        return self._clients[conn]

    def _encode(self, conn: int, requests: tuple[Request, ...]) -> bytes:
        xids = self._clients[conn].xids
        packets: list[bytes] = []
        for request in requests:
            body = request.body
            if request.since is not None:
                body = encode.i64(self._marks[request.since]) + body[8:]
            packets.append(
                encode.request(next(xids) if request.xid is None else request.xid, request.op, body)
            )
        return b"".join(packets)

    def _connect(self, step: Connect) -> None:
        session, password = (0, bytes(16)) if step.resume is None else self._held(step.resume)
        if step.session is not None:
            session = step.session
        if step.password is not None:
            password = step.password or None
        last = 0
        if step.since is not None:
            last = FAR_AHEAD if step.since == -1 else self._marks[step.since]
        self._asked[step.conn] = session, password
        client = self._client(step.conn)
        hello = encode.connect(step.timeout, session, password, last, step.read_only)
        client.send_bytes(hello + self._encode(step.conn, step.requests))
        seen = self._seen.setdefault(step.conn, Seen())
        try:
            seen.frames.append(client.receive_frame())
        except Closed:
            self._gone(step.conn)
            return
        answer = connect_response(seen.frames[0])
        if answer.session:
            self._granted[step.conn] = (answer.session, answer.password)
        else:
            self._read_until_closed(step.conn)

    def _held(self, conn: int) -> tuple[int, bytes | None]:
        """The session a connection was granted; if it was refused, the one that it asked for."""
        return self._granted.get(conn) or self._asked[conn]

    def _expire(self, conn: int) -> None:
        if conn not in self._granted:
            return  # there never was a session, as the handshake shows
        session = f"0x{self._granted[conn][0]:x}"
        address = self._addresses[conn % len(self._addresses)]

        def expired() -> bool:
            said = four_letter_word(address, "dump").lower()
            return "dump" in said and session not in said.split()

        wait_for(expired, f"session {session} expired", PATIENCE)
        if conn in self._clients:
            self._read_until_closed(conn)

    def _read_until_closed(self, conn: int) -> None:
        seen = self._seen.setdefault(conn, Seen())
        with contextlib.suppress(Closed):
            while True:
                seen.frames.append(self._clients[conn].receive_frame())
        self._gone(conn)

    def _gone(self, conn: int) -> None:
        self._seen.setdefault(conn, Seen()).closed = True
        self._clients.pop(conn).close()

    def _quiet(self, conn: int) -> int:
        """Read what is due on a connection; returns the zxid of the sync behind it, 0 if it closed."""
        if conn not in self._clients:
            return 0
        client = self._clients[conn]
        seen = self._seen.setdefault(conn, Seen())
        client.send(encode.SYNC, encode.only_path("/"), QUIET_XID)
        while True:
            try:
                frame = client.receive_frame()
            except Closed:
                self._gone(conn)
                return 0
            answer = reply(frame)
            if answer.xid == QUIET_XID:
                return answer.zxid
            seen.frames.append(frame)
