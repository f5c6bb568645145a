"""Every hand-written script, by name."""

from __future__ import annotations

from tests.scripts.library import edges, nodes, rights, sessions, transactions, watches
from tests.scripts.model import Script

SCRIPTS: dict[str, Script] = {
    script.name: script
    for module in (nodes, sessions, rights, transactions, watches, edges)
    for script in module.SCRIPTS
}
