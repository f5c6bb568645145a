"""Which words are answered, and when."""

from __future__ import annotations

import pytest

from parkeeper.admin.status import Access
from parkeeper.admin.words import WORDS, Words
from parkeeper.options import DEFAULT_WORDS

EVERY = ["ruok", "srvr", "stat", "mntr", "conf", "cons", "envi", "isro", "dirs", "dump", "wchs", "wchc", "wchp", "crst", "srst"]  # fmt: skip


def test_there_are_all_words_of_the_manual():
    """The table has each word that is promised, and no other."""
    assert sorted(word.decode() for word in WORDS) == sorted(EVERY)


@pytest.mark.parametrize("word", EVERY)
def test_each_word_is_answered_when_all_are_allowed(given, word):
    """With `*`, nothing is refused."""
    answer = Words(given(), {"*"})(word.encode())
    assert answer is not None
    assert b"whitelist" not in answer


@pytest.mark.parametrize("word", EVERY)
def test_word_says_so_when_it_is_not_in_the_whitelist(given, word):
    """A refused word is answered with ZooKeeper's line, and does nothing."""
    status = given()
    answer = Words(status, ())(word.encode())
    assert answer == f"{word} is not executed because it is not in the whitelist.\n".encode()
    assert status.forgot == []


def test_default_whitelist_serves_health_checks_and_hides_clients(given):
    """ruok, srvr, stat, mntr, conf, isro, dirs and envi; nothing that lists clients' paths or resets."""
    words = Words(given(), DEFAULT_WORDS)
    refused = {word for word in EVERY if b"whitelist" in (words(word.encode()) or b"")}
    assert refused == {"cons", "dump", "wchs", "wchc", "wchp", "crst", "srst"}


@pytest.mark.parametrize("first", [b"\x00\x00\x00\x2c", b"RUOK", b"hash", b"ruo", b""])
def test_other_bytes_are_no_word(given, first):
    """A length, or anything else, is left to the handshake."""
    assert Words(given(), {"*"})(first) is None


@pytest.mark.parametrize(
    ("access", "answer"), [(Access.READ_WRITE, b"rw"), (Access.READ_ONLY, b"ro"), (Access.NOBODY, b"null")]
)
def test_isro_says_who_may_write(given, access, answer):
    """isro is exactly rw, ro or null, without a newline: kazoo compares it."""
    assert Words(given(can=access), {"*"})(b"isro") == answer


def test_ruok_has_no_newline(given):
    """ruok is four bytes, whatever the state."""
    assert Words(given(can=Access.NOBODY), {"*"})(b"ruok") == b"imok"


@pytest.mark.parametrize("word", sorted(set(EVERY) - {"ruok", "isro", "envi"}))
def test_word_says_not_serving_when_nobody_is_answered(given, word):
    """Without a store there are no figures to trust; the answer is ZooKeeper's."""
    status = given(can=Access.NOBODY)
    assert Words(status, {"*"})(word.encode()) == (
        b"This ZooKeeper instance is not currently serving requests\n"
    )
    assert status.forgot == []
