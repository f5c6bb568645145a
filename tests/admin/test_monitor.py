"""mntr: ZooKeeper's keys, tab, value."""

from __future__ import annotations

import re
from dataclasses import replace

from parkeeper.admin.monitor import mntr
from parkeeper.admin.status import Monitor, Spread

TELEGRAF = re.compile(r"^zk_(\w[\w.\-]*)\s+([\w.\-]+)")
"""How Telegraf's ZooKeeper input reads a line."""


def lines_of(status) -> dict[str, str]:
    return dict(line.split("\t") for line in mntr(status).decode().splitlines())


def test_mntr_prints_zookeepers_keys_and_values(given):
    """Version, state and figures; the node count is one above the real nodes, as in srvr."""
    assert mntr(given()).decode() == (
        "zk_version\t3.9.3-parkeeper-0.1.0, built on 11/24/2026 00:00 GMT\n"
        "zk_server_state\tstandalone\n"
        "zk_avg_latency\t2.9\n"
        "zk_max_latency\t11\n"
        "zk_min_latency\t0\n"
        "zk_packets_received\t13\n"
        "zk_packets_sent\t12\n"
        "zk_num_alive_connections\t2\n"
        "zk_outstanding_requests\t0\n"
        "zk_uptime\t254151\n"
        "zk_znode_count\t8\n"
        "zk_watch_count\t3\n"
        "zk_ephemerals_count\t1\n"
        "zk_approximate_data_size\t53\n"
        "zk_global_sessions\t1\n"
        "zk_local_sessions\t0\n"
        "zk_op_count_total\t0\n"
    )


def test_mntr_leaves_a_gauge_out_when_it_is_unknown(given):
    """No invented zeros: an unknown number of descriptors is no line."""
    figures = given().figures
    assert "zk_open_file_descriptor_count" not in lines_of(given())
    known = replace(figures, gauges=replace(figures.gauges, open_file_descriptor_count=0))
    assert lines_of(given(figures=known))["zk_open_file_descriptor_count"] == "0"


def test_operations_are_added_up_when_two_opcodes_share_a_name(given):
    """getChildren and getChildren2 are both get_children to ZooKeeper; unknown opcodes are not counted."""
    figures = replace(given().figures, ops={8: 2, 12: 3, 1: 1, 9999: 7})
    lines = lines_of(given(figures=figures))
    assert lines["zk_op_count_get_children"] == "5"
    assert lines["zk_op_count_create"] == "1"
    assert lines["zk_op_count_total"] == "6"


def test_spread_has_six_figures_and_quantiles(given):
    """A summary prints as avg, min, max, cnt, sum, then its quantiles; the average as a double."""
    spread = Spread(average=1.25, least=0.4, most=9.9, count=4, total=5.0, quantiles=[("p99", 9.2)])
    figures = Monitor(
        gauges=given().figures.gauges, counters={"diff_count": 3}, ops={}, spreads={"readlatency": spread}
    )
    lines = lines_of(given(figures=figures))
    assert lines["zk_diff_count"] == "3"
    assert {key: value for key, value in lines.items() if key.endswith("readlatency")} == {
        "zk_avg_readlatency": "1.25",
        "zk_min_readlatency": "0",
        "zk_max_readlatency": "9",
        "zk_cnt_readlatency": "4",
        "zk_sum_readlatency": "5",
        "zk_p99_readlatency": "9",
    }


def test_every_line_is_read_when_telegraf_scrapes(given):
    """Each line is a name, white space and a value."""
    for line in mntr(given()).decode().splitlines():
        assert TELEGRAF.match(line), line
