"""etcd without space: nobody is told a lie, and service resumes by itself when there is space again."""

from __future__ import annotations

import base64

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import KazooException
from kazoo.handlers.threading import KazooTimeoutError

from tests.keepers import Keepers
from tests.processes import wait_for
from tests.servers import Etcd


@pytest.mark.slow
@pytest.mark.timeout(150)
@pytest.mark.parametrize("version", ["3.4", "3.5.16"])
def test_a_full_etcd_takes_nothing_and_loses_nothing(version: str) -> None:
    """What was acknowledged before is there; what was not, is not pretended; after a clean-up all goes on."""
    flags = ("--keeper-ttl", "3")
    with (
        Etcd(version=version, flags=["--quota-backend-bytes=8388608"]) as etcd,
        Keepers(url=etcd.url, tick_time=500, flags=flags) as keepers,
    ):
        client = KazooClient(hosts=keepers.hosts, timeout=10)
        client.start(timeout=30)
        client.create("/full")
        acknowledged = 0
        with pytest.raises((KazooException, KazooTimeoutError)):
            for number in range(60):
                client.create_async(f"/full/{number}", b"x" * 400_000).get(timeout=8)
                acknowledged += 1
        assert 5 < acknowledged < 60
        wait_for(lambda: "etcdctl" in keepers.members[0].tail(limit=100_000), "the log says what to do")
        prefix = base64.b64encode(b"parkeeper/data/full/1").decode()
        end = base64.b64encode(b"parkeeper/data/full/4").decode()
        revision = etcd.call("kv/deleterange", {"key": prefix, "range_end": end})["header"]["revision"]
        etcd.call("kv/compaction", {"revision": revision, "physical": True})
        etcd.call("maintenance/defragment", {})
        for alarm in etcd.call("maintenance/alarm", {"action": "GET"}).get("alarms", []):
            etcd.call(
                "maintenance/alarm",
                {"action": "DEACTIVATE", "alarm": "NOSPACE", "memberID": alarm["memberID"]},
            )
        wait_for(lambda: client.connected, "the client is connected again", timeout=60)
        client.retry(client.ensure_path, "/after")
        assert len(client.retry(client.get_children, "/full")) >= acknowledged
        client.stop()
        client.close()
