"""unittest: no plugin, no fixture; an ensemble for the class, an empty tree for each test.

python -m unittest examples/testing/test_with_unittest.py
"""

# ruff: noqa: PT009, PT027 - it is about unittest
from __future__ import annotations

import threading
import unittest

from kazoo.client import KazooClient
from kazoo.exceptions import ConnectionLoss

from parkeeper.testing import Ensemble


class ConfigurationTest(unittest.TestCase):
    """A program that reads its configuration from ZooKeeper, and follows it."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.zookeeper = cls.enterClassContext(Ensemble(keepers=2))

    def setUp(self) -> None:
        self.zookeeper.reset()
        self.zookeeper.load({"/app/color": "blue"})
        self.client = KazooClient(self.zookeeper.hosts)
        self.client.start()
        self.addCleanup(self.client.close)
        self.addCleanup(self.client.stop)

    def test_it_follows_its_configuration_to_another_server(self) -> None:
        colors: list[bytes] = []
        changed = threading.Semaphore(0)

        @self.client.DataWatch("/app/color")
        def follow(data: bytes, _stat: object) -> None:
            colors.append(data)
            changed.release()

        self.assertTrue(changed.acquire(timeout=10))
        session = self.zookeeper.session_id(self.client)
        here = self.zookeeper.sessions()[session].keeper
        self.zookeeper.move(self.client, 1 - here)
        self.zookeeper.wait_until(lambda: "/app/color" in self.zookeeper.watches())  # it watches again
        self.zookeeper.load({"/app/color": "green"})
        while colors[-1] != b"green":
            self.assertTrue(changed.acquire(timeout=10))

    def test_a_write_may_have_happened_although_it_failed(self) -> None:
        self.zookeeper.lose(op="setData", path="/app/*")
        with self.assertRaises(ConnectionLoss):
            self.client.set("/app/color", b"red")
        self.assertEqual(self.zookeeper.tree()["/app/color"], b"red")


if __name__ == "__main__":
    unittest.main()
