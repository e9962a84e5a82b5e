"""Rounding of the C kernels in float32."""

from __future__ import annotations

import torch

from snn_neuromod import surrogate
from snn_neuromod.kernels import neurons, operator
from tests.kernels.native import (
    NEURONS,
    all_gradients,
    every_path,
    every_spiking_neuron,
    live_case,
    served,
)

pytestmark = served


@every_spiking_neuron
def test_float32_spikes_equal_those_of_the_reference(neuron: str) -> None:
    """Without recurrent weights every rounding is the same."""
    case = live_case(neuron, shape=(100, 8, 64), dtype=torch.float32)
    with torch.no_grad():
        spikes, reference = case.operator()[0], case.reference()[0]
    assert spikes.any()
    assert torch.equal(spikes, reference)


@every_spiking_neuron
@every_path
def test_float32_is_as_precise_as_the_step(neuron: str, path: str) -> None:
    """Error against float64 where no spike moved; spikes are equal away from the threshold."""
    options = NEURONS[neuron]
    if neuron == "izhikevich":  # else its gradients reach 1e24, and one neuron's rounding decides
        options = {**options, "clip_jacobian": 1.0}
    rough = live_case(neuron, path, options=options, shape=(30, 8, 64), dtype=torch.float32, seed=3)
    leaf = {k: v.detach().double().requires_grad_(v.requires_grad) for k, v in rough.leaves.items()}
    values = list(leaf.values())
    count, states = len(rough.params), len(rough.state)
    exact = rough._replace(
        current=values[0],
        params=values[1 : 1 + count],
        state=values[1 + count : 1 + count + states],
        w_rec=leaf.get("w_rec"),
        spikes=leaf.get("spikes"),
    )
    true, true_grads = all_gradients(exact, "eager")

    def errors(backend: str) -> list[float]:
        found, grads = all_gradients(rough, backend)
        assert torch.equal(found[0].double(), true[0]), "a spike moved: take another seed"
        pairs = [*zip(found, true, strict=True), *((grads[k], true_grads[k]) for k in grads)]
        return [(a.double() - b).norm().item() / (1 + b.norm().item()) for a, b in pairs]

    for c, step in zip(errors("c"), errors("reference"), strict=True):
        assert c <= 3 * step + 1e-6


def test_exponential_is_accurate() -> None:
    """The kernels' own exponential, seen through the pseudo-derivative of one step."""
    v = torch.linspace(-900, 30, 20001)
    psi = surrogate.Psi(shape="exponential", scale="none", gamma=1.0)
    params = [torch.tensor(x) for x in (0.0, 0.0, 0.0, 0.0, 1.0)]
    current = torch.zeros(1, len(v)).requires_grad_()
    encoded = neurons.encode("izhikevich", psi=psi, detach_reset=True)
    state = [v, torch.zeros_like(v), torch.zeros_like(v)]
    spikes, last = operator.run(encoded, current, params, state)
    (grad,) = torch.autograd.grad(spikes.sum(), current)
    distance = (last[0] - 30).double() / 30
    expected = torch.exp(distance.clamp(max=0))
    torch.testing.assert_close(grad[0].double(), expected, rtol=3e-6, atol=1e-37)
