"""Bring a file to the disk while something else is done: POSIX asynchronous I/O, `aio_fsync`.

Most of a small commit is the wait for the disk, 60 to 110 us. Whoever made it could apply it meanwhile, as long as nobody
is told. A thread of Python is no help with that: to begin it needs the interpreter lock, which whoever goes on holds.
The C library's own threads need none. Where that library is another one than glibc on 64 bits, whose structure is
written down here, SQLite syncs by itself (`synchronous=FULL`), and nothing is done meanwhile.

Whoever waits looks again and again for a moment, giving up the processor in between, before it goes to sleep: going to
sleep and waking up cost more than half of what is gained.

(setData on a sqlite store, in turn with commits that wait for the disk before they are applied, paired, with 95 %
confidence: 1 connection 1.1 to 1.4 times as many a second, 8 1.1 to 1.4, 64 1.04 to 1.2. 1 connection, going to sleep at
once: 0.93 to 1.07; looking without giving up the processor: anything from 0.97 to 1.28.)
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar, Final

PATIENCE = 0.0002
"""Seconds of looking before going to sleep."""

_PIECE: Final = 1 << 20
_SIGEV_NONE: Final = 1
_ROOM: Final = 256

_holding = ctypes.PyDLL(None, use_errno=True)  # short calls: giving up the interpreter lock costs more
_releasing = ctypes.CDLL(None, use_errno=True)


class _SigEvent(ctypes.Structure):
    """`struct sigevent` of glibc, 64 bytes."""

    _fields_: ClassVar[Any] = [
        ("value", ctypes.c_void_p),
        ("signo", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("rest", ctypes.c_char * 48),
    ]


class _ControlBlock(ctypes.Structure):
    """`struct aiocb` of glibc as far as a caller fills it in, and room for what the library adds (72 bytes)."""

    _fields_: ClassVar[Any] = [
        ("descriptor", ctypes.c_int),
        ("operation", ctypes.c_int),
        ("priority", ctypes.c_int),
        ("buffer", ctypes.c_void_p),
        ("size", ctypes.c_size_t),
        ("event", _SigEvent),
        ("rest", ctypes.c_char * _ROOM),
    ]


def available() -> bool:
    """Whether this is the C library that is written down here. (Before 2.34 these calls were in another one, librt.)"""
    names = ("gnu_get_libc_version", "aio_fsync", "aio_error", "aio_return", "aio_suspend")
    return all(hasattr(_holding, name) for name in names) and ctypes.sizeof(ctypes.c_void_p) == 8


class FileSync:
    """What is written to a file, brought to the disk. For one thread at a time.

    Args:
        path: of the file, which is there.

    Raises:
        OSError: it can't be opened.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)  # (writable: POSIX asks for that)
        self._block = _ControlBlock(descriptor=self._descriptor, event=_SigEvent(notify=_SIGEV_NONE))
        self._at = ctypes.c_void_p(ctypes.addressof(self._block))
        self._waiting = (ctypes.c_void_p * 1)(self._at)
        self._due = False
        self._under_way = False

    def begin(self, in_background: bool = True) -> None:
        """Begin with what was written so far; never waits. What goes wrong is told by `finish`.

        Args:
            in_background: now; else when `finish` is called, by whoever does, who has nothing else to do meanwhile.
        """
        self._due = True
        self._under_way = in_background and _holding.aio_fsync(os.O_DSYNC, self._at) == 0

    def finish(self) -> None:
        """Wait until what was written before `begin` is on the disk. (What interrupts it leaves it to be done again.)

        Raises:
            OSError: it is not, and may never be.
        """
        if not self._due:
            return
        if self._under_way:
            code = self._code_in_the_end()
            _holding.aio_return(self._at)
        else:  # as asked for, or because no thread could be made
            code = self._code_now()
        self._due = self._under_way = False
        if code:
            raise OSError(code, os.strerror(code))

    def rewrite(self) -> None:
        """Write what the file holds over itself, and wait until that is on the disk. Nobody else may write to it.

        After a sync that failed the kernel takes for written what is not, and the next one succeeds. (PostgreSQL's
        "fsyncgate"; LWN, "PostgreSQL's fsync() surprise".) Raises: as `finish`.
        """
        at = 0
        while piece := os.pread(self._descriptor, _PIECE, at):
            at += os.pwrite(self._descriptor, piece, at)
        self.begin(in_background=False)
        self.finish()

    def close(self) -> None:
        """Close the file, after what is under way; nobody wants to know how that ended."""
        with contextlib.suppress(OSError):
            self.finish()
        os.close(self._descriptor)

    def _code_now(self) -> int:
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            return error.errno or errno.EIO
        return 0

    def _code_in_the_end(self) -> int:
        patience = perf_counter() + PATIENCE
        while True:
            code: int = _holding.aio_error(self._at)
            if code != errno.EINPROGRESS:
                return code
            if perf_counter() < patience:
                os.sched_yield()
            else:
                _releasing.aio_suspend(self._waiting, 1, None)  # (a signal may end it early)
