"""Item names to keys and back, and the escape for Consul."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parkeeper.errors import ConfigError
from parkeeper.store.keys import Layout, escape, unescape

CONSUL_KEY = re.compile(r"[A-Za-z0-9,_./\-?&=]*")
ESCAPE_PRONE = st.text(st.sampled_from("ab/.=+ \x00é\U0001f98a?&%0129"))


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("meta", "parkeeper/meta"),
        ("node/services/web", "parkeeper/node/services/web"),
        ("node/", "parkeeper/node/"),
        ("data/services/web", "parkeeper/data/services/web"),
        ("data/", "parkeeper/data/"),
        ("head/7", "parkeeper/head/7"),
    ],
)
def test_key_when_all_is_in_the_namespace(name: str, key: str) -> None:
    """Without a data prefix every item lies under the namespace, the data too."""
    layout = Layout()
    assert layout.key(name) == key
    assert layout.name(key) == name
    assert layout.encode(name) == key.encode()
    assert layout.decode(key.encode()) == name


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("data/services/web", "/services/web"),
        ("data/", "/"),
        ("data/data/x", "/data/x"),
        ("node/services/web", "parkeeper/node/services/web"),
        ("database", "parkeeper/database"),
    ],
)
def test_key_when_data_has_a_prefix(name: str, key: str) -> None:
    """With `--data-prefix /` a znode's path is the native key of its data; everything else stays."""
    layout = Layout(data_prefix="/")
    assert layout.data_apart
    assert layout.key(name) == key
    assert layout.name(key) == name


@pytest.mark.parametrize("key", ["other/meta", "parkeeper", "", "parkeepers/meta", "app", "parkeeper/data/x"])
def test_name_when_the_key_is_not_ours(key: str) -> None:
    """Neighbours' keys are nobody's items; nor is what lies where the data would be without a prefix."""
    assert Layout(data_prefix="app/").name(key) is None


def test_decode_when_the_key_is_not_utf8() -> None:
    """A stranger's key of other bytes is no item, and no error either."""
    assert Layout(data_prefix="/").decode(b"/caf\xe9") is None


def test_layout_when_the_data_prefix_is_the_default() -> None:
    """Naming the place where data lies anyway changes nothing: the same keys, one range."""
    layout = Layout("zk/", "zk/data/")
    assert not layout.data_apart
    assert layout.key("data/x") == "zk/data/x"


@pytest.mark.parametrize(
    ("namespace", "prefix"),
    [
        ("parkeeper/", "parkeeper/"),
        ("parkeeper/", "parkeeper/node/"),
        ("app/parkeeper/", "app/"),
        ("/", "/"),
        ("/parkeeper/", "/"),
    ],
)
def test_layout_when_the_prefixes_overlap(namespace: str, prefix: str) -> None:
    """A data prefix in which a client could overwrite our own items (or we the client's) is refused."""
    with pytest.raises(ConfigError, match="overlap"):
        Layout(namespace, prefix)


@pytest.mark.parametrize(("namespace", "prefix"), [("", None), ("zk", None), ("zk/", ""), ("zk/", "app")])
def test_layout_when_a_prefix_has_no_slash_at_its_end(namespace: str, prefix: str | None) -> None:
    """A prefix that would also cover its neighbours (`app` covers `apple`) is refused."""
    with pytest.raises(ConfigError, match="must end in '/'"):
        Layout(namespace, prefix)


@pytest.mark.parametrize(("namespace", "prefix"), [("z\0k/", None), ("zk/", "a\0pp/")])
def test_layout_when_a_prefix_has_a_nul(namespace: str, prefix: str | None) -> None:
    """No path has one, and stores use it between keys."""
    with pytest.raises(ConfigError, match="NUL"):
        Layout(namespace, prefix)


@given(st.text(), st.sampled_from([None, "/", "app/"]))
def test_name_when_mapped_to_a_key(path: str, prefix: str | None) -> None:
    """Every item comes back from its key, whatever the path."""
    layout = Layout(data_prefix=prefix)
    for name in (f"data/{path}", f"node/{path}"):
        assert layout.name(layout.key(name)) == name
        assert layout.decode(layout.encode(name)) == name


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("", ""),
        ("services/web-1_a,b", "services/web-1_a,b"),
        ("a b", "a=20b"),
        ("e=mc2", "e=3dmc2"),
        ("a..b", "a.=2eb"),
        ("...", ".=2e=2e"),
        ("./a/.", "=2e/a/=2e"),
        (".hidden/a.b.", ".hidden/a.b."),
        ("/a//b", "=2fa/=2fb"),
        ("é", "=c3=a9"),
        ("\x00", "=00"),
        ("a?b&c%d", "a?b&c=25d"),
    ],
)
def test_escape_of_a_path(path: str, text: str) -> None:
    """The escape is what its table says, so that programs in other languages can find a znode's key."""
    assert escape(path) == text
    assert unescape(text) == path


@given(ESCAPE_PRONE | st.text())
def test_escape_keeps_to_what_every_consul_takes(path: str) -> None:
    """Only the safe alphabet, no `..`, no `//`, no leading slash, no segment `.`."""
    text = escape(path)
    assert CONSUL_KEY.fullmatch(text)
    assert ".." not in text
    assert "//" not in text
    assert not text.startswith("/")
    assert "." not in text.split("/")


@given(ESCAPE_PRONE | st.text())
def test_unescape_when_escaped(path: str) -> None:
    """Every path comes back, so no two paths share a key."""
    assert unescape(escape(path)) == path


@given(ESCAPE_PRONE)
def test_unescape_when_no_path_is_written_so(text: str) -> None:
    """What comes back from any text is escaped to that text again: a key has one path, or none."""
    path = unescape(text)
    assert path is None or escape(path) == text


@pytest.mark.parametrize("text", ["=", "=4", "=4G", "=41", "=2F", "=ff", "a b", "a..b", "/a", "a//b", "=zz"])
def test_unescape_when_a_stranger_wrote_the_key(text: str) -> None:
    """Broken, needless or upper-case escapes and unsafe characters are no spelling of any path."""
    assert unescape(text) is None


@given(
    st.lists(
        st.text(st.sampled_from("ab.= é"), min_size=1).filter(lambda s: s not in (".", "..")), min_size=1
    )
)
def test_escape_works_segment_by_segment(segments: list[str]) -> None:
    """A znode's key begins with its parent's key and a slash: a native prefix read lists a subtree."""
    assert escape("/".join(segments)) == "/".join(escape(segment) for segment in segments)
