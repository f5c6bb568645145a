"""Bounds of the embedded stores."""

import pytest

from parkeeper.errors import Rejected
from parkeeper.store.bounds import Bounds
from parkeeper.store.facade import Commit
from parkeeper.store.urls import StoreOptions

BOUNDS = Bounds(operations=3, request=100, value=50)


def commit(puts: dict[str, bytes], deletes: tuple[str, ...] = ()) -> Commit:
    return Commit(0, None, {}, puts, deletes)


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        (commit({"a": b"", "b": b""}, ("c", "d")), "4 puts and deletes in one commit, 3 are allowed"),
        (commit({"node/a": bytes(51)}), "the value of 'node/a' has 51 bytes, 50 are allowed"),
        (
            commit({"a": bytes(50), "b": bytes(49)}),
            "101 bytes of names and values in one commit, 100 are allowed",
        ),
    ],
)
def test_check_when_over_a_bound(refused: Commit, message: str) -> None:
    """The error names what is too large, how large it is, and the bound."""
    with pytest.raises(Rejected) as caught:
        BOUNDS.check(refused)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "allowed", [commit({"a": b"", "b": b""}, ("c",)), commit({"a": bytes(50), "b": bytes(48)})]
)
def test_check_when_at_the_bound(allowed: Commit) -> None:
    """The bound itself is allowed, by `check` as by `fits`."""
    BOUNDS.check(allowed)
    size = sum(len(name) + len(value) for name, value in allowed.puts.items()) + sum(
        map(len, allowed.deletes)
    )
    assert BOUNDS.fits(len(allowed.puts), len(allowed.deletes), size)


def test_bounds_when_options_ask_for_others() -> None:
    """Options win; no value is larger than a request."""
    assert Bounds.of(StoreOptions(max_txn_ops=7, max_request_bytes=1000)) == Bounds(7, 1000, 1000)
    assert Bounds.of(StoreOptions()) == Bounds(4096, 8 << 20, 2 << 20)
