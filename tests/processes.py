"""Child processes that are servers: started, awaited, frozen, killed and started again, with their logs.

All of it is synchronous: use it from fixtures, or from a Trio test through `trio.to_thread.run_sync`.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

ROOT = Path(__file__).resolve().parents[1]
SERVERS = ROOT / ".servers"
READY_WITHIN = 40.0  # seconds; a JVM on a busy two-core machine needs up to ten


def unavailable(reason: str) -> None:
    """Skip this test for want of a server, or fail it where `CI=true`: there, everything must be present."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason} (and CI=true)", pytrace=False)
    pytest.skip(f"{reason}; `make test` fetches it")


def require(name: str) -> Path:
    """The folder of a fetched server, such as `etcd-3.5.1`; a bare `etcd` takes the first that is there."""
    for found in sorted(SERVERS.glob(f"{name}*")) if SERVERS.exists() else []:
        if found.name == name or "-" not in name:
            if name.startswith("zookeeper") and not shutil.which("java"):
                unavailable("there is no java here")
            return found
    unavailable(f"{name} is not in .servers/")
    raise AssertionError


# Ports -------------------------------------------------------------------------------------------------------

_reserved: list[int] = []  # descriptors, open until this process ends


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on and no other test process will be given while we live.

    Below the range from which the kernel takes ports for outgoing connections: a server that is down for a moment
    must find its port free when it comes back.
    """
    locks = Path(tempfile.gettempdir()) / f"parkeeper-test-ports-{os.getuid()}"
    locks.mkdir(exist_ok=True)
    for _ in range(1000):
        port = random.SystemRandom().randrange(15000, 32000)
        lock = os.open(locks / str(port), os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            os.close(lock)
            continue
        _reserved.append(lock)
        return port
    raise RuntimeError("found no free port in 1000 tries")


def http(method: str, url: str, body: bytes | None = None, timeout: float = 5.0) -> tuple[int, bytes]:
    """One HTTP request to a server of ours: (status, body), or (0, b"") when there was no answer."""
    request = urllib.request.Request(url, data=body, method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except OSError:
        return 0, b""


def wait_for(happened: Callable[[], bool], what: str, timeout: float = READY_WITHIN) -> None:
    """Ask every few milliseconds until it happened.

    Raises: `TimeoutError` that names what did not happen.
    """
    deadline = time.perf_counter() + timeout
    while not happened():
        if time.perf_counter() > deadline:
            raise TimeoutError(f"not within {timeout} s: {what}")
        time.sleep(0.02)


def listening(port: int) -> bool:
    """Whether somebody accepts connections on this port of 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError:
        return False
    return True


# Processes ---------------------------------------------------------------------------------------------------

RUNNING: list[Process] = []
"""Every server started and not closed: their logs are shown with a test that fails."""


class Process:
    """One child process with its log; it can be stopped, killed, frozen, and started again as it was.

    Args:
        name: for messages.
        command: program and arguments; must not fork.
        ready: tells whether it can be used; asked until it is so.
        folder: working directory, where `log` is written.
        environment: added to ours.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        ready: Callable[[], bool],
        folder: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.ready = ready
        self.folder = folder
        self.environment = dict(environment or {})
        self.log = folder / "log"
        self._child: subprocess.Popen[bytes] | None = None

    def launch(self) -> None:
        """Start, without waiting for anything."""
        assert not self.alive, f"{self.name} runs already"
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        if self not in RUNNING:
            RUNNING.append(self)

    def wait_ready(self) -> None:
        """Until it can be used.

        Raises: `RuntimeError` with the end of its log when it ended or took too long.
        """

        def usable() -> bool:
            if not self.alive:
                raise RuntimeError(f"{self.name} ended with {self.returncode}:\n{self.tail()}")
            return self.ready()

        try:
            wait_for(usable, f"{self.name} ready")
        except TimeoutError as error:
            raise RuntimeError(f"{error}:\n{self.tail()}") from error

    def start(self) -> None:
        self.launch()
        self.wait_ready()

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def returncode(self) -> int | None:
        return None if self._child is None else self._child.poll()

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    def signal(self, number: int) -> None:
        if self._child is not None and self.alive:
            self._child.send_signal(number)

    def wait(self, timeout: float = 15.0) -> int:
        """Wait for its end; returns the exit code."""
        assert self._child is not None
        return self._child.wait(timeout)

    def stop(self) -> None:
        """End it as an operator would (SIGTERM); killed after 15 s."""
        self.resume()
        self.signal(signal.SIGTERM)
        try:
            if self._child is not None:
                self.wait()
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it as a power cut would, as far as a process can tell (SIGKILL)."""
        self.signal(signal.SIGKILL)
        if self._child is not None:
            self.wait()

    def pause(self) -> None:
        """Freeze it: it keeps its connections and answers nothing. Returns when every thread of it stands still."""
        self.signal(signal.SIGSTOP)
        if self.alive:
            wait_for(self._frozen, f"{self.name} frozen")

    def _frozen(self) -> bool:
        states = []
        for stat in Path(f"/proc/{self.pid}/task").glob("*/stat"):
            with contextlib.suppress(OSError):  # a thread that ended meanwhile
                states.append(stat.read_text().rpartition(")")[2].split()[0])
        return all(state in "TtZX" for state in states)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def restart(self) -> None:
        """Stop it if it runs, then start it on the same ports and data."""
        self.stop()
        self.start()

    def close(self) -> None:
        self.kill()
        if self in RUNNING:
            RUNNING.remove(self)

    def tail(self, since: int = 0, limit: int = 4000) -> str:
        """The end of its log, from the offset `since` on, at most `limit` bytes."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(since, end - limit))
            return log.read().decode(errors="replace")


@atexit.register
def _close_all() -> None:
    while RUNNING:
        RUNNING[-1].close()


class Cluster:
    """One or more members of one kind, in one folder that goes away with them. A context manager."""

    members: list[Process]

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="parkeeper-test-"))

    def launch(self) -> None:
        """Start every member and wait until all are ready; if that fails, leave nothing behind."""
        try:
            for member in self.members:
                member.launch()
            for member in self.members:
                member.wait_ready()
        except BaseException:
            self.close()
            raise

    def _each(self, act: Callable[[Process], None]) -> None:
        for member in self.members:
            act(member)

    def stop(self) -> None:
        for member in self.members:  # all at once: a member alone waits for others before it ends
            member.resume()
            member.signal(signal.SIGTERM)
        self._each(Process.stop)

    def kill(self) -> None:
        self._each(Process.kill)

    def pause(self) -> None:
        self._each(Process.pause)

    def resume(self) -> None:
        self._each(Process.resume)

    def restart(self) -> None:
        """Stop what runs, then start all members on their ports and data and wait until they are ready."""
        self.stop()
        self.start()

    def start(self) -> None:
        """Start the members that do not run, and wait until all are ready."""
        for member in self.members:
            if not member.alive:
                member.launch()
        self._each(Process.wait_ready)

    def close(self) -> None:
        self._each(Process.close)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _home(self, name: str) -> Path:
        home = self.folder / name
        home.mkdir()
        return home
