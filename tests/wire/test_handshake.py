"""ConnectRequest and ConnectResponse, old and new."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kazoo.protocol.serialization import Connect

from parkeeper.errors import Malformed
from parkeeper.wire.handshake import (
    REFUSED_PASSWORD,
    ConnectRequest,
    connect_request,
    connect_response,
    session_refused,
)

PASSWORD = bytes(range(16))
OLD = bytes.fromhex("00000000 0000000000000007 00002710 fffffffffffffffe 00000010") + PASSWORD


def test_request_when_it_has_no_readonly_byte():
    """44 bytes, as Go sends it: read_only is None, not False."""
    assert len(OLD) == 44
    assert connect_request(OLD) == ConnectRequest(0, 7, 10_000, -2, PASSWORD, None)


@pytest.mark.parametrize(("byte", "value"), [(b"\x00", False), (b"\x01", True), (b"\x02", True)])
def test_request_when_it_has_the_readonly_byte(byte, value):
    """45 bytes, and whatever follows is ignored."""
    assert connect_request(OLD + byte).read_only is value
    assert connect_request(OLD + byte + b"more").read_only is value


def test_request_when_the_password_is_null():
    """Tolerated, with and without the byte behind it."""
    head = bytes.fromhex("00000001 0000000000000000 00000000 0000000000000000 ffffffff")
    assert connect_request(head) == ConnectRequest(1, 0, 0, 0, None, None)
    assert connect_request(head + b"\x01") == ConnectRequest(1, 0, 0, 0, None, True)


@pytest.mark.parametrize("size", range(len(OLD)))
def test_request_when_cut_off_is_malformed(size):
    """Up to the end of the password every byte is needed."""
    with pytest.raises(Malformed):
        connect_request(OLD[:size])


def test_request_when_the_password_length_is_impossible():
    """Below -1 is malformed, as everywhere."""
    with pytest.raises(Malformed):
        connect_request(OLD[:24] + b"\xff\xff\xff\xfe" + PASSWORD)


@given(st.binary(max_size=80))
def test_request_of_arbitrary_bytes(payload):
    """A record or Malformed, nothing else."""
    try:
        request = connect_request(payload)
    except Malformed:
        return
    assert isinstance(request, ConnectRequest)


def test_request_when_kazoo_wrote_it():
    """An independent encoder."""
    payload = bytes(Connect(0, 0x1234, 4000, 0x0100_0000_0000_0001, PASSWORD, True).serialize())
    assert connect_request(payload) == ConnectRequest(0, 0x1234, 4000, 0x0100_0000_0000_0001, PASSWORD, True)


HEAD = "00000000 00001770 0100000000000005 00000010 000102030405060708090a0b0c0d0e0f"


def test_response_has_the_readonly_byte_only_when_asked():
    """40 bytes for an old client and 41 for others: the C client counts them."""
    session = 0x0100_0000_0000_0005
    assert connect_response(6000, session, PASSWORD, None) == bytes.fromhex("00000024" + HEAD)
    assert connect_response(6000, session, PASSWORD, False) == bytes.fromhex("00000025" + HEAD + "00")
    assert connect_response(6000, session, PASSWORD, True) == bytes.fromhex("00000025" + HEAD + "01")


def test_response_when_the_session_is_refused():
    """Timeout 0, id 0 and sixteen zero bytes: every client has its own sign, all three must be there."""
    assert bytes(16) == REFUSED_PASSWORD
    assert session_refused(None) == bytes.fromhex(
        "00000024 00000000 00000000" + "00" * 8 + "00000010" + "00" * 16
    )
    assert session_refused(False)[:4] == b"\x00\x00\x00\x25"


def test_response_when_kazoo_reads_it():
    """An independent decoder."""
    packet = connect_response(6000, -5, PASSWORD, True)
    connected, end = Connect.deserialize(packet, 4)
    assert (connected.time_out, connected.session_id, connected.passwd) == (6000, -5, PASSWORD)
    assert connected.read_only is True
    assert end == len(packet)
