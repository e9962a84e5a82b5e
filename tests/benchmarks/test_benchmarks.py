"""The benchmarks compare what is equal, and run; nothing here is timed."""

import pytest
import torch

from snn_neuromod.benchmarks.__main__ import CHECK_STEPS, check, measure
from snn_neuromod.benchmarks.workloads import WORKLOADS, Workload

COMPARISONS = [comparison for comparisons in WORKLOADS.values() for comparison in comparisons]


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_reference_and_layer_of_every_workload_agree(comparison):
    check(comparison.make(CHECK_STEPS))


def test_a_wrong_result_is_not_timed():
    workload = Workload("wrong", lambda: torch.tensor([1.0, 0.0]), lambda: torch.tensor([0.0, 1.0]))
    with pytest.raises(RuntimeError, match=r"gradients must agree, got a cosine of 0\.0000"):
        check(workload)


def test_measure_times_each_repeat_of_both():
    workload = Workload("trivial", lambda: torch.ones(1), lambda: torch.ones(1))
    reference, layer = measure(workload, repeats=3)
    assert len(reference) == len(layer) == 3
