"""The error codes of reply headers and of multi results (KeeperException.Code, reference 14).

Every client knows the codes here but for one detail: kazoo raises RuntimeError in its connection thread for a code
it has never heard of, so no code outside this table may ever be sent. Those that a server never sends are here
too, since a client's log or an operator may name them.
"""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """What went wrong. "Never" = a client library makes it up itself, or nobody does."""

    OK = 0
    SYSTEM_ERROR = -1  # never
    RUNTIME_INCONSISTENCY = -2  # multi: an operation after the failing one
    DATA_INCONSISTENCY = -3  # never
    CONNECTION_LOSS = -4  # never
    MARSHALLING_ERROR = -5  # a record that cannot be read
    UNIMPLEMENTED = -6  # unknown opcode (then close); a feature that is off
    OPERATION_TIMEOUT = -7  # never
    BAD_ARGUMENTS = -8
    UNKNOWN_SESSION = -12
    NEW_CONFIG_NO_QUORUM = -13  # reconfig
    RECONFIG_IN_PROGRESS = -14  # reconfig
    API_ERROR = -100  # never
    NO_NODE = -101
    NO_AUTH = -102
    BAD_VERSION = -103
    NO_CHILDREN_FOR_EPHEMERALS = -108
    NODE_EXISTS = -110
    NOT_EMPTY = -111
    SESSION_EXPIRED = -112
    INVALID_CALLBACK = -113  # never
    INVALID_ACL = -114
    AUTH_FAILED = -115  # then close
    SESSION_MOVED = -118  # the connection is closed instead
    NOT_READ_ONLY = -119  # a write or sync on a read-only server
    EPHEMERAL_ON_LOCAL_SESSION = -120
    NO_WATCHER = -121
    REQUEST_TIMEOUT = -122  # never
    RECONFIG_DISABLED = -123
    SESSION_CLOSED_REQUIRE_SASL_AUTH = -124  # then close
    QUOTA_EXCEEDED = -125
    THROTTLED_OP = -127
