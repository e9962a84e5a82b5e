"""Shared fixtures."""

import os

import pytest
import torch
from hypothesis import HealthCheck, settings

# How long an example takes says nothing on a busy machine.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

# Kernels that are compiled for one test run for a moment; those of the package itself are built with all optimisation.
os.environ.setdefault("SNN_NEUROMOD_CFLAGS", "-O1")

torch.set_num_threads(1)  # tensors of tests are small: more threads only wait for one another


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
