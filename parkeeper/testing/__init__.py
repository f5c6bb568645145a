"""For tests of programs that use ZooKeeper, and for parkeeper's own: stores and servers that do as told."""
