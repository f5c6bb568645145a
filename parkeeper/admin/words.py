"""The four-letter words: which there are, which are answered, and what is said while nobody is served.

A word is the first four bytes of a connection; its answer is one text, sent in one piece (kazoo reads it with a single
`recv`), after which the connection ends (FourLetterCommands, NopCommand, AbstractFourLetterCommand).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from parkeeper.admin.monitor import mntr
from parkeeper.admin.status import Access, Status
from parkeeper.admin.words_stats import conf, cons, crst, dirs, envi, srst, srvr, stat
from parkeeper.admin.words_watch import dump, wchc, wchp, wchs

NOT_SERVING: Final = b"This ZooKeeper instance is not currently serving requests\n"
ALL: Final = "*"
"""In a whitelist: every word."""


def ruok(_status: Status) -> bytes:
    """The process is there; it says nothing of the store."""
    return b"imok"


def isro(status: Status) -> bytes:
    """Whether writes are taken."""
    return status.access().value.encode()


WORDS: Final[dict[bytes, Callable[[Status], bytes]]] = {
    b"ruok": ruok,
    b"isro": isro,
    b"srvr": srvr,
    b"stat": stat,
    b"mntr": mntr,
    b"conf": conf,
    b"cons": cons,
    b"envi": envi,
    b"dirs": dirs,
    b"dump": dump,
    b"wchs": wchs,
    b"wchc": wchc,
    b"wchp": wchp,
    b"crst": crst,
    b"srst": srst,
}

_ALWAYS: Final = frozenset({b"ruok", b"isro", b"envi"})
"""Answered in whatever state the keeper is."""


class Words:
    """Answers words out of a status.

    Args:
        status: of this keeper.
        allowed: the whitelist, names of words or `ALL`.
    """

    def __init__(self, status: Status, allowed: Iterable[str]) -> None:
        self._status = status
        names = frozenset(allowed)
        self._allowed = frozenset(word for word in WORDS if ALL in names or word.decode() in names)

    def __call__(self, word: bytes) -> bytes | None:
        """The answer to the first four bytes of a connection; None: they are no word.

        A word that is not in the whitelist is a word all the same: its answer says so.
        """
        command = WORDS.get(word)
        if command is None:
            return None
        if word not in self._allowed:
            return b"%b is not executed because it is not in the whitelist.\n" % word
        if word not in _ALWAYS and self._status.access() is Access.NOBODY:
            return NOT_SERVING
        return command(self._status)
