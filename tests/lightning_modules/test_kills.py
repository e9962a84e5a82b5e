"""A few kills at random moments; `kills.py` does as many as one likes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

if any(importlib.util.find_spec(name) is None for name in ("pytorch_lightning", "mlxtend")):
    pytest.skip("pytorch_lightning or mlxtend is not installed", allow_module_level=True)

from tests.lightning_modules.kills import kills


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_killed_runs_end_as_the_uninterrupted_one(tmp_path: Path) -> None:
    assert sum(kills(tmp_path, 2, epochs=12)) == 2
