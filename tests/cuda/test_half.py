"""Inputs of half precision: states and parameters are float32, and no pass over memory converts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import snn_neuromod as nm
from snn_neuromod.kernels.backends.triton import launch
from tests.cuda.test_neurons import USERS, learning
from tests.layers.cases import DEFAULTS, LayerCase

HALF = [torch.float16, torch.bfloat16]
CASES = [case for case in DEFAULTS if case.layer in (nm.MSRC, nm.ALIF)] + [USERS]


def run(layer: Any, current: Tensor) -> list[Tensor]:
    """Spikes, last state, and gradients of the input and of the parameters."""
    current = current.detach().requires_grad_()
    with nm.kernels.use("triton"):
        spikes, state = layer(current)
    results = [spikes, *state]
    generator = torch.Generator().manual_seed(2)
    above = [torch.randint(-4, 5, r.shape, generator=generator).to(r) / 4 for r in results]
    inputs = [current, *layer.parameters()]
    return [*results, *torch.autograd.grad(results, inputs, above)]


@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_is_float32_but_for_what_is_read_and_written(
    case: LayerCase, dtype: torch.dtype, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, current = learning(case).to(device), case.current(23).to(device, dtype)
    expected, seen, original = run(layer, current.float()), list[Any](), launch.start

    def start(kernel: Any, grid: Any, *arguments: Any, **flags: Any) -> None:
        seen.append((arguments[0].dtype, arguments[1].dtype))
        original(kernel, grid, *arguments, **flags)

    monkeypatch.setattr(launch, "start", start)
    found = run(layer, current)
    assert seen == 2 * [(dtype, dtype)]  # input with spikes, input with their gradients
    assert expected[0].any()
    for a, b in zip(found, expected, strict=True):
        halved = a.dtype == dtype
        assert halved or a.dtype == torch.float32
        torch.testing.assert_close(a.float(), b, rtol=torch.finfo(a.dtype).eps, atol=1e-6)


def test_recurrent_layers_convert(device: torch.device) -> None:
    net = nm.Recurrent(nm.ALIF(6), 4).to(device).bfloat16()
    x = 4 * torch.rand(9, 2, 4, device=device).bfloat16()
    with nm.kernels.use("reference"):
        expected = net(x)[0]
    with nm.kernels.use("triton"):
        found = net(x)[0]
    assert found.dtype == torch.bfloat16
    assert expected.any()
    assert torch.equal(found, expected)
