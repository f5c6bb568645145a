"""Identities, and what ids of each scheme mean."""

import pytest

from parkeeper.errors import Refused
from parkeeper.tree import schemes
from parkeeper.tree.schemes import Identities, addauth, address_identity, client_infos, matches, valid
from parkeeper.wire.records import Id

# printf 'super:secret' | openssl sha1 -binary | base64
SUPER_DIGEST = "super:lK75jTNcA+U9vtVEw5vB51mj/w4="


def test_digest_when_the_documentation_gives_one():
    """ZooKeeper's programmer's guide and its tests: super:test."""
    assert schemes.digest_of("super:test") == "super:D/InIHSb7yEEbrWz8b9l71RjZJU="


def test_addauth_when_data_is_odd():
    """Digest always succeeds: without a colon the id is of no use, but it is one."""
    # printf '' | openssl sha1 -binary | base64
    assert addauth("digest", b"", None) == (Id("digest", ":2jmj7l5rSw0yVb/vlWAYkK/YBwk="),)
    # printf 'a:b:c' | openssl sha1 -binary | base64
    assert addauth("digest", b"a:b:c", None) == (Id("digest", "a:cLzgnoJ6mP5qz3w+mwvPE2vDgu0="),)


def test_addauth_when_it_is_the_super_digest():
    """The super identity comes beside the digest itself."""
    ids = addauth("digest", b"super:secret", SUPER_DIGEST)
    assert set(ids) == {Id("super", ""), Id("digest", SUPER_DIGEST)}
    assert Identities(ids).super
    assert not Identities(addauth("digest", b"super:secret", None)).super
    assert not Identities(addauth("digest", b"super:other", SUPER_DIGEST)).super


@pytest.mark.parametrize(
    ("scheme", "data"),
    [("digest", None), ("sasl", b"x"), ("world", b"x"), ("super", b"x"), ("", b""), (None, b"x")],
)
def test_addauth_refuses(scheme, data):
    """-115: schemes nobody can prove that way, and null data."""
    with pytest.raises(Refused) as refused:
        addauth(scheme, data, None)
    assert refused.value.code == -115


def test_addauth_when_scheme_is_ip():
    """Proves nothing new, and is no error."""
    assert addauth("ip", b"", None) == ()


@pytest.mark.parametrize(
    ("host", "id"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "0:0:0:0:0:0:0:1"),
        ("fe80::a:0bff%eth0", "fe80:0:0:0:0:0:a:bff"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
    ],
)
def test_address_identity(host, id):
    """As Java writes addresses: v6 in full, and v4 mapped into v6 is v4."""
    assert address_identity(host) == Id("ip", id)


def test_plus_when_it_is_known():
    """An identity counts once, and the old set is not touched."""
    one = Identities([Id("ip", "1.2.3.4")])
    assert one.plus(Id("ip", "1.2.3.4")) is one
    two = one.plus(Id("digest", "a:b"))
    assert two.ids == (Id("ip", "1.2.3.4"), Id("digest", "a:b"))
    assert one.ids == (Id("ip", "1.2.3.4"),)


def test_plus_when_there_are_too_many():
    """A client that adds identities for ever is stopped."""
    crowd = Identities(Id("digest", str(i)) for i in range(schemes.MOST_IDENTITIES))
    with pytest.raises(Refused) as refused:
        crowd.plus(Id("digest", "more"))
    assert refused.value.code == -115


@pytest.mark.parametrize("id", ["a:b", ":y", "a:b:", "a:b:::"])
def test_digest_ids_that_are_valid(id):
    """Two parts, as Java's split counts them: trailing empty parts don't count."""
    assert valid("digest", id)


@pytest.mark.parametrize("id", ["", "x", "x:", ":", "::", "a:b:c", "a::b"])
def test_digest_ids_that_are_not_valid(id):
    """Anything that does not split in two."""
    assert not valid("digest", id)


@pytest.mark.parametrize(
    "id",
    ["10.0.0.1", "10.0.0.0/8", "10.0.0.0/0", "10.0.0.1/32", "010.0.0.1", "::1", "::/0", "2001:db8::/32", "::1/128",
     "1:2:3:4:5:6:7:8"],
)  # fmt: skip
def test_addresses_that_are_valid(id):
    """v4 and v6, with and without bits."""
    assert valid("ip", id)


@pytest.mark.parametrize(
    "id",
    ["", "localhost", "10.0.0", "10.0.0.0.0", "10.0.0.256", "10.0.0.-1", "10.0.0.a", "10.0.0.1/", "10.0.0.1/33",
     "10.0.0.1/-1", "10.0.0.1/8/8", "10.0.0. 1", "10.0.0.1_0", "::1/129", ":::", "1::2::3", "12345::", "1:2:3",
     "fe80::1%eth0", "::ffff:1.2.3.4", "9" * 5000 + ".0.0.1"],
)  # fmt: skip
def test_addresses_that_are_not_valid(id):
    """What Java's provider refuses too; the last would trip int()."""
    assert not valid("ip", id)


@pytest.mark.parametrize("scheme", ["sasl", "x509", "super", "world", "auth", "nonsense", ""])
def test_valid_when_the_scheme_has_no_provider(scheme):
    """No id of it can stand in an ACL."""
    assert not valid(scheme, "anyone")


@pytest.mark.parametrize(
    ("mine", "named", "expected"),
    [
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.4", False),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "10.255.255.255/8", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("10.1.2.3", "10.1.2.2/31", True),
        ("10.1.2.4", "10.1.2.2/31", False),
        ("10.1.2.3", "0.0.0.0/0", True),
        ("10.1.2.3", "::/0", False),
        ("2001:db8:0:0:0:0:0:5", "2001:db8::/32", True),
        ("2001:db9:0:0:0:0:0:5", "2001:db8::/32", False),
        ("0:0:0:0:0:0:0:1", "::1", True),
    ],
)
def test_matches_when_the_scheme_is_ip(mine, named, expected):
    """Same family, equal under the mask."""
    assert matches("ip", named, Identities([Id("ip", mine)])) is expected


def test_matches_when_the_scheme_is_another():
    """An id proves something for its own scheme only."""
    who = Identities([Id("digest", "10.1.2.3")])
    assert not matches("ip", "10.1.2.3", who)
    assert matches("digest", "10.1.2.3", who)
    assert not matches("digest", "10.1.2", who)
    assert not matches("sasl", "10.1.2.3", Identities([Id("sasl", "10.1.2.3")]))


def test_client_infos_when_all_kinds_are_there():
    """Never the hash of a digest."""
    who = Identities([Id("ip", "1.2.3.4"), Id("digest", "bob:abc="), Id("super", "")])
    assert client_infos(who) == [("ip", "1.2.3.4"), ("digest", "bob"), ("super", "")]
