"""The pytest plugin, by running pytest on tests that use it."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes import ROOT
from tests.servers import Etcd

pytestmark = pytest.mark.slow

Run = Callable[..., "Outcome"]

CLIENT = """
    from contextlib import contextmanager

    import pytest
    from kazoo.client import KazooClient

    from parkeeper.testing import Ensemble

    @contextmanager
    def client_of(zookeeper):
        client = KazooClient(zookeeper.hosts)
        client.start()
        try:
            yield client
        finally:
            client.stop()
            client.close()
"""


PLUGIN = ("-p", "no:parkeeper", "-p", "parkeeper.testing.plugin")
"""Loaded by its module's name, whether or not the package is installed (then its entry point would load it, too)."""


class Outcome:
    """What pytest said."""

    def __init__(self, said: subprocess.CompletedProcess[str]) -> None:
        self.text = said.stdout + said.stderr
        self.code = said.returncode

    def counts(self) -> dict[str, int]:
        last = self.text.strip().splitlines()[-1]
        return {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|error)", last)}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs pytest on a module, with warnings as errors, and nothing of this repository's settings."""

    def go(source: str, *options: str, ini: str = "", **environment: str) -> Outcome:
        (tmp_path / "test_it.py").write_text(textwrap.dedent(CLIENT) + textwrap.dedent(source))
        (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n" + ini)
        command = [sys.executable, "-m", "pytest", *PLUGIN, "-p", "no:cacheprovider"]
        said = subprocess.run(
            [*command, *options],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        )
        return Outcome(said)

    return go


def test_every_test_finds_an_empty_tree_at_the_same_address(run: Run) -> None:
    """And what one left behind, sessions and faults included, is not there for the next."""
    outcome = run("""
        seen = set()

        @pytest.mark.parametrize("number", range(20))
        def test_it(zookeeper, number):
            assert isinstance(zookeeper, Ensemble)
            assert (zookeeper.tree(), zookeeper.sessions(), zookeeper.requests()) == ({}, {}, {})
            seen.add(zookeeper.hosts)
            assert len(seen) == 1
            with client_of(zookeeper) as client:
                assert client.create("/n-", sequence=True) == "/n-0000000000"
            zookeeper.fail(10)
            zookeeper.stop()
    """)
    assert outcome.counts() == {"passed": 20}, outcome.text


def test_other_fixtures_make_ensembles_of_their_own(run: Run) -> None:
    """Of three keepers, or as many as said; they end with the test."""
    outcome = run("""
        made = []

        def test_three(zookeeper_ensemble, zookeeper):
            assert zookeeper_ensemble.keepers == 3
            assert zookeeper_ensemble.hosts != zookeeper.hosts
            zookeeper_ensemble.kill(0)
            with client_of(zookeeper_ensemble) as client:
                client.create("/a")
            assert zookeeper.tree() == {}

        def test_factory(zookeeper_factory):
            made.append(zookeeper_factory(keepers=2))
            made.append(zookeeper_factory())
            assert [each.keepers for each in made] == [2, 1]
            assert made[0].hosts != made[1].hosts

        def test_gone():
            for each in made:
                with pytest.raises(RuntimeError):
                    each.tree()
    """)
    assert outcome.counts() == {"passed": 3}, outcome.text


def test_options_and_ini_keys_say_how_many_and_how_fast(run: Run) -> None:
    """The command line wins."""
    source = """
        def test_it(zookeeper, zookeeper_ensemble, zookeeper_factory, pytestconfig):
            assert zookeeper.keepers == zookeeper_ensemble.keepers == zookeeper_factory().keepers == 2
            with client_of(zookeeper) as client:
                client.create("/a")
    """
    ini = "zookeeper_keepers = 2\nzookeeper_tick = 100\n"
    assert run(source, ini=ini).counts() == {"passed": 1}
    assert run(source, "--zookeeper-keepers=2", ini="zookeeper_keepers = 5\n").counts() == {"passed": 1}
    outcome = run(source, "--zookeeper-tick=soon")
    assert "zookeeper_tick are numbers" in outcome.text


def test_a_backend_is_used_and_cleared_away(run: Run, tmp_path: Path) -> None:
    """A file under a name of its own, gone at the end."""
    outcome = run(
        """
        from pathlib import Path

        @pytest.mark.parametrize("number", range(2))
        def test_it(zookeeper, number, request):
            assert zookeeper.tree() == {}
            with client_of(zookeeper) as client:
                client.create("/a")
            assert len(list(Path(".").glob("zk.db.*"))) >= 1
        """,
        f"--zookeeper-backend=sqlite://{tmp_path}/zk.db",
    )
    assert outcome.counts() == {"passed": 2}, outcome.text
    assert not list(tmp_path.glob("zk.db*"))


def test_a_real_etcd_is_used_by_every_worker_under_names_of_its_own(run: Run, etcd: Etcd) -> None:
    """The same tests, only the URL is another."""
    outcome = run(
        """
        @pytest.mark.parametrize("number", range(8))
        def test_it(zookeeper, number):
            assert zookeeper.tree() == {}
            with client_of(zookeeper) as client:
                client.create("/a", ephemeral=True)
                zookeeper.expire("/a")
                assert zookeeper.tree() == {}
                zookeeper.load({"/b": "1"})
        """,
        "-n2",
        ini=f"zookeeper_backend = {etcd.url}\n",
    )
    assert outcome.counts() == {"passed": 8}, outcome.text
    prefix, end = (base64.b64encode(each).decode() for each in (b"parkeeper-test/", b"parkeeper-test0"))
    assert "kvs" not in etcd.call("kv/range", {"key": prefix, "range_end": end})


def test_a_failed_test_shows_what_was_asked(run: Run) -> None:
    """By that test only, whether the ensemble came from a fixture or not; one that passed shows nothing."""
    outcome = run("""
        import unittest

        def test_passes(zookeeper):
            with client_of(zookeeper) as client:
                client.create("/fine")

        def test_fails(zookeeper):
            with client_of(zookeeper) as client:
                client.create("/mine", b"x")
                zookeeper.fail(error="NO_AUTH", op="exists")
                client.exists("/mine")

        class TestCase(unittest.TestCase):
            def setUp(self):
                self.zookeeper = self.enterContext(Ensemble())

            def test_fails(self):
                with client_of(self.zookeeper) as client:
                    client.create("/theirs")
                    self.assertEqual(self.zookeeper.tree(), {})
    """)
    assert outcome.counts() == {"passed": 1, "failed": 2}, outcome.text
    assert outcome.text.count("last requests to ZooKeeper") == 2
    assert re.search(r"Create\(path='/mine'.*-> OK", outcome.text)
    assert re.search(
        r"Exists\(path='/mine'.*-> NO_AUTH  \[failed by the test before it took effect\]", outcome.text
    )
    assert re.search(r"Create\(path='/theirs'.*-> OK", outcome.text)
    assert "/fine" not in outcome.text.partition("last requests")[2]


def test_four_workers_of_xdist_do_not_meet(run: Run) -> None:
    """Each has an ensemble of its own, at a port of its own."""
    outcome = run(
        """
        @pytest.mark.parametrize("number", range(60))
        def test_it(zookeeper, number):
            assert zookeeper.tree() == {}
            with client_of(zookeeper) as client:
                client.create("/only", str(number).encode(), ephemeral=True)
                assert zookeeper.tree() == {"/only": str(number).encode()}
        """,
        "-n4",
    )
    assert outcome.counts() == {"passed": 60}, outcome.text


def test_kazoos_harness_runs_on_it_by_an_environment_variable(run: Run) -> None:
    """A project's tests on `kazoo.testing`, unchanged, without Java."""
    outcome = run(
        """
        from kazoo.testing import KazooTestCase, KazooTestHarness

        class TestIt(KazooTestCase):
            def test_client(self):
                self.client.create("/a", b"1")
                assert self.client.get("/a")[0] == b"1"
                assert len(self.servers.split(",")) == 3

            def test_expiry(self):
                old = self.client.client_id[0]
                self.expire_session(self.client.handler.event_object)
                assert self.client.client_id[0] != old

            def test_lost_connection(self):
                old = self.client.client_id[0]
                self.lose_connection(self.client.handler.event_object)
                assert self.client.client_id[0] == old

            def test_servers_stop_and_run(self):
                self.cluster[0].stop()
                assert [each.running for each in self.cluster] == [False, True, True]
                self.client.create("/b")
                self.cluster[0].run()
                assert self.cluster[0].running
        """,
        "-Wignore",
        PARKEEPER_KAZOO_HARNESS="1",
    )
    assert outcome.counts() == {"passed": 4}, outcome.text


def test_kazoos_harness_runs_on_it_by_an_import(run: Run) -> None:
    """The other way."""
    outcome = run(
        """
        from parkeeper.testing.kazoo import KazooTestCase, KazooTestHarness

        class TestCase(KazooTestCase):
            def test_it(self):
                self.client.create("/a")
                assert self.client.exists("/a")

        class TestHarness(KazooTestHarness):
            def setUp(self):
                self.setup_zookeeper()

            def tearDown(self):
                self.teardown_zookeeper()

            def test_it(self):
                self.cluster.ensemble.lose(op="create")
                self.client.retry(self.client.create, "/c", b"")
        """,
        "-Wignore",
        ZOOKEEPER_CLUSTER_SIZE="2",
    )
    assert outcome.counts() == {"passed": 1, "failed": 1}, outcome.text
    assert "NodeExistsError" in outcome.text  # kazoo's retry is not safe against a lost reply


def test_the_plugin_costs_next_to_nothing_to_those_who_do_not_use_it() -> None:
    """pytest imports it for everybody: neither Trio nor a server come with it."""
    code = "import sys, parkeeper.testing.plugin; print(*sorted(m for m in sys.modules if m.startswith('parkeeper')))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    said = subprocess.run(
        [sys.executable, "-c", code + "; assert 'trio' not in sys.modules"],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert set(said.stdout.split()) <= {
        "parkeeper",
        "parkeeper.version",
        "parkeeper.testing",
        "parkeeper.testing.plugin",
    }
