"""`python -m parkeeper.cli`: how a parent of workers starts them, wherever the console script lies."""

from __future__ import annotations

from parkeeper.cli.app import main

main()
