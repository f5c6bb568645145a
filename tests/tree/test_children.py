"""Names of children and their encoding."""

from parkeeper.tree.children import NONE, Children

TWO = bytes.fromhex("00000002 00000001 61 00000003 e282ac")


def test_encoded_when_names_are_there():
    """A count, then each name with its length in bytes of UTF-8."""
    assert Children(["a", "\u20ac"]).encoded() == TWO


def test_encoded_when_a_name_comes_and_goes():
    """The kept encoding never outlives a change."""
    names = Children(["a"])
    names.encoded()
    names.add("\u20ac")
    assert names.encoded() == TWO
    names.discard("a")
    assert names.encoded() == bytes.fromhex("00000001 00000003 e282ac")
    names.discard("\u20ac")
    assert names.encoded() == bytes.fromhex("00000000") == NONE


def test_encoded_when_nothing_changed():
    """It is the same object: nothing is encoded again, not even after a name that was there or not there."""
    names = Children(["a"])
    first = names.encoded()
    names.discard("b")
    assert names.encoded() is first


def test_children_are_a_set_of_names():
    """A name added twice is there once."""
    names = Children(["a", "b", "a"])
    assert len(names) == 2
    assert set(names) == {"a", "b"}
    assert "a" in names
    assert "c" not in names
