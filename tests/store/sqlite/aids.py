"""What several tests of the sqlite store need; `child.py` shows what only another process can."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from parkeeper.errors import Cut
from parkeeper.store.sqlite import SqliteStore
from parkeeper.store.sqlite_sync import FileSync

CHILD = [sys.executable, str(Path(__file__).with_name("child.py"))]
ROOT = Path(__file__).parents[3]


def run_child(*arguments: object) -> str:
    """Output of a child that ends by itself."""
    return subprocess.run(
        [*CHILD, *map(str, arguments)], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=30, check=True,
    ).stdout  # fmt: skip


async def expect_cut(store: SqliteStore) -> None:
    with pytest.raises(Cut):
        await store.follow(store.history.last, lambda event: None)


def look(path: Path, query: str) -> list[tuple]:
    """What another program finds in the file."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def killed(path: Path, name: str) -> Path:
    """The file as a kill at this moment would leave it, under another name."""
    copy = path.with_name(name)
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
    return copy


@contextmanager
def unsyncable(sync: FileSync) -> Iterator[None]:
    """What it syncs meanwhile is a device that can't be synced."""
    descriptor = sync._descriptor
    kept, other = os.dup(descriptor), os.open("/dev/null", os.O_RDWR)
    os.dup2(other, descriptor)
    os.close(other)
    try:
        yield
    finally:
        with suppress(OSError):
            os.fstat(descriptor)  # (else the test closed it)
            os.dup2(kept, descriptor)
        os.close(kept)
