"""The clients of a store: TLS as a server sees it, and what errors become."""

import gzip
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trio
import trustme

from parkeeper.errors import ConfigError, InDoubt, Unavailable
from parkeeper.store.http import Clients, Streaming, TimedOut, origin, send, tls_context
from parkeeper.store.lean_request import Target

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@asynccontextmanager
async def tls_server(context: ssl.SSLContext) -> AsyncIterator[int]:
    """Answers every chunk with `OK`; yields its port."""

    async def serve(stream: trio.SSLStream[trio.SocketStream]) -> None:
        try:
            while await stream.receive_some():
                await stream.send_all(OK)
        except trio.BrokenResourceError:
            pass  # a client that does not like our certificate
        finally:
            stream.transport_stream.socket.close()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_ssl_over_tcp, serve, 0, context)
        yield listeners[0].transport_listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel("done")


async def get(clients: Clients, port: int, name: str = "localhost") -> bytes:
    url = httpx.URL(f"https://{name}:{port}/")
    with trio.fail_after(10):
        return (await send(clients.rest, Target("GET", url).request(within=5.0))).content


def server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    return context


async def test_tls_when_the_server_is_vouched_for(authority: trustme.CA, ca_file: Path) -> None:
    """Requests go over TLS, several over one connection."""
    async with tls_server(server_context(authority.issue_cert("localhost"))) as port:
        clients = Clients(tls_context(ca_file))
        assert [await get(clients, port) for _ in range(3)] == [b"ok"] * 3
        await clients.aclose()


@pytest.mark.parametrize("fault", ["another authority", "another name"])
async def test_tls_when_the_server_is_not_whom_we_want(
    authority: trustme.CA, ca_file: Path, fault: str
) -> None:
    """Nothing is sent to it, and the error says what is wrong with its certificate."""
    certificate = (
        trustme.CA().issue_cert("localhost")
        if fault == "another authority"
        else authority.issue_cert("elsewhere.example")
    )
    async with tls_server(server_context(certificate)) as port:
        clients = Clients(tls_context(ca_file))
        with pytest.raises(Unavailable, match="certificate verify failed"):
            await get(clients, port)
        await clients.aclose()


async def test_tls_when_the_server_wants_a_certificate(
    authority: trustme.CA, ca_file: Path, tmp_path: Path
) -> None:
    """Ours is shown; without one the server hangs up."""
    context = server_context(authority.issue_cert("localhost"))
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    own = authority.issue_cert("keeper@parkeeper.example")
    certificate, key = tmp_path / "own.pem", tmp_path / "own.key"
    own.private_key_pem.write_to_path(str(key))
    for pem in own.cert_chain_pems:
        pem.write_to_path(str(certificate), append=True)
    async with tls_server(context) as port:
        clients = Clients(tls_context(ca_file, certificate, key))
        assert await get(clients, port) == b"ok"
        await clients.aclose()
        strangers = Clients(tls_context(ca_file))
        with pytest.raises((InDoubt, Unavailable)):
            await get(strangers, port)
        await strangers.aclose()


def test_tls_files_that_cannot_be_used(ca_file: Path, tmp_path: Path) -> None:
    """The error names the file."""
    missing, nonsense = tmp_path / "missing.pem", tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    for path in (missing, nonsense):
        with pytest.raises(ConfigError, match=path.name):
            tls_context(path)
        with pytest.raises(ConfigError, match=path.name):
            tls_context(ca_file, path)
    with pytest.raises(ConfigError, match="needs the certificate"):
        tls_context(ca_file, None, ca_file)


def test_origin_of_addresses() -> None:
    """An IPv6 address stands in brackets."""
    assert origin("10.0.0.1", 2379, False) == "http://10.0.0.1:2379"
    assert origin("::1", 8501, True) == "https://[::1]:8501"


async def test_send_gives_the_answer_whatever_it_is() -> None:
    """Status, headers by name, the body, and what of it people can read."""
    clients = Clients(None)
    said = b"HTTP/1.1 500 Oh\r\nX-Consul-Index: 7\r\nContent-Length: 3\r\n\r\nno\xff"
    async with saying(said) as url:
        answer = await send(clients.rest, Target("GET", url).request(within=5.0))
        await clients.aclose()
    assert (answer.status_code, answer.headers["x-consul-index"]) == (500, "7")
    assert (answer.content, answer.text) == (b"no\xff", "no\ufffd")


@pytest.mark.parametrize("coding", [b"gzip", b"identity"])
async def test_send_when_the_answer_is_in_a_coding(coding: bytes) -> None:
    """A proxy may compress what we asked to be left as it is."""
    clients = Clients(None)
    body = gzip.compress(b"text") if coding == b"gzip" else b"text"
    said = b"HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n" % (coding, len(body))
    async with saying(said + body) as url:
        assert (await send(clients.rest, Target("GET", url).request(within=5.0))).content == b"text"
        await clients.aclose()


async def test_send_when_the_answer_is_not_in_its_coding() -> None:
    """In doubt, as whatever is not what a server of ours would say."""
    clients = Clients(None)
    async with saying(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok") as url:
        with pytest.raises(InDoubt, match="incorrect header check"):
            await send(clients.rest, Target("GET", url).request(within=5.0))
        await clients.aclose()


async def test_send_without_a_time() -> None:
    """The answer is read whole all the same, and its connection is free then."""
    clients = Clients(None)
    async with saying(OK) as url:
        assert (await send(clients.rest, Target("GET", url).request(within=None))).content == b"ok"
        assert "0 busy" in repr(clients.rest._lean)  # type: ignore[attr-defined]
        await clients.aclose()


async def test_send_when_nobody_listens() -> None:
    """Certainly not sent."""
    clients = Clients(None)
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1"):
        await send(clients.rest, Target("GET", httpx.URL("http://127.0.0.1:1/")).request(within=1.0))
    await clients.aclose()


@asynccontextmanager
async def saying(answer: bytes) -> AsyncIterator[httpx.URL]:
    """A server that answers whatever it is sent, and then hangs up if it said anything."""

    async def serve(stream: trio.SocketStream) -> None:
        with stream.socket:
            await stream.receive_some()
            if answer:
                await stream.send_all(answer)
            else:
                await stream.receive_some()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        yield httpx.URL(f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/")
        nursery.cancel_scope.cancel("done")


async def test_send_when_the_answer_is_cut_off() -> None:
    """In doubt."""
    clients = Clients(None)
    async with saying(OK[:-1]) as url:
        with pytest.raises(InDoubt, match="closed the connection"):
            await send(clients.rest, Target("GET", url).request(within=5.0))
        await clients.aclose()


async def test_send_when_no_answer_comes() -> None:
    """In doubt, and told from other doubts."""
    clients = Clients(None)
    async with saying(b"") as url:
        with pytest.raises(TimedOut, match="no answer within"):
            await send(clients.rest, Target("GET", url).request(within=0.05))
        await clients.aclose()


async def test_streaming_when_the_answer_is_cut_off() -> None:
    """What came is there to be read, then it is in doubt."""
    clients = Clients(None)
    async with saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n") as url:
        async with Streaming(clients.stream, Target("GET", url).request(within=None)) as answer:
            assert answer.response.status_code == 200
            assert await answer.read() == b"ok"
            with pytest.raises(InDoubt, match="closed the connection"):
                await answer.read()
        await clients.aclose()


async def test_streaming_when_nobody_listens() -> None:
    """Certainly not sent."""
    clients = Clients(None)
    with pytest.raises(Unavailable):
        async with Streaming(
            clients.stream, Target("GET", httpx.URL("http://127.0.0.1:1/")).request(within=None)
        ):
            raise AssertionError("there is nobody")
    await clients.aclose()
