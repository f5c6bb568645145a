"""What a follower is told of one state of `live/`, who knew an earlier one."""

from collections.abc import Mapping, Sequence

import pytest

from parkeeper.errors import WentBack
from parkeeper.store.consul.live import Live, LiveHead, Told
from parkeeper.store.facade import Changed, Committed, Event, Head, Item


def head(counter: int, revision: int, created: int = 1) -> LiveHead:
    return LiveHead(Head(7, counter, counter), revision, created)


def live(index: int, heads: Mapping[int, LiveHead], **items: int) -> Live:
    """Items by name (`keeper_1` for `keeper/1`) and revision; values say both."""
    named = [(name.replace("_", "/"), revision) for name, revision in items.items()]
    return Live(index, heads, {n: Item(n, f"{n}@{r}".encode(), r) for n, r in named})


def commit(
    keeper: int, counter: int, revision: int, puts: Sequence[str] = (), deletes: Sequence[str] = ()
) -> Committed:
    return Committed(
        revision,
        keeper,
        Head(7, counter, counter),
        b"",
        {n: f"{n}@{revision}".encode() for n in puts},
        deletes,
    )


def tell(told: Told, now: Live, *commits: Committed) -> list[Event]:
    """As a stream does."""
    floor = told.revisions()
    told.check(now, floor)
    told.check_gone(now, floor, commits)
    events = told.news(now, commits)
    for event in events:
        told.take(event, now)
    told.settle(now)
    return events


BEFORE = live(20, {1: head(3, 20), 2: head(5, 15)}, keeper_1=18, keeper_2=19, turn_2=17, meta=2, ids=10)


def test_news_stand_in_order_of_revision() -> None:
    """A beat between two commits is told between them."""
    told = Told.by(BEFORE, 20)
    one, two = commit(1, 4, 21), commit(2, 6, 23)
    now = live(23, {1: head(4, 21), 2: head(6, 23)}, keeper_1=18, keeper_2=22, turn_2=17, meta=2, ids=10)
    assert tell(told, now, one, two) == [one, Changed(22, "keeper/2", b"keeper/2@22"), two]
    assert told.position == 23


def test_news_when_nothing_changed() -> None:
    """The wait ran out: nothing is told."""
    told = Told.by(BEFORE, 20)
    assert tell(told, BEFORE) == []
    assert told.position == 20


def test_news_when_a_commit_wrote_the_item() -> None:
    """A registration is told in its commit only; the beat after it is told by itself."""
    told = Told.by(BEFORE, 20)
    birth = commit(3, 1, 21, ["keeper/3", "ids"])
    heads = {1: head(3, 20), 2: head(5, 15), 3: head(1, 21, 21)}
    now = live(21, heads, keeper_1=18, keeper_2=19, keeper_3=21, turn_2=17, meta=2, ids=21)
    assert tell(told, now, birth) == [birth]
    later = live(25, heads, keeper_1=18, keeper_2=19, keeper_3=25, turn_2=17, meta=2, ids=21)
    assert tell(told, later) == [Changed(25, "keeper/3", b"keeper/3@25")]
    assert tell(Told.by(BEFORE, 20), later, birth) == [birth, Changed(25, "keeper/3", b"keeper/3@25")]


def test_news_when_an_item_was_deleted_by_a_commit() -> None:
    """A declaration of death is told in its commit only."""
    told = Told.by(BEFORE, 20)
    death = commit(1, 4, 21, ["fence/2"], ["keeper/2", "turn/2"])
    now = live(21, {1: head(4, 21), 2: head(5, 15)}, keeper_1=18, meta=2, ids=10)
    assert tell(told, now, death) == [death]
    assert tell(told, now) == []


def test_news_when_an_item_was_deleted_without_a_commit() -> None:
    """A ticket taken away is told last, at the index of the answer: its own is not known any more."""
    told = Told.by(BEFORE, 20)
    one = commit(1, 4, 21)
    now = live(24, {1: head(4, 21), 2: head(5, 15)}, keeper_1=23, keeper_2=19, meta=2, ids=10)
    assert tell(told, now, one) == [
        one,
        Changed(23, "keeper/1", b"keeper/1@23"),
        Changed(24, "turn/2", None),
    ]
    assert tell(told, now) == []


def test_news_when_an_item_came_back() -> None:
    """Deleted by a commit, then written again: both are told."""
    told = Told.by(BEFORE, 20)
    done = commit(1, 4, 21, (), ["turn/2"])
    now = live(22, {1: head(4, 21), 2: head(5, 15)}, keeper_1=18, keeper_2=19, turn_2=22, meta=2, ids=10)
    assert tell(told, now, done) == [done, Changed(22, "turn/2", b"turn/2@22")]


def test_news_when_meta_is_gone() -> None:
    """Told: the keeper must stop serving."""
    told = Told.by(BEFORE, 20)
    now = live(21, BEFORE.heads, keeper_1=18, keeper_2=19, turn_2=17, ids=10)
    assert tell(told, now) == [Changed(21, "meta", None)]


def test_news_when_somebody_starts_in_the_middle() -> None:
    """What is older than where he starts is not told, whether he knew it or not."""
    told = Told(18)
    now = live(20, {}, keeper_1=18, keeper_2=19, turn_2=17, meta=2)
    assert tell(told, now) == [Changed(19, "keeper/2", b"keeper/2@19")]
    assert tell(told, live(22, {}, keeper_1=18, keeper_2=19, meta=2)) == [Changed(22, "turn/2", None)]


def test_at_forgets_what_is_newer() -> None:
    """Going on from an earlier place, a head known to be newer says nothing of what was there then."""
    told = Told.by(BEFORE, 20).at(16)
    assert told.position == 16
    assert set(told.heads) == {2}
    assert set(told.names) == {"meta"}


@pytest.mark.parametrize(
    "now",
    [
        live(30, {1: head(3, 19), 2: head(5, 15)}, keeper_1=18, keeper_2=19, turn_2=17, meta=2),
        live(30, {1: head(3, 25), 2: head(5, 15)}, keeper_1=18, keeper_2=19, turn_2=17, meta=2),
        live(30, {1: head(2, 25), 2: head(5, 15)}, keeper_1=18, keeper_2=19, turn_2=17, meta=2),
        live(30, {1: head(4, 20), 2: head(5, 15)}, keeper_1=18, keeper_2=19, turn_2=17, meta=2),
        live(30, {2: head(5, 15)}, keeper_1=18, keeper_2=19, turn_2=17, meta=2),
        live(30, {1: head(3, 20), 2: head(5, 15)}, keeper_1=17, keeper_2=19, turn_2=17, meta=2),
        live(30, {}),
    ],
    ids=["older head", "same counter", "lower counter", "other commit", "no head", "older beat", "nothing"],
)
def test_check_when_the_store_went_back(now: Live) -> None:
    """A restored store is found by any head or beat that is older than known; a head alone never goes."""
    told = Told.by(BEFORE, 20)
    with pytest.raises(WentBack):
        tell(told, now)


def test_check_when_a_head_was_forgotten() -> None:
    """A commit of the janitor took it: that is no step back, and it is not missed afterwards."""
    told = Told.by(BEFORE, 20)
    done = commit(1, 4, 21, (), ["head/2", "fence/2", "turn/2"])
    now = live(21, {1: head(4, 21)}, keeper_1=18, keeper_2=19, meta=2, ids=10)
    assert tell(told, now, done) == [done]
    assert tell(told, now) == []


def test_check_when_ones_own_beat_is_ahead() -> None:
    """What was acknowledged before the query was sent must be in its answer; what the stream told, too."""
    told = Told.by(BEFORE, 20)
    with pytest.raises(WentBack, match="keeper/1"):
        told.check(BEFORE, told.revisions() | {"keeper/1": 21})
    told.check(BEFORE, told.revisions() | {"keeper/1": 18})
