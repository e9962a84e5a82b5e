"""The C kernels next to the eager form and the reference: values and gradients of every option."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from snn_neuromod import surrogate
from snn_neuromod.kernels.backends.c.jobs import weight_gradient
from snn_neuromod.kernels.gradients import weights_gradient
from snn_neuromod.kernels.synapses import Synapses
from tests.helpers import pairwise
from tests.kernels.native import (
    ALIF,
    IZHIKEVICH,
    NEURONS_AND_PATHS,
    PATHS,
    STDP,
    all_gradients,
    assert_equal_to_eager,
    every_path,
    every_spiking_neuron,
    live_case,
    served,
)
from tests.kernels.reference import SRC_FAMILY, assert_equal_gradients

pytestmark = served


@pytest.mark.parametrize(
    ("of", "num", "num_steps", "batch"),
    pairwise(NEURONS_AND_PATHS, [1, 63, 257], [1, 100], [1, 5]),
)
def test_equal_to_eager(of: tuple[str, str], num: int, num_steps: int, batch: int) -> None:
    neuron, path = of
    # Long runs amplify rounding: in Izhikevich neurons until a spike moves, in the ill-conditioned SRC family always.
    if neuron in SRC_FAMILY or (neuron == "izhikevich" and path != "feedforward"):
        num_steps = min(num_steps, 30)
    case = live_case(neuron, path, shape=(num_steps, batch, num))
    if num * batch < 60 or num_steps == 1:  # too few for a live network
        eager, eager_grads = all_gradients(case, "eager")
        found, grads = all_gradients(case, "c")
        for expected, value in [
            *zip(eager, found, strict=True),
            *((eager_grads[k], grads[k]) for k in grads),
        ]:
            torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-10)
    else:
        assert_equal_to_eager(case, 1e-7 if neuron in SRC_FAMILY else 1e-10)


@pytest.mark.parametrize(
    ("neuron", "path"),
    [
        ("alif", "recurrent"),
        ("alif", "e-prop"),
        ("stdp_alif", "recurrent"),
        ("izhikevich", "feedforward"),
        ("leaky_integrator", "feedforward"),
    ],
)
def test_wide_layers_and_long_runs(neuron: str, path: str) -> None:
    case = live_case(neuron, path, shape=(300, 2, 1000))
    if neuron == "izhikevich":  # else its gradients grow until only a few numbers count
        case = case._replace(options={**case.options, "clip_jacobian": 0.9})
    assert_equal_to_eager(case)


@pytest.mark.parametrize(
    ("reset", "refractory", "detach_reset", "path"),
    pairwise(["subtract", "zero", "none"], [0, 2], [True, False], PATHS),
)
def test_resets_of_alif(reset: str, refractory: int, detach_reset: bool, path: str) -> None:
    options = {**ALIF, "reset": reset, "refractory": refractory, "detach_reset": detach_reset}
    assert_equal_gradients(
        live_case("alif", path, options=options, alpha=0.8, rho=torch.linspace(0.5, 1, 4))
    )


@pytest.mark.parametrize(
    ("shape", "scale", "refractory", "path"),
    pairwise(surrogate.PROFILES, ["threshold", "none"], [0, 2], PATHS),
)
def test_pseudo_derivatives(shape: Any, scale: Any, refractory: int, path: str) -> None:
    psi = surrogate.Psi(shape=shape, scale=scale, gamma=0.4, width=0.7, refractory=-1.0)
    for at_spike in (None, 0.5):
        psi = surrogate.Psi(**{**vars(psi), "at_spike": at_spike})
        options = {**ALIF, "psi": psi, "refractory": refractory}
        assert_equal_gradients(live_case("alif", path, options=options, v_th=0.8))
    options = {**IZHIKEVICH, "psi": psi}
    if path == "feedforward" or not refractory:
        assert_equal_to_eager(live_case("izhikevich", path, options=options, shape=(20, 3, 40)))


@pytest.mark.parametrize("clip_jacobian", [None, 0.9])
@pytest.mark.parametrize("detach_reset", [True, False])
@every_path
def test_stdp_alif_and_izhikevich(
    detach_reset: bool, clip_jacobian: float | None, path: str
) -> None:
    options = {**STDP, "detach_reset": detach_reset}
    assert_equal_gradients(live_case("stdp_alif", path, options=options, alpha=0.8))
    options = {**IZHIKEVICH, "detach_reset": detach_reset, "clip_jacobian": clip_jacobian}
    per_neuron = {"a": torch.linspace(0.01, 0.1, 40), "dt": torch.linspace(0.3, 0.6, 40)}
    assert_equal_to_eager(
        live_case("izhikevich", path, options=options, shape=(20, 3, 40), **per_neuron)
    )


@pytest.mark.parametrize("num", [4, 300])
def test_parameters_per_neuron_and_per_sample(num: int) -> None:
    beta, v_th = torch.linspace(0.1, 0.3, num), torch.rand(3, num) + 0.5
    assert_equal_gradients(live_case("alif", beta=beta, v_th=v_th, shape=(20, 3, num)))
    assert_equal_gradients(
        live_case("alif", "recurrent", beta=beta, v_th=v_th[0], shape=(20, 3, num))
    )


def test_gradient_of_the_weights_at_every_rate() -> None:
    """Event by event below the rate at which a product of matrices takes over, and above."""
    delta = torch.randn(40, 3, 70, dtype=torch.float64)
    for rate in (0.02, 0.1, 0.6):
        spikes = (torch.rand(40, 3, 70) < rate).double()
        first = torch.rand(3, 70, dtype=torch.float64)
        before = torch.cat([first[None], spikes[:-1]])
        expected = torch.einsum("tbj,tbi->ji", delta, before)
        group = Synapses(torch.empty(70, 70), 1, None)
        found = weights_gradient(group, delta, first[None], spikes, weight_gradient)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


BY_NEURON = torch.arange(40) % 3 + 1
DELAYS = {
    "2": 2,
    "25, longer than the sequence": 25,
    "by neuron": BY_NEURON,
    "by synapse": (BY_NEURON + 2 * torch.arange(40)[:, None]) % 4 + 1,
}


@every_spiking_neuron
@pytest.mark.parametrize("path", ["recurrent", "e-prop"])
@pytest.mark.parametrize("delay", DELAYS.values(), ids=DELAYS)
def test_delays(neuron: str, path: str, delay: Any) -> None:
    case = live_case(neuron, path, shape=(20, 5, 40), delay=delay)
    assert_equal_gradients(case) if neuron != "izhikevich" else assert_equal_to_eager(case)
    for cut in (3, 12):  # the spikes before the second part are partly those before the first
        spikes, state = case.operator()
        first, middle = case._replace(current=case.current[:cut]).operator()
        past = torch.cat([case.spikes.reshape(-1, 5, 40), first])[
            -int(torch.as_tensor(delay).max()) :
        ]
        rest = case._replace(current=case.current[cut:], state=middle, spikes=past)
        second, last = rest.operator()
        assert torch.equal(torch.cat([first, second]), spikes)
        assert all(torch.equal(a, b) for a, b in zip(last, state, strict=True))


@pytest.mark.parametrize("delay", [1, BY_NEURON], ids=["1", "by neuron"])
def test_many_spikes_at_once(delay: Any) -> None:
    """Some rows take the product of matrices, others single events, at every step anew."""
    case = live_case("alif", "recurrent", shape=(20, 13, 40), delay=delay, alpha=0.5, beta=0.0)
    strong = 6 * torch.rand(20, 13, 1, dtype=torch.float64) - 2
    case = case._replace(current=(case.current + strong).detach().requires_grad_())
    rates = case.operator()[0].mean(-1)
    assert (rates > 0.6).any()
    assert ((rates > 0) & (rates < 0.3)).any()
    assert_equal_gradients(case)
    single = live_case("alif", "recurrent", shape=(20, 13, 40), delay=delay, dtype=torch.float32)
    dense = single._replace(current=(single.current + strong.float()).detach().requires_grad_())
    results = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            results.append(dense.operator()[0])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*results)


def test_learned_parameters_of_izhikevich_and_filters() -> None:
    """Each on its own: what is not learned is not computed."""
    for neuron, names in (("izhikevich", "abcd"), ("leaky_integrator", ["kappa"])):
        for name, per_neuron in itertools.product(names, (True, False)):
            case = live_case(neuron, shape=(37, 3, 300))
            params = []
            for field, p in zip(case.module.Params._fields, case.params, strict=True):
                value = (
                    p.detach() * torch.linspace(0.9, 1.1, 300).double()
                    if per_neuron
                    else p.detach()
                )
                params.append(value.requires_grad_(field == name))
            assert_equal_to_eager(case._replace(params=params))
