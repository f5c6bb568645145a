"""Python's garbage collector in a process that serves.

It looks for circles of objects. A tree of 100,000 znodes has none, but looking at all of it takes 50 ms and more, with
every client waiting. So it does not run while a tree is loaded; what was loaded is put out of its sight (`gc.freeze`),
and so is, later, whatever outlived two looks: a collection never sees more than some ten thousand objects.

What is out of its sight is freed as nearly all is, when nothing refers to it any more; only a circle would stay.
Connections, the one thing here that lived long and was a circle, take themselves apart at their end.

It starts less often, too: a batch of writes allocates thousands of objects that live until it is committed, and with
Python's 700 they were looked at again and again (8 x 32 pipelined sets: 25.6 us of CPU each with 700, 22 with 5,000,
no less with more).

Only for processes of our own: an embedded keeper leaves the collector to its host.
"""

from __future__ import annotations

import gc
from typing import Final, Literal

YOUNG: Final = 5_000
"""Objects allocated, less those freed, between two collections of the youngest."""

OLDER: Final = 4
"""Collections of the youngest after which those that outlived one are looked at once more."""


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
