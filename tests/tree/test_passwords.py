"""Session passwords."""

from parkeeper.tree.passwords import check, password_of

SECRET = b"\x0b" * 20


def test_password_of_when_computed_by_another_program():
    """HMAC-SHA256 of the id's eight bytes, the first sixteen.

    printf '\\0\\0\\0\\1\\0\\0\\0\\2' | openssl dgst -sha256 -mac HMAC -macopt hexkey:0b0b...0b (20 bytes)
    """
    assert password_of(SECRET, 0x1_0000_0002) == bytes.fromhex("497542716d6b224b318987db0e66fc4e")


def test_password_of_when_the_session_is_negative():
    """Ids are signed on the wire."""
    assert len(password_of(SECRET, -2)) == 16
    assert password_of(SECRET, -2) != password_of(SECRET, 2)


def test_check_when_it_is_right():
    """Only the right one, of that session, under that secret."""
    right = password_of(SECRET, 7)
    assert check(SECRET, 7, right)
    assert not check(SECRET, 8, right)
    assert not check(b"another secret", 7, right)


def test_check_when_it_is_something_else():
    """Null, empty, cut or lengthened passwords are wrong ones."""
    right = password_of(SECRET, 7)
    for wrong in (None, b"", bytes(16), right[:15], right + b"\0"):
        assert not check(SECRET, 7, wrong)
