"""Recordings: a script with what ZooKeeper answered, as JSON that a person can read."""

from __future__ import annotations

from collections.abc import Sequence

from tests.raw.decode import Fields
from tests.scripts.model import Json, Script, step_from_json, step_to_json
from tests.scripts.run import Observed, Seen


def to_json(script: Script, transcript: Sequence[Observed], spoken: Sequence[Fields]) -> Json:
    """`spoken` is the normal form of the transcript: it stands beside the hex, for readers only."""
    steps: list[Json] = []
    for step, observed, says in zip(script.steps, transcript, spoken, strict=True):
        seen = {
            str(conn): {"closed": one.closed, "hex": [frame.hex() for frame in one.frames]}
            for conn, one in sorted(observed.seen.items())
        }
        steps.append({**step_to_json(step), "mark": observed.mark, "seen": seen, "says": says})
    return {"name": script.name, "about": script.about, "server": "ZooKeeper 3.9.3", "steps": steps}


def from_json(recorded: Json) -> tuple[Script, list[Observed]]:
    """The script, and what ZooKeeper answered."""
    steps: list[Json] = recorded["steps"]
    asked = (
        step_from_json({k: v for k, v in step.items() if k not in {"mark", "seen", "says"}}) for step in steps
    )
    script = Script(recorded["name"], recorded["about"], tuple(asked))
    transcript = [
        Observed(
            {
                int(conn): Seen([bytes.fromhex(frame) for frame in one["hex"]], one["closed"])
                for conn, one in step["seen"].items()
            },
            step["mark"],
        )
        for step in steps
    ]
    return script, transcript
