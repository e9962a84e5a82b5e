"""A model as in snnTorch's tutorials learns before and after one line is swapped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import snntorch as snn
import torch
from snntorch import functional, surrogate, utils
from torch import nn

import snn_neuromod as nm

STEPS, BATCH, INPUTS, CLASSES = 15, 24, 16, 3
SWAPS: dict[str, Callable[[], nn.Module]] = {
    "Leaky": lambda: snn.Leaky(beta=0.9, init_hidden=True, spike_grad=surrogate.fast_sigmoid()),
    "ALIF": lambda: nm.snntorch.ALIF(
        beta=0.9, init_hidden=True, spike_grad=surrogate.fast_sigmoid(), learn_adapt_strength=True
    ),
    "RALIF": lambda: nm.snntorch.RALIF(beta=0.9, linear_features=24, init_hidden=True),
    "STDPALIF": lambda: nm.snntorch.STDPALIF(beta=0.9, init_hidden=True),
    "Izhikevich": lambda: nm.snntorch.Izhikevich(init_hidden=True),
    "SRC": lambda: nm.snntorch.SRC(num_neurons=24, init_hidden=True, learn=["b"]),
    "MSRC": lambda: nm.snntorch.MSRC(num_neurons=24, init_hidden=True, learn_modulation=True),
    "BSRC": lambda: nm.snntorch.BSRC(num_neurons=24, init_hidden=True, learn_modulation=True),
}

# Where 25 updates are few: graded spikes.
FALL = {"SRC": 0.95, "MSRC": 0.95, "BSRC": 0.95}


@pytest.mark.parametrize("name", SWAPS)
def test_a_tutorials_model_learns(name: str) -> None:
    net = nn.Sequential(
        nn.Linear(INPUTS, 24),
        SWAPS[name](),
        nn.Linear(24, CLASSES),
        snn.Leaky(beta=0.9, init_hidden=True, output=True, spike_grad=surrogate.fast_sigmoid()),
    )
    if name == "Izhikevich":
        nm.snntorch.scale_input(net[0], net[1])
    losses = train(net, nm.reset)
    assert losses[-1] < FALL.get(name, 0.85) * losses[0]


def test_our_neuron_as_the_output_layer() -> None:
    net = nn.Sequential(
        nn.Linear(INPUTS, 24),
        snn.Leaky(beta=0.9, init_hidden=True),
        nn.Linear(24, CLASSES),
        nm.snntorch.ALIF(beta=0.9, init_hidden=True, output=True),
    )
    losses = train(net, nm.reset)
    assert losses[-1] < 0.85 * losses[0]


@pytest.mark.parametrize("backend", ["eager", "auto"])
@pytest.mark.parametrize("spike_grad", [None, surrogate.fast_sigmoid()])
def test_without_adaptation_training_is_the_same(backend: str, spike_grad: Any) -> None:
    """The training run of the swapped model is snnTorch's, bit for bit."""
    runs = []
    for make in (snn.Leaky, lambda **o: nm.snntorch.ALIF(**o, adapt_strength=0.0)):
        torch.manual_seed(1)
        net = nn.Sequential(
            nn.Linear(INPUTS, 24),
            make(beta=0.9, init_hidden=True, spike_grad=spike_grad),
            nn.Linear(24, CLASSES),
            make(beta=0.9, init_hidden=True, output=True, spike_grad=spike_grad),
        )
        with nm.kernels.use(backend):
            losses = train(net, utils.reset if make is snn.Leaky else nm.reset)
        runs.append((losses, net[0].weight.detach()))
    assert len(runs[0][0]) == 25
    assert runs[0][0] == runs[1][0]
    assert torch.equal(runs[0][1], runs[1][1])


def train(net: nn.Sequential, reset: Callable[[nn.Module], None]) -> list[float]:
    """Losses of 25 updates on noisy rate patterns, as in snnTorch's tutorials."""
    generator = torch.Generator().manual_seed(0)
    rates = torch.rand(CLASSES, INPUTS, generator=generator)
    labels = torch.arange(BATCH) % CLASSES
    loss_fn = functional.ce_rate_loss()
    optimiser = torch.optim.Adam(net.parameters(), lr=2e-2)
    losses = []
    for _ in range(25):
        x = torch.bernoulli(rates[labels].expand(STEPS, BATCH, INPUTS), generator=generator)
        reset(net)
        out = [net(step) for step in x.unbind(0)]
        spikes = torch.stack([spk for spk, *_ in out])
        loss = loss_fn(spikes, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert spikes.any()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())
    return losses


def test_inhibition_silences_izhikevich() -> None:
    """At steps of 1 ms a current of -60 makes the forward Euler step spike."""
    strength = torch.tensor([-10.0, -30, -60, -100, -300, -1e3, -1e5])
    x = torch.cat([strength.expand(300, 1, -1), strength * torch.rand(300, 50, 7).mean(1, True)])
    neuron = nm.snntorch.Izhikevich(init_hidden=True)
    assert not nm.snntorch.run(neuron, x).any()
    assert neuron.mem.isfinite().all()
    at_once = nm.snntorch.Izhikevich(substeps=1, min_current=None, init_hidden=True)
    assert nm.snntorch.run(at_once, x)[:100, :, 2].sum() > 10


def test_izhikevichs_gradient_is_bounded_where_a_call_takes_several_steps() -> None:
    """At 0.5 ms it is the layer without the gradient through the reset."""
    for dt, bound in ((1.0, 0.5), (0.5, None)):
        assert nm.snntorch.Izhikevich(dt=dt).layer.clip_jacobian == bound
        assert nm.snntorch.Izhikevich(dt=dt, clip_jacobian=3.0).layer.clip_jacobian == 3.0
    assert nm.snntorch.Izhikevich(clip_jacobian=None).layer.clip_jacobian is None
