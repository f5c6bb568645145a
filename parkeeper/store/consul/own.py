"""What the keeper behind this store has done itself, as far as its followers need it."""

from __future__ import annotations

from dataclasses import dataclass, field

from parkeeper.store.facade import Commit, Committed

KEPT = 64
"""Own commits kept until the stream is there: it then need not read them back. At 200 KB a commit, 13 MB."""


@dataclass(slots=True)
class Own:
    """Acknowledged writes of this process.

    Attributes:
        keeper: id it last wrote as, 0 if it never did.
        alive: keepers seen alive lately, itself included.
        revisions: names of own heads and beats -> revision acknowledged.
        commits: own commits that no follower was told yet: (keeper, counter) -> commit.
    """

    keeper: int = 0
    alive: int = 1
    revisions: dict[str, int] = field(default_factory=dict[str, int])
    commits: dict[tuple[int, int], Committed] = field(default_factory=dict[tuple[int, int], Committed])

    def committed(self, commit: Commit, revision: int) -> None:
        """A commit happened."""
        for name in commit.deletes:
            self.revisions.pop(name, None)
        if commit.head is None:
            return
        self.keeper = commit.keeper
        self.revisions[f"head/{commit.keeper}"] = revision
        self.commits[commit.keeper, commit.head.counter] = Committed(
            revision, commit.keeper, commit.head, commit.journal, dict(commit.puts), tuple(commit.deletes)
        )
        if len(self.commits) > KEPT:
            del self.commits[next(iter(self.commits))]

    def beat(self, keeper: int, revision: int) -> None:
        """A beat was acknowledged."""
        self.keeper = keeper
        self.revisions[f"keeper/{keeper}"] = revision

    def told(self, commit: Committed) -> None:
        """A follower was told of a commit: what it deleted need not be there any more."""
        self.commits.pop((commit.keeper, commit.head.counter), None)
        for name in commit.deletes:
            self.revisions.pop(name, None)

    def forget(self) -> None:
        """All is loaded anew: what is in the store then is the past to be proven from."""
        self.revisions.clear()
        self.commits.clear()
