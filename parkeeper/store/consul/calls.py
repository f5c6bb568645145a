"""Calls to Consul's agents: which of them is asked, and what a refusal says about the request.

Consul answers errors as plain text (HTTP 4xx and 5xx), and 409 with a list for a transaction that failed. What was
certainly not applied goes to the next agent; what may have been is never sent a second time by this module.

| answer | a write |
| --- | --- |
| no connection; 429; 500 `No cluster leader`; 500 `rpc error getting client`; 503 | not applied: next agent |
| 400, 413 | refused as it is |
| 403; 409 `Permission denied` | not applied, and won't be with this token |
| 409, every failure that of a guard | not applied: a guard failed |
| 500 `rpc error making call`, `leadership lost while committing log`, any other; time-out; cut | in doubt |
"""

from __future__ import annotations

import re
from urllib.parse import quote

import httpx
import msgspec

from parkeeper.errors import AccessDenied, InDoubt, Rejected, StoreError, Unavailable
from parkeeper.store.consul.messages import TXN_REPLY, Operation, Pair, TxnReply, read_pairs, transaction
from parkeeper.store.http import Answer, Clients, origin, send, tls_context
from parkeeper.store.lean_request import Target
from parkeeper.store.urls import StoreOptions

READ = 10.0
"""Seconds for a read: an agent without a leader retries 7 s before it says so."""

READ_HERE = 3.0
"""Seconds for a read where another agent can be asked."""

WRITE = 20.0
"""Seconds for a write, where whoever asks has no shorter patience."""

LOAD = 120.0
"""Seconds for everything at once: 300 MB took 4.5 s."""

_GUARD = re.compile(
    r"failed index check|failed to check index|index is stale|^key .* exists$|^key .* doesn't exist$",
    re.DOTALL,
)
_NOT_APPLIED = ("No cluster leader", "rpc error getting client", "No path to datacenter")


class GuardRefused(Exception):
    """A transaction failed, and all that failed in it are guards. Never leaves the adapter.

    Args:
        what: Consul's words for each.
    """

    def __init__(self, what: list[str]) -> None:
        super().__init__("; ".join(what))


class TooManyOperations(Exception):
    """This agent takes fewer operations in a transaction than we thought. Never leaves the adapter.

    Args:
        limit: how many it takes.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit


class Calls:
    """The agents of one store.

    Args:
        endpoints: host and port of each; the first is asked until it fails.
        tls: whether they speak TLS.
        options: token, datacenter, certificates.
    """

    def __init__(self, endpoints: list[tuple[str, int]], tls: bool, options: StoreOptions) -> None:
        context = tls_context(options.ca_file, options.cert_file, options.key_file) if tls else None
        self.clients = Clients(context)
        self._origins = [origin(host, port, tls) for host, port in endpoints]
        self._at = 0
        self._headers: list[tuple[bytes, bytes]] = []
        if options.token is not None:
            self._headers.append((b"X-Consul-Token", options.token.encode()))
        self._dc = "" if options.datacenter is None else f"&dc={quote(options.datacenter, safe='')}"
        self._txn = [self._target("PUT", f"{each}/v1/txn?{self._dc[1:]}") for each in self._origins]
        self._read_txn = [
            self._target("PUT", f"{each}/v1/txn?consistent{self._dc}") for each in self._origins
        ]

    def __repr__(self) -> str:
        return f"<Calls to {self._origins[self._at]}>"

    def _target(self, method: str, url: str) -> Target:
        return Target(method, httpx.URL(url), self._headers)

    async def aclose(self) -> None:
        """Close all connections."""
        await self.clients.aclose()

    async def write(
        self, body: bytes, client: httpx.AsyncClient | None = None, within: float = WRITE
    ) -> list[Pair]:
        """A transaction that writes; to the next agent only after a definite "not applied".

        Args:
            body: see `messages.transaction`.
            client: the connections to use; None: those for everything.
            within: seconds.

        Raises:
            GuardRefused, TooManyOperations, Unavailable, Rejected, AccessDenied, InDoubt.
        """
        failure: StoreError = Unavailable("no agent is configured")
        for _ in self._origins:
            at = self._at
            settled = False
            try:
                message = self._txn[at].request(body, within=within)
                answer = await send(client or self.clients.rest, message)
                settled = answer.status_code < 500
                return await self._results(answer)
            except Unavailable as error:
                failure = error
                settled = False
            finally:
                # Also when the caller lost patience and cancelled: the next try had better go elsewhere.
                if not settled:
                    self._leave(at)
        raise failure

    async def read(self, operations: list[Operation], within: float | None = None) -> list[Pair]:
        """A transaction that only reads, linearizable; every agent is asked until one answers.

        Args:
            operations: gets and get-trees.
            within: seconds for each agent.

        Raises:
            GuardRefused: a `get` found no key.
            Unavailable, Rejected, AccessDenied.
        """
        body = transaction(operations)
        within = within or (READ if len(self._origins) == 1 else READ_HERE)
        failure: StoreError = Unavailable("no agent is configured")
        for _ in self._origins:
            at = self._at
            message = self._read_txn[at].request(body, within=within)
            try:
                return await self._results(await send(self.clients.rest, message))
            except (Unavailable, InDoubt) as error:
                failure = error
                self._leave(at)
        raise Unavailable(str(failure)) from failure

    async def get(self, path: str, within: float, stream: bool = False) -> Answer:
        """GET from the agent of the moment, whatever the status.

        Args:
            path: below `/v1/`, with its query.
            within: seconds.
            stream: use the change stream's connections.

        Raises:
            Unavailable, InDoubt: as `parkeeper.store.http.send`.
        """
        at = self._at
        separator = "&" if "?" in path else "?"
        # (For one request: the path is another one each time.)
        target = self._target("GET", f"{self._origins[at]}/v1/{path}{self._dc and separator + self._dc[1:]}")
        client = self.clients.stream if stream else self.clients.rest
        settled = False
        try:
            answer = await send(client, target.request(within=within))
            settled = answer.status_code < 500
        finally:
            if not settled:
                self._leave(at)
        return answer

    async def get_any(self, path: str) -> Answer:
        """GET from the first agent that answers, and knows of a leader.

        Raises:
            Unavailable: there is none.
        """
        failure: StoreError = Unavailable("no agent is configured")
        for _ in self._origins:
            at = self._at
            try:
                leader = await self.get("status/leader", READ)
                if leader.status_code == 200 and len(leader.content) > len(b'""'):
                    return await self.get(path, READ)
                failure = Unavailable(f"Consul has no leader: {leader.text[:200]}")
            except (Unavailable, InDoubt) as error:
                failure = error
            self._leave(at)
        raise Unavailable(str(failure)) from failure

    def _leave(self, at: int) -> None:
        """Ask the next agent from now on, if nobody else has moved on already."""
        if self._at == at:
            self._at = (at + 1) % len(self._origins)

    async def _results(self, answer: Answer) -> list[Pair]:
        """What a transaction's answer holds, or says."""
        if answer.status_code == 409:
            raise _conflict(answer)
        if answer.status_code != 200:
            raise refusal(answer)
        try:
            return await read_pairs(answer.content)
        except msgspec.MsgspecError as error:
            raise InDoubt(f"not an answer of Consul: {error}") from error


def refusal(answer: Answer) -> StoreError | TooManyOperations:
    """What an answer other than 200, 404 and 409 means for a write."""
    status, text = answer.status_code, answer.text.strip()[:500]
    said = f"Consul answers {status}: {text}"
    if status == 403:
        return AccessDenied(f"{said} (does the token exist, and have the policy that the README shows?)")
    if status in (429, 503) or (status == 500 and any(part in text for part in _NOT_APPLIED)):
        return Unavailable(said)
    if status == 413 and (found := re.search(r"too many operations \(\d+ > (\d+)\)", text)):
        return TooManyOperations(int(found[1]))
    if status < 500:
        return Rejected(said)
    return InDoubt(said)


def _conflict(answer: Answer) -> StoreError | GuardRefused:
    """What the failures of a transaction mean; 409 stands for all of them."""
    try:
        reply: TxnReply = TXN_REPLY.decode(answer.content)
    except msgspec.MsgspecError as error:
        return InDoubt(f"not an answer of Consul: {error}")
    what = [failure.what for failure in reply.errors or ()]
    denied = [each for each in what if "Permission denied" in each or "ACL not found" in each]
    if denied:
        return AccessDenied(f"Consul: {denied[0]} (the README shows the policy that the token needs)")
    others = [each for each in what if not _GUARD.search(each)]
    if others or not what:
        return Rejected(f"Consul refuses the transaction: {'; '.join(others) or 'no reason given'}")
    return GuardRefused(what)
