"""Words about watches and sessions. What is expected was recorded from ZooKeeper 3.9.3."""

from __future__ import annotations

from dataclasses import replace

from parkeeper.admin.status import Due, Sessions, Watching
from parkeeper.admin.words_watch import dump, wchc, wchp, wchs

SESSION = 0x1000039C2B90000


def test_wchs_counts_when_somebody_watches(given):
    """wchs is two lines; the second has no blank behind its colon."""
    assert wchs(given(summary=Watching(1, 2, 2))) == b"1 connections watching 2 paths\nTotal watches:2\n"


def test_wchc_lists_paths_by_session(given):
    """Ends with an empty line, as WatchCommand does."""
    status = given(by_session=[(SESSION, ["/a", "/nope"])])
    assert wchc(status) == b"0x1000039c2b90000\n\t/a\n\t/nope\n\n"


def test_wchp_lists_sessions_by_path(given):
    """Ends with an empty line, as WatchCommand does."""
    status = given(by_path={"/a": [SESSION], "/nope": [SESSION]})
    assert wchp(status) == b"/a\n\t0x1000039c2b90000\n/nope\n\t0x1000039c2b90000\n\n"


def test_wchc_is_an_empty_line_when_nobody_watches(given):
    """Never an empty answer: a client could not tell it from a refusal."""
    assert wchc(given()) == b"\n"


def test_dump_prints_zookeepers_lines_when_standalone(given):
    """Sessions, ephemerals and connections, each by the tick in which it ends."""
    end = 1795559007000  # 2026-11-24 22:23:27 UTC; a tick of 1 s puts what ends within it on this line
    status = given(
        settled=replace(given().settled, tick_time=1000),
        clients=[replace(peer, expires=end - 500) for peer in given().clients],
        ends=Sessions(due=[Due(SESSION, end - 500)], elsewhere=[], ephemerals=[(SESSION, ["/e"])]),
    )
    assert dump(status).decode() == (
        "SessionTracker dump:\n"
        "Session Sets (1)/(1):\n"
        "1 expire at Tue Nov 24 22:23:27 UTC 2026:\n"
        "\t0x1000039c2b90000\n"
        "ephemeral nodes dump:\n"
        "Sessions with Ephemerals (1):\n"
        "0x1000039c2b90000:\n"
        "\t/e\n"
        "Connections dump:\n"
        "Connections Sets (1)/(2):\n"
        "2 expire at Tue Nov 24 22:23:27 UTC 2026:\n"
        "\tip: /127.0.0.1:58538 sessionId: 0x1000039c2b90000\n"
        "\tip: /127.0.0.1:58574 sessionId: 0x0\n"
    )


def test_dump_lists_global_sessions_when_other_keepers_hold_some(given):
    """Those whose clocks run elsewhere come with their timeouts, as a follower prints them."""
    status = given(clients=[], ends=Sessions(due=[], elsewhere=[(0x10, 10000)], ephemerals=[]))
    assert dump(status).decode() == (
        "SessionTracker dump:\n"
        "Session Sets (0)/(0):\n"
        "Global Sessions(1):\n"
        "0x10\t10000ms\n"
        "ephemeral nodes dump:\n"
        "Sessions with Ephemerals (0):\n"
        "Connections dump:\n"
        "Connections Sets (0)/(0):\n"
    )
