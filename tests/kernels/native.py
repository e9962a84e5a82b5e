"""Live cases of the C kernels, and what they are compared with."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import snn_neuromod as nm
from snn_neuromod import dynamics, surrogate
from snn_neuromod.kernels.backends.c import library
from tests.kernels.reference import Case, make_case

AVAILABLE, STATUS = library.load()
served = [
    pytest.mark.skipif(AVAILABLE is None, reason=f"C kernels: {STATUS}"),
    pytest.mark.usefixtures("by_name"),
]

ALIF = {"psi": surrogate.Psi(), "reset": "subtract", "refractory": 0, "detach_reset": False}
STDP = {"psi": dynamics.stdp_alif.PSI, "refractory": 2, "detach_reset": False}
IZHIKEVICH = {"psi": dynamics.izhikevich.PSI, "detach_reset": False}
NEURONS: dict[str, dict[str, Any]] = {
    "alif": ALIF,
    "stdp_alif": STDP,
    "izhikevich": IZHIKEVICH,
    "leaky_integrator": {"normalise": True},
    "src": {"straight_through": False, "detach_recurrence": False},
    "msrc": {"straight_through": False, "detach_recurrence": False},
    "bsrc": {"straight_through": False, "detach_recurrence": False},
}
PATHS = {"feedforward": (False, None), "recurrent": (True, None), "e-prop": (True, 0)}
SPIKING = ["alif", "stdp_alif", "izhikevich"]
every_neuron = pytest.mark.parametrize("neuron", NEURONS)
every_spiking_neuron = pytest.mark.parametrize("neuron", SPIKING)
every_path = pytest.mark.parametrize("path", PATHS)
NEURONS_AND_PATHS = [
    (neuron, path)
    for neuron in NEURONS
    for path in PATHS
    if path == "feedforward" or neuron in SPIKING
]
every_neuron_and_path = pytest.mark.parametrize(("neuron", "path"), NEURONS_AND_PATHS)


def live_case(neuron: str, path: str = "feedforward", **kwargs: Any) -> Case:
    """A case with gradients of everything that the kernel knows."""
    recurrent, hops = PATHS[path]
    options = kwargs.pop("options", NEURONS[neuron])
    if neuron == "izhikevich":
        kwargs.setdefault("dt", 0.5)
    case = make_case(neuron, options, recurrent=recurrent, hops=hops, **kwargs)
    if path != "feedforward":  # the recurrent input stays in the range of the current
        weights = (case.w_rec.detach() * (2 / case.w_rec.shape[0] ** 0.5)).requires_grad_()
        case = case._replace(w_rec=weights)
    if neuron == "izhikevich":  # its kernel gives no gradient of dt, which no layer learns
        case.params[-1].requires_grad_(False)
    return case


def all_gradients(case: Case, backend: str) -> tuple[list[torch.Tensor], dict[str, torch.Tensor]]:
    """Spikes and last state, and the gradients by the leaves that need one."""
    with nm.kernels.use(backend):
        spikes, state = case.operator()
        generator = torch.Generator().manual_seed(7)
        loss = sum(
            (x * torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x.dtype)).sum()
            for x in (spikes, *state)
        )
        leaves = {name: leaf for name, leaf in case.leaves.items() if leaf.requires_grad}
        found = torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)
    return [spikes, *state], dict(zip(leaves, found, strict=True))


def assert_equal_to_eager(case: Case, tolerance: float = 1e-10) -> None:
    eager, eager_grads = all_gradients(case, "eager")
    found, grads = all_gradients(case, "c")
    if case.neuron != "leaky_integrator":
        assert 0 < eager[0].mean() < 1, "the network must be live"
    pairs = [*zip(eager, found, strict=True), *((eager_grads[k], grads[k]) for k in grads)]
    for expected, value in pairs:
        assert value.isfinite().all()
        if expected.numel():
            error = (value - expected).abs().max() / expected.abs().max().clamp(min=1e-300)
            assert error < tolerance
    assert grads["current"].abs().max() > 0
