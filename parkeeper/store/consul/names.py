"""Which Consul key an item has, and which prefixes there are.

    <namespace>live/...                what followers watch: head/ keeper/ turn/ meta ids, one blocking query
    <namespace>node/ stat/ kids/ session/ fence/
    <data prefix>                      `<namespace>data/` unless told otherwise
    <namespace>feed/<keeper>/<slot>    the rings (`parkeeper.store.consul.ring`), which `load()` never reads

Everything is escaped (`parkeeper.store.keys.escape`) to the characters that every Consul takes.
"""

from __future__ import annotations

from parkeeper.errors import ConfigError
from parkeeper.store.keys import Layout, escape, unescape

LIVE_KINDS = ("head", "keeper", "turn")
LIVE_SINGLES = ("meta", "ids")
PLAIN_KINDS = ("node", "stat", "kids", "session", "fence")


class Names:
    """Items to keys and back.

    Args:
        layout: namespace and data prefix.

    Attributes:
        live: prefix that the blocking query watches.
        heads: prefix of all heads, inside it.
        feeds: prefix of all rings.
        trees: prefixes that together hold every item; what `load()` reads.

    Raises:
        ConfigError: a data prefix that Consul's HTTP API would redirect.
    """

    def __init__(self, layout: Layout) -> None:
        if layout.data.startswith("/"):
            raise ConfigError(
                f"the data prefix {layout.data!r} begins with '/': Consul's HTTP API redirects such keys; "
                "leave the slash out"
            )
        namespace = escape(layout.namespace)
        self.live = namespace + "live/"
        self.heads = self.live + "head/"
        self.feeds = namespace + "feed/"
        self._data = escape(layout.data)
        self._prefixes = {kind: f"{namespace}{kind}/" for kind in PLAIN_KINDS}
        self._prefixes |= {kind: f"{self.live}{kind}/" for kind in LIVE_KINDS}
        self._prefixes["data"] = self._data
        self._kinds = {prefix: kind for kind, prefix in self._prefixes.items()}
        self._namespace = namespace
        self.trees = [*(self._prefixes[kind] for kind in PLAIN_KINDS), self._data, self.live]

    def key(self, name: str) -> str:
        """Key of an item.

        Raises:
            KeyError: an item of a kind that `load()` would not find again.
        """
        if name in LIVE_SINGLES:
            return self.live + name
        kind, _, rest = name.partition("/")
        return self._prefixes[kind] + escape(rest)

    def name(self, key: str) -> str | None:
        """Item that a key under one of `trees` belongs to; None if it is no key of ours."""
        if key.startswith(self._data):
            return _named("data", key[len(self._data) :])
        if key.startswith(self.live):
            key = key[len(self.live) :]
            if key in LIVE_SINGLES:
                return key
        else:
            key = key[len(self._namespace) :]
        kind, _, rest = key.partition("/")
        return _named(kind, rest)

    def slot(self, keeper: int, number: int) -> str:
        """Key of one entry of a keeper's ring."""
        return f"{self.feeds}{keeper}/{number}"

    def feed(self, keeper: int) -> str:
        """Prefix of a keeper's ring; with the slash, since `feed/1` would be a prefix of `feed/10/`."""
        return f"{self.feeds}{keeper}/"


def _named(kind: str, rest: str) -> str | None:
    path = unescape(rest)
    return None if path is None else f"{kind}/{path}"


def keeper_of(name: str) -> int:
    """The id in `head/<id>`, `keeper/<id>`, ...; 0 if a stranger's key has none."""
    text = name.rpartition("/")[2]
    return int(text) if text.isascii() and text.isdigit() else 0
