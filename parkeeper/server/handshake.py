"""From a new connection's first four bytes to an open session, or to its end.

Order of checks (ZooKeeperServer.processConnectRequest, with the traps of the reference left out):

1. the first four bytes are a four-letter word: its answer, then the end;
2. this keeper serves nobody, or only read-only clients and this is none: the end, without a word;
3. a session is asked for: its password, *before* anything happens to the connection that holds it now;
4. the timeout is negotiated;
5. the client has seen a later zxid than this replica: catch up; if that is not enough, the store went back in time:
   then its session is gone, and is said to be; one that asks for none gets a new one;
6. no session asked for: a new one is opened by a commit. Else the session is claimed, by a commit too.

The answer is put into the outbox by the applier, in the same stretch that makes the session's record: what is applied
after it comes after it. Until then nothing more is read; what the client has sent already is kept.
"""

from __future__ import annotations

import logging
from typing import Protocol

import trio

from parkeeper.errors import Malformed
from parkeeper.server.outbox import Outbox
from parkeeper.server.requests import Attachment, Request
from parkeeper.server.services import Services
from parkeeper.server.transport import Transport
from parkeeper.tree.schemes import Identities
from parkeeper.tree.sessions import CLAIM_SESSION, OPEN_SESSION, ClaimSession, OpenSession, Session
from parkeeper.tree.zxid import revision_of
from parkeeper.wire.codes import Code
from parkeeper.wire.frames import SLICE, Frames
from parkeeper.wire.handshake import ConnectRequest, connect_request, connect_response, session_refused

log = logging.getLogger(__name__)

WORD = 4
"""Bytes that tell a four-letter word from a length."""


class Caller(Protocol):
    """The connection that shakes hands."""

    identities: Identities

    def drop(self, reason: str) -> None:
        """End."""
        ...

    def attached(self, attachment: Attachment) -> None:
        """It holds a session from now on; the answer is in the outbox."""
        ...

    def eased(self) -> None:
        """Something is in the outbox."""
        ...


class Opening:
    """The place of a session's opening or claim: its answer is the ConnectResponse.

    Attributes:
        order: nothing was asked before it.
        done: set when there is an answer, or never will be.
        attached: whether the connection holds the session.
        ended: nobody waits any more, so that nobody will be attached.
    """

    order = 0

    def __init__(
        self,
        caller: Caller,
        services: Services,
        outbox: Outbox,
        attachment: Attachment,
        read_only: bool | None,
    ) -> None:
        self.done = trio.Event()
        self.attached = False
        self.ended = False
        self._caller = caller
        self._services = services
        self._outbox = outbox
        self._attachment = attachment
        self._read_only = read_only

    def before(self) -> None:
        """Nothing was asked before it."""

    def fulfil(self, zxid: int, code: int, body: bytes, now: float | None = None) -> None:  # noqa: ARG002 - a place's signature
        """The commit happened, or was refused."""
        if not self.ended:
            session = self._services.replica.sessions.get(self._attachment.session)
            if code == Code.OK and session is not None:
                self._attach(session)
            elif code == Code.SESSION_EXPIRED:
                self._outbox.put(session_refused(self._read_only))
                self._caller.eased()
            else:
                log.error("opening session %#x was refused with %d", self._attachment.session, code)
            self.done.set()

    def abandon(self) -> None:
        """This keeper cannot say; the client tries again, here or elsewhere."""
        self.done.set()

    def _attach(self, record: Session) -> None:
        services, attachment = self._services, self._attachment
        session = attachment.session
        attachment.rev = record.rev
        attachment.touched = trio.current_time()
        self._outbox.put(
            connect_response(
                attachment.timeout, session, services.sessions.password(session), self._read_only
            )
        )
        self.attached = True
        self._caller.attached(attachment)
        services.sessions.attach(attachment)
        self._caller.eased()


class Handshake:
    """What happens before the first request.

    Args:
        caller: the connection.
        services: what it may use.
        transport, outbox: its own.
        frames: cuts its bytes; keeps what was sent behind the ConnectRequest.
    """

    def __init__(
        self, caller: Caller, services: Services, transport: Transport, outbox: Outbox, frames: Frames
    ) -> None:
        self._caller = caller
        self._services = services
        self._transport = transport
        self._outbox = outbox
        self._frames = frames
        self._size = 0

    async def run(self) -> list[bytes] | None:
        """Open a session.

        Returns:
            The frames that came along with the ConnectRequest; None: there is no session, and the connection is to
            be closed once its outbox is empty.

        Raises:
            trio.BrokenResourceError, trio.ClosedResourceError: the peer is gone.
        """
        services = self._services
        stats = services.stats
        frames: list[bytes] | None = None
        with trio.move_on_after(services.options.limits.handshake) as patience:
            frames = await self._first_frames()
        if patience.cancelled_caught:
            stats.late_handshakes += 1
            self._caller.drop(f"no session was asked for within {services.options.limits.handshake} s")
            return None
        stats.bytes_received += self._size
        if not frames:
            return None
        stats.asked += 1
        try:
            request = connect_request(frames[0])
        except Malformed as fault:
            self._caller.drop(f"its first frame is no ConnectRequest: {fault}")
            return None
        return frames[1:] if await self._open(request) else None

    async def _first_frames(self) -> list[bytes] | None:
        """The first frame and those that came with it; None if there is none to wait for."""
        chunk = b""
        while len(chunk) < WORD:
            more = await self._receive(SLICE)
            if not more:
                return None
            chunk += more
        answer = self._services.words(chunk[:WORD])
        if answer is not None:
            self._outbox.put(answer)
            return None
        if not self._services.serving.open:
            self._caller.drop(f"this keeper does not serve: it is {self._services.serving.state.value}")
            return None
        while not (frames := self._frames.feed(chunk)):
            if self._frames.broken is not None:
                self._services.stats.large_requests += 1
                self._caller.drop(f"it does not speak the protocol: {self._frames.broken}")
                return None
            chunk = await self._receive(self._frames.wanted())
            if not chunk:
                return None
        return frames

    async def _receive(self, limit: int) -> bytes:
        chunk = await self._transport.receive(limit)
        self._size += len(chunk)
        return chunk

    async def _open(self, request: ConnectRequest) -> bool:
        """Checks 2 to 6; whether there is a session now."""
        services, caller = self._services, self._caller
        if not services.serving.open or (services.serving.read_only and not request.read_only):
            caller.drop(f"this keeper does not serve it: it is {services.serving.state.value}")
            return False
        new = request.session == 0
        if not new and not services.sessions.check_password(request.session, request.password or b""):
            log.info("wrong password for session %#x from %s", request.session, self._transport.host)
            self._refuse(request)
            return False
        timeout = services.options.negotiate(request.timeout)
        has_seen = False
        with trio.move_on_after(timeout / 1000) as patience:
            has_seen = await self._has_seen(request.last_zxid)
        if patience.cancelled_caught:
            caller.drop(f"the store did not say in {timeout} ms whether it has zxid {request.last_zxid:#x}")
            return False
        if not has_seen and not new:
            log.warning(
                "session %#x from %s has seen zxid %#x, and the store went back in time: it is said to be expired",
                request.session, self._transport.host, request.last_zxid,
            )  # fmt: skip
            self._refuse(request)
            return False
        session = services.sessions.new_id() if new else request.session
        attachment = Attachment(session, timeout, trio.current_time(), caller.drop)
        read_only = None if request.read_only is None else services.serving.read_only
        place = Opening(caller, services, self._outbox, attachment, read_only)
        record: object = OpenSession(session, timeout) if new else ClaimSession(session, timeout)
        opcode = OPEN_SESSION if new else CLAIM_SESSION
        await services.room()
        services.submit(Request(opcode, record, session, None, caller.identities, place))
        try:
            # A client that got no answer in its session's timeout has given up; its end of the line may be closed.
            with trio.move_on_after(timeout / 1000):
                await place.done.wait()
        finally:
            place.ended = True
        if not place.done.is_set():
            caller.drop(f"session {session:#x} could not be opened within its timeout, {timeout} ms")
        return place.attached

    async def _has_seen(self, last_zxid: int) -> bool:
        """Whether the replica has what the client has seen; the two are compared by revisions."""
        replica = self._services.replica
        if revision_of(last_zxid, replica.base) <= replica.revision:
            return True
        return await self._services.catch_up(last_zxid)

    def _refuse(self, request: ConnectRequest) -> None:
        """Say "expired"; the session itself, and whoever holds it, is left alone."""
        read_only = None if request.read_only is None else self._services.serving.read_only
        self._outbox.put(session_refused(read_only))
