"""Runs every script of `tests/scripts/library` on a real ZooKeeper 3.9.3 and keeps what it answered.

    .venv/bin/python -m tests.tools.record [NAME ...]

One file per script, tests/recorded/NAME.json: each step, and for each connection the frames that came, in hex and
in words. `tests/server/test_recorded.py` compares parkeeper with them. A fresh server per script.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.scripts.library.catalogue import SCRIPTS
from tests.scripts.normal import normalise
from tests.scripts.recording import to_json
from tests.scripts.run import Runner
from tests.servers import ZooKeeper

RECORDED = Path(__file__).resolve().parents[1] / "recorded"
TICK = 200  # milliseconds; time-outs in the recordings are 2 to 20 of it


def main() -> None:
    names = sys.argv[1:] or list(SCRIPTS)
    RECORDED.mkdir(exist_ok=True)
    for name in names:
        script = SCRIPTS[name]
        with ZooKeeper(tick_time=TICK) as server:
            transcript = Runner([server.address]).run(script)
        spoken = normalise(script, transcript)
        text = json.dumps(to_json(script, transcript, spoken), indent=1, ensure_ascii=True)
        (RECORDED / f"{name}.json").write_text(text + "\n")
        print(f"{name}: {len(script.steps)} steps, {text.count('hex')} frames")


if __name__ == "__main__":
    main()
