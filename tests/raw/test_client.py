"""The raw client speaks to a real ZooKeeper, so what it is told there can be trusted elsewhere."""

from __future__ import annotations

import trio

from tests.raw import decode, encode
from tests.raw.client import RawClient, TrioRawClient
from tests.servers import ZooKeeper


def test_every_request_is_understood_by_zookeeper(zookeeper: ZooKeeper) -> None:
    """Each body builder makes a record that ZooKeeper takes, and each reply is read to its last byte."""
    with RawClient.connected(zookeeper.address) as client:
        asked = [
            (encode.CREATE, encode.create("/raw", b"x")),
            (encode.CREATE2, encode.create("/raw/2", None)),
            (encode.CREATE_CONTAINER, encode.create("/raw/c", b"", flags=4)),
            (encode.CREATE_TTL, encode.create_ttl("/raw/t")),
            (encode.EXISTS, encode.path_watch("/raw", True)),
            (encode.GET_DATA, encode.path_watch("/raw/2")),
            (encode.SET_DATA, encode.set_data("/raw", b"y", 0)),
            (encode.GET_ACL, encode.only_path("/raw")),
            (encode.SET_ACL, encode.set_acl("/raw", encode.OPEN, 0)),
            (encode.GET_CHILDREN, encode.path_watch("/raw")),
            (encode.GET_CHILDREN2, encode.path_watch("/raw")),
            (encode.GET_ALL_CHILDREN_NUMBER, encode.only_path("/raw")),
            (encode.GET_EPHEMERALS, encode.only_path("/")),
            (encode.SYNC, encode.only_path("/raw")),
            (encode.PING, b""),
            (encode.AUTH, encode.auth("digest", b"a:b")),
            (encode.WHO_AM_I, b""),
            (encode.ADD_WATCH, encode.path_type("/raw", 1)),
            (encode.CHECK_WATCHES, encode.path_type("/raw", 5)),
            (encode.REMOVE_WATCHES, encode.path_type("/raw", 5)),
            (encode.SET_WATCHES, encode.set_watches(2**40, ["/raw"])),
            (encode.SET_WATCHES2, encode.set_watches2(2**40, recursive=["/raw"])),
            (encode.MULTI_READ, encode.multi([(encode.GET_DATA, encode.path_watch("/raw"))])),
            (encode.SASL, encode.sasl()),
            (encode.MULTI, encode.multi([(encode.CHECK, encode.path_version("/raw", 1))])),
            (encode.DELETE, encode.path_version("/raw/2", 0)),
        ]
        for op, body in asked:
            xid = encode.PING_XID if op == encode.PING else None
            answer = client.call(op, body, xid)
            assert answer.err == 0, (op, answer)
            assert "extra" not in decode.body(op, answer), (op, answer)
        assert [(event.type, event.path) for event in client.events] == [(3, "/raw"), (2, "/raw/2")]
        assert client.call(encode.RECONFIG, encode.reconfig()).err == -123
        assert client.close_session().err == 0


async def test_a_trio_stream_carries_the_same(zookeeper: ZooKeeper) -> None:
    """The Trio client has the same words: a session, a call, its end."""
    client = TrioRawClient(await trio.open_tcp_stream(*zookeeper.address))
    answer = await client.connect(timeout=1000, read_only=False)
    assert (answer.protocol, answer.timeout, answer.read_only) == (0, 1000, False)
    assert (await client.call(encode.EXISTS, encode.path_watch("/nothing"))).err == -101
    assert (await client.close_session()).err == 0
