"""The notification packet."""

from kazoo.protocol.serialization import ReplyHeader, Watch

from parkeeper.wire.events import CATCH_UP_ZXID, EventType, event


def test_event_when_a_node_was_created():
    """Header with xid -1, the change's zxid and no error; then type, state 3 and path."""
    assert event(0x1_0000_0002, EventType.CREATED, "/a") == bytes.fromhex(
        "0000001e ffffffff 0000000100000002 00000000 00000001 00000003 00000002 2f61"
    )


def test_event_when_setwatches_catches_up():
    """The header zxid is -1, and the length counts bytes of UTF-8."""
    assert event(CATCH_UP_ZXID, EventType.CHILDREN_CHANGED, "/\u20ac") == bytes.fromhex(
        "00000020 ffffffff ffffffffffffffff 00000000 00000004 00000003 00000004 2fe282ac"
    )


def test_event_when_kazoo_reads_it():
    """An independent decoder sees the same event."""
    packet = event(7, EventType.DELETED, "/gone")
    header, at = ReplyHeader.deserialize(packet, 4)
    assert header == (-1, 7, 0)
    assert Watch.deserialize(packet, at) == ((2, 3, "/gone"), len(packet))


def test_event_types_have_the_numbers_of_zookeeper():
    """1 created, 2 deleted, 3 data changed, 4 children changed."""
    assert [int(kind) for kind in EventType] == [1, 2, 3, 4]
    assert [kind.name for kind in EventType] == ["CREATED", "DELETED", "DATA_CHANGED", "CHILDREN_CHANGED"]
