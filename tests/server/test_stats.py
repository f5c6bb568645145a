"""Counters."""

from __future__ import annotations

import trio

from parkeeper.server.stats import ConnectionStats, Histogram, Latency, ServerStats


def test_latency_of_several_requests_is_summed_up():
    """Least, most, mean and last are those of all requests, a slice counting each of its requests."""
    latency = Latency()
    assert (latency.least, latency.average, latency.most) == (0, 0, 0)
    latency.add(2.0)
    latency.add(0.5, count=4)
    latency.add(8.0)
    assert (latency.least, latency.most, latency.last, latency.count) == (0.5, 8.0, 8.0, 6)
    assert latency.average == 2.0


def test_quantiles_are_right_to_a_factor_of_two():
    """Of 90 requests at 1 ms and 10 at 100 ms the median is about 1, the 99th percentile about 100."""
    latency = Histogram()
    latency.add(1.0, count=90)
    latency.add(100.0, count=10)
    assert 1.0 <= latency.quantile(0.5) <= 2.0
    assert 50.0 <= latency.quantile(0.99) <= 100.0
    assert Histogram().quantile(0.5) == 0


async def test_a_connection_adds_to_its_server(autojump_clock):
    """What one connection counts is in the server's totals, and `queue` is what is outstanding."""
    server = ServerStats(lambda: 5000)
    queue = [object(), object()]
    one = ConnectionStats(server, "10.0.0.1", 1, queue, lambda reason: None)
    two = ConnectionStats(server, "10.0.0.2", 2, [], lambda reason: None)
    server.connections |= {one, two}
    assert one.responded == 0
    start = trio.current_time()
    await trio.sleep(0.25)
    one.slice_done(100, 5, 3, start, 77)
    one.sent_packets(3, 90)
    await trio.sleep(0.25)
    two.slice_done(50, 1, 1, start, 78)
    one.waited(start, start + 0.75, 79, True)
    await trio.sleep(2.25)
    assert (one.received, one.sent, one.zxid, one.responded) == (5, 3, 79, 3000)
    assert (server.received, server.sent, server.bytes_received, server.bytes_sent) == (6, 3, 150, 90)
    assert (server.latency.count, server.reads.count, server.updates.count) == (5, 4, 1)
    assert (round(server.latency.least), round(server.latency.most)) == (250, 750)
    assert round(server.latency.average) == 400
    assert server.outstanding == 2


async def test_reset_keeps_who_is_connected(autojump_clock):
    """`srst` and `crst` clear numbers, not the list of connections, and counting goes on."""
    server = ServerStats(lambda: 1000)
    one = ConnectionStats(server, "10.0.0.1", 1, [], lambda reason: None)
    server.connections.add(one)
    ops = server.ops
    ops[4] += 1
    one.slice_done(100, 5, 5, 0.0, 77)
    server.reset()
    one.reset()
    assert (server.received, one.received, one.zxid, one.latency.count, dict(server.ops)) == (0, 0, 0, 0, {})
    assert server.ops is ops
    assert server.connections == {one}
