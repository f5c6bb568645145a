"""etcd's error answers, as real servers gave them, and what they mean."""

import pytest

from parkeeper.errors import (
    AccessDenied,
    Compacted,
    Incompatible,
    InDoubt,
    NotApplied,
    Rejected,
    StoreError,
    Unavailable,
    WentBack,
)
from parkeeper.store.etcd.refusals import AuthOff, NoSpace, TokenRefused, refusal

V1 = '{{"error":"{0}","code":{1},"message":"{0}"}}'
V2 = '{{"code":{1}, "message":"{0}"}}'

KNOWN: list[tuple[int, int, str, type[StoreError]]] = [
    (400, 3, "etcdserver: request is too large", Rejected),
    (400, 3, "etcdserver: too many operations in txn request", Rejected),
    (400, 3, "etcdserver: duplicate key given in txn request", Rejected),
    (400, 3, "etcdserver: user name is empty", TokenRefused),
    (401, 16, "etcdserver: invalid auth token", TokenRefused),
    (400, 3, "etcdserver: revision of auth store is old", TokenRefused),
    (400, 3, "etcdserver: authentication failed, invalid user ID or password", AccessDenied),
    (400, 9, "etcdserver: authentication is not enabled", AuthOff),
    (412, 9, "etcdserver: authentication is not enabled", AuthOff),
    (403, 7, "etcdserver: permission denied", AccessDenied),
    (400, 11, "etcdserver: mvcc: required revision has been compacted", Compacted),
    (400, 11, "etcdserver: mvcc: required revision is a future revision", WentBack),
    (429, 8, "grpc: received message larger than max (2097162 vs. 2097152)", Rejected),
    (429, 8, "etcdserver: mvcc: database space exceeded", NoSpace),
    (429, 8, "etcdserver: too many requests", NotApplied),
    (503, 14, "etcdserver: no leader", Unavailable),
    (503, 14, "etcdserver: request timed out", InDoubt),
    (503, 14, "etcdserver: request timed out, possibly due to previous leader failure", InDoubt),
    (503, 14, "etcdserver: leader changed", InDoubt),
    (504, 4, "context deadline exceeded", InDoubt),
    (500, 2, "context deadline exceeded", InDoubt),
    (503, 14, "error reading from server: EOF", InDoubt),
    (500, 2, "etcdserver: server stopped", InDoubt),
    (500, 13, "something nobody has seen yet", InDoubt),
]


@pytest.mark.parametrize("dialect", [V1, V2])
@pytest.mark.parametrize(("status", "code", "message", "kind"), KNOWN)
def test_refusal_of_each_gateway(
    status: int, code: int, message: str, kind: type[StoreError], dialect: str
) -> None:
    """The same text means the same from both; it is kept for the log."""
    error = refusal(status, dialect.format(message, code).encode())
    assert type(error) is kind
    assert message in str(error)


def test_no_space_is_a_doubt() -> None:
    """Whoever does not know it by name must not take it for a refusal."""
    assert issubclass(NoSpace, InDoubt)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (
            400,
            b"CommonName of client sending a request against gateway will be ignored and not used",
            AccessDenied,
        ),
        (404, b"404 page not found\n", Incompatible),
        (405, b"Method Not Allowed\n", Incompatible),
        (502, b"<html>bad gateway</html>", InDoubt),
        (503, b"", InDoubt),
        (500, b"\xff\xfe", InDoubt),
        (500, b"[1, 2]", InDoubt),
    ],
)
def test_refusal_that_is_not_the_gateways(status: int, body: bytes, kind: type[StoreError]) -> None:
    """What is not JSON is judged by its text and status, and in doubt otherwise."""
    assert type(refusal(status, body)) is kind
