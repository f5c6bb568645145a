"""Calls of etcd's JSON gateway: which member is asked, how long, and who may be asked again.

All use one member until it fails: cannot be reached, has no leader, gives no definite answer. Then the next one is
asked. A write is sent again only if it was certainly not applied; a read whenever it failed.
"""

from __future__ import annotations

import logging
from typing import Final

import httpx
import trio

from parkeeper.errors import InDoubt, NotApplied, StoreError, Unavailable
from parkeeper.store.etcd.auth import Auth
from parkeeper.store.etcd.refusals import NO_SPACE, NoSpace, TokenRefused, refusal
from parkeeper.store.http import Answer, Clients, TimedOut, origin, send
from parkeeper.store.lean_request import Target

log = logging.getLogger("parkeeper.store.etcd")

RANGE: Final = "/v3/kv/range"
TXN: Final = "/v3/kv/txn"
PUT: Final = "/v3/kv/put"
DELETE: Final = "/v3/kv/deleterange"
COMPACT: Final = "/v3/kv/compaction"
WATCH: Final = "/v3/watch"
STATUS: Final = "/v3/maintenance/status"
AUTHENTICATE: Final = "/v3/auth/authenticate"
VERSION: Final = "/version"
VARIABLES: Final = "/debug/vars"

READ = 2.0
"""Seconds for the first try of a read; twice as many after each that timed out, up to `LONGEST`."""

LONGEST = 16.0
"""Seconds for one try at most. etcd itself gives up after 7."""

REPEAT_FULL = 60.0
REPEAT_LEFT = 5.0
"""Seconds before the same trouble is logged again."""

_LEADER = (b"Grpc-Metadata-hasleader", b"true")
"""Makes a member without a leader refuse at once, and provably not apply, instead of hanging for 7 s."""

TARGETS = 64
"""Targets kept for one member."""

Headers = tuple[tuple[bytes, bytes], ...]


class Endpoint:
    """One member's address, with what is asked there prepared once.

    Args:
        host: name or address.
        port: of its client URL.
        tls: whether it speaks TLS.
    """

    def __init__(self, host: str, port: int, tls: bool) -> None:
        self._origin = origin(host, port, tls)
        self._targets: dict[tuple[str, str, Headers], Target] = {}

    def __str__(self) -> str:
        return self._origin

    def target(self, method: str, path: str, headers: Headers = ()) -> Target:
        """A path on this member, asked with these headers."""
        key = (method, path, headers)
        target = self._targets.get(key)
        if target is None:
            if len(self._targets) >= TARGETS:  # of tokens that were renewed
                self._targets.clear()
            target = self._targets[key] = Target(method, httpx.URL(self._origin + path), headers)
        return target


class Calls:
    """One etcd cluster.

    Args:
        endpoints: at least one.
        clients: TLS is theirs.
        auth: the user.
    """

    def __init__(self, endpoints: list[Endpoint], clients: Clients, auth: Auth) -> None:
        self._endpoints = endpoints
        self._at = 0
        self._said_full = self._said_left = float("-inf")
        self.clients = clients
        self.auth = auth

    @property
    def endpoint(self) -> Endpoint:
        """The member that is asked at present."""
        return self._endpoints[self._at]

    def leave(self, endpoint: Endpoint, why: object) -> None:
        """Ask the next member from now on, unless another task has left this one already."""
        if len(self._endpoints) > 1 and endpoint is self.endpoint:
            self._at = (self._at + 1) % len(self._endpoints)
            log.log(self._level(), "etcd: leaving %s for %s: %s", endpoint, self.endpoint, why)

    def message(self, path: str, body: bytes, within: float | None, leader: bool = True) -> httpx.Request:
        """A request to the present member, with the present token."""
        headers = (*self.auth.headers, _LEADER) if leader else self.auth.headers
        return self.endpoint.target("POST", path, headers).request(body, within=within)

    async def get(self, path: str, within: float = READ) -> Answer:
        """A plain GET, whatever its status; asks one member after the other.

        Raises:
            Unavailable: no member answers.
        """
        failure: StoreError | None = None
        for _ in self._endpoints:
            endpoint = self.endpoint
            try:
                return await send(self.clients.rest, endpoint.target("GET", path).request(within=within))
            except (Unavailable, InDoubt) as error:
                self.leave(endpoint, error)
                failure = error
        raise Unavailable(f"no etcd answers; the last try: {failure}") from failure

    async def once(
        self, client: httpx.AsyncClient, path: str, body: bytes, within: float, leader: bool = True
    ) -> bytes:
        """One try on one member; a refused token is renewed, since nothing was applied.

        Raises:
            StoreError: whatever the answer means (`parkeeper.store.etcd.refusals`), or the lack of one.
        """
        endpoint = self.endpoint
        try:
            return await self._authorized(client, path, body, within, leader)
        except NoSpace:
            self._say_full()
            raise
        except (Unavailable, InDoubt) as error:
            self.leave(endpoint, error)
            raise
        except trio.Cancelled:
            # Our caller's patience was shorter than ours; what let it wait would let the next call wait too.
            self.leave(endpoint, "a call was given up")
            raise

    def _say_full(self) -> None:
        now = trio.current_time()
        if now - self._said_full > REPEAT_FULL:
            self._said_full = now
            log.error(NO_SPACE)

    def _level(self) -> int:
        """When no member answers, the round goes on and on; once a while is enough."""
        now = trio.current_time()
        if now - self._said_left <= REPEAT_LEFT:
            return logging.DEBUG
        self._said_left = now
        return logging.WARNING

    async def _authorized(
        self, client: httpx.AsyncClient, path: str, body: bytes, within: float, leader: bool
    ) -> bytes:
        if self.auth.missing:
            await self.renew(client, self.auth.headers)
        for _ in range(2):
            token = self.auth.headers
            try:
                return await self._sent(client, self.message(path, body, within, leader))
            except TokenRefused:
                await self.renew(client, token)
        return await self._sent(client, self.message(path, body, within, leader))

    async def renew(self, client: httpx.AsyncClient, refused: tuple[tuple[bytes, bytes], ...]) -> None:
        """Get a token in place of the one refused; see `Auth.renew`."""

        async def authenticate(body: bytes) -> bytes:
            target = self.endpoint.target("POST", AUTHENTICATE, (_LEADER,))
            return await self._sent(client, target.request(body, within=LONGEST))

        await self.auth.renew(refused, authenticate)

    @staticmethod
    async def _sent(client: httpx.AsyncClient, message: httpx.Request) -> bytes:
        response = await send(client, message)
        if response.status_code == 200:
            return response.content
        raise refusal(response.status_code, response.content)

    async def write(self, client: httpx.AsyncClient, path: str, body: bytes, within: float) -> bytes:
        """A write, tried on one member after the other while it is certainly not applied.

        Raises:
            Unavailable: no member could take it.
            StoreError: as `once`.
        """
        for _ in self._endpoints[1:]:
            try:
                return await self.once(client, path, body, within)
            except Unavailable:
                continue
        return await self.once(client, path, body, within)

    async def read(self, path: str, body: bytes, within: float = READ) -> bytes:
        """A read, tried until a member answers, two rounds at least.

        Raises:
            Unavailable: none did.
            StoreError: as `once`, where the answer is definite.
        """
        tries = max(4, 2 * len(self._endpoints))
        failure: StoreError | None = None
        for number in range(tries):
            if number >= len(self._endpoints):
                await trio.sleep(0.05 * 2 ** min(number - len(self._endpoints), 4))
            try:
                return await self.once(self.clients.rest, path, body, within)
            except TimedOut as error:
                within = min(2 * within, max(within, LONGEST))
                failure = error
            except (Unavailable, InDoubt, NotApplied) as error:
                failure = error
        raise Unavailable(f"etcd did not answer in {tries} tries; the last: {failure}") from failure
