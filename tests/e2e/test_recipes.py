"""kazoo's recipes, each with two clients (through two keepers where there are two)."""

from __future__ import annotations

import threading
from collections.abc import Callable

from kazoo.recipe.cache import TreeCache

from tests.e2e.conftest import Connect
from tests.e2e.test_kazoo import Seen


def together(*jobs: Callable[[], None]) -> None:
    """Run jobs on threads of their own until all are done."""
    failures: list[Exception] = []

    def run(job: Callable[[], None]) -> None:
        try:
            job()
        except Exception as error:  # noqa: BLE001  # told to the test's own thread below
            failures.append(error)

    threads = [threading.Thread(target=run, args=(job,), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive(), "a job hangs"
    if failures:
        raise failures[0]


def test_lock_is_held_by_one_at_a_time(connect: Connect) -> None:
    """Four clients add to a number that only the lock protects."""
    clients = [connect() for _ in range(4)]
    total = [0]

    def work(number: int) -> Callable[[], None]:
        def job() -> None:
            for _ in range(5):
                with clients[number].Lock("/lock", f"c{number}"):
                    before = total[0]
                    threading.Event().wait(0.001)
                    total[0] = before + 1

        return job

    together(*(work(number) for number in range(4)))
    assert total[0] == 20


def test_semaphore_lets_two_in(connect: Connect) -> None:
    """Never more than its leases."""
    clients = [connect() for _ in range(4)]
    inside, most = [0], [0]
    guard = threading.Lock()

    def work(number: int) -> Callable[[], None]:
        def job() -> None:
            for _ in range(3):
                with clients[number].Semaphore("/semaphore", max_leases=2):
                    with guard:
                        inside[0] += 1
                        most[0] = max(most[0], inside[0])
                    threading.Event().wait(0.005)
                    with guard:
                        inside[0] -= 1

        return job

    together(*(work(number) for number in range(4)))
    assert 1 <= most[0] <= 2


def test_election_has_one_leader_and_a_successor(connect: Connect) -> None:
    """Whoever leads leads alone; when it ends, the other is called."""
    clients = [connect(), connect()]
    led: list[str] = []

    def work(number: int) -> Callable[[], None]:
        name = f"c{number}"
        return lambda: clients[number].Election("/election", name).run(led.append, name)

    together(work(0), work(1))
    assert sorted(led) == ["c0", "c1"]


def test_queue_gives_in_order(connect: Connect) -> None:
    """By priority, then as put."""
    one, two = connect(), connect()
    queue = one.Queue("/queue")
    for value, priority in ((b"b", 100), (b"c", 100), (b"a", 50)):
        queue.put(value, priority)
    two.sync("/queue")
    other = two.Queue("/queue")
    assert [other.get() for _ in range(4)] == [b"a", b"b", b"c", None]


def test_locking_queue_gives_each_once(connect: Connect) -> None:
    """Two consumers share what is there."""
    one, two = connect(), connect()
    wanted = {b"%d" % number for number in range(10)}
    one.LockingQueue("/queue").put_all(sorted(wanted))
    got: list[bytes] = []

    def work(client: object) -> Callable[[], None]:
        def job() -> None:
            queue = client.LockingQueue("/queue")  # type: ignore[attr-defined]
            for _ in range(5):
                got.append(queue.get(timeout=20))
                assert queue.consume()

        return job

    together(work(one), work(two))
    assert sorted(got) == sorted(wanted)


def test_barriers_hold_and_let_go(connect: Connect) -> None:
    """Barrier waits for its removal, DoubleBarrier for everybody."""
    one, two = connect(), connect()
    barrier = one.Barrier("/barrier")
    barrier.create()
    two.sync("/barrier")
    assert not two.Barrier("/barrier").wait(0.2)

    def remove() -> None:
        assert barrier.remove()

    def wait() -> None:
        assert two.Barrier("/barrier").wait(20)

    together(wait, remove)
    entered: list[int] = []

    def work(number: int, client: object) -> Callable[[], None]:
        def job() -> None:
            double = client.DoubleBarrier("/double", 2, f"c{number}")  # type: ignore[attr-defined]
            double.enter()
            entered.append(number)
            double.leave()

        return job

    together(work(0, one), work(1, two))
    assert sorted(entered) == [0, 1]


def test_counter_adds_up(connect: Connect) -> None:
    """Nobody's addition is lost."""
    clients = [connect(), connect()]

    def work(client: object) -> Callable[[], None]:
        def job() -> None:
            counter = client.Counter("/counter")  # type: ignore[attr-defined]
            for _ in range(10):
                counter += 1

        return job

    together(*(work(client) for client in clients))
    clients[0].sync("/counter")
    assert clients[0].Counter("/counter").value == 20


def test_party_knows_its_members(connect: Connect) -> None:
    """Joining, seeing, leaving."""
    one, two = connect(), connect()
    party, other = one.Party("/party", "ann"), two.Party("/party", "bob")
    party.join()
    other.join()
    one.sync("/party")
    assert sorted(party) == ["ann", "bob"]
    other.leave()
    one.sync("/party")
    assert list(party) == ["ann"]


def test_set_partitioner_shares_the_set(connect: Connect) -> None:
    """Two members have all of it, and nothing twice."""
    clients = [connect(), connect()]
    shares: dict[int, set[int]] = {}

    def work(number: int) -> Callable[[], None]:
        def job() -> None:
            partitioner = clients[number].SetPartitioner(
                "/set", set=tuple(range(6)), identifier=f"c{number}", time_boundary=1
            )
            ready = threading.Barrier(1)
            while len(shares) < 2:
                if partitioner.allocating:
                    partitioner.wait_for_acquire(20)
                elif partitioner.acquired:
                    share = set(partitioner)
                    if 0 < len(share) < 6:
                        shares[number] = share
                    threading.Event().wait(0.02)
                elif partitioner.release:
                    partitioner.release_set()
                elif partitioner.failed:
                    raise AssertionError("the partitioner failed")
            ready.wait()

        return job

    together(work(0), work(1))
    assert shares[0] | shares[1] == set(range(6))
    assert not shares[0] & shares[1]


def test_tree_cache_follows_the_tree(connect: Connect) -> None:
    """What another client does shows in the cache."""
    one, two = connect(), connect()
    one.create("/tree", b"root")
    seen = Seen()
    cache = TreeCache(one, "/tree")
    cache.listen(seen)
    cache.start()
    seen.until(2)  # the root, and "initialized"
    two.sync("/tree")
    two.create("/tree/a", b"1")
    seen.until(3)
    two.set("/tree/a", b"2")
    seen.until(4)
    found = cache.get_data("/tree/a")
    assert found is not None
    assert found.data == b"2"
    cache.close()
