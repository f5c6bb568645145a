"""Trio: everything that waits. A keeper is a nursery tree; see `parkeeper.server.keeper`."""
