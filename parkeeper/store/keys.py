"""Which key of the store an item has, and the escape for stores that take only some characters.

Every item lies under the namespace, `parkeeper/` unless told otherwise: item `node/a/b` has the key
`parkeeper/node/a/b`. With a data prefix P the items `data/<path>` are moved out of the namespace, to P + `<path>`,
where native programs look for them: with P = `/` the data of znode `/services/web` is the key `/services/web`.
The data of the root znode (`<path>` is empty) has P itself as its key: `/` with P = `/`, `app/` with P = `app/`.

Both prefixes end in a slash, so that a range over one can't catch a neighbour (`app/` does not cover `apple`).
Neither may be a prefix of the other, else a client's znode could be called like one of our own items; the one
exception is P = namespace + `data/`, which is where the data lies without a data prefix.

etcd takes any bytes, and gets keys as UTF-8. Consul does not: see `escape`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from parkeeper.errors import ConfigError

DEFAULT_NAMESPACE = "parkeeper/"
_DATA = "data/"


@dataclass(frozen=True)
class Layout:
    """Item names to keys and back.

    Args:
        namespace: prefix of all keys; ends in `/`.
        data_prefix: prefix of the keys of `data/` items; None: `data/` in the namespace.

    Attributes:
        data: prefix of the keys of `data/` items, whichever way it was given.
        data_apart: True if that prefix lies outside the namespace (two ranges to load, two to watch).

    Raises:
        ConfigError: a prefix is empty, does not end in `/`, or the two overlap.
    """

    namespace: str = DEFAULT_NAMESPACE
    data_prefix: str | None = None
    data: str = field(init=False)
    data_apart: bool = field(init=False)

    def __post_init__(self) -> None:
        _check("namespace", self.namespace)
        home = self.namespace + _DATA
        data = home if self.data_prefix is None else self.data_prefix
        if data != home:
            _check("data prefix", data)
            if data.startswith(self.namespace) or self.namespace.startswith(data):
                raise ConfigError(
                    f"data prefix {data!r} and namespace {self.namespace!r} overlap: znodes could then overwrite "
                    "what parkeeper keeps about them; choose prefixes of which neither begins with the other"
                )
        object.__setattr__(self, "data", data)
        object.__setattr__(self, "data_apart", data != home)

    def key(self, name: str) -> str:
        """Key of an item."""
        if self.data_apart and name.startswith(_DATA):
            return self.data + name[len(_DATA) :]
        return self.namespace + name

    def name(self, key: str) -> str | None:
        """Item that a key belongs to; None if it is no key of ours."""
        if key.startswith(self.namespace):
            name = key[len(self.namespace) :]
            return None if self.data_apart and name.startswith(_DATA) else name
        if self.data_apart and key.startswith(self.data):
            return _DATA + key[len(self.data) :]
        return None

    def encode(self, name: str) -> bytes:
        """Key of an item as UTF-8."""
        return self.key(name).encode()

    def decode(self, key: bytes) -> str | None:
        """Item that a UTF-8 key belongs to; None if it is no key of ours, or not UTF-8 (a stranger's)."""
        try:
            return self.name(key.decode())
        except UnicodeDecodeError:
            return None


def _check(what: str, prefix: str) -> None:
    if not prefix.endswith("/"):
        raise ConfigError(f"the {what} is {prefix!r}; it must end in '/'")
    if "\0" in prefix:
        raise ConfigError(f"the {what} is {prefix!r}; no key may have a NUL in it")


# What is not written as itself: characters outside the alphabet; the escape character; a dot after a dot; a
# dot that is a whole segment; a slash that begins the text or follows a slash.
_UNSAFE = re.compile(r"[^A-Za-z0-9,_./\-?&]+|(?<=\.)\.|(?<![^/])\.(?![^/])|(?<![^/])/")
_ESCAPED = re.compile(r"(?:=[0-9a-f]{2})+")


def escape(path: str) -> str:
    """Spell a path in the characters that every Consul takes as a key: `[A-Za-z0-9,_./\\-?&=]`.

    Consul 1.21.5 refuses all others, and `..`; its HTTP API redirects keys with `//`, a leading `/` or a `.`
    segment. Each UTF-8 byte of what can't stand as it is becomes `=` and two lower-case hex digits:

        a b      a=20b          a..b     a.=2eb
        e = mc2  e=20=3d=20mc2  ...      .=2e=2e

    So `=` only ever begins an escape, and no two paths have one spelling. A path of safe characters is
    unchanged, and `escape("a/b")` is `escape("a")`, a slash, `escape("b")`.
    """
    return _UNSAFE.sub(_hex, path)


def unescape(text: str) -> str | None:
    """The path whose `escape` is `text`; None if there is none (a stranger's key)."""
    if _UNSAFE.search(text) is None:
        return text
    try:
        path = _ESCAPED.sub(_unhex, text)
    except UnicodeDecodeError:
        return None
    return path if escape(path) == text else None


def _hex(unsafe: re.Match[str]) -> str:
    return "".join(f"={byte:02x}" for byte in unsafe[0].encode())


def _unhex(escaped: re.Match[str]) -> str:
    return bytes.fromhex(escaped[0].replace("=", "")).decode()
