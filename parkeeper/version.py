"""Our version, and the ZooKeeper version whose behaviour we reproduce and report."""

VERSION = "0.1.0"

ZOOKEEPER_VERSION = "3.9.3"
"""The version reported by `srvr`, `stat`, `envi` and `mntr`; clients parse it (reference 11.2)."""
