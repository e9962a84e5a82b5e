"""Memory and threads of the C kernels: any batch, strides, segments, fresh memory, what is kept."""

from __future__ import annotations

import pytest
import torch

from snn_neuromod.kernels import neurons
from tests.kernels.native import (
    all_gradients,
    every_neuron,
    every_neuron_and_path,
    every_path,
    every_spiking_neuron,
    live_case,
    served,
)

pytestmark = served


@every_neuron
@pytest.mark.parametrize("shape", [(5, 0, 3), (12, 2, 3, 4), (30, 5)], ids=str)
def test_any_batch(neuron: str, shape: tuple[int, ...]) -> None:
    case = live_case(neuron, shape=shape)
    (eager, eager_grads), (found, grads) = all_gradients(case, "eager"), all_gradients(case, "c")
    for expected, value in zip(
        [*eager, *eager_grads.values()], [*found, *grads.values()], strict=True
    ):
        torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-10)


@every_neuron
def test_strided_input(neuron: str) -> None:
    case = live_case(neuron)
    strided = case.current.detach().permute(2, 1, 0).contiguous().permute(2, 1, 0).requires_grad_()
    states = [s.detach().T.contiguous().T.requires_grad_() for s in case.state]
    (a, a_grads), (b, b_grads) = (
        all_gradients(x, "c") for x in (case, case._replace(current=strided, state=states))
    )
    for x, y in zip([*a, *a_grads.values()], [*b, *b_grads.values()], strict=True):
        assert torch.equal(x, y)
    spikes, _ = case.operator()
    (whole,) = torch.autograd.grad(spikes.sum(), case.current)  # an expanded gradient
    (ones,) = torch.autograd.grad(case.operator()[0], case.current, torch.ones_like(spikes))
    assert torch.equal(whole, ones)


@every_spiking_neuron
@every_path
def test_segmented_run_equals_full_run(neuron: str, path: str) -> None:
    case = live_case(neuron, path, shape=(20, 3, 40), dtype=torch.float32)
    spikes, state = case.operator()
    first, middle = case._replace(current=case.current[:9]).operator()
    before = first[-1] if case.w_rec is not None else None
    rest = case._replace(current=case.current[9:], state=middle, spikes=before)
    second, last = rest.operator()
    assert torch.equal(torch.cat([first, second]), spikes)
    assert all(torch.equal(a, b) for a, b in zip(last, state, strict=True))


@every_neuron_and_path
def test_threads_change_nothing(neuron: str, path: str) -> None:
    case = live_case(neuron, path, shape=(30, 13, 70), dtype=torch.float32)
    results = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            values, grads = all_gradients(case, "c")
            # GEMM of PyTorch itself may depend on its threads
            grads.pop("w_rec", None)
            results.append([*values, *grads.values()])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@every_neuron_and_path
def test_every_number_is_written(neuron: str, path: str) -> None:
    """Fresh memory is filled with NaN."""
    case = live_case(neuron, path, shape=(20, 5, 63))
    expected, expected_grads = all_gradients(case, "c")
    torch.use_deterministic_algorithms(True)  # which fills what torch.empty gives
    try:
        found, grads = all_gradients(case, "c")
    finally:
        torch.use_deterministic_algorithms(False)
    pairs = zip([*expected, *expected_grads.values()], [*found, *grads.values()], strict=True)
    for a, b in pairs:
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("neuron", "sizes"),
    [
        ("alif", [3, 3, 3]),
        ("stdp_alif", [3, 3, 3, 3]),
        ("izhikevich", [3, 3, 3]),
        ("leaky_integrator", []),
        ("src", [3, 3, 3]),
        ("bsrc", [3, 3, 3, 3]),
    ],
)
def test_what_is_kept_for_the_backward_pass(neuron: str, sizes: list[int]) -> None:
    case = live_case(neuron, shape=(33, 2, 5))
    encoded = neurons.encode(neuron, **case.options)
    args = (encoded, case.current, case.params, case.state, [], [1], [], "inf")
    needed = [False] * len(case.params)
    with torch.no_grad():
        out = torch.ops.snn_neuromod.sequence(*args, True, needed, "c")
        bare = torch.ops.snn_neuromod.sequence(*args, False, needed, "c")
    assert [len(track) for track in out[1 + len(case.state) :]] == sizes
    assert len(bare) == 1 + len(case.state)
    assert all(torch.equal(a, b) for a, b in zip(bare, out, strict=False))
