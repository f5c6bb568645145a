"""Who somebody is: the identities of a connection, and what an id of each ACL scheme means.

| scheme | how a connection gets the id | a valid id in an ACL | matches |
| --- | --- | --- | --- |
| ip | at accept, its remote address | an address, v4 or v6, optionally `/bits` | same family, equal under the mask |
| digest | addauth `user:password` becomes `user:base64(SHA1(user:password))` | two parts around one colon | equal |
| super | addauth digest equal to the configured one | never | passes every check |

`world` and `auth` are no schemes of this kind: they name nobody, and are dealt with in `parkeeper.tree.acl`.
Sources: ProviderRegistry, IPAuthenticationProvider, DigestAuthenticationProvider, AuthUtil.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from typing import Final, NamedTuple

from parkeeper.errors import Refused
from parkeeper.wire.codes import Code
from parkeeper.wire.records import ClientInfo, Id

MOST_IDENTITIES: Final = 256
"""Identities one connection can collect. ZooKeeper sets no bound; every one is compared at every ACL check."""

SUPER: Final = Id("super", "")
"""The identity that passes every check (DigestAuthenticationProvider, superDigest)."""


class Identities:
    """What a connection has proved to be; immutable, so a request keeps those it was received with.

    Args:
        ids: in the order they were added, without duplicates.

    Attributes:
        super: whether one of them passes every check.
    """

    __slots__ = ("ids", "super")

    def __init__(self, ids: Iterable[Id] = ()) -> None:
        self.ids: Final = tuple(dict.fromkeys(ids))
        self.super: Final = any(each.scheme == SUPER.scheme for each in self.ids)

    def plus(self, addition: Id) -> Identities:
        """These and one more. Raises Refused(AUTH_FAILED) above `MOST_IDENTITIES`."""
        if addition in self.ids:
            return self
        if len(self.ids) >= MOST_IDENTITIES:
            raise Refused(Code.AUTH_FAILED)
        return Identities((*self.ids, addition))

    def __repr__(self) -> str:
        return f"<Identities {' '.join(f'{each.scheme}:{each.id}' for each in self.ids)}>"


NOBODY: Final = Identities()
"""No identity at all: passes only what the whole world may."""


def address_identity(host: str) -> Id:
    """The `ip` identity of a peer, in the text Java's getHostAddress gives.

    Args:
        host: the address of the socket's peer. A v4 address mapped into v6 counts as v4, a zone (`%eth0`) is dropped.
    """
    if ":" not in host:
        return Id("ip", host)
    address = IPv6Address(host.partition("%")[0])
    if address.ipv4_mapped is not None:
        return Id("ip", str(address.ipv4_mapped))
    return Id("ip", ":".join(format(int(part, 16), "x") for part in address.exploded.split(":")))


def addauth(scheme: str | None, auth: bytes | None, super_digest: str | None) -> tuple[Id, ...]:
    """The identities that an `addauth` request proves; any digest succeeds, even one of no use.

    Args:
        scheme: of the request; `ip` proves what is known already.
        auth: for digest: `user:password`.
        super_digest: `user:base64(SHA1(user:password))` of the identity that passes every check, None: nobody.

    Raises:
        Refused: AUTH_FAILED for any other scheme and for null data; the connection is then to be closed.
    """
    if scheme == "ip":
        return ()
    if scheme != "digest" or auth is None:
        raise Refused(Code.AUTH_FAILED)
    digest = digest_of(auth.decode(errors="replace"))
    mine = Id("digest", digest)
    return (SUPER, mine) if digest == super_digest else (mine,)


def digest_of(secret: str) -> str:
    """`user:base64(SHA1(user:password))` for `user:password` (DigestAuthenticationProvider.generateDigest)."""
    sha1 = hashlib.sha1(secret.encode(), usedforsecurity=False).digest()
    return f"{secret.partition(':')[0]}:{b64encode(sha1).decode()}"


def authenticated(identity: Id) -> bool:
    """Whether an identity counts for the `auth` pseudo scheme: an address proves nobody (isAuthenticated)."""
    return identity.scheme == "digest"


def valid(scheme: str, id: str) -> bool:
    """Whether an ACL may name this id; False for schemes without a provider."""
    rules = _SCHEMES.get(scheme)
    return rules is not None and rules.valid(id)


def matches(scheme: str, id: str, who: Identities) -> bool:
    """Whether an identity of that scheme matches the id an ACL names."""
    rules = _SCHEMES.get(scheme)
    return rules is not None and any(each.scheme == scheme and rules.matches(each.id, id) for each in who.ids)


def client_infos(who: Identities) -> list[ClientInfo]:
    """The answer to whoAmI: scheme and user of each identity (AuthUtil.getClientInfos)."""
    return [
        ClientInfo(each.scheme, each.id.partition(":")[0] if each.scheme == "digest" else each.id)
        for each in who.ids
    ]


def _valid_digest(id: str) -> bool:
    # Java's String.split drops trailing empty parts: "a:b:" has two, "x:" one.
    return len(id.rstrip(":").split(":")) == 2


class Network(NamedTuple):
    """What an `ip` id of an ACL stands for: the addresses of one family whose leading bits are these."""

    width: int
    shift: int
    prefix: int


_NUMBER: Final = re.compile(r"[+-]?0*\d{1,10}")  # what Java's Integer.parseInt takes, and int() takes more


@lru_cache(maxsize=1024)
def network(text: str) -> Network | None:
    """An address or `address/bits`; None if it is neither (IPAuthenticationProvider.isValid)."""
    host, slash, bits = text.partition("/")
    address = _v6(host) if ":" in host else _v4(host)
    if address is None:
        return None
    width = 128 if ":" in host else 32
    if not slash:
        return Network(width, 0, address)
    if _NUMBER.fullmatch(bits) is None or not 0 <= int(bits) <= width:
        return None
    shift = width - int(bits)
    return Network(width, shift, address >> shift)


def _v4(host: str) -> int | None:
    parts = host.split(".")
    if len(parts) != 4 or any(_NUMBER.fullmatch(part) is None or not 0 <= int(part) <= 255 for part in parts):
        return None
    return int.from_bytes(bytes(map(int, parts)))


def _v6(host: str) -> int | None:
    if "." in host or "%" in host:  # ipaddress would take both, ZooKeeper takes neither
        return None
    try:
        return int(IPv6Address(host))
    except AddressValueError:
        return None


def _valid_address(id: str) -> bool:
    return network(id) is not None


def _address_matches(mine: str, named: str) -> bool:
    asked = network(named)
    have = network(mine)
    if asked is None or have is None or asked.width != have.width:
        return False
    return have.prefix >> asked.shift == asked.prefix


def _equal(mine: str, named: str) -> bool:
    return mine == named


class _Rules(NamedTuple):
    """How one scheme judges: `valid(id of an ACL)`, `matches(id of a connection, id of an ACL)`."""

    valid: Callable[[str], bool]
    matches: Callable[[str, str], bool]


_SCHEMES: Final = {
    "digest": _Rules(_valid_digest, _equal),
    "ip": _Rules(_valid_address, _address_matches),
}
