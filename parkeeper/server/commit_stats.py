"""What a keeper counts of its commits: for `mntr`, and for tests that assert that a path was entered."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class CommitStats:
    """Counters of one keeper, over its incarnations.

    Args:
        commits, writes: that happened, and the writes in them (refusals are none).
        lost: batches whose guards failed.
        in_doubt: commits whose fate was not known after a try.
        found: of these, those that turned out to have happened.
        superseded: of these, those that an empty commit made sure of.
        not_applied, rejected: batches the store did not take.
        confirmed: batches that changed nothing and were answered after a linearizable read.
        stale: of these, those planned again since the replica was behind.
        tickets: put up, after losing too often.
        errands: commits of the keeper's own.
        incarnations, breaks: lives of the keeper, and breaks of its change stream.
    """

    commits: int = 0
    writes: int = 0
    lost: int = 0
    in_doubt: int = 0
    superseded: int = 0
    not_applied: int = 0
    rejected: int = 0
    found: int = 0
    confirmed: int = 0
    stale: int = 0
    tickets: int = 0
    errands: int = 0
    incarnations: int = 0
    breaks: int = 0
