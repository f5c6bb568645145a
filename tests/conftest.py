"""Fixtures that start real servers once for a test run, and show their logs with a test that fails; figures at the end."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

import parkeeper
from tests import processes
from tests.servers import ETCDS, Consul, Etcd, ZooKeeper

_PACKAGE = Path(parkeeper.__file__).parent


def pytest_configure() -> None:
    """Refuse to test compiled modules that are older than the source one believes to test."""
    if not any(_PACKAGE.rglob("*.so")):
        return
    stamp = _PACKAGE.parent / "build/.compiled"  # its time: when the build began
    built = stamp.stat().st_mtime if stamp.exists() else 0.0
    if any(source.stat().st_mtime > built for source in _PACKAGE.rglob("*.py")):
        pytest.exit(
            "compiled modules are older than their source: `make compiled`, or `make pure`", returncode=4
        )


_starts: dict[processes.Process, int] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    _starts.clear()
    for process in processes.RUNNING:
        _starts[process] = process.log.stat().st_size
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        for process in processes.RUNNING:
            if said := process.tail(since=_starts.get(process, 0)):
                report.sections.append((f"log of {process.name}", said))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests told with `record_property("figures", ...)`, from whichever process."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    told = [str(value) for one in reports for name, value in one.user_properties if name == "figures"]
    if told:
        terminalreporter.section("figures")
        for line in told:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session", params=ETCDS)
def any_etcd(request: pytest.FixtureRequest) -> Iterator[Etcd]:
    """One member of each etcd in turn; shared: a test uses a prefix of its own."""
    with Etcd(version=request.param) as etcd:
        yield etcd


@pytest.fixture(scope="session")
def etcd() -> Iterator[Etcd]:
    """One member of etcd 3.5.1; shared: a test uses a prefix of its own."""
    with Etcd() as etcd:
        yield etcd


@pytest.fixture(scope="session")
def consul() -> Iterator[Consul]:
    """One Consul server; shared: a test uses a prefix of its own."""
    with Consul() as consul:
        yield consul


@pytest.fixture(scope="session")
def zookeeper() -> Iterator[ZooKeeper]:
    """ZooKeeper 3.9.3 with a tick of 200 ms; shared."""
    with ZooKeeper(tick_time=200) as zookeeper:
        yield zookeeper
