"""Fixtures of the kernels' tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import snn_neuromod as nm


@pytest.fixture
def by_name() -> Iterator[None]:
    """Whatever the kernels in C cannot serve is an error here."""
    with nm.kernels.use("c"):
        yield
