"""Shared fixtures."""

import gc
import os
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, settings

from tests.fresh import Fresh

# How long an example takes says nothing on a busy machine.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

# Kernels that are compiled for one test run for a moment; those of the package itself are optimised. With -Og they are
# compiled twice as fast as with -O1 and run as fast; with -O0 training takes minutes.
os.environ.setdefault("SNN_NEUROMOD_CFLAGS", "-Og")

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
"""Where tests that every neuron shares run."""

torch.set_num_threads(1)  # tensors of tests are small: more threads only wait for one another


def pytest_collection_finish() -> None:
    """What is imported by now stays: a collection of garbage need not look through it, nor come all the time."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Each process gets a part of the suite in one piece, so that what a module shares is made once, and then helps."""
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log) if config.getvalue("dist") == "load" else None


@pytest.fixture(scope="session")
def fresh() -> Iterator[Fresh]:
    """Runs code in an interpreter that has imported PyTorch alone."""
    made = Fresh()
    yield made
    made.close()


@pytest.fixture(scope="module", params=DEVICES)
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    """What a module's tests make tensors and layers on: a CPU, then a CUDA device where there is one."""
    if request.param != "cpu":
        torch.set_default_device(request.param)
    yield request.param
    torch.set_default_device(None)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
