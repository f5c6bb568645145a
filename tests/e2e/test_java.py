"""ZooKeeper's own Java client and its command line, which alone send setWatches after a reconnect, end to end.

What a program should see is written down here and asked of ZooKeeper itself as well, so a transcript that is wrong
fails there. The zkCli session is compared command by command: both must say the same, zxids aside.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from tests.keepers import Keepers
from tests.processes import unavailable
from tests.proxy import TcpProxy
from tests.servers import Etcd, ZooKeeper, four_letter_word, java_classpath, java_options

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

SOURCE = Path(__file__).parent / "java" / "Scenarios.java"
# Both servers look for what is to be reaped this often, in ms.
REAP = 300


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The class path with the scenarios on it, compiled now."""
    path = java_classpath()
    if not shutil.which("javac"):
        unavailable("there is no javac here")
    made = tmp_path_factory.mktemp("classes")
    subprocess.run(["javac", "-d", made, "-cp", path, SOURCE], check=True)
    return f"{made}:{path}"


Server = Keepers | ZooKeeper


@pytest.fixture(scope="module", params=["parkeeper", "zookeeper"])
def started(request: pytest.FixtureRequest) -> Iterator[Server]:
    if request.param == "parkeeper":
        flags = ["--reap-interval", str(REAP / 1000)]
        with Keepers("sqlite", tick_time=500, flags=flags) as made:
            yield made
    else:
        with ZooKeeper(tick_time=500, properties={"znode.container.checkIntervalMs": str(REAP)}) as made:
            yield made


@pytest.fixture
def server(started: Server) -> Server:
    """An empty server; ZooKeeper is there to vouch for what we expect."""
    zk = KazooClient(hosts=started.hosts, auth_data=[("digest", "u:p")])
    zk.start()
    for name in zk.get_children("/"):
        if name != "zookeeper":
            zk.delete(f"/{name}", recursive=True)
    zk.stop()
    zk.close()
    return started


def transcript(
    classes: str, scenario: str, hosts: str, proxied: str = "", answer: Callable[[str], None] | None = None
) -> list[str]:
    """What a scenario prints. `answer` does what it asks for."""
    command = ["java", *java_options("error"), "-cp", classes, "Scenarios", scenario, hosts, proxied]
    said: list[str] = []
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            for line in child.stdout:
                if line.startswith("?") and answer is not None:
                    answer(line[1:].strip())
                    child.stdin.write("done\n")
                    child.stdin.flush()
                else:
                    said.append(line.rstrip())
        finally:
            child.kill()
    return said


def expected(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()] + ["end"]


def test_znodes(classes: str, server: Server) -> None:
    """Every kind of znode, Stats, errors, access lists; TTL nodes and containers are reaped."""
    said = transcript(classes, "znodes", server.hosts)
    assert said == expected("""
        /z
        one version 0
        version 1, 5 bytes
        stale set: BADVERSION /z
        create again: NODEEXISTS /z
        no parent: NONODE /none/x
        delete nothing: NONODE /none
        /z/s-0000000000
        /z/s-0000000001
        not empty: NOTEMPTY /z
        child of an ephemeral: NOCHILDRENFOREPHEMERALS /z/s-0000000001/x
        [/z/s-0000000001]
        descendants 2
        mine true
        null data true
        locked: ok
        write it: NOAUTH /z/locked
        acl without identity: INVALIDACL /z
        acl: ok
        [31,s{'digest,'u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=}] aversion 1
        ['ip,'127.0.0.1, 'digest,'u]
        not for others: NOAUTH /z/null
        /z: [container, locked, null, s-0000000000, s-0000000001, ttl]
        /z: [locked, null, s-0000000000, s-0000000001]
    """)


def test_multi(classes: str, server: Server) -> None:
    """All or nothing, results before, at and after the failure; multiRead answers each for itself."""
    assert transcript(classes, "multi", server.hosts) == expected("""
        /m
        /m/s-0000000000
        version 1
        CheckResult DeleteResult
        NONODE at null
        error 0
        error -101
        error -2
        still there
        y
        []
        error -101
    """)


def test_pipelining(classes: str, server: Server) -> None:
    """Two thousand requests at once: each is answered in turn, each read sees the writes before it and no later."""
    assert transcript(classes, "pipeline", server.hosts) == [
        "all answered true",
        "500 of 500 in order",
        "end",
    ]


def test_watches(classes: str, server: Server) -> None:
    """One-shot, persistent and recursive watches are told their own; removed ones nothing."""
    assert transcript(classes, "watches", server.hosts) == expected("""
        one: NodeDataChanged /w/a
        one: NodeCreated /w/b
        one: NodeChildrenChanged /w
        persistent: NodeDataChanged /w/a
        persistent: NodeDataChanged /w/a
        persistent: NodeChildrenChanged /w/a
        persistent: NodeChildrenChanged /w/a
        recursive: NodeDataChanged /w/a
        recursive: NodeDataChanged /w/a
        recursive: NodeCreated /w/b
        recursive: NodeCreated /w/a/x
        recursive: NodeDeleted /w/b
        recursive: NodeDeleted /w/a/x
        remove second: ok
        second: DataWatchRemoved /w/a
        remove it again: NOWATCHER /w/a
        remove persistent: ok
        persistent: PersistentWatchRemoved /w/a
        remove recursive: ok
        recursive: PersistentWatchRemoved /w
        nobody: NOWATCHER /w/none
        one: NodeDataChanged /w/a
    """)


def weather(proxy: TcpProxy) -> Callable[[str], None]:
    """What a scenario may ask of its network."""

    def answer(asked: str) -> None:
        if asked == "drop":
            proxy.refuse()
            proxy.cut()
        else:
            assert asked == "heal"
            proxy.accept()

    return answer


CAUGHT_UP = """
    same session true
    ephemeral true
    data: NodeDataChanged /w/changed
    data: NodeDataChanged /w/remade
    data: NodeDeleted /w/deleted
    exist: NodeCreated /w/new
    exist: NodeDeleted /w/seen
    child: NodeChildrenChanged /w/family
    child: NodeDeleted /w/lost
    -- what did not change is watched on
    data: NodeDataChanged /w/same
    exist: NodeCreated /w/absent
    child: NodeChildrenChanged /w/quiet
"""


@pytest.mark.parametrize("request_", ["setWatches", "setWatches2"])
def test_a_lost_connection(classes: str, server: Server, request_: str) -> None:
    """The session comes back; what changed meanwhile is told once, what did not is watched on, and nothing else.

    Persistent watches are not told what they missed: they go on (DataTree.setWatches).
    """
    with TcpProxy(*server.address) as proxy:
        said = transcript(classes, request_, server.hosts, proxy.endpoint, weather(proxy))
    lasting = """
        persistent: NodeDataChanged /w/p
        persistent: NodeChildrenChanged /w/p
        recursive: NodeCreated /w/r/y
        recursive: NodeDataChanged /w/r/x
    """
    assert said == expected(CAUGHT_UP + (lasting if request_ == "setWatches2" else ""))


def test_expiry(classes: str, server: Server) -> None:
    """A client away for too long is expired, and told so; its ephemeral goes, and its watcher hears of it."""
    with TcpProxy(*server.address) as proxy:
        said = transcript(classes, "expiry", server.hosts, proxy.endpoint, weather(proxy))
    assert said == expected("""
        fate: NodeDeleted /mine
        ephemeral false
        afterwards: SESSIONEXPIRED /
    """)


def test_a_session_moves_when_its_keeper_dies(classes: str) -> None:
    """Two keepers on etcd, the one that serves is killed: the other goes on with the session and its watches."""
    with Etcd() as store, Keepers(store.url, tick_time=500, members=2) as keepers:

        def kill(asked: str) -> None:
            assert asked == "kill"
            served = [
                member for member, port in zip(keepers.members, keepers.ports, strict=True) if serves(port)
            ]
            assert len(served) == 1
            served[0].kill()

        said = transcript(classes, "moves", keepers.hosts, answer=kill)
    assert said == ["data: NodeDataChanged /moving", "moved", "same session true", "end"]


def serves(port: int) -> bool:
    """Whether a keeper has a client besides the one that asks."""
    found = re.search(r"Connections: (\d+)", four_letter_word(("127.0.0.1", port), "srvr"))
    assert found is not None
    return int(found[1]) > 1


SESSION = """
create /a one
create -s /a/s- two
create -e /a/e three
create -c /c
create -t 60000 /a/ttl four
create -s -e /a/se-
create /a again
create /none/x
get /a
get -s /a
set /a uno
set -v 0 /a due
set -s /a tre
ls /
ls -R /
ls -s /a
stat /a
stat /none
getAcl /a
addauth digest u:p
setAcl /a auth::cdrwa
getAcl /a
setAcl /a world:anyone:cdrwa
getAcl -s /a
getAllChildrenNumber /
getEphemerals
getEphemerals /a
whoami
addWatch -m PERSISTENT /a
create /a/w
set /a quattro
removewatches /a
set /a cinque
create /r
addWatch -m PERSISTENT_RECURSIVE /r
create /r/x
create /r/x/x
deleteall /r/x
removewatches /r
get -w /a
set /a sei
ls -w /a
create /a/x
stat -w /a
delete /a/x
delete -v 77 /a/w
setquota -n 50 /a
listquota /a
delquota /a
setquota -B 5000 /a
listquota /a
delquota /a
listquota /a
sync /a
delete /a/w
deleteall /a
ls /
version
config
bogus
quit
""".lstrip()

WATCHER = re.compile(r"\nWATCHER::\n|\n(WatchedEvent [^\n]*)\n")
"""The two things that zkCli's event thread prints of an event; its main thread may print something in between."""

ZXID = re.compile(r"(Zxid = 0x|zxid: )([0-9a-f]+)")


def zk_cli(hosts: str) -> tuple[list[str], list[str], list[str]]:
    """A session at the prompt: answers, watch events, complaints; zxids are numbered in their order."""
    done = subprocess.run(
        [
            *("java", *java_options("error"), "-cp", java_classpath()),
            *("org.apache.zookeeper.ZooKeeperMain", "-server", hosts),
        ],
        input=SESSION,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,  # it ends with 127, for the command that it does not know
    )

    def number(found: re.Match[str]) -> int:
        return int(found[2], 16 if found[1].endswith("0x") else 10)

    order = sorted({number(found) for found in ZXID.finditer(done.stdout) if found[2] != "1"})
    text = ZXID.sub(lambda found: f"{found[1]}#{order.index(number(found))}", done.stdout)
    text = re.sub(r"(?m)^([cm]time) = .*", r"\1", text).replace(hosts, "HOSTS")
    text = re.sub(r"(?m)^\[(/.*)\]$", lambda found: str(sorted(found[1].split(", "))), text)
    # The last one, of the end, comes out or not as the JVM likes.
    events = [each for each in WATCHER.findall(text) if each and "state:Closed" not in each]
    return WATCHER.sub("", text).splitlines(), events, done.stderr.splitlines()


def test_zk_cli() -> None:
    """Each command of a long session says of parkeeper what it says of ZooKeeper, and tells the same events."""
    with Keepers("sqlite") as keepers:
        answers, events, complaints = zk_cli(keepers.hosts)
    assert "[a, c, zookeeper]" in answers
    assert "Output quota for /a count=50,bytes=-1=;byteHardLimit=-1;countHardLimit=-1" in answers
    assert "ip: 127.0.0.1" in answers
    assert len(events) == 12, events
    assert "Created /a/se-0000000003" in complaints
    assert "version No is not valid : /a/w" in complaints
    with ZooKeeper() as zookeeper:
        assert zk_cli(zookeeper.hosts) == (answers, events, complaints)


def test_zk_cli_of_one_command() -> None:
    """As scripts use it: its exit code says whether that worked."""
    command = ["java", *java_options("error"), "-cp", java_classpath(), "org.apache.zookeeper.ZooKeeperMain"]
    with Keepers() as keepers:
        for words, code, stream, said in (
            (["create", "/one", "data"], 0, "stderr", "Created /one"),
            (["get", "/one"], 0, "stdout", "data"),
            (["delete", "/none"], 1, "stderr", "Node does not exist: /none"),
        ):
            done = subprocess.run(
                [*command, "-server", keepers.hosts, *words],
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )
            assert (done.returncode, said in getattr(done, stream).splitlines()) == (code, True), done
