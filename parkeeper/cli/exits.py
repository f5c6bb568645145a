"""With which code a command ends. They are part of the interface: supervisors tell from them whether to try again."""

from __future__ import annotations

from typing import Final, cast

from parkeeper.errors import AccessDenied, ConfigError, Incompatible

STOPPED: Final = 0
"""A clean stop; of `status`: it serves."""
FAILED: Final = 1
"""The store could not be reached in time, or an error nobody foresaw; of `status`: it does not serve."""
MISUSED: Final = 2
"""An option that cannot be obeyed."""
DENIED: Final = 3
"""The store refuses our credentials."""
INCOMPATIBLE: Final = 4
"""The store, or what is in it, is not one this version can serve."""
NO_ADDRESS: Final = 5
"""An address cannot be listened on."""

FINAL: Final = frozenset({MISUSED, DENIED, INCOMPATIBLE, NO_ADDRESS})
"""Trying again as it is will not help."""

EPILOG: Final = (
    "Exit codes: 0 stopped by SIGTERM or SIGINT; 1 the store could not be reached within --store-wait, or an unforeseen"
    " error; 2 an option cannot be obeyed; 3 the store refuses our credentials; 4 the store or its content is not"
    " one this version can serve; 5 an address cannot be listened on. A second signal ends at once with 128 + its number."
)


class CannotListen(ConfigError):
    """An address is taken, or is not ours to use."""


_CODES: Final[tuple[tuple[type[BaseException], int], ...]] = (
    (AccessDenied, DENIED),
    (Incompatible, INCOMPATIBLE),
    (CannotListen, NO_ADDRESS),
    (ConfigError, MISUSED),
)


def code_of(error: BaseException) -> int:
    """The exit code for what ended a command; of a group, that of the first error here that has one of its own."""
    found = leaves(error)
    return next((code for kind, code in _CODES if any(isinstance(leaf, kind) for leaf in found)), FAILED)


def leaves(error: BaseException) -> list[BaseException]:
    """The exceptions in a group of groups; of a bare one, itself."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    group = cast("BaseExceptionGroup[BaseException]", error)
    return [leaf for each in group.exceptions for leaf in leaves(each)]
