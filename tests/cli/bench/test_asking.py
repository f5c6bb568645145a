"""The requests of the load generator, byte for byte; the expected bytes are written by hand."""

from __future__ import annotations

import pytest

from parkeeper.cli.bench.asking import connect_request, create, requests
from parkeeper.cli.bench.load import Load, Work


def load(work: Work, nodes: int = 1) -> Load:
    return Load("127.0.0.1", 1, work, "/b", 1, 0, 1, 0, 1.0, nodes)


N0 = b"\0\0\0\x09/b/n00000"
WORLD = b"\0\0\0\x01\0\0\0\x1f\0\0\0\x05world\0\0\0\x06anyone"


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (Work.GET, b"\0\0\0\x16\0\0\0\x01\0\0\0\x04" + N0 + b"\0"),
        (Work.EXISTS, b"\0\0\0\x16\0\0\0\x01\0\0\0\x03" + N0 + b"\0"),
        (Work.CHILDREN, b"\0\0\0\x0f\0\0\0\x01\0\0\0\x0c\0\0\0\x02/b\0"),
        (Work.SET, b"\0\0\0\x1d\0\0\0\x01\0\0\0\x05" + N0 + b"\0\0\0\0\xff\xff\xff\xff"),
        (Work.CREATE, b"\0\0\0\x41\0\0\0\x01\0\0\0\x01\0\0\0\x12/b/c00000/k0000001\0\0\0\0" + WORLD + b"\0\0\0\0"),
        (
            Work.EPHEMERAL_SEQUENTIAL,
            b"\0\0\0\x3b\0\0\0\x01\0\0\0\x01\0\0\0\x0c/b/c00000/s-\0\0\0\0" + WORLD + b"\0\0\0\x03",
        ),
    ],
)  # fmt: skip
def test_request_is_what_the_protocol_says_when_made_ahead(work: Work, expected: bytes) -> None:
    """Length, xid 1, opcode, record."""
    assert requests(load(work), 0)() == expected


def test_xids_count_up_when_one_connection_asks_again() -> None:
    """The second request has xid 2."""
    following = requests(load(Work.GET), 0)
    following()
    assert following()[4:8] == b"\0\0\0\x02"


def test_mixed_sets_a_tenth_when_asked_often() -> None:
    """Nine gets for a set, within what chance allows."""
    following = requests(load(Work.MIXED, nodes=4), 0)
    sets = sum(following()[8:12] == b"\0\0\0\x05" for _ in range(4000))
    assert 300 < sets < 500


def test_create_is_open_to_everybody_and_persistent_when_nothing_else_is_said() -> None:
    """Path, data, one ACL entry world:anyone with all permissions, flags 0."""
    assert create("/a", b"d") == b"\0\0\0\x02/a\0\0\0\x01d" + WORLD + b"\0\0\0\0"


def test_connect_request_asks_for_a_new_session() -> None:
    """Version 0, zxid 0, 30 s, session 0, 16 zero bytes, not read-only."""
    expected = b"\0\0\0\x2d" + bytes(12) + b"\0\0\x75\x30" + bytes(8) + b"\0\0\0\x10" + bytes(16) + b"\0"
    assert connect_request(30_000) == expected
