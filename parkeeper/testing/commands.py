"""What the control port can be asked: the commands of an ensemble with JSON for arguments and results.

Arguments have the names they have in `parkeeper.testing.AsyncEnsemble`. In JSON

* a session is `"0x1234"` (ids are too long for JavaScript's numbers), or the path of an ephemeral it owns;
* data is a string where it is UTF-8, else `{"base64": "..."}`; null is null;
* `wait` takes one or more of `exists`, `absent` (a path), `data` (path -> data), `connected`, `gone` (a session),
  `serving` (a keeper), `hits` (a fault that has met all its requests), and `seconds`.
"""

from __future__ import annotations

import base64
import binascii
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, cast

from parkeeper.testing.embedded import AsyncEnsemble
from parkeeper.testing.fleet import WAIT
from parkeeper.testing.looks import SessionInfo
from parkeeper.testing.records import Event, Exchange, Record
from parkeeper.testing.rules import Fault

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

LOOKS: Final = ("hosts", "tree", "node", "sessions", "watches", "requests", "faults")
"""Those that change nothing: GET asks for them, POST may."""


class Misused(Exception):
    """A command cannot be asked for like this."""


class Unknown(Misused):
    """There is no such command."""


class Commands:
    """The commands of one ensemble.

    Args:
        ensemble: entered.
    """

    def __init__(self, ensemble: AsyncEnsemble) -> None:
        self._ensemble = ensemble
        self._faults: list[Fault] = []
        self._commands: dict[str, Callable[..., Awaitable[object]]] = {
            "start": ensemble.start,
            "stop": ensemble.stop,
            "kill": ensemble.kill,
            "restart": ensemble.restart,
            "pause": ensemble.pause,
            "resume": ensemble.resume,
            "partition": ensemble.partition,
            "heal": ensemble.heal,
            "store_down": ensemble.store_down,
            "store_up": ensemble.store_up,
            "delay": ensemble.delay,
            "drop": ensemble.drop,
            "expire": ensemble.expire,
            "move": ensemble.move,
            "fail": ensemble.fail,
            "lose": ensemble.lose,
            "clear_faults": ensemble.clear_faults,
            "advance": ensemble.advance,
            "load": ensemble.load,
            "clear": ensemble.clear,
            "reset": ensemble.reset,
        }

    async def run(self, name: str, arguments: Mapping[str, object]) -> Json:
        """Run one command; returns its result.

        Raises:
            Unknown: there is none of that name.
            Misused: not with these arguments.
            LookupError, ValueError: an argument names something that is not there.
            ParkeeperError: it could not be done.
            trio.TooSlowError: what was waited for did not come.
        """
        if name in LOOKS:
            return self._look(name, arguments)
        if name == "wait":
            return await self._wait(dict(arguments))
        command = self._commands.get(name)
        if command is None:
            known = ", ".join(sorted({*self._commands, *LOOKS, "wait"}))
            raise Unknown(f"there is no command {name!r}; there are: {known}")
        wanted = {key: _argument(key, value) for key, value in arguments.items()}
        try:
            inspect.signature(command).bind(**wanted)
        except TypeError as error:
            raise Misused(f"{name}: {error}") from error
        try:
            result = await command(**wanted)
        except TypeError as error:
            raise Misused(f"{name}: {error}") from error
        if isinstance(result, Fault):
            self._faults.append(result)
            return {"fault": len(self._faults) - 1}
        return None

    def _look(self, name: str, arguments: Mapping[str, object]) -> Json:
        ensemble = self._ensemble
        if name == "hosts":
            return ensemble.hosts
        if name == "tree":
            return {path: to_json(data) for path, data in ensemble.tree().items()}
        if name == "node":
            return self._node(str(arguments.get("path", "/")))
        if name == "sessions":
            return {hex(id): _session(info) for id, info in ensemble.sessions().items()}
        if name == "watches":
            return {
                path: [{"kind": each.kind, "session": hex(each.session)} for each in sorted(watches)]
                for path, watches in ensemble.watches().items()
            }
        if name == "requests":
            return {hex(id): [_record(each) for each in all] for id, all in ensemble.requests().items()}
        return [
            {"fault": number, "hits": each.hits, "left": each.left, "what": str(each)}
            for number, each in enumerate(self._faults)
        ]

    def _node(self, path: str) -> Json:
        node = self._ensemble.node(path)
        if node is None:
            return None
        acl: list[Json] = [{"perms": perms, "scheme": scheme, "id": id} for perms, scheme, id in node.acl]
        return {
            "path": node.path,
            "data": to_json(node.data),
            "version": node.version,
            "owner": hex(node.owner) if node.owner else None,
            "acl": acl,
            "ctime": node.ctime,
            "mtime": node.mtime,
        }

    async def _wait(self, arguments: dict[str, object]) -> Json:
        seconds = arguments.pop("seconds", WAIT)
        if not isinstance(seconds, int | float) or not arguments:
            raise Misused("wait for something, and for so many seconds")
        conditions = [self._condition(name, value) for name, value in arguments.items()]
        await self._ensemble.wait_until(lambda: all(each() for each in conditions), seconds)
        return None

    def _condition(self, name: str, value: object) -> Callable[[], bool]:
        ensemble = self._ensemble
        if name == "exists" and isinstance(value, str):
            return lambda: ensemble.is_serving() and value in ensemble.tree()
        if name == "absent" and isinstance(value, str):
            return lambda: ensemble.is_serving() and value not in ensemble.tree()
        if name == "data" and isinstance(value, dict):
            wanted = {
                str(path): from_json(data) for path, data in cast("dict[object, object]", value).items()
            }
            return lambda: ensemble.is_serving() and wanted.items() <= ensemble.tree().items()
        if name == "serving" and isinstance(value, int):
            return lambda: ensemble.is_serving(value)
        if name == "hits" and isinstance(value, int) and value < len(self._faults):
            return lambda: self._faults[value].left == 0
        if name in ("connected", "gone"):
            session = ensemble.session_id(session_name(value)) if name == "connected" else _id(value)
            return lambda: (
                ensemble.is_serving() and _is(ensemble.sessions().get(session), connected=name == "connected")
            )
        raise Misused(f"one cannot wait for {name} = {value!r}")


def _is(info: SessionInfo | None, *, connected: bool) -> bool:
    return info is not None and info.connected if connected else info is None


def _argument(name: str, value: object) -> object:
    if name == "session":
        return None if value is None else session_name(value)
    if name == "tree":
        if not isinstance(value, dict):
            raise Misused("tree is an object: path -> data")
        return {str(path): from_json(data) for path, data in cast("dict[object, object]", value).items()}
    return value


def session_name(value: object) -> int | str:
    """A session as it is named in JSON.

    Raises:
        Misused: it is not.
    """
    if isinstance(value, str) and value.startswith("/"):
        return value
    return _id(value)


def _id(value: object) -> int:
    if isinstance(value, int):
        return value
    try:
        return int(str(value), 0)
    except ValueError as error:
        raise Misused(f'{value!r} names no session: say "0x..." or the path of an ephemeral') from error


def to_json(data: bytes | None) -> Json:
    """Data of a znode."""
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def from_json(value: object) -> bytes | None:
    """Data of a znode.

    Raises:
        Misused: it is none.
    """
    if value is None:
        return None
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict):
        text = cast("dict[object, object]", value).get("base64")
        if isinstance(text, str):
            try:
                return base64.b64decode(text, validate=True)
            except binascii.Error as error:
                raise Misused(f"{text!r} is not base64") from error
    raise Misused(f'{value!r} is no data: a string, null or {{"base64": ...}}')


def _session(info: SessionInfo) -> Json:
    return {
        "timeout": info.timeout,
        "keeper": info.keeper,
        "connected": info.connected,
        "ephemerals": list(info.ephemerals),
    }


def _record(record: Record) -> Json:
    common: dict[str, Json] = {"at": round(record.at, 6), "keeper": record.keeper}
    if isinstance(record, Exchange):
        return {
            **common,
            "op": record.op,
            "path": record.path,
            "xid": record.xid,
            "request": str(record.request),
            "error": record.error,
            "zxid": record.zxid,
            "fault": record.fault or None,
        }
    if isinstance(record, Event):
        return {**common, "event": record.type, "path": record.path, "zxid": record.zxid}
    return {**common, "turn": record.what}
