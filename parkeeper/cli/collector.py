"""Python's garbage collector in a process that serves.

It looks for circles of objects. A tree of 100,000 znodes has none, but looking at all of it takes 50 ms and more, with
every client waiting. So it does not run while a tree is loaded, and what was loaded is put out of its sight
(`gc.freeze`). It starts less often, too: a batch of writes allocates thousands of objects that live until it is
committed, and with Python's 700 they were looked at again and again (8 x 32 pipelined sets: 25.6 us of CPU each with
700, 22 with 5,000, no less with more).

Only for processes of our own: an embedded keeper leaves the collector to its host.
"""

from __future__ import annotations

import gc
from typing import Final

YOUNG: Final = 5_000
"""Objects allocated, less those freed, between two collections of the youngest."""


def wait() -> None:
    """Until something is loaded."""
    gc.disable()


def loaded() -> None:
    """A tree was loaded: what is in memory now will stay there. (One that was there before is looked at again.)"""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 5, 20)
    gc.enable()
