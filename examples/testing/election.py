"""A program to be tested: candidates for leadership, one of whom leads.

What makes such a program hard to get right: its session may be over without it having been told (so it must step down
as soon as it cannot be sure), and a request may have happened although its reply never came (so it must look before it
asks again; kazoo's `Lock` does).
"""

from __future__ import annotations

import threading

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import ConnectionClosedError, KazooException
from kazoo.retry import KazooRetry


class Candidate:
    """Wants to lead, from `start` to `stop`.

    Attributes:
        client: its kazoo client.
        terms: how often it has led.
    """

    def __init__(self, hosts: str, name: str) -> None:
        self.name = name
        self.terms = 0
        retry = KazooRetry(max_tries=-1, delay=0.01, max_delay=0.1)
        self.client = KazooClient(hosts, timeout=10.0, connection_retry=retry, command_retry=retry)
        self._changed = threading.Condition()
        self._leads = False
        self._unsure = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name)

    def start(self) -> None:
        self.client.add_listener(self._heard)
        self.client.start()
        self._thread.start()

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self.client.stop()
        self._thread.join()
        self.client.close()

    @property
    def leads(self) -> bool:
        return self._leads

    def wait(self, leads: bool, seconds: float = 10.0) -> bool:
        """Wait until it leads, or no longer does; False if it took too long."""
        with self._changed:
            return self._changed.wait_for(lambda: self._leads is leads, seconds)

    def _heard(self, state: str) -> None:
        """Called by kazoo: from SUSPENDED on we cannot know whether our session lives."""
        with self._changed:
            self._unsure = state != KazooState.CONNECTED
            self._changed.notify_all()

    def _run(self) -> None:
        while not self._stopping:
            lock = self.client.Lock("/election", self.name)
            try:
                with lock:
                    self._lead()
            except (KazooException, ConnectionClosedError):
                pass  # no longer connected, or no longer wanted: contend again, or end
            with self._changed:
                self._changed.wait_for(lambda: not self._unsure or self._stopping, 10)

    def _lead(self) -> None:
        with self._changed:
            self._leads = not self._unsure
            self.terms += self._leads
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._unsure or self._stopping)
            self._leads = False
            self._changed.notify_all()
