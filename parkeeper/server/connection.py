"""One client: a reader, a writer, and what is between them.

The reader takes a slice of bytes, deals with all requests in it without awaiting, and at its end sends what is ready
in one go; that is the fast path, and all there is to most requests. Between two slices it sleeps, and through slices
after which nothing has to be waited for it sleeps on (`parkeeper.server.readiness`). Writes wait in the response queue
for the applier (`parkeeper.server.responses`), what the kernel does not take waits in the outbox for the writer, and
the flusher calls `flush` when the applier left something here.

Ends, from soft to hard:

* The client closes its session or its half of the connection, or sends what is not answered any more (an unknown
  opcode, a refused auth): what is pending is answered, then all is sent, then it is closed.
* `drop` (session moved or expired, not the protocol, too slow to ask): what is encoded is sent, nothing more is.
* `cut` (the peer is gone or does not read, an error of ours): the end at once.

Whatever it is, it ends this connection only. Sending what is left takes at most `Limits.close`, and then the peer gets
a chance to read it: closing a socket with unread input would make the kernel throw the last reply away.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import Final

import trio

from parkeeper.server.dispatch import Dispatch
from parkeeper.server.handshake import Handshake
from parkeeper.server.outbox import Outbox
from parkeeper.server.requests import Attachment
from parkeeper.server.responses import Entry, Parked, Responses
from parkeeper.server.services import Services
from parkeeper.server.stats import ConnectionStats
from parkeeper.server.transport import GONE, Transport
from parkeeper.tree.schemes import Identities, address_identity
from parkeeper.wire.frames import SLICE, Frames
from parkeeper.wire.op import Op

log = logging.getLogger(__name__)

REQUESTS_AT_ONCE: Final = 48
"""Requests of one connection that are dealt with before others have a turn. (4 KiB hold a hundred gets: with all of
them at once a light client beside eight that pipeline 1,000 waited 18 ms, p99, with 48 of them 7 ms.)"""


class Connection:
    """One client's connection.

    Attributes:
        identities: what it has proved to be; counts for requests received from now on, and for events.
        attachment: its hold on its session; of session 0 before there is one.
        dirty: the flusher's.
    """

    # What `take_apart` deletes; the compiler has to know (mypyc: native classes).
    __deletable__ = ["_all", "_asking", "_dispatch", "_outbox", "_responses", "attachment", "stats"]  # noqa: RUF012

    def __init__(self, transport: Transport, services: Services) -> None:
        limits = services.options.limits
        queue: deque[Entry] = deque()
        self.identities = Identities((address_identity(transport.host),))
        self.attachment = Attachment(0, 0, 0.0, self.drop)
        self.dirty = False
        now = trio.lowlevel.current_clock().current_time  # (0.1 us; trio.current_time, which asks it, 0.26)
        self.stats = ConnectionStats(services.stats, transport.host, transport.port, queue, self.drop, now)
        self._totals = services.stats
        self._services = services
        self._limits = limits
        self._transport = transport
        self._frames = Frames(limits.frame)
        self._outbox = Outbox(
            transport, limits.outbox_high, limits.outbox, self.stats, self.cut, self._drained
        )
        self._responses = Responses(self, queue, services.replica, self._outbox, limits, self.stats)
        self._dispatch = Dispatch(self, services, self._responses, self._outbox, self.stats)
        self._flusher = services.flusher
        self._now, self._lease, self._replica = now, services.lease, services.replica
        self._prompt, self._chunk = transport.prompt, limits.slice
        self._all = trio.CancelScope()
        self._asking = trio.CancelScope()
        self._room: trio.Event | None = None
        self._rest: list[bytes] = []  # frames received and not dealt with
        self._heard_all = False  # the peer will send no more
        self._over = False  # nothing more is read
        self._asked_all = False  # no further request is looked at
        self._ended = False  # nothing is owed to anybody
        self._left = False
        services.stats.connections.add(self.stats)

    @property
    def session(self) -> int:
        """The session it holds, 0 before there is one."""
        return self.attachment.session

    # What others call: none of it waits, and none of it raises.

    def notify(self, packet: bytes) -> None:
        """Send a watch event (`parkeeper.tree.watches.Watcher`)."""
        self._outbox.put(packet)
        if not self.dirty:
            self._flusher.mark(self)
        counted = self._totals
        counted.events += 1
        counted.event_bytes += len(packet)

    def flush(self) -> bool:
        """Answer what waits for nothing any more, and send (`parkeeper.server.flusher.Flushable`)."""
        if self._left:
            return False  # it sends the last of it itself
        self._responses.advance()
        self._outbox.flush_now()
        self._wake_reader()
        return self._responses.advanceable and not self._outbox.full

    def eased(self) -> None:
        """Replies were put into the outbox, or can be (`parkeeper.server.responses.Owner`)."""
        self._flusher.mark(self)

    def abandoned(self) -> None:
        """A request will get no answer: the client must find out elsewhere."""
        self.drop("a request could not be answered here")

    def answer(self, parked: Parked) -> tuple[int, bytes]:
        """Answer a parked read (`parkeeper.server.responses.Owner`)."""
        return self._dispatch.answer(parked)

    def attached(self, attachment: Attachment) -> None:
        """It holds a session from now on (`parkeeper.server.handshake.Caller`)."""
        self.attachment = attachment
        self.stats.session = attachment.session
        self.stats.timeout = attachment.timeout
        self.stats.op = Op.CREATE_SESSION
        self._totals.ops[Op.CREATE_SESSION] += 1

    def read_no_more(self) -> None:
        """Answer what is pending, then end."""
        self._asked_all = True

    def drop(self, reason: str) -> None:
        """Send what is encoded, answer nothing more, end.

        Args:
            reason: for the log.
        """
        if not self._ended:
            log.info("%s: ends: %s", self, reason)
            self.stats.server.dropped += 1
            self._end()
            self._asking.cancel()

    def cut(self, reason: str) -> None:
        """End at once.

        Args:
            reason: for the log.
        """
        self.drop(reason)
        self._all.cancel()

    def crashed(self, fault: Exception) -> None:
        """An error of ours: log it with its traceback, end this connection only."""
        log.error("%s: crashed", self, exc_info=fault)
        self.stats.server.crashed += 1
        self.cut("an error of ours")

    def forsworn(self) -> None:
        """What it has to say may not be true (`parkeeper.server.flusher.Flushable`)."""
        if not self._left:
            self._outbox.discard()
            self.cut("what it would be told may be lost")

    # Its own life.

    async def run(self) -> None:
        """From the first byte to the last."""
        with self._all:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._outbox.drain)
                with self._asking:
                    try:
                        await self._converse()
                    except GONE:
                        self.cut("the peer is gone")
                self.leave()
                with trio.move_on_after(self._limits.close):
                    await self._outbox.flushed()
                    await self._part()
                nursery.cancel_scope.cancel()

    def leave(self) -> None:
        """Nothing remembers this connection any more."""
        if self._left:
            return
        self._left = True
        self._end()
        services = self._services
        services.watches.drop(self)
        services.stats.connections.discard(self.stats)
        if self.session:
            services.sessions.detach(self.attachment)

    def take_apart(self) -> None:
        """Let go of all that refers back to this connection, after `leave`.

        Then counting references frees it at once, and it is no circle that the collector would have to find, which
        does not look at what has lived long (`parkeeper.cli.collector`).
        """
        del (
            self._outbox,
            self._responses,
            self._dispatch,
            self.attachment,
            self.stats,
            self._all,
            self._asking,
        )

    async def _converse(self) -> None:
        """Requests and their answers, until no more are to be expected."""
        frames = await Handshake(self, self._services, self._transport, self._outbox, self._frames).run()
        if frames is None:
            return
        self.stats.slice_done(0, 1, 0, 0.0, 0)
        await self._read(frames)
        self._outbox.flush_now()
        with trio.move_on_after(self.attachment.timeout / 1000):
            await self._responses.emptied()

    async def _read(self, frames: list[bytes]) -> None:
        """Deal with requests, a slice at a time, beginning with those that came with the ConnectRequest."""
        self._rest = frames
        readiness, prompt = self._services.readiness, self._prompt
        going_on = self._slice(0)
        while True:
            if going_on:
                if readiness is None or prompt is None:
                    going_on = self._heard(await self._transport.receive(self._wanted()))
                    continue
                await readiness.park(prompt.descriptor, self._turn)
            if self._over or self._asked_all:
                return
            await self._pause()
            if self._dispatch.submitted and not self._rest:
                self._dispatch.submitted = False
                await self._services.room()
            going_on = not self._rest or self._slice(0)

    def _turn(self) -> bool:
        """Receive and deal with a slice (`parkeeper.server.readiness.Turn`)."""
        prompt = self._prompt
        try:
            if prompt is None:
                raise AssertionError("what has to be awaited was parked")
            chunk = prompt.receive(self._wanted())
            return chunk is None or self._heard(chunk)
        except GONE:
            self.cut("the peer is gone")
        except Exception as fault:  # noqa: BLE001 - the barrier: it ends one connection only
            self.crashed(fault)
        return False

    def _wanted(self) -> int:
        """Bytes to receive next."""
        wanted = self._frames.wanted()
        return wanted if wanted > SLICE else self._chunk

    def _heard(self, chunk: bytes) -> bool:
        """Deal with what was received; False: something has to be waited for, or this is the end."""
        if not chunk:
            self._heard_all = self._over = True
            return False
        self._rest = self._frames.feed(chunk)
        return self._slice(len(chunk))

    def _slice(self, size: int) -> bool:
        """Deal with the next requests of those received; False: something has to be waited for, or this is the end.

        Args:
            size: bytes just received.
        """
        dispatch, outbox, responses = self._dispatch, self._outbox, self._responses
        started = self._now()
        if started > self._lease.deadline:
            # Past the serve deadline (a pause of the process, say): others may have taken our sessions.
            self.drop("the keeper may not serve any longer")
            return False
        self.attachment.touched = started
        entered, done, high, queue, frames = responses.entered, 0, outbox.high, responses.queue, self._rest
        for frame in frames if len(frames) <= REQUESTS_AT_ONCE else frames[:REQUESTS_AT_ONCE]:
            dispatch.frame(frame)
            if self._asked_all:
                return False
            done += 1
            if outbox.size > high or (queue and responses.full):
                break
        outbox.flush_now()
        self._rest = frames[done:]
        waiting = responses.entered - entered
        self.stats.slice_done(size, done, done - waiting, started, self._replica.zxid)
        if self._rest:
            return False
        if self._frames.broken is not None:
            self.stats.server.large_requests += 1
            log.info("%s: %s", self, self._frames.broken)
            self._over = True
            return False
        if dispatch.submitted:
            if self._services.crowded():
                return False
            dispatch.submitted = False
        return not (outbox.full or (queue and responses.full))

    async def _pause(self) -> None:
        """Read no more until some of what waits has gone; at least give others a turn."""
        self._outbox.flush_now()
        if not (self._outbox.full or self._responses.full):
            await trio.lowlevel.checkpoint()
        while self._outbox.full or self._responses.full:
            self._room = trio.Event()
            await self._room.wait()
            # Its pings may wait unread, but somebody takes our bytes, or our store is slow: no reason to expire it.
            self.attachment.touched = self._now()

    async def _part(self) -> None:
        """Let the peer read the last of it, then close."""
        try:
            if self._heard_all:
                return
            if not await self._transport.send_eof():
                await self._transport.aclose()
                return
            while await self._transport.receive(SLICE):
                pass
        except GONE:
            return

    def _end(self) -> None:
        """From now on no answer is owed, and no event; what is in the outbox still goes out."""
        self._ended = True
        self._asked_all = True
        self.attachment.alive = False
        self._responses.close()
        self._outbox.sealed = True

    def _drained(self) -> None:
        """The writer got rid of something: there is room again."""
        self._wake_reader()
        if self._responses.queue:
            self._flusher.mark(self)

    def _wake_reader(self) -> None:
        if self._room is not None:
            self._room.set()

    def __repr__(self) -> str:
        state = " ended" if self._ended else ""
        return f"<Connection {self.stats.host}:{self.stats.port} session {self.session:#x}{state}>"
