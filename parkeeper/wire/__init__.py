"""The ZooKeeper protocol as values: bytes to records and back. No I/O, no clock, no server."""
