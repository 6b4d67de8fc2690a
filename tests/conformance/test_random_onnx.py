"""Random networks over all operators, and random edits of them: every promise of the cast, against ONNX Runtime on crops.

A bounded number in CI, always the same; any number by hand: FULLCONV_RANDOM_NETWORKS=5000 pytest tests/conformance/test_random_onnx.py
"""

from __future__ import annotations

import os
from random import Random

import pytest
from fuzz.networks.edits import edited
from fuzz.networks.generate import Drawn, network
from fuzz.networks.oracle import judge
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

ASKED = os.environ.get("FULLCONV_RANDOM_NETWORKS")
COUNT = int(ASKED or 60)
SOME = settings(
    max_examples=COUNT,
    derandomize=ASKED is None,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate] if ASKED is None else list(Phase),
    suppress_health_check=list(HealthCheck),
)


def holds(drawn: Drawn, seed: int) -> None:
    verdict = judge(drawn.model, drawn.shape, drawn.last, Random(seed))
    assert not verdict.is_finding, f"{verdict.kind}: {verdict.detail} (python -m fuzz networks finds and reduces such)"


@SOME
@given(st.integers(0, 2**32 - 1))
@pytest.mark.long
def test_random_networks(seed: int) -> None:
    drawn = network(Random(seed))
    assume(drawn is not None)
    assert drawn is not None
    holds(drawn, seed)


@SOME
@given(st.integers(0, 2**32 - 1))
def test_random_edits(seed: int) -> None:
    drawn = network(Random(seed))
    assume(drawn is not None)
    assert drawn is not None
    holds(Drawn(edited(drawn.model, Random(seed)), drawn.shape, drawn.last), seed)


def test_most_networks_that_are_drawn_can_be_cast() -> None:
    """A generator of networks that are all refused would find nothing."""
    kinds = [judge(d.model, d.shape, d.last, Random(0)).kind for d in map(network, map(Random, range(24))) if d]
    assert sum(kind in ("exact", "inexact") for kind in kinds) > len(kinds) * 0.3
