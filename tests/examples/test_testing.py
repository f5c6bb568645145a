"""The examples of testing programs that use ZooKeeper: each is run as its reader would."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT

pytestmark = pytest.mark.slow

TESTING = ROOT / "examples" / "testing"
JAVA = ROOT / "examples" / "java-curator"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}


def run(*command: str, folder: Path) -> str:
    said = subprocess.run(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
    )
    assert said.returncode == 0, said.stdout
    return said.stdout


def pytest_on(file: str, *options: str) -> str:
    """Without this repository's settings."""
    settings = ("-c", os.devnull, "--rootdir", str(TESTING), "-p", "no:cacheprovider")
    plugin = ("-p", "no:parkeeper", "-p", "parkeeper.testing.plugin")
    return run(sys.executable, "-m", "pytest", *settings, *plugin, *options, file, folder=TESTING)


def test_an_election_is_tested_with_pytest_and_kazoo() -> None:
    """It survives an expiry and a lost reply."""
    assert "4 passed" in pytest_on("test_election.py")


def test_unittest_is_enough() -> None:
    """By pytest and by Python alone."""
    assert "2 passed" in pytest_on("test_with_unittest.py")
    assert "Ran 2 tests" in run(sys.executable, "-m", "unittest", "test_with_unittest.py", folder=TESTING)


def test_time_is_virtual_under_trio() -> None:
    """Ten minutes, and a week."""
    said = pytest_on("test_virtual_time.py", "-o", "trio_mode=true")
    assert "2 passed" in said
    seconds = re.search(r"2 passed in ([\d.]+)s", said)
    assert seconds is not None
    assert float(seconds[1]) < 10


@pytest.mark.timeout(300)
def test_curator_is_tested_with_junit(tmp_path: Path) -> None:
    """Its session expires, and its next create loses its reply."""
    if shutil.which("mvn") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("mvn is not here")
        pytest.skip("mvn is not here")
    project = shutil.copytree(JAVA, tmp_path / "java-curator", ignore=shutil.ignore_patterns("target"))
    run("mvn", "-q", "-B", "test", f"-Dparkeeper={sys.executable} -P -m parkeeper.cli", folder=project)
    reports = (project / "target" / "surefire-reports").glob("*.txt")
    assert "Tests run: 2, Failures: 0, Errors: 0, Skipped: 0" in "".join(each.read_text() for each in reports)
