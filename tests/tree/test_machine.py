"""Random requests at two keepers over one store: what `tests.tree.agreement` promises holds for every script."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tree.agreement import Ensemble
from tests.tree.drawn import Step, scripts


def run(script: list[Step], base: int, stride: int) -> None:
    ensemble = Ensemble(base, stride)
    for step in script:
        ensemble.step(step)
    ensemble.end()


bases, strides = st.sampled_from([0, 7 << 40]), st.sampled_from([1, 3])


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(scripts, bases, strides)
def test_keepers_agree_with_a_plain_tree(script: list[Step], base: int, stride: int) -> None:
    """Answers, replicas, events and items, after each commit."""
    run(script, base, stride)


@pytest.mark.soak
@pytest.mark.timeout(0)
@settings(max_examples=20_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(scripts, bases, strides)
def test_keepers_agree_with_a_plain_tree_at_length(script: list[Step], base: int, stride: int) -> None:
    """The same, some thousand times."""
    run(script, base, stride)
