"""Shared fixtures."""

import pytest
import torch

torch.set_num_threads(1)  # tensors of tests are small: more threads only wait for one another


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
