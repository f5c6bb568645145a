"""Exit codes are part of the interface."""

from __future__ import annotations

import pytest

from parkeeper.cli.exits import CannotListen, code_of, leaves
from parkeeper.errors import AccessDenied, ConfigError, Incompatible, Unavailable


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Unavailable("nobody there"), 1),
        (ValueError("unforeseen"), 1),
        (ConfigError("no such store"), 2),
        (AccessDenied("wrong password"), 3),
        (Incompatible("format 9"), 4),
        (CannotListen("taken"), 5),
    ],
)
def test_code_is_told_by_the_kind_of_error(error, code):
    """Bare, or in groups of groups, as nurseries raise them."""
    assert code_of(error) == code
    assert code_of(BaseExceptionGroup("", [BaseExceptionGroup("", [error])])) == code


def test_code_is_the_final_one_when_several_errors_come_together():
    """What trying again cannot help outweighs what it can."""
    assert code_of(ExceptionGroup("", [Unavailable("gone"), AccessDenied("wrong")])) == 3


def test_leaves_are_the_errors_themselves():
    """Groups are taken apart, in order."""
    first, second = ValueError("1"), KeyError("2")
    assert leaves(ExceptionGroup("", [ExceptionGroup("", [first]), second])) == [first, second]
    assert leaves(first) == [first]
