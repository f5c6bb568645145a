"""The contract suite's stores: every backend of `tests.store.backends`, in turn."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

import pytest

from parkeeper.store.urls import StoreOptions
from tests.store.backends import BACKENDS, Pair


class OpenPair(Protocol):
    """Opens a pair with options of one's own."""

    def __call__(self, options: StoreOptions = ...) -> AbstractAsyncContextManager[Pair]: ...


@pytest.fixture(params=sorted(BACKENDS))
def open_pair(request: pytest.FixtureRequest, tmp_path: Path) -> OpenPair:
    """For tests that need other options than the default; to be called once."""
    opener = BACKENDS[request.param]

    def call(options: StoreOptions | None = None) -> AbstractAsyncContextManager[Pair]:
        return opener(options or StoreOptions(), tmp_path)

    return call


@pytest.fixture
async def store_pair(open_pair: OpenPair) -> AsyncIterator[Pair]:
    """Two facades over one empty store, opened with the default options."""
    async with open_pair() as pair:
        yield pair
