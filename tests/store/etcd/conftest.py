"""Fixtures of the tests of etcd."""

import pytest


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit gets ten seconds: for tests in which a busy machine must not make it doubtful."""
    monkeypatch.setattr("parkeeper.store.etcd.patience.FIRST_TRY", 10.0)
