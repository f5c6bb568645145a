"""Addresses as they are typed."""

from __future__ import annotations

import pytest

from parkeeper.cli.addresses import Address, parse_address, parse_addresses
from parkeeper.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("0.0.0.0:2181", "0.0.0.0", 2181),
        ("zk.example:0", "zk.example", 0),
        ("[::1]:65535", "::1", 65535),
        (":2181", None, 2181),
        (" 10.0.0.1:1 ", "10.0.0.1", 1),
    ],
)
def test_address_is_host_and_port(text, host, port):
    """Host and port as typed; no host means all addresses."""
    assert parse_address(text) == (host, port)


@pytest.mark.parametrize(
    "text", ["", "2181", "host", "host:", "host:65536", "host:-1", "host:x", "::1:2181", "[]:1"]
)
def test_address_is_refused_when_it_is_none(text):
    """What is no address is named, never guessed at."""
    with pytest.raises(ConfigError, match="not an address"):
        parse_address(text)


def test_ipv6_error_says_brackets_when_they_are_missing():
    """The commonest mistake gets its cure."""
    with pytest.raises(ConfigError, match="brackets"):
        parse_address("fe80::1:2181")


def test_addresses_may_be_separated_by_commas():
    """One option, or one variable, may hold several."""
    assert parse_addresses(["a:1,[::1]:2", "b:3"]) == [("a", 1), ("::1", 2), ("b", 3)]


@pytest.mark.parametrize("text", ["127.0.0.1:2181", "[::1]:2181", ":2181"])
def test_address_prints_as_it_is_typed(text):
    """So what is logged, and what the ready file says, can be typed again."""
    assert str(parse_address(text)) == text


@pytest.mark.parametrize(
    ("host", "reached"),
    [(None, "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("10.0.0.1", "10.0.0.1")],
)
def test_everywhere_is_reached_here_when_asked(host, reached):
    """A health check connects to this machine where the keeper listens everywhere."""
    assert Address(host, 1).reachable == reached
