"""User and password to token: got when first needed, renewed when refused.

Tokens of the default kind live 300 s after their last use, on one member only, and are forgotten when a member
restarts: being refused is ordinary. When authentication is switched off a token becomes an error by itself on
etcd before 3.5.30, so it is dropped then; when it is switched on, the first refusal brings us here.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import msgspec
import trio

from parkeeper.errors import AccessDenied
from parkeeper.store.etcd.messages import AUTH_REPLY, decoded
from parkeeper.store.etcd.refusals import AuthOff

log = logging.getLogger("parkeeper.store.etcd")


class Auth:
    """The token of one user.

    Args:
        user: None: nobody.
        password: of that user.

    Attributes:
        headers: what every request carries: the token, or nothing. Replaced, never changed, by `renew`.
    """

    def __init__(self, user: str | None, password: str | None) -> None:
        self._user = user
        self._body = msgspec.json.encode({"name": user or "", "password": password or ""})
        self._lock = trio.Lock()
        self._off = False
        self.headers: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def missing(self) -> bool:
        """Whether a token should be got before anything is asked: there is a user, and etcd wants one."""
        return self._user is not None and not self.headers and not self._off

    async def renew(
        self, refused: tuple[tuple[bytes, bytes], ...], authenticate: Callable[[bytes], Awaitable[bytes]]
    ) -> None:
        """Get another token than the one refused, unless another task has got it meanwhile.

        Args:
            refused: `headers` of the request that was refused.
            authenticate: sends a body to `/v3/auth/authenticate` and returns the answer's.

        Raises:
            AccessDenied: there is no user, or its password is wrong.
            StoreError: what `authenticate` raises.
        """
        if self._user is None:
            raise AccessDenied("etcd has authentication enabled: give parkeeper a user and a password")
        async with self._lock:
            if self.headers is not refused:
                return
            try:
                token = decoded(AUTH_REPLY, await authenticate(self._body)).token
            except AuthOff:
                log.warning("authentication is not enabled on this etcd: user %r is not used", self._user)
                self.headers, self._off = (), True
                return
            except AccessDenied as error:
                raise AccessDenied(f"etcd refuses user {self._user!r} with this password: {error}") from error
            self._off = False
            self.headers = ((b"Authorization", token.encode("ascii")),)
