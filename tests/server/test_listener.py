"""The listener: real clients over loopback, and who is too much."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import pytest
import trio
import trio.testing
import trustme

from parkeeper.errors import ConfigError
from parkeeper.options import Limits, Options
from parkeeper.server.listener import Admission, ClientListener, descriptors_left, listen
from parkeeper.server.transport import Transport
from parkeeper.server.trouble import EVERY


def admission(most: int = 100, per_address: int = 0) -> tuple[Admission, list[int]]:
    """One that counts whom it refused."""
    refused: list[int] = []
    return Admission(most, per_address, lambda: refused.append(1)), refused


async def echo(transport: Transport) -> None:
    """Send back what comes, until the peer stops."""
    while chunk := await transport.receive(100):
        await transport.send_all(memoryview(chunk))


@asynccontextmanager
async def serving(admitted: Admission, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """An echo server on loopback; its port."""
    (sock,) = await listen(0, "127.0.0.1")
    listener = ClientListener(sock, admitted, tls)
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, echo, [listener])
        yield listener.port
        nursery.cancel_scope.cancel()


async def test_clients_come_in_and_are_counted_while_they_stay():
    """Each client is served with its address known, and counted until it has gone."""
    admitted, refused = admission()
    async with serving(admitted) as port:
        client = await trio.open_tcp_stream("127.0.0.1", port)
        await client.send_all(b"hello")
        assert await client.receive_some(10) == b"hello"
        assert admitted.count == 1
        await client.send_eof()
        assert await client.receive_some(10) == b""
        await client.aclose()
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert admitted.count == 0
    assert refused == []


async def test_the_address_is_that_of_the_peer():
    """Host and port of the transport are what the client's socket says of itself."""
    (sock,) = await listen(0, "127.0.0.1")
    admitted, _ = admission()
    async with ClientListener(sock, admitted) as listener:
        assert (listener.host, listener.port) == sock.getsockname()
        with closing(socket.create_connection(("127.0.0.1", listener.port))) as client:
            transport = await listener.accept()
            assert (transport.host, transport.port) == client.getsockname()
            await transport.aclose()


@pytest.mark.parametrize(("most", "per_address"), [(1, 0), (10, 1)])
async def test_one_too_many_is_closed_at_once_and_makes_room_for_none(most, per_address):
    """Above a limit a client finds its connection closed; those before it stay, and a gone one makes room."""
    admitted, refused = admission(most, per_address)
    async with serving(admitted) as port:
        first = await trio.open_tcp_stream("127.0.0.1", port)
        await first.send_all(b"1")
        assert await first.receive_some(10) == b"1"
        second = await trio.open_tcp_stream("127.0.0.1", port)
        assert await second.receive_some(10) == b""
        await second.aclose()
        assert refused == [1]
        await first.send_all(b"2")
        assert await first.receive_some(10) == b"2"
        await first.aclose()
        await trio.testing.wait_all_tasks_blocked(0.05)
        third = await trio.open_tcp_stream("127.0.0.1", port)
        await third.send_all(b"3")
        assert await third.receive_some(10) == b"3"
        await third.aclose()


async def test_refusals_fill_no_log(caplog, autojump_clock):
    """A flood of refused connections is one line each ten seconds, which says how many there were."""
    admitted, refused = admission(most=0)
    for _ in range(50):
        assert not admitted.enter("10.0.0.1")
    await trio.sleep(EVERY)
    assert not admitted.enter("10.0.0.1")
    assert len(refused) == 51
    assert [record.getMessage() for record in caplog.records] == [
        "closed a connection from 10.0.0.1: there are 0 connections, no more fit (1 refused since last told)",
        "closed a connection from 10.0.0.1: there are 0 connections, no more fit (50 refused since last told)",
    ]


async def test_addresses_are_counted_apart():
    """The limit is one of each address, and forgets an address without connections."""
    admitted, _ = admission(per_address=1)
    assert admitted.enter("10.0.0.1")
    assert admitted.enter("10.0.0.2")
    assert not admitted.enter("10.0.0.1")
    admitted.leave("10.0.0.1")
    assert admitted.enter("10.0.0.1")
    assert admitted.count == 2


def test_descriptors_are_spared():
    """Without a limit of its own a keeper takes what descriptors allow, less those it spares."""
    left = descriptors_left()
    admitted = Admission.by(Options(limits=Limits(spare_descriptors=left - 1)), lambda: None)
    assert admitted.enter("10.0.0.1")
    assert not admitted._most > 1
    with pytest.raises(ConfigError, match="to be spared"):
        Admission.by(Options(limits=Limits(spare_descriptors=left + 1)), lambda: None)


async def test_port_0_is_the_same_for_all_families():
    """Listening everywhere on a port of the kernel's choice gives one port, IPv6 included where there is any."""
    sockets = await listen(0)
    try:
        assert len({sock.getsockname()[1] for sock in sockets}) == 1
        assert len({sock.family for sock in sockets}) == len(sockets)
    finally:
        for sock in sockets:
            sock.close()


async def test_ipv6_clients_are_served():
    """A client over IPv6 has its address in Python's short form; a zone is no part of it."""
    try:
        (sock,) = await listen(0, "::1")
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    admitted, _ = admission()
    async with ClientListener(sock, admitted) as listener:
        with closing(socket.create_connection(("::1", listener.port))):
            transport = await listener.accept()
            assert transport.host == "::1"
            await transport.aclose()


async def test_a_port_is_shared_only_when_asked_for():
    """Two processes may share a port with SO_REUSEPORT; without it the second is told that it is taken."""
    (one,) = await listen(0, "127.0.0.1", reuse_port=True)
    port = one.getsockname()[1]
    with closing(one):
        (two,) = await listen(port, "127.0.0.1", reuse_port=True)
        two.close()
        with pytest.raises(OSError, match="in use"):
            await listen(port, "127.0.0.1")


async def test_a_name_without_an_address_is_a_mistake_of_configuration():
    """The error says what could not be listened on."""
    with pytest.raises(ConfigError, match=r"cannot listen on 300\.0\.0\.1"):
        await listen(0, "300.0.0.1")


async def test_a_closed_listener_accepts_no_more():
    """A task that waits in `accept` learns that the listener was closed."""
    (sock,) = await listen(0, "127.0.0.1")
    admitted, _ = admission()
    listener = ClientListener(sock, admitted)

    async def accept() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await listener.accept()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        await trio.testing.wait_all_tasks_blocked()
        await listener.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await listener.accept()


async def test_tls_clients_speak_the_same_protocol():
    """Over TLS the bytes are the same, and a client that does not handshake ends alone."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    (sock,) = await listen(0, "127.0.0.1")
    admitted, _ = admission()
    async with ClientListener(sock, admitted, server) as listener, trio.open_nursery() as nursery:
        plain = await trio.open_tcp_stream("127.0.0.1", listener.port)
        broken = await listener.accept()
        await plain.send_all(b"this is no TLS")
        with pytest.raises(trio.BrokenResourceError):
            await broken.receive(100)
        await broken.aclose()
        await plain.aclose()

        client = await trio.open_ssl_over_tcp_stream("127.0.0.1", listener.port, ssl_context=trust)
        transport = await listener.accept()
        nursery.start_soon(echo, transport)
        await client.send_all(b"secret")
        assert await client.receive_some(10) == b"secret"
        await client.aclose()
        nursery.cancel_scope.cancel()
    await trio.aclose_forcefully(transport)
