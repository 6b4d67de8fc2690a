"""Budgets as in a process of their own: the tests' own process holds whatever ran before."""

from __future__ import annotations

import pytest

from fullconv.stream import plan


@pytest.fixture(autouse=True)
def _small_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "_planned_base", lambda *_: 180 << 20)
