"""Items to Consul's keys and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parkeeper.errors import ConfigError
from parkeeper.store.consul.names import Names, keeper_of
from parkeeper.store.keys import Layout

KEYS = {
    "meta": "parkeeper/live/meta",
    "ids": "parkeeper/live/ids",
    "head/3": "parkeeper/live/head/3",
    "keeper/3": "parkeeper/live/keeper/3",
    "turn/3": "parkeeper/live/turn/3",
    "fence/3": "parkeeper/fence/3",
    "session/77": "parkeeper/session/77",
    "node/": "parkeeper/node/",
    "node/a/b": "parkeeper/node/a/b",
    "stat/a b": "parkeeper/stat/a=20b",
    "kids/é": "parkeeper/kids/=c3=a9",
    "data/a/../b": "parkeeper/data/a/.=2e/b",
}


@pytest.mark.parametrize(("name", "key"), KEYS.items())
def test_key_is_as_documented(name: str, key: str) -> None:
    """What followers watch lies under live/; the rest is what it is called, in safe characters."""
    names = Names(Layout())
    assert names.key(name) == key
    assert names.name(key) == name
    assert any(key.startswith(tree) for tree in names.trees)
    assert not key.startswith(names.feeds)


@pytest.mark.parametrize("prefix", ["app/", "parkeeper-data/", "par/"])
def test_key_when_the_data_lies_apart(prefix: str) -> None:
    """Native programs find a znode's data at the prefix and its path."""
    names = Names(Layout(data_prefix=prefix))
    assert names.key("data/services/web") == prefix + "services/web"
    assert names.name(prefix + "services/web") == "data/services/web"
    assert names.name("parkeeper/node/a") == "node/a"
    assert prefix in names.trees


@pytest.mark.parametrize("prefix", ["", "/", "/app/", "app", "parkeeper/", "parkeeper/live/"])
def test_names_when_the_data_prefix_cannot_be(prefix: str) -> None:
    """Empty, with a slash in front (Consul redirects such keys), without one at the end, or over our own keys."""
    with pytest.raises(ConfigError):
        Names(Layout(data_prefix=prefix))


def test_slot_is_below_its_own_feed_only() -> None:
    """Removing the ring of keeper 1 does not take that of keeper 10 along."""
    names = Names(Layout("zk/prod/"))
    assert names.slot(1, 42) == "zk/prod/feed/1/42"
    assert names.feed(1) == "zk/prod/feed/1/"
    assert not names.slot(10, 0).startswith(names.feed(1))


def test_key_when_nobody_would_load_it() -> None:
    """An item of a kind that no tree holds is a mistake of the caller."""
    with pytest.raises(KeyError):
        Names(Layout()).key("unheard/of")


@pytest.mark.parametrize(("name", "keeper"), [("head/7", 7), ("keeper/x", 0), ("turn/", 0), ("head/٣", 0)])
def test_keeper_of(name: str, keeper: int) -> None:
    """0 for what a stranger put among them."""
    assert keeper_of(name) == keeper


@given(st.sampled_from(["node", "stat", "kids", "data"]), st.text(st.characters(exclude_categories=["Cs"])))
def test_names_come_back(kind: str, path: str) -> None:
    """Any path, with the data in the namespace and apart."""
    for names in (Names(Layout()), Names(Layout("a b/", "app é/"))):
        assert names.name(names.key(f"{kind}/{path}")) == f"{kind}/{path}"
