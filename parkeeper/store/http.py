"""HTTP to a store: four clients, TLS, and httpx's errors turned into ours.

Four `httpx.AsyncClient`s, each with its own connections, so that none can starve another: the change stream (an answer
that never ends), heartbeats (a beat must never stand behind a commit), commits (which may be cut off), and the rest.

Requests are built by a `Target`, not by the client, and go to the transport without a detour: a whole commit to
etcd (build, send, decode) took 0.29 ms of CPU so, and 0.77 ms with httpx's own transport and client (median of nine
alternating rounds of 300, two busy cores).
"""

from __future__ import annotations

import ssl
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from parkeeper.errors import ConfigError, InDoubt, Unavailable
from parkeeper.store.lean import BODY, LeanTransport
from parkeeper.store.lean_http import Body
from parkeeper.store.lean_request import content_of

CONNECT = 3.0
"""Seconds to make a connection: longer than a lost SYN (1 s) takes to be repeated."""


class TimedOut(InDoubt):
    """In doubt since no answer came in time: the next try may take longer."""


_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


def tls_context(
    ca_file: Path | None = None, cert_file: Path | None = None, key_file: Path | None = None
) -> ssl.SSLContext:
    """How we check the store's certificate, and what we show of ourselves.

    Args:
        ca_file: PEM file of the authorities that may vouch for the store; None: the system's.
        cert_file: PEM file of our own certificate, for stores that want one.
        key_file: PEM file of its key; None: it stands in `cert_file`.

    Raises:
        ConfigError: a file cannot be read, or is not what it should be.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(f"the CA file {ca_file} cannot be used: {error}") from error
    if cert_file is not None:
        try:
            context.load_cert_chain(cert_file, key_file)
        except OSError as error:
            raise ConfigError(
                f"the certificate {cert_file} with key {key_file} cannot be used: {error}"
            ) from error
    elif key_file is not None:
        raise ConfigError("a key file needs the certificate it belongs to")
    return context


def origin(host: str, port: int, tls: bool) -> str:
    """`http://host:port`, with an IPv6 address in brackets."""
    name = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{name}:{port}"


class Answer:
    """A whole answer.

    Attributes:
        status_code: of HTTP.
        headers: by name, in any case of letters.
        content: the body.
    """

    __slots__ = ("content", "headers", "status_code")

    def __init__(self, status_code: int, headers: httpx.Headers, content: bytes) -> None:
        self.status_code = status_code
        self.headers = headers
        self.content = content

    @property
    def text(self) -> str:
        """The body, for people."""
        return self.content.decode(errors="replace")


async def send(client: httpx.AsyncClient, message: httpx.Request) -> Answer:
    """One try: the answer, read whole.

    Raises:
        Unavailable: the request was certainly not sent.
        InDoubt: it may have been received (`TimedOut`: and no answer came within the request's time).
    """
    try:
        response = await client.send(message, stream=True)
        content = content_of(response)
        if content is None:
            content = await response.aread()
    except (httpx.TransportError, httpx.DecodingError) as error:
        raise translated(error, message.url) from error
    return Answer(response.status_code, response.headers, content)


def translated(error: httpx.RequestError, url: httpx.URL) -> Unavailable | InDoubt:
    """What a broken exchange with the server of a URL means for what was asked."""
    text = f"{url.netloc.decode()}: {str(error) or type(error).__name__}"
    if isinstance(error, _NOT_SENT):
        return Unavailable(text)
    return TimedOut(text) if isinstance(error, httpx.ReadTimeout) else InDoubt(text)


class Streaming:
    """An answer that is read as it comes: `async with Streaming(client, request) as answer`.

    Leaving the block closes its connection, which is how a server learns that nobody listens any more.

    Attributes:
        response: status and headers, once entered.
    """

    response: httpx.Response

    def __init__(self, client: httpx.AsyncClient, message: httpx.Request) -> None:
        self._client = client
        self._message = message

    async def __aenter__(self) -> Self:
        """Send the request and wait for the head of the answer; no time limit but that of connecting.

        Raises:
            Unavailable, InDoubt: as `send`.
        """
        try:
            self.response = await self._client.send(self._message, stream=True)
        except httpx.TransportError as error:
            raise translated(error, self._message.url) from error
        self._body: Body = self.response.extensions[BODY]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.response.aclose()

    async def read(self) -> bytes:
        """The next bytes; b"" when the answer has ended.

        Raises:
            InDoubt: the connection broke.
        """
        try:
            return await self._body.read()
        except httpx.TransportError as error:
            raise translated(error, self._message.url) from error


class Clients:
    """The four clients of one store.

    Args:
        context: TLS, None for plain HTTP.

    Attributes:
        stream: for the change stream.
        beats: for heartbeats.
        commits: for commits.
        rest: for everything else.
    """

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self.stream = _client(context, size=8)
        self.beats = _client(context, size=4)
        self.commits = _client(context, size=4)
        self.rest = _client(context, size=64)

    async def aclose(self) -> None:
        """Close all connections, those in use too."""
        for client in (self.stream, self.beats, self.commits, self.rest):
            await client.aclose()


class LeanClient(httpx.AsyncClient):
    """A client without what no store uses: redirects, cookies, authentication flows, hooks.

    They cost 110 us of CPU a request even when there is nothing to do.

    Args:
        transport: where requests go.

    Attributes:
        cut: see `LeanTransport.cut`.
    """

    def __init__(self, transport: LeanTransport) -> None:
        # trust_env would send the store's traffic through a proxy meant for the web.
        super().__init__(transport=transport, trust_env=False)
        self._lean = transport
        self.cut = transport.cut

    async def send(
        self,
        request: httpx.Request,
        *,
        stream: bool = False,
        auth: object = None,  # noqa: ARG002, part of the signature
        follow_redirects: object = None,  # noqa: ARG002
    ) -> httpx.Response:
        """As `httpx.AsyncClient.send`; `auth` and `follow_redirects` are not heeded."""
        response = await self._lean.handle_async_request(request)
        response.request = request
        if not stream:
            await response.aread()
        return response


def _client(context: ssl.SSLContext | None, size: int) -> LeanClient:
    return LeanClient(LeanTransport(context, size=size, connect=CONNECT))
