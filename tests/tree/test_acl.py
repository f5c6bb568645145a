"""Access control lists: what is accepted, who may, what is shown."""

import gc

import pytest

from parkeeper.errors import Refused
from parkeeper.tree import acl
from parkeeper.tree.acl import (
    ADMIN,
    ALL,
    CREATE,
    DELETE,
    OPEN,
    READ,
    READ_ONLY,
    WRITE,
    fixup,
    intern,
    masked,
    require,
)
from parkeeper.tree.schemes import NOBODY, SUPER, Identities
from parkeeper.wire.records import Acl, Id

ANYONE = Acl(31, "world", "anyone")
BOB = Identities([Id("ip", "10.0.0.1"), Id("digest", "bob:aGFzaA==")])


def code_of(entries, who=NOBODY):
    with pytest.raises(Refused) as refused:
        fixup(entries, who)
    return refused.value.code


def test_the_bits_are_those_of_zookeeper():
    """ZooDefs.Perms."""
    assert (READ, WRITE, CREATE, DELETE, ADMIN, ALL) == (1, 2, 4, 8, 16, 31)


def test_encoded_when_there_is_one_entry():
    """A vector of perms, scheme, id."""
    assert (
        OPEN.encoded
        == bytes.fromhex("00000001 0000001f 00000005") + b"world" + bytes.fromhex("00000006") + b"anyone"
    )
    assert READ_ONLY.encoded[4:8] == bytes.fromhex("00000001")


def test_intern_when_lists_are_equal():
    """A million znodes with one ACL hold it once; order and permissions make a difference."""
    one = Acl(1, "digest", "a:b")
    assert intern([ANYONE, one]) is intern((ANYONE, one))
    assert intern([one, ANYONE]) is not intern([ANYONE, one])
    assert intern([ANYONE]) is OPEN


def test_intern_when_nobody_holds_it_any_more():
    """A client that invents ACLs for ever does not fill the memory."""
    before = len(acl._interned)
    intern([Acl(1, "digest", "passing:by")])
    gc.collect()
    assert len(acl._interned) == before


def test_allows_when_the_world_may():
    """Bits of world:anyone are everybody's, from several entries together."""
    both = intern([Acl(1, "world", "anyone"), Acl(4, "world", "anyone")])
    assert both.world == 5
    assert both.allows(READ, NOBODY)
    assert both.allows(CREATE, NOBODY)
    assert not both.allows(WRITE, NOBODY)


def test_allows_when_one_of_several_bits_is_enough():
    """getACL asks for READ or ADMIN."""
    assert READ_ONLY.allows(READ | ADMIN, NOBODY)
    assert not READ_ONLY.allows(WRITE | ADMIN, NOBODY)


def test_allows_when_the_entry_names_an_identity():
    """Only that identity has those bits, and only those."""
    mine = intern([Acl(3, "digest", "bob:aGFzaA=="), Acl(16, "ip", "10.0.0.0/8")])
    assert mine.allows(READ, BOB)
    assert mine.allows(WRITE, BOB)
    assert mine.allows(ADMIN, BOB)
    assert not mine.allows(DELETE, BOB)
    assert not mine.allows(READ, NOBODY)
    assert not mine.allows(READ, Identities([Id("digest", "bob:b3RoZXI=")]))


def test_allows_when_super():
    """Passes everything, even where nobody may anything."""
    assert intern([Acl(0, "world", "anyone")]).allows(DELETE, Identities([SUPER]))


def test_allows_when_the_list_is_empty():
    """ZooKeeper takes no list for no restriction."""
    assert intern([]).allows(ADMIN, NOBODY)
    assert intern([]).world & READ


def test_allows_when_a_world_entry_names_no_one_or_nothing_is_granted():
    """Only world:anyone is the world, and bits of 0 grant nothing."""
    assert not intern([Acl(31, "world", "me"), Acl(0, "world", "anyone")]).allows(ALL, BOB)


def test_require_when_it_is_not_allowed():
    """-102."""
    require(READ_ONLY, READ, NOBODY)
    with pytest.raises(Refused) as refused:
        require(READ_ONLY, WRITE, NOBODY)
    assert refused.value.code == -102


def test_fixup_when_the_list_is_empty_or_null():
    """-114."""
    assert code_of(None) == -114
    assert code_of(()) == -114


def test_fixup_when_entries_repeat():
    """Exact duplicates go, order stays; the same id with other bits is no duplicate."""
    one, two = Acl(1, "digest", "a:b"), Acl(2, "digest", "a:b")
    assert fixup((one, ANYONE, two, one, ANYONE), NOBODY).entries == (one, ANYONE, two)


def test_fixup_when_permissions_are_odd():
    """Kept as given, even none or unknown ones."""
    odd = (Acl(0, "world", "anyone"), Acl(-1, "digest", "a:b"), Acl(1024, "ip", "::1"))
    assert fixup(odd, NOBODY).entries == odd


@pytest.mark.parametrize(
    "entry",
    [
        Acl(31, None, "anyone"), Acl(31, None, None), Acl(31, "world", "me"), Acl(31, "world", ""),
        Acl(31, "digest", "a"), Acl(31, "ip", "nowhere"), Acl(31, "sasl", "bob"), Acl(31, "x509", "CN=bob"),
        Acl(31, "super", ""), Acl(31, "nonsense", None), Acl(31, "", ""),
    ],
)  # fmt: skip
def test_fixup_refuses(entry):
    """-114 for what no scheme takes, even beside valid entries."""
    assert code_of((ANYONE, entry)) == -114


@pytest.mark.parametrize("scheme", ["world", "digest", "ip"])
def test_fixup_when_the_id_is_null(scheme):
    """ZooKeeper trips over it: -5."""
    assert code_of((Acl(31, scheme, None),)) == -5


def test_fixup_when_scheme_is_auth():
    """Becomes an entry per authenticated identity: an address is none, and the given id means nothing."""
    two = BOB.plus(Id("digest", "eve:eA=="))
    for id in (None, "", "whatever"):
        assert fixup((Acl(5, "auth", id),), two).entries == (
            Acl(5, "digest", "bob:aGFzaA=="),
            Acl(5, "digest", "eve:eA=="),
        )


def test_fixup_when_scheme_is_auth_and_the_entry_was_there():
    """What it becomes is not compared again."""
    given = (Acl(5, "digest", "bob:aGFzaA=="), Acl(5, "auth", ""))
    assert fixup(given, BOB).entries == (given[0], given[0])


def test_fixup_when_scheme_is_auth_and_nobody_is_known():
    """-114; the super identity is no authenticated one."""
    assert code_of((Acl(31, "auth", ""),)) == -114
    assert code_of((Acl(31, "auth", ""),), Identities([Id("ip", "10.0.0.1"), SUPER])) == -114


def test_masked_when_admin_is_allowed():
    """As stored."""
    mine = intern([Acl(31, "digest", "bob:aGFzaA==")])
    assert masked(mine, BOB) == mine.encoded
    assert masked(mine, Identities([SUPER])) == mine.encoded


def test_masked_when_admin_is_not_allowed():
    """Hashes of digest ids become x, from the first colon on; nothing else changes."""
    some = intern([Acl(1, "world", "anyone"), Acl(31, "digest", "eve:a:b"), Acl(1, "ip", "::1")])
    assert masked(some, NOBODY) == (
        bytes.fromhex("00000003")
        + bytes.fromhex("00000001 00000005") + b"world" + bytes.fromhex("00000006") + b"anyone"
        + bytes.fromhex("0000001f 00000006") + b"digest" + bytes.fromhex("00000005") + b"eve:x"
        + bytes.fromhex("00000001 00000002") + b"ip" + bytes.fromhex("00000003") + b"::1"
    )  # fmt: skip
