"""Shared fixtures."""

import os
from collections.abc import Iterator

import pytest
import torch
from hypothesis import HealthCheck, settings

# How long an example takes says nothing on a busy machine.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

# Kernels that are compiled for one test run for a moment; those of the package itself are optimised.
os.environ.setdefault("SNN_NEUROMOD_CFLAGS", "-O1")

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
"""Where tests that every neuron shares run."""

torch.set_num_threads(1)  # tensors of tests are small: more threads only wait for one another


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
