"""Python's garbage collector in a process that serves.

It looks for circles of objects. A tree of 100,000 znodes has none, but looking at all of it takes 50 ms and more, with
every client waiting. So it does not run while a tree is loaded; what was loaded is put out of its sight (`gc.freeze`),
and so is, later, whatever outlived two looks: a collection never sees more than some ten thousand objects.

What is out of its sight is freed as nearly all is, when nothing refers to it any more; only a circle would stay.
Connections, the one thing here that lived long and was a circle, take themselves apart at their end.

It starts less often, too: a batch of writes allocates thousands of objects that live until it is committed, and with
Python's 700 they were looked at again and again (8 x 32 pipelined sets: 25.6 us of CPU each with 700, 22 with 5,000,
no less with more). But not much less often: what is counted are objects allocated less those freed, also those out of
its sight. Where each commit puts one out of the store's history, tens of thousands are young before it starts. (SQLite,
100,000 znodes, 3 to 5 s each of sets, creates, ephemerals and new connections, compiled: with 5,000, and four looks at the
youngest for one at those that outlived one, it took 11.4 ms at most, with 5,000 and every second look 6.5 ms, with 2,000
and every second 3.4 ms; and 1 to 4 % of the processor in sets, 8 x 32, instead of 0.2 %. In turn they were as many.)

Only for processes of our own: an embedded keeper leaves the collector to its host.
"""

from __future__ import annotations

import gc
from typing import Final, Literal

YOUNG: Final = 2_000
"""Objects allocated, less those freed, between two collections of the youngest."""

OLDER: Final = 0
"""After so many collections of the youngest, and one more, the next looks at those that outlived one as well."""


def wait() -> None:
    """Until something is loaded."""
    gc.disable()


def loaded() -> None:
    """A tree was loaded: what is in memory now will stay there. (One that was there before is looked at again.)"""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, OLDER, 1)
    if _collected not in gc.callbacks:
        gc.callbacks.append(_collected)
    gc.enable()


def _collected(phase: Literal["start", "stop"], info: dict[str, int]) -> None:
    """Called around every collection: what it has left of the older generation is left alone from now on."""
    if phase == "stop" and info["generation"] >= 1:
        gc.freeze()
