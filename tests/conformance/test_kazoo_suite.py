"""kazoo's own test suite (the installed package contains it), unmodified, against ensembles of three keepers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.processes import ROOT
from tests.servers import Consul, Etcd

HERE = Path(__file__).parent / "kazoo_suite"

MAY_FAIL = {
    r"TestSSLClient": "clients speak plain TCP only: there is no TLS for clients yet",
    r"Sasl|SASL|DigestMD5|Gssapi": "no SASL is configured",
    r"TestReconfig": "reconfig is disabled (ReconfigDisabled), as in a ZooKeeper that was not told otherwise",
    r"TestReadOnlyMode": "read-only mode comes later",
}
"""Tests that may fail, by a part of their name, and why."""

ON_CONSUL = {r"test_create_large_value": "the value is larger than a default Consul takes in a transaction"}

AT_LEAST = 300
"""Tests of kazoo 2.11 that must have passed, so that a suite that was not found does not count as passed."""


def run(backend: str, report: Path, allowed: dict[str, str]) -> None:
    """Run the suite and compare what failed with what may."""
    environment = {
        **os.environ,
        "KAZOO_SUITE_BACKEND": backend,
        "ZOOKEEPER_VERSION": "3.9.3",
        "PYTHONPATH": str(ROOT),
    }
    command = [
        *(sys.executable, "-m", "pytest", "-c", "pytest.ini", "--rootdir", "."),
        *("-p", "tests.conformance.kazoo_suite.cluster", "--pyargs", "kazoo.tests"),
        *("--timeout", "120", f"--junit-xml={report}"),
    ]
    done = subprocess.run(
        command, cwd=HERE, env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))  # written by pytest just now
    failed = {
        f"{case.get('classname')}.{case.get('name')}"
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    }
    skipped = sum(case.find("skipped") is not None for case in cases)
    unexpected = {name for name in failed if not any(re.search(pattern, name) for pattern in allowed)}
    assert not unexpected, done.stdout[-20_000:]
    assert len(cases) - len(failed) - skipped >= AT_LEAST, done.stdout[-2000:]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kazoos_suite_passes_on_memory(tmp_path: Path) -> None:
    """Every test but those of TLS, SASL, reconfig and read-only mode."""
    run("memory", tmp_path / "report.xml", MAY_FAIL)


@pytest.mark.conformance
@pytest.mark.timeout(900)
@pytest.mark.parametrize("version", ["3.4", "3.5.16"])
def test_kazoos_suite_passes_on_etcd(tmp_path: Path, version: str) -> None:
    """The same over etcd, both JSON dialects."""
    with Etcd(version=version) as store:
        run(store.url, tmp_path / "report.xml", MAY_FAIL)


@pytest.mark.conformance
@pytest.mark.timeout(900)
def test_kazoos_suite_passes_on_consul(tmp_path: Path) -> None:
    """The same over Consul, but for the one value that is too large there."""
    with Consul() as store:
        run(store.url, tmp_path / "report.xml", {**MAY_FAIL, **ON_CONSUL})
