"""URLs to adapters."""

import subprocess
import sys
from pathlib import Path

import pytest

from parkeeper.errors import ConfigError
from parkeeper.store.urls import StoreOptions, endpoints, open_store

OPTIONS = StoreOptions()


@pytest.mark.parametrize(
    "url", ["", "zookeeper://h:1", "etcd", "/var/lib/parkeeper", "sqlite:/x", "ETCD://h:1"]
)
def test_open_store_when_there_is_no_such_scheme(url: str) -> None:
    """The error lists what there is."""
    with pytest.raises(
        ConfigError, match=r"memory://.*sqlite:///PATH.*etcd://HOST:PORT.*etcds.*consul.*consuls"
    ):
        open_store(url, OPTIONS)


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("h:1", [("h", 1)]),
        ("h", [("h", 2379)]),
        ("h:1/", [("h", 1)]),
        ("10.0.0.1:2379,h2,[::1]:3", [("10.0.0.1", 2379), ("h2", 2379), ("::1", 3)]),
        ("[fe80::1]", [("fe80::1", 2379)]),
    ],
)
def test_endpoints_of_an_address_list(rest: str, expected: list[tuple[str, int]]) -> None:
    """Hosts, numeric addresses of both kinds, and the default port."""
    assert endpoints(rest, 2379) == expected


@pytest.mark.parametrize(
    "rest", ["", ":1", "h:", "h:0", "h:65536", "h:x", "h:1,", "h/path", "[::1", "[::1]x", "h:1:2", "h:²"]
)
def test_endpoints_when_malformed(rest: str) -> None:
    """Whatever is no address is refused and quoted."""
    with pytest.raises(ConfigError, match="is not an address"):
        endpoints(rest, 2379)


def test_endpoints_when_a_password_is_in_the_url() -> None:
    """Credentials do not belong into a command line, and the error does not repeat them."""
    with pytest.raises(ConfigError) as caught:
        endpoints("root:secret@h:1", 2379)
    assert "secret" not in str(caught.value)


def test_options_when_printed() -> None:
    """No secret gets into a log by way of the options."""
    assert "hidden" not in repr(StoreOptions(password="hidden", token="hidden"))


def test_open_store_when_memory_has_a_name() -> None:
    """One name, one server; no name, a server of one's own."""
    from parkeeper.store.memory import MemoryStore

    stores = [open_store(f"memory://{name}", OPTIONS) for name in ("a", "a", "b", "", "")]
    servers = [store.server for store in stores if isinstance(store, MemoryStore)]
    assert servers[0] is servers[1]
    assert len(set(map(id, servers))) == 4


@pytest.mark.parametrize(("url", "path"), [("sqlite:///a/b.db", "/a/b.db"), ("sqlite://b.db", "b.db")])
def test_open_store_when_sqlite_has_a_path(url: str, path: str) -> None:
    """Three slashes make an absolute path; nothing is created before `open`."""
    from parkeeper.store.sqlite import SqliteStore

    store = open_store(url, OPTIONS)
    assert isinstance(store, SqliteStore)
    assert store.path == Path(path)


def test_open_store_when_sqlite_has_no_path() -> None:
    """A store on disk needs to be told where."""
    with pytest.raises(ConfigError, match="path"):
        open_store("sqlite://", OPTIONS)


def test_open_store_imports_no_more_than_it_needs() -> None:
    """Who serves from sqlite does not wait for httpx to be imported."""
    script = (
        "import sys; from parkeeper.store.urls import StoreOptions, open_store;"
        "open_store('sqlite:///x', StoreOptions()); open_store('memory://', StoreOptions());"
        "print(*sorted({'httpx', 'msgspec', 'parkeeper.store.etcd', 'parkeeper.store.consul'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")
