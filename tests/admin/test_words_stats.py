"""Words about the server and its connections. What is expected was recorded from ZooKeeper 3.9.3, the version line
excepted; the regular expressions are those of the clients named."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from parkeeper.admin.status import Access
from parkeeper.admin.words_stats import conf, cons, crst, dirs, envi, srst, srvr, stat

FIGURES = """\
Latency min/avg/max: 0/2.9/11
Received: 13
Sent: 12
Connections: 2
Outstanding: 0
Zxid: 0x4
Mode: standalone
Node count: 8
"""

GO_SRVR = re.compile(
    r"(?m:\A^Zookeeper version: ([A-Za-z0-9\.\-]+), built on (\d\d/\d\d/\d\d\d\d \d\d:\d\d [A-Za-z0-9:\+\-]+).*\n"
    r"^Latency min/avg/max: (\d+)/([0-9.]+)/(\d+).*\n"
    r"^Received: (\d+).*\n^Sent: (\d+).*\n^Connections: (\d+).*\n^Outstanding: (\d+).*\n"
    r"^Zxid: (0x[A-Za-z0-9]+).*\n^Mode: (\w+).*\n^Node count: (\d+))"
)
"""go-zookeeper's FLWSrvr, with the date as its older versions want it."""

GO_CONS = re.compile(
    r"^ /((?:\d{1,3}\.){3}\d{1,3}:(?:\d+))\[\d+\]"
    r"\(queued=(\d+),recved=(\d+),sent=(\d+),sid=(0x[A-Za-z0-9]+),lop=(\w+),est=(\d+),to=(\d+),"
    r"lcxid=(0x[A-Za-z0-9]+),lzxid=(0x[A-Za-z0-9]+),lresp=(\d+),llat=(\d+),minlat=(\d+),avglat=(\d+),"
    r"maxlat=(\d+)\)"
)
"""go-zookeeper's FLWCons."""


def test_srvr_prints_zookeepers_lines_when_asked(given):
    """srvr is ZooKeeper's, line for line."""
    version = "Zookeeper version: 3.9.3-parkeeper-0.1.0, built on 11/24/2026 00:00 GMT\n"
    assert srvr(given()) == (version + FIGURES).encode()


def test_srvr_is_parsed_when_go_zookeeper_reads_it(given):
    """go-zookeeper's expression finds version, date, and every figure."""
    match = GO_SRVR.match(srvr(given()).decode())
    assert match is not None
    assert match.groups() == (
        *("3.9.3-parkeeper-0.1.0", "11/24/2026 00:00 GMT", "0", "2.9", "11", "13", "12", "2", "0", "0x4"),
        *("standalone", "8"),
    )


@pytest.mark.parametrize("word", [srvr, stat])
def test_second_line_warns_when_only_read_only_clients_are_served(given, word):
    """Read-only mode is told right after the version, as ZooKeeper does."""
    lines = word(given(can=Access.READ_ONLY)).decode().splitlines()
    assert lines[1] == "READ-ONLY mode; serving only read-only clients"


def test_average_latency_has_four_decimals_when_it_is_no_round_number(given):
    """ZooKeeper rounds to four decimals and never prints an exponent or a bare integer."""
    head = given().head
    latency = replace(head.latency, average=1.63587)
    assert b"Latency min/avg/max: 0/1.6359/11\n" in srvr(given(head=replace(head, latency=latency)))


def test_zxid_is_unsigned_when_its_top_bit_is_set(given):
    """A Java long below zero prints as its 64 bits."""
    assert b"Zxid: 0xfffffffffffffffe\n" in srvr(given(head=replace(given().head, zxid=-2)))


def test_stat_lists_clients_between_version_and_figures(given):
    """stat is srvr with a line per connection, the asker's too, and an empty line behind them."""
    assert stat(given()).decode() == (
        "Zookeeper version: 3.9.3-parkeeper-0.1.0, built on 11/24/2026 00:00 GMT\n"
        "Clients:\n"
        " /127.0.0.1:58538[1](queued=0,recved=10,sent=10)\n"
        " /127.0.0.1:58574[0](queued=0,recved=1,sent=0)\n"
        "\n" + FIGURES
    )


def test_cons_tells_all_when_a_connection_has_a_session(given):
    """cons prints ZooKeeper's fields in its order, and only counts before there is a session."""
    assert cons(given()).decode() == (
        " /127.0.0.1:58538[1](queued=0,recved=10,sent=10,sid=0x1000039c2b90000,lop=EXIS,est=1795558996723,"
        "to=10000,lcxid=0x9,lzxid=0x4,lresp=4039363,llat=1,minlat=0,avglat=2,maxlat=11)\n"
        " /127.0.0.1:58574[0](queued=0,recved=1,sent=0)\n"
        "\n"
    )


def test_cons_is_parsed_when_go_zookeeper_reads_it(given):
    """go-zookeeper's expression finds every field of a session's line."""
    match = GO_CONS.match(cons(given()).decode())
    assert match is not None
    assert match.group(1, 5, 6, 8, 9) == ("127.0.0.1:58538", "0x1000039c2b90000", "EXIS", "10000", "0x9")


@pytest.mark.parametrize(
    ("op", "name"), [(0, "NA"), (-10, "SESS"), (11, "PING"), (14, "MULT"), (105, "STW2"), (999, "NA")]
)
def test_last_operation_has_zookeepers_name_when_a_client_did_something(given, op, name):
    """lop= takes its names from the opcode table; NA before there is one."""
    peer = replace(given().clients[0], op=op)
    assert f",lop={name},".encode() in cons(given(clients=[peer]))


def test_lcxid_is_left_out_when_nothing_was_asked_yet(given):
    """ZooKeeper prints no lcxid while it is below zero."""
    peer = replace(given().clients[0], cxid=-1)
    assert b",to=10000,lzxid=" in cons(given(clients=[peer]))


def test_address_has_brackets_when_a_client_uses_ipv6(given):
    """As Java prints it: the port must be told from the address."""
    peer = replace(given().clients[0], host="fe80::1")
    assert cons(given(clients=[peer])).startswith(b" /[fe80::1]:58538[1](")


def test_conf_prints_zookeepers_lines_then_our_own(given):
    """conf is a standalone ZooKeeper's; what it has no word for stands below."""
    settled = replace(given().settled, more=(("parkeeper.backend", "memory://"),))
    assert conf(given(settled=settled)).decode() == (
        "clientPort=22181\n"
        "secureClientPort=-1\n"
        "dataDir=/var/lib/zk/version-2\n"
        "dataDirSize=67109358\n"
        "dataLogDir=/var/lib/zk/version-2\n"
        "dataLogSize=67109358\n"
        "tickTime=2000\n"
        "maxClientCnxns=60\n"
        "minSessionTimeout=4000\n"
        "maxSessionTimeout=40000\n"
        "clientPortListenBacklog=-1\n"
        "serverId=0\n"
        "parkeeper.backend=memory://\n"
    )


def test_envi_begins_with_the_version_kazoo_reads(given):
    """kazoo's server_version takes the digits behind `zookeeper.version=`."""
    assert envi(given()).decode() == (
        "Environment:\n"
        "zookeeper.version=3.9.3-parkeeper-0.1.0, built on 11/24/2026 00:00 GMT\n"
        "host.name=localhost\n"
        "os.name=Linux\n"
    )


def test_envi_answers_when_a_directory_is_not_unicode(given):
    """A file name that is no text costs a question mark, not the answer."""
    assert envi(given(around=[("user.dir", "/\udcff")])).endswith(b"user.dir=/?\n")


def test_dirs_prints_both_sizes(given):
    """dirs is two lines of bytes."""
    assert dirs(given()) == b"datadir_size: 67109358\nlogdir_size: 67109358\n"


@pytest.mark.parametrize(
    ("word", "what", "answer"),
    [
        (srst, "server", b"Server stats reset.\n"),
        (crst, "connections", b"Connection stats reset.\n"),
    ],
)
def test_reset_happens_before_it_is_said(given, word, what, answer):
    """srst and crst reset what they name, nothing else."""
    status = given()
    assert word(status) == answer
    assert status.forgot == [what]
