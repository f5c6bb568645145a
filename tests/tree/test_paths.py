"""What a path may look like, and taking it apart."""

import pytest

from parkeeper.errors import Refused
from parkeeper.tree import paths


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/a",
        "/a/b",
        "/...",
        "/.x",
        "/x.",
        "/..x",
        "/a/.../b",
        "/é",
        "/ ",
        "/a b",
        "/\u007e",
        "/\u00a0",
        "/\uf900",
        "/\uffef",
    ],
)
def test_validate_accepts(path):
    """Names that only look odd are names."""
    paths.validate(path)


@pytest.mark.parametrize(
    "path",
    [
        None, "", "a", "a/b", "/a/", "//", "//a", "/a//b", "/.", "/..", "/a/.", "/a/..", "/./a", "/a/../b", "/\0",
        "/a\0b", "/\u0001", "/\u001f", "/\u007f", "/\u009f", "/\ud800", "/\ue000", "/\uf8ff", "/\ufff0", "/\uffff",
        "/\U0001f600", "/\U0010ffff", "/a\n",
    ],
)  # fmt: skip
def test_validate_refuses(path):
    """-8 for each rule of PathUtils.validatePath; characters outside the BMP are surrogates in Java."""
    with pytest.raises(Refused) as refused:
        paths.validate(path)
    assert refused.value.code == -8


@pytest.mark.parametrize("path", ["", "foo", "/a\0"])
def test_require_shape_refuses(path):
    """create and delete ask for a slash and no NUL before they look at the parent."""
    with pytest.raises(Refused) as refused:
        paths.require_shape(path)
    assert refused.value.code == -8


@pytest.mark.parametrize("path", ["foo/bar", "/", "/a/", "/a//b", "/t/./x"])
def test_require_shape_accepts(path):
    """What is wrong in another way shows later, as a parent that is missing."""
    paths.require_shape(path)


@pytest.mark.parametrize(
    ("path", "parent", "name"),
    [("/a/b", "/a", "b"), ("/a", "/", "a"), ("/a/", "/a", ""), ("/", "/", ""), ("foo/bar", "foo", "bar")],
)
def test_parent_and_name(path, parent, name):
    """The text before and after the last slash; nothing before it is the root."""
    assert paths.parent_of(path) == parent
    assert paths.name_of(path) == name


def test_join_when_the_parent_is_the_root():
    """No slash twice."""
    assert paths.join("/", "a") == "/a"
    assert paths.join("/a", "b") == "/a/b"


def test_special_nodes():
    """The four that cannot be deleted."""
    assert {"/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"} == paths.SPECIAL
