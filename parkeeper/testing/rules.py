"""Faults of single requests: which request is met, and what happens to it.

Two things can go wrong with a request, each at two times:

| | before it takes effect | after |
| --- | --- | --- |
| `fail`: it is answered with an error | nothing happened, as the error says | it happened, whatever the error says |
| `drop`: its connection breaks | the request was lost | **the reply was lost**: what breaks clients |
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from parkeeper.testing.records import paths_of
from parkeeper.wire.codes import Code
from parkeeper.wire.opcodes import OPERATIONS

_NAMES: Final = {number: row.name for number, row in OPERATIONS.items()}
_WORDS: Final = {name.casefold() for name in _NAMES.values()}


def operation_name(op: int) -> str:
    """ZooKeeper's name of an operation, `op<N>` for a number that is none."""
    return _NAMES.get(op, f"op{op}")


def error_code(error: str | int) -> int:
    """The code of an error named like `NO_NODE`, `NoNode`, `NONODE` or -101.

    Raises:
        ValueError: there is none.
    """
    if isinstance(error, int):
        return error
    wanted = error.replace("_", "").replace("-", "").casefold()
    wanted = wanted.removesuffix("error").removesuffix("exception")
    for code in Code:
        if code.name.replace("_", "").casefold() == wanted:
            return int(code)
    raise ValueError(f"{error!r} is no error; there are: {', '.join(code.name for code in Code)}")


@dataclass(eq=False, slots=True)
class Fault:
    """What happens to the next requests of a kind.

    Args:
        op: number or name of the operation (`create` is every way to create, `create2` just that one), None: any but pings.
        path: pattern that one of its paths must match (`*` also matches slashes), None: any.
        error: code it is answered with; None: the connection breaks.
        after: whether it takes effect.
        session: id it must come from, None: any.
        keeper: number of the keeper it must come to, None: any.
        left: how many requests it still meets.

    Attributes:
        hits: how many it has met.
    """

    op: str | int | None
    path: str | None
    error: int | None
    after: bool
    session: int | None
    keeper: int | None
    left: int
    hits: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.op, str):
            self.op = _kind(self.op)

    def cancel(self) -> None:
        """It meets nothing more."""
        self.left = 0

    def meets(self, op: int, record: object, session: int, keeper: int) -> bool:
        """Whether it is for this request."""
        if self.left <= 0 or self.session not in (None, session) or self.keeper not in (None, keeper):
            return False
        if isinstance(self.op, int) and self.op != op:
            return False
        if isinstance(self.op, str) and not _is_a(operation_name(op).casefold(), self.op):
            return False
        return self.path is None or any(fnmatchcase(path, self.path) for path in paths_of(record))

    def __str__(self) -> str:
        if self.error is None:
            return "its reply was lost" if self.after else "the request was lost"
        when = "after it took effect" if self.after else "before it took effect"
        return f"failed by the test {when}"


def _kind(name: str) -> str:
    """An operation's name as it is compared.

    Raises:
        ValueError: there is none.
    """
    word = name.replace("_", "").casefold()
    if word not in _WORDS:
        raise ValueError(f"{name!r} is no operation; there are: {', '.join(sorted(_NAMES.values()))}")
    return word


def _is_a(name: str, kind: str) -> bool:
    """`create` stands for all that create, `getchildren` for both; any other name for itself."""
    if kind == "create":
        return name.startswith("create") and name != "createsession"
    if kind in ("getchildren", "setwatches"):
        return name.startswith(kind)
    return name == kind


class Rules:
    """The faults that wait for their requests, oldest first."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """From now on."""
        self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        for fault in self._faults:
            fault.cancel()
        self._faults.clear()

    def take(self, op: int, record: object, session: int, keeper: int) -> Fault | None:
        """The fault for a request, counted; None: it is served."""
        if not self._faults:
            return None
        self._faults = [each for each in self._faults if each.left > 0]
        for fault in self._faults:
            if fault.meets(op, record, session, keeper):
                fault.left -= 1
                fault.hits += 1
                return fault
        return None

    def waiting(self) -> Iterable[Fault]:
        """Those that have not met all of theirs yet."""
        return [each for each in self._faults if each.left > 0]
