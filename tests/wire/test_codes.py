"""Error codes: the numbers, and that no client dies of one."""

from kazoo.exceptions import EXCEPTIONS

from parkeeper.wire.codes import Code


def test_codes_have_the_numbers_of_zookeeper():
    """The ones an application branches on, by their numbers in KeeperException.Code."""
    numbers = {
        Code.OK: 0,
        Code.RUNTIME_INCONSISTENCY: -2,
        Code.MARSHALLING_ERROR: -5,
        Code.UNIMPLEMENTED: -6,
        Code.BAD_ARGUMENTS: -8,
        Code.NO_NODE: -101,
        Code.NO_AUTH: -102,
        Code.BAD_VERSION: -103,
        Code.NO_CHILDREN_FOR_EPHEMERALS: -108,
        Code.NODE_EXISTS: -110,
        Code.NOT_EMPTY: -111,
        Code.SESSION_EXPIRED: -112,
        Code.INVALID_ACL: -114,
        Code.AUTH_FAILED: -115,
        Code.SESSION_MOVED: -118,
        Code.NOT_READ_ONLY: -119,
        Code.NO_WATCHER: -121,
        Code.RECONFIG_DISABLED: -123,
        Code.QUOTA_EXCEEDED: -125,
        Code.THROTTLED_OP: -127,
    }
    assert all(int(code) == number for code, number in numbers.items())


def test_kazoo_knows_every_code():
    """kazoo's connection thread ends with a RuntimeError on a code outside its own table."""
    known = set(EXCEPTIONS) | {0}
    assert {int(code) for code in Code} <= known
