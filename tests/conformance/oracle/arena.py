"""Two servers in lockstep: ZooKeeper and parkeeper get the same scripts, and must show the same.

Both start empty and are swept clean after each script by the same requests, so what a script cannot undo (versions
of the root) is equal on both sides; where it is not, after a divergence, both are started anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Self, cast

from tests.processes import Cluster
from tests.raw import decode, encode
from tests.raw.client import RawClient
from tests.scripts.model import Connect, Script, Send
from tests.scripts.normal import differences, normalise
from tests.scripts.older import for_3_8
from tests.scripts.run import Address, Runner

TICK = 200  # milliseconds
SUPER = b"super:oracle"
SUPER_DIGEST = "super:w41Z49KzAbWweq3fTkicrahb3kI="
SPECIAL = ("/zookeeper", "/zookeeper/config", "/zookeeper/quota")
NEVER = 10**9  # milliseconds or seconds until a server may reap containers and TTL nodes


@dataclass(frozen=True, slots=True)
class Side:
    """One server: how it is started, and where it then listens."""

    start: Callable[[], Cluster]
    addresses: Callable[[Cluster], list[Address]]


@dataclass(slots=True)
class Tally:
    """How much was run, and what of it."""

    scripts: int = 0
    requests: int = 0
    steps: int = 0
    again: int = 0
    operations: Counter[int] = field(default_factory=Counter[int])
    codes: Counter[int] = field(default_factory=Counter[int])

    def count(self, script: Script, shown: Sequence[decode.Fields]) -> None:
        self.scripts += 1
        self.steps += len(script.steps)
        for step in script.steps:
            if isinstance(step, Connect | Send):
                self.requests += len(step.requests)
                self.operations.update(request.op for request in step.requests)
        for seen in (seen for answers in shown for seen in answers.values()):
            packets = cast("dict[str, list[decode.Fields]]", seen)["packets"]
            self.codes.update(cast("int", packet["err"]) for packet in packets if "err" in packet)


class Arena:
    """Runs scripts on both sides and compares.

    Args:
        expected: the side that is right.
        found: the side that is judged.
        older: the right one is of 3.8: what it does otherwise is left out of every script.
    """

    def __init__(self, expected: Side, found: Side, older: bool = False) -> None:
        self._sides = (expected, found)
        self._older = older
        self._stack = ExitStack()
        self._pool = ThreadPoolExecutor(max_workers=2)
        self._addresses: list[list[Address]] = []
        self.tally = Tally()

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        self._pool.shutdown()

    def _start(self) -> None:
        self._stack.close()
        clusters = [self._stack.enter_context(side.start()) for side in self._sides]
        self._addresses = [
            side.addresses(cluster) for side, cluster in zip(self._sides, clusters, strict=True)
        ]

    def differences(self, script: Script) -> list[str]:
        """Where the two differ, one line each; empty if they agree.

        A difference counts if it shows again on two fresh servers: a session may expire early on a machine that
        stands still for a while. What did not show again is counted in `tally.again`.
        """
        lines, in_step = self._once(script)
        if lines:
            self._start()
            if not self._once(script)[0]:
                self.tally.again += 1
                lines = []
            self._start()
        elif not in_step:
            self._start()
        return lines

    def diverges(self, script: Script) -> bool:
        """Whether the two differ, at the first try; not to be used again after they did."""
        return bool(self._once(script)[0])

    def _once(self, script: Script) -> tuple[list[str], bool]:
        """(differences, whether both sides are in lockstep after it)."""
        if self._older:
            script = for_3_8(script)
        one, other = self._pool.map(partial(play, script, self._older), self._addresses)
        self.tally.count(script, one[0])
        return differences(one[0], other[0]), one[1] == other[1]


def play(script: Script, older: bool, addresses: list[Address]) -> tuple[list[decode.Fields], object]:
    """Run a script on one side and sweep: what it showed, and what remains."""
    runner = Runner(addresses)
    transcript = runner.run(script)
    return normalise(script, transcript, older), sweep(addresses, runner.granted)


def sweep(addresses: Sequence[Address], granted: dict[int, tuple[int, bytes | None]]) -> object:
    """End the sessions of a script and delete all that it left; what remains different is returned."""
    for session, password in set(granted.values()):
        with RawClient.open(addresses[0]) as client:
            if client.connect(session=session, password=password).session:
                client.close_session()
    with RawClient.connected(addresses[0], timeout=4000) as client:
        assert client.call(encode.AUTH, encode.auth("digest", SUPER)).err == 0
        found: list[str] = []
        _walk(client, "/", found)
        doomed = [path for path in reversed(found) if path not in SPECIAL]
        for path in doomed:
            assert client.call(encode.DELETE, encode.path_version(path)).err == 0, path
        for path in ("/", *SPECIAL):
            acl = encode.READ_ONLY if path == SPECIAL[1] else encode.OPEN
            assert client.call(encode.SET_ACL, encode.set_acl(path, acl)).err == 0
            assert client.call(encode.SET_DATA, encode.set_data(path, b"")).err == 0
        rest = [_versions(client, path) for path in ("/", *SPECIAL)]
        client.close_session()
    return rest


def _walk(client: RawClient, path: str, found: list[str]) -> None:
    answer = client.call(encode.GET_CHILDREN, encode.path_watch(path))
    for name in sorted(filter(None, answer.cursor.strings() or [])):
        child = f"/{name}" if path == "/" else f"{path}/{name}"
        found.append(child)
        _walk(client, child, found)


def _versions(client: RawClient, path: str) -> tuple[int, ...]:
    stat = decode.stat(client.call(encode.EXISTS, encode.path_watch(path)).cursor)
    return stat.version, stat.cversion, stat.aversion, stat.num_children
