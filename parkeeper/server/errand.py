"""What a keeper asks of the committer for itself: a declaration of death, a clean stop, forgetting keepers long gone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Errand:
    """A commit of the keeper's own, guarded besides its head and fence.

    Args:
        guards, puts, deletes: item names.
        fences: keepers whose fence is rewritten.
        done: called with whether it happened; False when a guard failed.
    """

    guards: Mapping[str, int]
    done: Callable[[bool], None]
    puts: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    deletes: Sequence[str] = ()
    fences: Sequence[int] = ()
