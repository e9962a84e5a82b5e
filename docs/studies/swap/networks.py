"""The networks of snnTorch's tutorials with any neuron in the place of theirs, their data and their losses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import snntorch
import torch
from snntorch import functional
from torch import Tensor, nn

import snn_neuromod as nm
from snn_neuromod import snntorch as nms
from snn_neuromod.data.images import embedded_digits
from snn_neuromod.data.nmnist import NMNIST

__all__ = ["LOSSES", "NEURONS", "TUTORIALS", "Examples", "Tutorial"]

NEURONS = ("Leaky", "ALIF", "STDPALIF", "Izhikevich", "SRC", "MSRC", "BSRC")
"""snnTorch's own, and the forms of this package."""
_RATES = {"STDPALIF": 0.2, "Izhikevich": 0.2, "SRC": 0.1, "MSRC": 0.1, "BSRC": 0.1}

Outputs = tuple[Tensor, Tensor]
"""Spikes and membrane of the last layer, (T, batch, neuron)."""


class Examples(NamedTuple):
    """Inputs, (batch, ...) where they stay over all steps and (T, batch, ...) where not, and classes or targets."""

    inputs: Tensor
    targets: Tensor
    steps: int
    constant: bool

    def batch(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs over time and targets of some examples."""
        if self.constant:
            image = self.inputs[chosen]
            return image.expand(self.steps, *image.shape), self.targets[chosen]
        return self.inputs[:, chosen], self.targets[chosen]


def neuron(name: str, beta: float, **options: Any) -> nn.Module:
    """A neuron that keeps its state, with its defaults."""
    found = snntorch.Leaky if name == "Leaky" else getattr(nms, name)
    decay = (beta,) if name in ("Leaky", "ALIF", "STDPALIF") else ()
    made: nn.Module = found(*decay, init_hidden=True, **options)
    return made


def scaled(*modules: nn.Module) -> nn.Sequential:
    """Weights in front of neurons of this package scaled to their range, which is the second line of a swap."""
    weighted: nn.Module | None = None
    for module in modules:
        if isinstance(module, nn.Linear | nn.Conv2d):
            weighted = module
        elif isinstance(module, nms.Neuron) and weighted is not None:
            nms.scale_input(weighted, module)
    return nn.Sequential(*modules)


def _dense(name: str) -> nn.Sequential:
    return scaled(
        nn.Linear(784, 200), neuron(name, 0.95), nn.Linear(200, 10), neuron(name, 0.95, output=True)
    )


def _convolutional(name: str, channels: int, side: int) -> nn.Sequential:
    return scaled(
        nn.Conv2d(channels, 12, 5), nn.MaxPool2d(2), neuron(name, 0.5),
        nn.Conv2d(12, 32, 5), nn.MaxPool2d(2), neuron(name, 0.5),
        nn.Flatten(), nn.Linear(32 * side * side, 10), neuron(name, 0.5, output=True),
    )  # fmt: skip


def _population(name: str) -> nn.Sequential:
    return scaled(
        nn.Linear(784, 128), neuron(name, 0.9), nn.Linear(128, 500), neuron(name, 0.9, output=True)
    )


def _recurrent(name: str) -> nn.Sequential:
    """Recurrent neurons where there is such a form; the output is a recurrent leaky neuron for all."""
    hidden: nn.Module
    if name == "Leaky":
        hidden = nms.RALIF(0.9, linear_features=100, adapt_strength=0.0, init_hidden=True)
    elif name in ("ALIF", "STDPALIF"):
        hidden = getattr(nms, f"R{name}")(0.9, linear_features=100, init_hidden=True)
    elif name == "Izhikevich":
        hidden = nms.RIzhikevich(linear_features=100, init_hidden=True)
    else:
        hidden = neuron(name, 0.9)
    output = nms.RALIF(0.9, linear_features=10, adapt_strength=0.0, init_hidden=True, output=True)
    return scaled(nn.Linear(784, 100), hidden, nn.Linear(100, 10), output)


def _digits(number: int, shape: tuple[int, ...], steps: int) -> Examples:
    images, labels = embedded_digits("train")
    chosen = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))[:number]
    return Examples(images[chosen].float().reshape(-1, *shape) / 255, labels[chosen], steps, True)


def _events(root: Path, number: int, steps: int) -> Examples:
    from tonic.transforms import ToFrame

    counts = ToFrame(sensor_size=NMNIST.sensor_size, n_time_bins=steps)
    recordings = NMNIST(root, "train", transform=counts)
    pairs = [recordings[k] for k in range(min(number, len(recordings)))]
    inputs = torch.stack([torch.from_numpy(frames).float() for frames, _ in pairs], 1)
    return Examples(inputs, torch.tensor([label for _, label in pairs]), steps, False)


def _membrane(spikes: Tensor, mem: Tensor, labels: Tensor) -> Tensor:
    """Tutorial 5's: cross-entropy of the membrane, summed over steps."""
    return torch.stack([nn.functional.cross_entropy(m, labels) for m in mem.unbind(0)]).sum()


def _population_code(rate: float) -> Callable[[Tensor, Tensor], Tensor]:
    made: Callable[[Tensor, Tensor], Tensor] = functional.mse_count_loss(
        rate, 0.0, population_code=True, num_classes=10
    )
    return made


LOSSES: dict[str, Callable[[str], Callable[[Tensor, Tensor, Tensor], Tensor]]] = {
    "membrane": lambda _: _membrane,
    "ce_rate_loss": lambda _: lambda z, _, y: functional.ce_rate_loss()(z, y),
    "ce_count_loss": lambda _: lambda z, _, y: functional.ce_count_loss()(z, y),
    "mse_count_loss": lambda name: lambda z, _, y: _population_code(_RATES.get(name, 1.0))(z, y),
    "mse_membrane_loss": lambda _: (
        lambda _, mem, y: functional.mse_membrane_loss(on_target=1.05, off_target=0.2)(mem, y)
    ),
}
"""Losses of spikes, membrane and classes by name; that of a population code asks for a rate that the neuron reaches."""


class Tutorial(NamedTuple):
    """A tutorial's network and how it is trained.

    Attributes:
        make: The network with a neuron.
        loss: Name of its loss.
        rate: Learning rates by neuron; "" for the others.
        batch: Examples of an update.
        epochs: How often each example is seen.
        examples: Its data, given the folder of N-MNIST.
    """

    make: Callable[[str], nn.Sequential]
    loss: str
    rate: dict[str, float]
    batch: int
    epochs: int
    examples: Callable[[Path | None], Examples]


_SLOW = {"": 2e-3, "Leaky": 1e-2, "ALIF": 1e-2, "Izhikevich": 1e-2}
TUTORIALS: dict[str, Tutorial] = {
    "5": Tutorial(_dense, "membrane", {"": 5e-4}, 128, 2, lambda _: _digits(2000, (784,), 25)),
    "6": Tutorial(
        lambda name: _convolutional(name, 1, 4), "ce_rate_loss", _SLOW, 64, 1,
        lambda _: _digits(4000, (1, 28, 28), 25),
    ),
    "7": Tutorial(
        lambda name: _convolutional(name, 2, 5), "ce_count_loss", {"": 5e-3}, 25, 4,
        lambda root: _events(root or Path("missing"), 400, 20),
    ),
    "population": Tutorial(
        _population, "mse_count_loss", {"": 2e-3}, 128, 2, lambda _: _digits(2000, (784,), 25)
    ),
    "regression II": Tutorial(
        _recurrent, "mse_membrane_loss", {"": 1e-3}, 128, 2, lambda _: _digits(2000, (784,), 5)
    ),
}  # fmt: skip
"""By the name of the tutorial. Regression II swaps the hidden layer; its output is a recurrent leaky neuron."""


def through(net: nn.Sequential, x: Tensor) -> tuple[Outputs, list[float]]:
    """Spikes and membrane of the last layer from rest, and the share of steps with a spike of each layer."""
    nm.reset(net)
    rates, outputs, block = [], x, list[nn.Module]()
    for module in net:
        block.append(module)
        if isinstance(module, snntorch.SpikingNeuron):
            outputs = nms.run(nn.Sequential(*block), outputs)
            spikes = outputs[0] if isinstance(outputs, tuple) else outputs
            level = float(getattr(module, "spike_level", 0.0))
            rates.append(float((spikes > level).float().mean()))
            block = []
    return (outputs[0], outputs[-1]), rates
