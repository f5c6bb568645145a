"""Words about watches and sessions: wchs wchc wchp dump (WatchCommand, DumpCommand, ExpiryQueue.dump).

`wchc`, `wchp` and `dump` name paths and sessions, and grow with them: the default whitelist leaves them out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime

from parkeeper.admin.status import Status
from parkeeper.admin.words_stats import address, hexadecimal


def wchs(status: Status) -> bytes:
    """How many watches there are."""
    watching = status.watching()
    return (
        f"{watching.connections} connections watching {watching.paths} paths\n"
        f"Total watches:{watching.watches}\n"
    ).encode()


def wchc(status: Status) -> bytes:
    """What every session watches."""
    return _listing((hexadecimal(session), paths) for session, paths in status.watches_by_session())


def wchp(status: Status) -> bytes:
    """Who watches every path."""
    by_path = status.watches_by_path()
    return _listing((path, map(hexadecimal, sessions)) for path, sessions in by_path.items())


def dump(status: Status) -> bytes:
    """Sessions with their ends, ephemerals, connections with theirs.

    A ZooKeeper follower knows the ends of no session, the leader of all. Here each keeper holds the clocks of its own
    sessions, so both lists are printed, the second if other keepers hold any.
    """
    sessions = status.sessions()
    tick = status.settings().tick_time
    lines = ["SessionTracker dump:"]
    lines += _sets("Session", tick, ((due.expires, hexadecimal(due.session)) for due in sessions.due))
    if sessions.elsewhere:
        lines.append(f"Global Sessions({len(sessions.elsewhere)}):")
        lines += [f"{hexadecimal(session)}\t{timeout}ms" for session, timeout in sessions.elsewhere]
    lines.append("ephemeral nodes dump:")
    lines.append(f"Sessions with Ephemerals ({len(sessions.ephemerals)}):")
    for session, paths in sessions.ephemerals:
        lines.append(f"{hexadecimal(session)}:")
        lines += [f"\t{path}" for path in paths]
    lines.append("Connections dump:")
    connections = (
        (peer.expires, f"ip: {address(peer)} sessionId: {hexadecimal(peer.session)}")
        for peer in status.peers()
    )
    lines += _sets("Connections", tick, connections)
    return "".join(line + "\n" for line in lines).encode()


def _sets(what: str, tick: int, entries: Iterable[tuple[int, str]]) -> list[str]:
    """Entries of (wall clock ms, text) by the tick in which they end."""
    buckets: defaultdict[int, list[str]] = defaultdict(list)
    for expires, text in entries:
        buckets[-(-expires // tick) * tick].append(text)
    lines = [f"{what} Sets ({len(buckets)})/({sum(map(len, buckets.values()))}):"]
    for expires in sorted(buckets):
        date = datetime.fromtimestamp(expires // 1000, UTC)
        lines.append(f"{len(buckets[expires])} expire at {date:%a %b %d %H:%M:%S UTC %Y}:")
        lines += [f"\t{text}" for text in buckets[expires]]
    return lines


def _listing(blocks: Iterable[tuple[str, Iterable[str]]]) -> bytes:
    text = "".join(head + "\n" + "".join(f"\t{line}\n" for line in lines) for head, lines in blocks)
    return (text + "\n").encode()
