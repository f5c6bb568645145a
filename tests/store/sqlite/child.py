"""A process that uses a sqlite store, for tests that kill it or starve it of disk space. Run as a script.

child.py commit PATH        commits for ever, printing each counter once it is acknowledged
child.py fill PATH BYTES    commits under a file size limit until COMMIT fails, then says what the
                                   store does, lifts the limit, opens it anew and says what is there
child.py open PATH          opens, and prints the error
"""

import resource
import sys
from pathlib import Path

import trio

from parkeeper.errors import InDoubt, StoreError
from parkeeper.store import sqlite, sqlite_file
from parkeeper.store.facade import Commit, Head
from parkeeper.store.sqlite import SqliteStore

INCARNATION = 7


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def commit(store: SqliteStore, counter: int, guard: int, size: int) -> int:
    """Head and counter move together, so that a torn commit would show."""
    head = Head(INCARNATION, counter, counter)
    puts = {"node/counter": b"%d" % counter, f"data/{counter % 50}": bytes(size)}
    return (await store.commit(Commit(1, head, {"head/1": guard}, puts))).revision


async def commit_for_ever(path: Path) -> None:
    sqlite.CHECKPOINT_BYTES = 256 << 10  # so that many checkpoints are under way when we are killed
    sqlite_file.LOG_ROWS = 20  # and so that changes are moved on

    store = SqliteStore(path)
    await store.open()
    head, revision = (await store.load()).heads.get(1, (Head(INCARNATION, 0, 0), 0))
    counter = head.counter
    while True:
        counter += 1
        revision = await commit(store, counter, revision, 100_000 if counter % 9 == 0 else 300)
        say(counter)


async def fill(path: Path, limit: int) -> None:
    store = SqliteStore(path)
    await store.open()
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    counter = revision = 0
    try:
        while True:
            revision = await commit(store, counter + 1, revision, 20_000)
            counter += 1
    except InDoubt:
        say("acknowledged", counter)
    for name, call in {
        "commit": lambda: commit(store, counter + 1, revision, 1),
        "beat": lambda: store.beat(1, 0, b""),
        "put": lambda: store.put("turn/1", b""),
        "head": store.head,
        "read": lambda: store.read("node/counter"),
        "survey": store.survey,
        "load": store.load,
        "follow": lambda: store.follow(store.history.last, lambda event: None),
    }.items():
        try:
            await call()
        except StoreError as error:
            say(name, type(error).__name__)
    await store.aclose()
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await store.open()
    item = await store.read("node/counter")
    head, revision = (await store.load()).heads[1]
    say("found", item.value.decode() if item else None, head.counter)
    say("committed", await commit(store, head.counter + 1, revision, 1) > revision)
    await store.aclose()


async def open_once(path: Path) -> None:
    store = SqliteStore(path)
    try:
        await store.open()
    except StoreError as error:
        say(type(error).__name__, error)
    else:
        say("opened")
        await store.aclose()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["commit", path]:
            trio.run(commit_for_ever, Path(path))
        case ["fill", path, limit]:
            trio.run(fill, Path(path), int(limit))
        case ["open", path]:
            trio.run(open_once, Path(path))
        case _:
            sys.exit(__doc__)
