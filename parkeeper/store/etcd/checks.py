"""What is looked at when a store is opened: is it etcd, new enough, may we, and will its history be compacted?"""

from __future__ import annotations

import logging
import re

import msgspec

from parkeeper.errors import AccessDenied, Compacted, Incompatible, StoreError, Unavailable
from parkeeper.store.etcd.calls import RANGE, STATUS, TXN, VARIABLES, VERSION, Calls
from parkeeper.store.etcd.messages import (
    RANGE_REPLY,
    Compare,
    Operation,
    Put,
    Range,
    StatusReply,
    Txn,
    Variables,
    VersionReply,
    decoded,
    encode,
    end_of,
)
from parkeeper.store.etcd.refusals import NO_SPACE
from parkeeper.store.keys import Layout

log = logging.getLogger("parkeeper.store.etcd")

OLDEST = (3, 4)
TRY = 5.0
"""Seconds for one call; there is no hurry, and a cold etcd is slow."""

MUCH_HISTORY = 100_000
"""Revisions that were never compacted, above which we warn even where the server's flags can't be read."""

LARGE = 3 << 29
"""Bytes of a database that we warn of: 3/4 of the default quota."""


async def check_version(calls: Calls) -> str:
    """The server's version.

    Raises:
        Unavailable: nobody answers.
        Incompatible: it is no etcd, or too old for us.
    """
    answer = await calls.get(VERSION, within=TRY)
    try:
        version = msgspec.json.decode(answer.content, type=VersionReply).etcdserver
    except (msgspec.DecodeError, UnicodeDecodeError):
        version = ""
    found = re.match(r"(\d+)\.(\d+)", version)
    if found is None:
        said = answer.content[:100].decode(errors="replace")
        raise Incompatible(
            f"{calls.endpoint} does not say that it is etcd: HTTP {answer.status_code} {said!r}"
        )
    if (int(found[1]), int(found[2])) < OLDEST:
        raise Incompatible(f"{calls.endpoint} is etcd {version}; parkeeper needs 3.4 or later")
    return version


async def check_access(calls: Calls, layout: Layout) -> int:
    """See that there is a leader, and that we may read and write. Returns the store's revision.

    A transaction whose guard is never true: etcd checks the permissions of all its operations, and does none.

    Raises:
        Unavailable: no member answers; or the database is full.
        AccessDenied: the user may not.
    """
    prefixes = {layout.namespace.encode(), layout.data.encode()}
    done = [Operation(request_range=Range(one, end_of(one), limit=1, keys_only=True)) for one in prefixes]
    done += [Operation(request_put=Put(one + b"access", b"")) for one in prefixes]
    never = Compare(layout.encode("meta"), 0, "LESS")
    try:
        await calls.read(TXN, encode(Txn([never], done)), TRY)
        first = layout.encode("meta")
        return decoded(RANGE_REPLY, await calls.read(RANGE, encode(Range(first)), TRY)).header.revision
    except AccessDenied as error:
        names = " and ".join(sorted(repr(one.decode()) for one in prefixes))
        raise AccessDenied(f"{error}; parkeeper reads, writes and watches all keys under {names}") from error


async def check_history(calls: Calls, layout: Layout, version: str, revision: int, compacts: bool) -> None:
    """Log how large the database is, and warn if nobody seems to compact its history.

    No API tells whether auto-compaction is on. Two things bear witness: `/debug/vars` shows the server's command
    line (not its environment or its configuration file); and if revision 1 can still be read, nothing was ever
    compacted.

    Args:
        calls: the cluster.
        layout: which keys we may read.
        version: to be logged.
        revision: the store's newest.
        compacts: whether we do it.
    """
    size = await _database_size(calls)
    log.info("etcd %s at %s, revision %d, database %s", version, calls.endpoint, revision, _megabytes(size))
    if size is not None and size > LARGE:
        log.warning("etcd's database has %s; its default quota is 2 GiB. %s", _megabytes(size), NO_SPACE)
    if compacts or await _was_compacted(calls, layout):
        return
    flags = await _flags(calls)
    if any("auto-compaction-retention" in flag for flag in flags):
        return
    told = bool(flags) and not any("config-file" in flag for flag in flags)
    if told or revision > MUCH_HISTORY:
        log.warning(
            "nothing of this etcd's history was ever compacted (revision %d)%s: at 1,000 writes a second its "
            "default quota of 2 GiB is full within an hour or two, and then it takes no writes. Set "
            "--auto-compaction-retention on its members, or let parkeeper compact if it is the only user",
            revision,
            ", and its command line asks for no auto-compaction" if told else "",
        )


async def _database_size(calls: Calls) -> int | None:
    try:
        body = await calls.once(calls.clients.rest, STATUS, b"{}", TRY, leader=False)
    except StoreError as error:  # etcd 3.5.30 wants root for this
        log.debug("etcd does not tell its database's size: %s", error)
        return None
    return msgspec.json.decode(body, type=StatusReply, strict=False).db_size


async def _was_compacted(calls: Calls, layout: Layout) -> bool:
    try:
        await calls.read(RANGE, encode(Range(layout.encode("meta"), revision=1)), TRY)
    except Compacted:
        return True
    return False


async def _flags(calls: Calls) -> list[str]:
    try:
        answer = await calls.get(VARIABLES, within=TRY)
        return msgspec.json.decode(answer.content, type=Variables).cmdline
    except (Unavailable, msgspec.DecodeError, UnicodeDecodeError):
        return []


def _megabytes(size: int | None) -> str:
    return "of a size it does not tell" if size is None else f"{size / 1e6:.1f} MB"
