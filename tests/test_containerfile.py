"""The Containerfile's own steps work: run one by one in a folder that stands for the image's file system.

No container engine is needed, and no image is made: what is proven is that the steps install what the entry point and
the health check then run.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import ROOT, Process, free_port
from tests.servers import four_letter_word


def instructions() -> Iterator[tuple[str, str]]:
    """(instruction, rest of its line), comments left out and continued lines joined."""
    text = re.sub(r"\\\n", " ", (ROOT / "Containerfile").read_text())
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            name, rest = line.split(maxsplit=1)
            yield name, rest


class Image:
    """What the Containerfile makes, below a folder: its files, environment, and commands.

    Args:
        root: the folder.
        arguments: of the build, in place of what ARG says.
    """

    def __init__(self, root: Path, arguments: dict[str, str]) -> None:
        self.root = root
        self._given = arguments
        self._arguments: dict[str, str] = {}
        self.environment: dict[str, str] = {}
        self.said: dict[str, str] = {}
        self._workdir = root
        steps = {
            "WORKDIR": self._enter,
            "COPY": self._copy,
            "RUN": self._run,
            "ENV": self._env,
            "ARG": self._arg,
        }
        for name, rest in instructions():
            if name in steps:
                steps[name](rest)
            self.said[name] = rest

    def here(self, text: str) -> str:
        """Absolute paths of the image, as they are on this machine."""
        return re.sub(r"(?<![\w.])/(opt|src|var)\b", rf"{self.root}/\1", text)

    def command(self, name: str) -> list[str]:
        """ENTRYPOINT or the command of HEALTHCHECK (both as JSON), found by the image's PATH."""
        words: list[str] = json.loads(self.said[name][self.said[name].index("[") :])
        found = shutil.which(words[0], path=self.environment["PATH"])
        assert found is not None, f"{words[0]} is not in the image's PATH"
        return [found, *words[1:]]

    def _enter(self, rest: str) -> None:
        self._workdir = Path(self.here(rest))
        self._workdir.mkdir(parents=True, exist_ok=True)

    def _copy(self, rest: str) -> None:
        if rest.startswith("--from="):  # from the stage before, which has the same root here
            return
        *sources, target = rest.split()
        for source in sources:
            to = self._workdir / target
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, to, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / source, to)

    def _run(self, rest: str) -> None:
        command = re.sub(r"^python\b", shlex.quote(sys.executable), self.here(rest))
        if os.geteuid() != 0:
            command = re.sub(r"-[og] \d+ ", "", command)
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=self._workdir,
            env={**os.environ, **self._arguments},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{rest}\n{done.stdout}{done.stderr}"

    def _arg(self, rest: str) -> None:
        name, value = rest.split("=", 1)
        self._arguments[name] = self._given.get(name, value)

    def _env(self, rest: str) -> None:
        for assignment in shlex.split(rest):
            name, value = assignment.split("=", 1)
            self.environment[name] = self.here(value).replace("$PATH", os.environ["PATH"])


@pytest.mark.parametrize(
    ("hooks", "build"),
    [
        pytest.param("0", "plain Python", marks=[pytest.mark.slow, pytest.mark.timeout(180)]),
        pytest.param("1", "compiled", marks=[pytest.mark.soak, pytest.mark.timeout(900)]),
    ],
)
def test_steps_make_a_server_that_is_healthy(tmp_path: Path, hooks: str, build: str) -> None:
    """The entry point serves, the health check agrees, and disagrees once it is stopped."""
    image = Image(tmp_path, {"HATCH_BUILD_HOOKS_ENABLE": hooks})
    port = free_port()
    address = ("127.0.0.1", port)
    environment = {**image.environment, "PARKEEPER_BIND_ADDR": f"127.0.0.1:{port}"}
    server = Process(
        "the image's entry point",
        image.command("ENTRYPOINT"),
        lambda: "Mode: standalone" in four_letter_word(address, "srvr"),
        tmp_path / "var/lib/parkeeper",
        environment,
    )
    server.start()
    assert f"({build})" in server.tail()

    def healthy() -> bool:
        check = image.command("HEALTHCHECK")
        return (
            subprocess.run(
                check, env={**os.environ, **environment}, capture_output=True, check=False
            ).returncode
            == 0
        )

    try:
        assert healthy()
        server.stop()
        assert server.returncode == 0
        assert not healthy()
    finally:
        server.close()
    assert (tmp_path / "var/lib/parkeeper/parkeeper.db").exists()


def test_image_is_not_roots() -> None:
    """The last USER is a number, so that an orchestrator can check it, and not 0; the port is ZooKeeper's."""
    said = dict(instructions())
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", said["USER"])
    assert said["EXPOSE"] == "2181"
    assert json.loads(said["ENTRYPOINT"]) == ["parkeeper", "serve"]
