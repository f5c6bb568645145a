"""A disk that is full and a database that somebody else holds: what `parkeeper serve` says, and what it never does.

No file of the child may grow beyond a bound (RLIMIT_FSIZE): the kernel refuses its writes like those to a full disk.
"""

from __future__ import annotations

import resource
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.keepers import Keepers
from tests.processes import ROOT, Process, wait_for
from tests.raw import encode as raw
from tests.raw.client import Closed, RawClient

pytestmark = pytest.mark.slow

DATA = bytes(5000)
ROOM = 400_000
# A file of byte code that is cut off would harm whoever imports it next.
CLEAN = {"PYTHONDONTWRITEBYTECODE": "1"}


def serve(path: Path, *flags: str, room: int = 1 << 30) -> subprocess.CompletedProcess[str]:
    """`parkeeper serve` on a file that it cannot use, until it ends; no file may get more bytes than `room`."""
    return subprocess.run(
        [
            *("sh", "-c", f'ulimit -f {room // 512}; exec "$@"', "sh"),
            *(sys.executable, "-m", "parkeeper.cli", "serve", "--bind-addr", "127.0.0.1:0"),
            *("--backend-url", f"sqlite://{path}", *flags),
        ],
        env={"PYTHONPATH": str(ROOT), **CLEAN},
        stderr=subprocess.PIPE,
        text=True,
        timeout=30,
        check=False,
    )


class Disk:
    """Of one process."""

    def __init__(self, process: Process) -> None:
        self.pid = process.pid
        self.before = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)

    def fill(self, room: int = ROOM) -> None:
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (room, self.before[1]))

    def empty(self) -> None:
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, self.before)


class Writer:
    """Writes as much as it can, and keeps what was acknowledged."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.session = 0
        self.password: bytes | None = bytes(16)
        self.acknowledged: list[str] = []
        self.sent = 0

    def connect(self) -> RawClient:
        """With the session of before. Raises: `Closed`, `ConnectionRefusedError`."""
        client = RawClient.open(self.address)
        try:
            answer = client.connect(20_000, self.session, self.password)
        except Closed:
            client.close()
            raise
        assert self.session in (0, answer.session)
        self.session, self.password = answer.session, answer.password
        return client

    def write(self) -> None:
        """Until the end of the connection."""
        with self.connect() as client:
            while True:
                self.sent += 1
                path = f"/n{self.sent}"
                assert client.call(raw.CREATE, raw.create(path, DATA)).err == 0
                self.acknowledged.append(path)

    def write_until_nobody_serves(self) -> None:
        """For a second and a half: each try of the keeper to come back begins with a write of its own."""
        last = time.perf_counter()
        while time.perf_counter() - last < 1.5:
            before = self.sent
            with pytest.raises(Closed):
                self.write()
            if self.sent > before:
                last = time.perf_counter()
            time.sleep(0.05)


def test_a_full_disk_acknowledges_nothing_and_is_survived() -> None:
    """No write is answered, nobody is served, the log says why; with room again all is there, the session too."""
    with Keepers("sqlite", tick_time=1000, environment=CLEAN) as keepers:
        member = keepers.members[0]
        disk = Disk(member)
        writer = Writer(keepers.address)
        disk.fill()
        writer.write_until_nobody_serves()
        assert member.alive
        log = member.tail(limit=1 << 20)
        assert "tree.db failed, and may yet hold: disk I/O error" in log
        assert "Traceback" not in log
        assert len(log.splitlines()) < 100
        disk.empty()
        wait_for(member.ready, "it serves again")
        with writer.connect() as client:
            assert len(writer.acknowledged) > 20
            for path in writer.acknowledged:
                assert client.call(raw.GET_DATA, raw.path_watch(path)).cursor.buffer() == DATA
            assert client.call(raw.CREATE, raw.create("/afterwards", DATA)).err == 0


def test_an_idle_keeper_on_a_full_disk() -> None:
    """Its own beats fail: it says so without flooding the log, serves nobody, and comes back by itself."""
    with Keepers("sqlite", tick_time=1000, environment=CLEAN, flags=["--keeper-ttl", "2"]) as keepers:
        member = keepers.members[0]
        disk = Disk(member)
        with RawClient.connected(keepers.address, 20_000) as client:
            disk.fill(16_384)
            assert client.closed()
        with RawClient.open(keepers.address) as client, pytest.raises(Closed):
            client.connect()
        log = member.tail(limit=1 << 20)
        assert "disk I/O error" in log
        assert len(log.splitlines()) < 100
        disk.empty()
        wait_for(member.ready, "it serves again")
        with RawClient.connected(keepers.address) as client:
            assert client.call(raw.CREATE, raw.create("/afterwards")).err == 0


def test_a_full_disk_at_the_start(tmp_path: Path) -> None:
    """Waited for as long as `--store-wait` says; then exit code 1 and a message that names the file."""
    path = tmp_path / "tree.db"
    done = serve(path, "--store-wait", "1", room=4096)
    assert done.returncode == 1
    assert done.stderr.count("waiting for the store") >= 2
    assert f"cannot serve: {path} cannot be opened: disk I/O error" in done.stderr.splitlines()[-1]


def test_a_database_that_another_program_holds(tmp_path: Path) -> None:
    """Waited for as long as `--store-wait` says; then exit code 1 and a message that says what is in the way."""
    path = tmp_path / "tree.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        done = serve(path, "--store-wait", "1")
    assert done.returncode == 1
    assert f"cannot serve: {path} cannot be opened: database is locked" in done.stderr.splitlines()[-1]


def test_a_database_that_another_program_locks_meanwhile() -> None:
    """No write is answered while it is locked; none is lost, and all go on when it is free again."""
    with Keepers("sqlite", tick_time=1000) as keepers, RawClient.connected(keepers.address, 20_000) as client:
        member = keepers.members[0]
        with closing(sqlite3.connect(keepers.home / "tree.db", isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            client.send(raw.CREATE, raw.create("/a", b"1"))
            wait_for(lambda: "lock" in member.tail(), "it says that it is locked")
            client.socket.settimeout(0.5)
            with pytest.raises(TimeoutError):
                client.receive_frame()
            client.socket.settimeout(20)
            holder.execute("ROLLBACK")
        assert client.receive_reply().err == 0
        assert client.call(raw.GET_DATA, raw.path_watch("/a")).cursor.buffer() == b"1"


def test_a_database_that_another_keeper_serves() -> None:
    """The second keeper ends at once, with the code for what waiting can't mend; the first notices nothing."""
    with Keepers("sqlite") as keepers, RawClient.connected(keepers.address) as client:
        done = serve(keepers.home / "tree.db")
        assert done.returncode == 4
        assert "One process serves a sqlite store" in done.stderr
        assert client.call(raw.CREATE, raw.create("/a")).err == 0
