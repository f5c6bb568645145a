"""The pytest plugin: a running ZooKeeper as a fixture.

* `zookeeper`: an `Ensemble` with an empty tree, the same one all session long, as good as new for every test;
* `zookeeper_ensemble`: one of three keepers (or as many as asked for), made for this test;
* `zookeeper_factory`: makes more of them, `zookeeper_factory(keepers=5)`; they end with the test.

All of them obey the options `--zookeeper-backend URL`, `--zookeeper-keepers N` and `--zookeeper-tick MS`, and the ini
keys of the same names with underscores. When a test fails, what the sessions last asked is in the report, also for
unittest and for ensembles that a test made without a fixture. With `PARKEEPER_KAZOO_HARNESS=1` in the environment,
tests on `kazoo.testing` run on parkeeper too.

pytest imports this for everybody who has parkeeper installed, so it imports nothing before it is needed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, TypedDict

import pytest

if TYPE_CHECKING:
    from parkeeper.testing.ensemble import Ensemble

HARNESS: Final = "PARKEEPER_KAZOO_HARNESS"
"""Environment variable that puts parkeeper under `kazoo.testing`."""

_MARKS: Final = pytest.StashKey[dict["Ensemble", float]]()


class _Arguments(TypedDict):
    backend: str
    keepers: int
    tick: int


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, each on the command line and in the ini file."""
    group = parser.getgroup("zookeeper", "ZooKeeper (parkeeper)")
    for name, metavar, help in (
        (
            "backend",
            "URL",
            "where the tree lies: memory:// (default), etcd://HOST:PORT, consul://HOST:PORT, ...",
        ),
        ("keepers", "N", "servers in the ensemble: 1 (default; zookeeper_ensemble: 3)"),
        ("tick", "MS", "sessions expire in whole ticks: 200 (default)"),
    ):
        group.addoption(f"--zookeeper-{name}", metavar=metavar, default=None, help=help)
        parser.addini(f"zookeeper_{name}", help, default=None)


def pytest_configure(config: pytest.Config) -> None:  # noqa: ARG001 - the hook's signature
    """Put parkeeper under kazoo's own harness, if asked to."""
    if os.environ.get(HARNESS, "0") not in ("", "0"):
        from parkeeper.testing.kazoo import install

        install()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Note what was asked before this test."""
    module = sys.modules.get("parkeeper.testing.ensemble")
    if module is not None:
        module.ENDED.clear()
        item.stash[_MARKS] = {each: each.mark() for each in module.RUNNING}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what was asked during a test that failed."""
    report = yield
    if report.failed:
        nothing: dict[Ensemble, float] = {}
        marks = item.stash.get(_MARKS, nothing)
        for each in _of_this_test():
            if text := each.report(marks.get(each, 0.0)):
                report.sections.append((f"last requests to ZooKeeper {each.hosts}", text))
    return report


def _of_this_test() -> list[Ensemble]:
    """What ran during the test; what ended too."""
    module = sys.modules.get("parkeeper.testing.ensemble")
    return [] if module is None else [*module.RUNNING, *module.ENDED]


def _option(config: pytest.Config, name: str) -> str | None:
    """From the command line, else from the ini file."""
    said: object = config.getoption(f"--zookeeper-{name}") or config.getini(f"zookeeper_{name}")
    return None if said is None else str(said) or None


def _arguments(config: pytest.Config, keepers: int = 1) -> _Arguments:
    from parkeeper.testing.backends import MEMORY
    from parkeeper.testing.embedded import TICK

    try:
        return _Arguments(
            backend=_option(config, "backend") or MEMORY,
            keepers=int(_option(config, "keepers") or keepers),
            tick=int(_option(config, "tick") or TICK),
        )
    except ValueError as error:
        raise pytest.UsageError(f"zookeeper_keepers and zookeeper_tick are numbers: {error}") from error


@pytest.fixture(scope="session")
def _zookeeper_of_session(request: pytest.FixtureRequest) -> Iterator[Ensemble]:
    from parkeeper.testing.ensemble import Ensemble

    with Ensemble(**_arguments(request.config)) as ensemble:
        yield ensemble


@pytest.fixture
def zookeeper(_zookeeper_of_session: Ensemble) -> Ensemble:
    """A ZooKeeper with an empty tree, no sessions and no faults: a `parkeeper.testing.Ensemble`."""
    _zookeeper_of_session.reset()
    return _zookeeper_of_session


@pytest.fixture
def zookeeper_factory(request: pytest.FixtureRequest) -> Iterator[Callable[..., Ensemble]]:
    """Makes running ensembles: arguments as of `parkeeper.testing.Ensemble`."""
    from parkeeper.testing.ensemble import Ensemble

    with ExitStack() as stack:

        def make(**arguments: object) -> Ensemble:
            return stack.enter_context(Ensemble(**{**_arguments(request.config), **arguments}))  # type: ignore[arg-type]  # as the caller says

        yield make


@pytest.fixture
def zookeeper_ensemble(request: pytest.FixtureRequest) -> Iterator[Ensemble]:
    """An ensemble of three keepers, or as many as `--zookeeper-keepers` says, for this test only."""
    from parkeeper.testing.ensemble import Ensemble

    with Ensemble(**_arguments(request.config, keepers=3)) as ensemble:
        yield ensemble
