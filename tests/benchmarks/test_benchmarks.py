"""The benchmarks compare what is equal, and run; nothing here is timed."""

import pytest
import torch

from snn_neuromod.benchmarks import memory
from snn_neuromod.benchmarks.__main__ import CHECK_STEPS, WORKLOADS, check, measure
from snn_neuromod.benchmarks.workloads import Workload
from snn_neuromod.kernels import library

COMPARISONS = [
    (name, comparison) for name, comparisons in WORKLOADS.items() for comparison in comparisons
]


@pytest.mark.parametrize(("name", "comparison"), COMPARISONS)
def test_reference_and_layer_of_every_workload_agree(name, comparison):
    loaded, status = library.load()
    if name == "C" and loaded is None:
        pytest.skip(f"C kernels: {status}")
    check(comparison.make(CHECK_STEPS))


def test_a_wrong_result_is_not_timed():
    workload = Workload("wrong", lambda: torch.tensor([1.0, 0.0]), lambda: torch.tensor([0.0, 1.0]))
    with pytest.raises(RuntimeError, match=r"gradients must agree, got a cosine of 0\.0000"):
        check(workload)


def test_measure_times_each_repeat_of_both():
    workload = Workload("trivial", lambda: torch.ones(1), lambda: torch.ones(1))
    reference, layer = measure(workload, repeats=3)
    assert len(reference) == len(layer) == 3


def test_the_oracle_stands_in_for_a_reference_that_computes_something_else():
    right, wrong = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    check(Workload("", lambda: wrong, lambda: right, oracle=lambda: right))
    with pytest.raises(RuntimeError, match="gradients must agree"):
        check(Workload("", lambda: right, lambda: right, oracle=lambda: wrong))


def test_memory_is_measured_in_a_process_of_its_own():
    short, long = (memory.measure(memory.Size(100, 8, steps))[0] for steps in (100, 400))
    assert short > 0
    assert long < 1.2 * short + 5  # of a small run, and what the process itself takes varies


def test_a_failing_run_is_an_error():
    with pytest.raises(RuntimeError, match=r"benchmarks.memory: .* must run, got"):
        memory.measure(memory.Size(neurons=0))
