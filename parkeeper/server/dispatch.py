"""What becomes of one request: answered now, parked, held a place for, or refused.

Nothing here awaits: the reader hands over one frame after another, and each is dealt with before the next.

| what | becomes |
| --- | --- |
| a read, nothing waiting | the reply, from the replica |
| a read behind a place | parked |
| a write, close | a place, and a request for the committer |
| sync | a place, settled when the replica has reached a `head()` begun after it |
| ping | the reply, overtaking what waits (its xid -2 tells it apart) |
| auth, sasl | the reply in turn with zxid 0 (ZooKeeper lets it overtake, which kazoo cannot bear); new identities count for what is received after it |
| a record that cannot be decoded | -5 in turn; the connection stays |
| any other number | -6 in turn with zxid -1, then the end |
| a frame without room for a header | the end |

Sources: ZooKeeperServer.processPacket, FinalRequestProcessor, Request.isValid, UnimplementedRequestProcessor.
"""

from __future__ import annotations

import logging
import struct
from typing import Final, Protocol

from parkeeper.errors import Malformed, Refused
from parkeeper.server.outbox import Outbox
from parkeeper.server.requests import Attachment, Request
from parkeeper.server.responses import Fixed, Held, Parked, Responses
from parkeeper.server.services import Services
from parkeeper.server.stats import ConnectionStats
from parkeeper.tree.reads import READS, Read
from parkeeper.tree.schemes import Identities, addauth
from parkeeper.tree.sessions import CloseSession
from parkeeper.wire import replies, requests
from parkeeper.wire.codes import Code
from parkeeper.wire.jute import Decoder
from parkeeper.wire.multi import MultiRead
from parkeeper.wire.opcodes import OPERATIONS, Kind, Op, Record
from parkeeper.wire.replies import PING_XID, reply

log = logging.getLogger(__name__)

HEADER: Final = 8
"""Bytes of a request header; the record follows."""

_header_of = struct.Struct(">ii").unpack_from

_READS: Final[dict[int, tuple[Decoder[Record], Read]]] = {
    op: (OPERATIONS[op].decode, read) for op, read in READS.items() if op != Op.MULTI_READ
}
"""What takes the short way. multiRead does not: it can have an error code and a body."""

_WRITES: Final[dict[int, Decoder[Record]]] = {
    op: operation.decode for op, operation in OPERATIONS.items() if operation.kind is Kind.WRITE
}

BYTES_A_NAME: Final = 32
"""What a child's name is taken for when the size of a parked listing is estimated."""


class Asker(Protocol):
    """The connection, as dispatch and reads know it (a `parkeeper.tree.watches.Watcher`)."""

    identities: Identities
    attachment: Attachment

    @property
    def session(self) -> int:
        """The session it holds."""
        ...

    def notify(self, packet: bytes) -> None:
        """Send an event."""
        ...

    def read_no_more(self) -> None:
        """Answer what is pending, then end."""
        ...

    def drop(self, reason: str) -> None:
        """End, without answering what is pending."""
        ...


class Dispatch:
    """Deals with the requests of one connection.

    Args:
        asker: the connection.
        services: what it may use.
        responses, outbox: its own.
        stats: its own.

    Attributes:
        submitted: whether a request went to the committer; set here, cleared by the reader.
    """

    __slots__ = (
        "_asker", "_ops", "_outbox", "_queue", "_replica", "_responses", "_services", "_serving", "_stats", "_submit_to",
        "_watches", "submitted",
    )  # fmt: skip

    def __init__(
        self,
        asker: Asker,
        services: Services,
        responses: Responses,
        outbox: Outbox,
        stats: ConnectionStats,
    ) -> None:
        self.submitted = False
        self._asker = asker
        self._services = services
        self._responses = responses
        self._queue = responses.queue
        self._outbox = outbox
        self._stats = stats
        self._ops = stats.server.ops
        self._serving = services.serving
        self._submit_to = services.submit
        self._replica = services.replica
        self._watches = services.watches

    def frame(self, frame: bytes) -> None:
        """Deal with one request: a frame without its length."""
        if len(frame) < HEADER:
            self._asker.drop(f"a frame of {len(frame)} bytes holds no request")
            return
        xid, op = _header_of(frame)
        row = _READS.get(op)
        if row is None:
            write = _WRITES.get(op)
            if write is None:
                self._other(xid, op, frame)
            else:
                self._write(xid, op, write, frame)
            return
        stats = self._stats
        stats.xid = xid
        stats.op = op
        self._ops[op] += 1
        decode, read = row
        if self._queue:
            self._park(xid, op, decode, frame)
            return
        try:
            body = read(self._replica, self._watches, self._asker, decode(frame, HEADER))
        except Refused as refusal:
            self._outbox.put(reply(xid, self._replica.zxid, refusal.code))
        except Malformed:
            self._outbox.put(reply(xid, self._replica.zxid, Code.MARSHALLING_ERROR))
        else:
            self._outbox.put(reply(xid, self._replica.zxid, 0, body))

    def answer(self, parked: Parked) -> tuple[int, bytes]:
        """Answer a parked read from the replica as it is now: code and body."""
        asker = self._asker
        now_held, asker.identities = asker.identities, parked.identities
        record = parked.record
        try:
            body = READS[parked.op](self._replica, self._watches, asker, record)
            broken = isinstance(record, MultiRead) and record.broken
            return (Code.MARSHALLING_ERROR if broken else Code.OK), body
        except Refused as refusal:
            return refusal.code, b""
        finally:
            asker.identities = now_held

    def _park(self, xid: int, op: int, decode: Decoder[Record], frame: bytes) -> None:
        asker = self._asker
        received = asker.attachment.touched
        try:
            record = decode(frame, HEADER)
        except Malformed:
            self._responses.enter(Fixed(xid, None, Code.MARSHALLING_ERROR, b"", len(frame), received))
        else:
            size = len(frame) + self._expected(record)
            self._responses.enter(Parked(xid, op, record, asker.identities, size, received))

    def _expected(self, record: Record) -> int:
        """About how many bytes a read will be answered with: what is parked must fit the outbox later."""
        if isinstance(record, requests.GetData):
            node = self._replica.nodes.get(record.path)
            return len(node.data) if node is not None and node.data else 0
        if isinstance(record, requests.GetChildren | requests.GetChildren2):
            names = self._replica.children.get(record.path)
            return BYTES_A_NAME * len(names) if names is not None else 0
        if isinstance(record, MultiRead):
            return sum(self._expected(each) for _, each in record.ops)
        return 0

    def _write(self, xid: int, op: int, decode: Decoder[Record], frame: bytes) -> None:
        stats = self._stats
        stats.xid = xid
        stats.op = op
        self._ops[op] += 1
        try:
            record = decode(frame, HEADER)
        except Malformed:
            self._in_turn(xid, None, Code.MARSHALLING_ERROR, b"", len(frame))
            return
        if self._serving.read_only:
            self._in_turn(xid, None, Code.NOT_READ_ONLY, b"", len(frame))
        else:
            self._submit(xid, op, record, len(frame))

    def _other(self, xid: int, op: int, frame: bytes) -> None:
        """Whatever is neither one of the usual reads nor a write."""
        operation = OPERATIONS.get(op)
        if operation is None or operation.kind is Kind.REFUSED:
            self._in_turn(xid, -1, Code.UNIMPLEMENTED, b"", len(frame))
            self._asker.read_no_more()
            return
        stats = self._stats
        stats.xid = xid
        if operation.last is not None:
            stats.op = op
        self._ops[op] += 1
        if op == Op.PING:
            self._outbox.put(reply(PING_XID, self._replica.zxid))
            return
        try:
            record = operation.decode(frame, HEADER)
        except Malformed:
            self._in_turn(xid, None, Code.MARSHALLING_ERROR, b"", len(frame))
            return
        if isinstance(record, MultiRead):
            self._multi_read(xid, op, record, len(frame))
        elif isinstance(record, requests.Auth):
            self._auth(xid, record, len(frame))
        elif isinstance(record, requests.Sasl):
            self._in_turn(xid, 0, 0, replies.sasl_body(None), len(frame))
        elif self._serving.read_only:
            self._in_turn(xid, None, Code.NOT_READ_ONLY, b"", len(frame))
        elif isinstance(record, requests.Sync):
            self._sync(xid, record, len(frame))
        elif isinstance(record, requests.CloseSession):
            self._submit(xid, op, CloseSession(self._asker.session), len(frame))
            self._asker.read_no_more()
        else:
            raise AssertionError(f"nobody knows how to answer {operation.name}")

    def _multi_read(self, xid: int, op: int, record: MultiRead, size: int) -> None:
        asker = self._asker
        size += self._expected(record)
        parked = Parked(xid, op, record, asker.identities, size, asker.attachment.touched)
        if self._queue:
            self._responses.enter(parked)
        else:
            code, body = self.answer(parked)
            self._outbox.put(reply(xid, self._replica.zxid, code, body))

    def _submit(self, xid: int, op: int, record: object, size: int) -> None:
        """Hold a place and hand a write to the committer."""
        asker = self._asker
        attachment = asker.attachment
        place = Held(self._responses, xid, True, b"", size, attachment.touched)
        self._responses.enter(place)
        self.submitted = True
        self._submit_to(Request(op, record, attachment.session, attachment, asker.identities, place))

    def _sync(self, xid: int, record: requests.Sync, size: int) -> None:
        place = Held(
            self._responses, xid, False, replies.path_body(record.path), size, self._asker.attachment.touched
        )
        self._responses.enter(place)
        self._services.join_sync(place.reached)

    def _auth(self, xid: int, record: requests.Auth, size: int) -> None:
        asker = self._asker
        try:
            identities = asker.identities
            for identity in addauth(record.scheme, record.auth, self._services.options.super_digest):
                identities = identities.plus(identity)
        except Refused as refusal:
            self._stats.server.auth_failed += 1
            self._in_turn(xid, 0, refusal.code, b"", size)
            asker.read_no_more()
        else:
            asker.identities = identities
            self._in_turn(xid, 0, 0, b"", size)

    def _in_turn(self, xid: int, zxid: int | None, code: int, body: bytes, size: int) -> None:
        """A reply that needs nothing but its turn; `zxid` None: the replica's by then."""
        if self._queue:
            self._responses.enter(Fixed(xid, zxid, code, body, size, self._asker.attachment.touched))
        else:
            self._outbox.put(reply(xid, self._replica.zxid if zxid is None else zxid, code, body))
