"""`serve --control-addr` and `parkeeper control`, as two processes."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import ConnectionLoss

from tests.cli.process import COMMAND, ENVIRONMENT, KeeperProcess

pytestmark = pytest.mark.slow


def control(keeper: KeeperProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **ENVIRONMENT, "PARKEEPER_READY_FILE": str(keeper.ready_file)}
    command = [*COMMAND, "control", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_a_server_in_a_process_is_controlled_from_a_shell() -> None:
    """Two keepers, a port that the ready file names, faults, and a clean end."""
    options = ("--bind-addr", "127.0.0.1:0", "--bind-addr", "127.0.0.1:0", "--control-addr", "127.0.0.1:0")
    with KeeperProcess("memory://", *options) as keeper:
        lines = keeper.ready_file.read_text().splitlines()
        assert len(lines) == 3
        assert lines[2].startswith("control 127.0.0.1:")
        client = KazooClient(",".join(lines[:2]))
        client.start()
        assert json.loads(control(keeper, "lose", "op=create", "path=/a*").stdout) == {"fault": 0}
        with pytest.raises(ConnectionLoss):
            client.create("/a", b"x", ephemeral=True)
        assert json.loads(control(keeper, "tree").stdout) == {"/a": "x"}
        said = control(keeper, "expire", "session=/a")
        assert (said.returncode, said.stdout) == (0, "")
        assert json.loads(control(keeper, "tree").stdout) == {}
        said = control(keeper, "advance", "seconds=-1")
        assert said.returncode == 1
        assert "does not go back" in said.stderr
        client.stop()
        client.close()
        keeper.stop()
        assert not keeper.ready_file.exists()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--control-addr", "0.0.0.0:0"), "loopback"),
        (("--control-addr", "127.0.0.1:0", "--workers", "2"), "do not go together"),
        (("--control-addr", "nonsense"), "not an address"),
    ],
)
def test_a_control_port_is_refused_when_it_cannot_be_had(options: tuple[str, ...], word: str) -> None:
    """With the exit code of what is misused."""
    command = [*COMMAND, "serve", "--backend-url", "memory://", "--bind-addr", "127.0.0.1:0", *options]
    said = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **ENVIRONMENT}
    )
    assert said.returncode == 2
    assert word in said.stderr


def test_without_a_control_port_there_is_nothing_to_ask() -> None:
    """And the command says so."""
    with KeeperProcess("memory://") as keeper:
        said = control(keeper, "tree")
        assert said.returncode == 2
        assert "names no control port" in said.stderr
