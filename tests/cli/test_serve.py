"""What `serve` makes of its options. Nothing is started here: `run` is replaced by something that keeps the plan."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import get_args

import pytest
from typer.models import OptionInfo
from typer.testing import CliRunner

import parkeeper.cli.run
from parkeeper.cli.app import app
from parkeeper.cli.serve import serve
from parkeeper.errors import ConfigError
from parkeeper.log import Format, Level
from parkeeper.options import Options
from parkeeper.store.urls import StoreOptions


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    """No variable of the machine that tests run on."""
    for name in [name for name in os.environ if name.startswith("PARKEEPER_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def planned(monkeypatch):
    """Call `serve` with a command line; returns the plan it made."""
    plans = []

    def keep(plan):
        plans.append(plan)
        return 0

    monkeypatch.setattr(parkeeper.cli.run, "run", keep)

    def call(*line: str):
        result = CliRunner().invoke(app, ["serve", *line], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return plans.pop()

    return call


def options() -> dict[str, OptionInfo]:
    """serve's options by their names, such as `tick-time`."""
    parameters = inspect.signature(serve, eval_str=True).parameters
    found = {name: get_args(each.annotation)[1] for name, each in parameters.items()}
    return {_flag(name, option): option for name, option in found.items()}


def _flag(name: str, option: OptionInfo) -> str:
    declared = [option.default, *(option.param_decls or ())]
    return next((each[2:] for each in declared if str(each).startswith("--")), name.replace("_", "-"))


def test_every_option_is_a_variable_and_has_help():
    """PARKEEPER_ and the option's name, so that one can be guessed from the other; and a sentence that explains."""
    for name, option in options().items():
        assert option.envvar == "PARKEEPER_" + name.replace("-", "_").upper()
        assert option.help is not None
        assert option.help.endswith((".", "/"))


def test_no_option_takes_a_secret():
    """Everybody can read a command line: passwords and tokens come by file or by variable."""
    assert {name for name in options() if "password" in name or "token" in name} == {
        "store-password-file",
        "store-token-file",
    }


def test_defaults_are_the_promised_ones(planned, monkeypatch, tmp_path):
    """2181 on every IPv4 address, one worker, text at info, and the options' own defaults."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    plan = planned()
    assert plan.url == f"sqlite://{tmp_path}/parkeeper/parkeeper.db"
    assert [str(each) for each in plan.bind] == ["0.0.0.0:2181"]
    assert plan.options == Options(own_process=True)
    assert plan.store == StoreOptions()
    assert (plan.ready_file, plan.workers, plan.level, plan.form) == (None, 1, Level.INFO, Format.TEXT)


LINE = [
    "--backend-url=etcds://a:1,b:2", "--bind-addr=127.0.0.1:0", "--bind-addr=[::1]:0", "--namespace=team/",
    "--data-prefix=/", "--tick-time=100", "--min-session-timeout=300", "--max-session-timeout=400",
    "--store-wait=1.5", "--reap-interval=2", "--max-connections-per-address=7", "--jute-maxbuffer=4096",
    "--super-digest=super:abc=", "--4lw-whitelist=ruok,cons", "--no-ttl-nodes", "--hard-quotas", "--keeper-ttl=3",
    "--stop-grace=4", "--ready-file=/run/ready", "--workers=3", "--log-level=debug", "--log-format=json",
    "--store-user=root", "--store-ca-file=/ca", "--store-cert-file=/cert", "--store-key-file=/key",
    "--consul-datacenter=dc2", "--max-txn-ops=512", "--max-request-bytes=9000", "--compact",
]  # fmt: skip

VARIABLES = {
    "PARKEEPER_BACKEND_URL": "etcds://a:1,b:2", "PARKEEPER_BIND_ADDR": "127.0.0.1:0 [::1]:0",
    "PARKEEPER_NAMESPACE": "team/", "PARKEEPER_DATA_PREFIX": "/", "PARKEEPER_TICK_TIME": "100",
    "PARKEEPER_MIN_SESSION_TIMEOUT": "300", "PARKEEPER_MAX_SESSION_TIMEOUT": "400", "PARKEEPER_STORE_WAIT": "1.5",
    "PARKEEPER_REAP_INTERVAL": "2", "PARKEEPER_MAX_CONNECTIONS_PER_ADDRESS": "7", "PARKEEPER_JUTE_MAXBUFFER": "4096",
    "PARKEEPER_SUPER_DIGEST": "super:abc=", "PARKEEPER_4LW_WHITELIST": "ruok,cons", "PARKEEPER_TTL_NODES": "false",
    "PARKEEPER_HARD_QUOTAS": "true", "PARKEEPER_KEEPER_TTL": "3", "PARKEEPER_STOP_GRACE": "4",
    "PARKEEPER_READY_FILE": "/run/ready", "PARKEEPER_WORKERS": "3", "PARKEEPER_LOG_LEVEL": "debug",
    "PARKEEPER_LOG_FORMAT": "json", "PARKEEPER_STORE_USER": "root", "PARKEEPER_STORE_CA_FILE": "/ca",
    "PARKEEPER_STORE_CERT_FILE": "/cert", "PARKEEPER_STORE_KEY_FILE": "/key", "PARKEEPER_CONSUL_DATACENTER": "dc2",
    "PARKEEPER_MAX_TXN_OPS": "512", "PARKEEPER_MAX_REQUEST_BYTES": "9000", "PARKEEPER_COMPACT": "true",
}  # fmt: skip


@pytest.mark.parametrize("way", ["command line", "environment"])
def test_each_option_reaches_its_place(planned, monkeypatch, way):
    """Typed or set in the environment: the same plan."""
    for name, value in VARIABLES.items() if way == "environment" else ():
        monkeypatch.setenv(name, value)
    plan = planned(*(LINE if way == "command line" else ()))
    assert plan.url == "etcds://a:1,b:2"
    assert [str(each) for each in plan.bind] == ["127.0.0.1:0", "[::1]:0"]
    assert (plan.ready_file, plan.workers) == (Path("/run/ready"), 3)
    assert (plan.level, plan.form) == (Level.DEBUG, Format.JSON)
    kept = plan.options
    assert (kept.tick_time, kept.least_timeout, kept.most_timeout) == (100, 300, 400)
    assert (kept.store_wait, kept.reap_interval, kept.stop_grace, kept.keeper_ttl) == (1.5, 2, 4, 3)
    assert (kept.max_connections_per_address, kept.limits.frame, kept.super_digest) == (7, 4096, "super:abc=")
    assert (kept.words, kept.ttl_nodes, kept.hard_quotas, kept.compact) == (
        {"ruok", "cons"},
        False,
        True,
        True,
    )
    assert plan.store == StoreOptions(
        namespace="team/",
        data_prefix="/",
        user="root",
        ca_file=Path("/ca"),
        cert_file=Path("/cert"),
        key_file=Path("/key"),
        datacenter="dc2",
        keeper_ttl=3,
        max_txn_ops=512,
        max_request_bytes=9000,
        compact=True,
    )


def test_command_line_wins_over_the_environment(planned, monkeypatch):
    """What was typed last is what was meant."""
    monkeypatch.setenv("PARKEEPER_TICK_TIME", "100")
    assert planned("--backend-url=memory://", "--tick-time=200").options.tick_time == 200


def test_secrets_come_from_files_or_variables(planned, monkeypatch, tmp_path):
    """Password by variable, token by file; neither shows in a repr that might be logged."""
    (tmp_path / "token").write_text("t0ken\n")
    monkeypatch.setenv("PARKEEPER_STORE_PASSWORD", "passw0rd")
    store = planned("--backend-url=memory://", f"--store-token-file={tmp_path / 'token'}").store
    assert (store.password, store.token) == ("passw0rd", "t0ken")
    assert "passw0rd" not in repr(store)
    assert "t0ken" not in repr(store)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["--bind-addr=2181"], "not an address"),
        (["--bind-addr=,"], "names no address"),
        (["--4lw-whitelist=ruko"], "no such four-letter word"),
        (["--store-cert-file=/cert"], "go together"),
        (["--min-session-timeout=9000", "--max-session-timeout=8000"], "least session timeout"),
        (["--store-password-file=/nowhere/password"], "cannot be read"),
    ],
)
def test_option_is_refused_when_it_cannot_be_obeyed(line, said):
    """Before anything is started, in words that name the option or its value."""
    with pytest.raises(ConfigError, match=said):
        CliRunner().invoke(app, ["serve", "--backend-url=memory://", *line], catch_exceptions=False)
