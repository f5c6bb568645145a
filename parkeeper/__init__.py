"""parkeeper: a server that speaks the ZooKeeper client protocol over a store people already run."""

from parkeeper.version import VERSION

__all__ = ["VERSION"]
