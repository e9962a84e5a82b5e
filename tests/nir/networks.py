"""Networks that are written as graphs, and the readers of other libraries."""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path
from typing import Any

import nir
import nirtorch
import pytest
import snntorch
import torch
from snntorch.import_nir import import_from_nir
from torch import Tensor, nn

import snn_neuromod as nm
from snn_neuromod import snntorch as snn_form
from snn_neuromod.nir import from_nir, nirtorch_map
from tests.nir.interpreters import run

T, B, INPUTS, N, OUT = 80, 4, 9, 12, 5


def stimulus(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return (torch.rand(T, B, *(shape or (INPUTS,)), generator=generator) < 0.3).float()


def linear(inputs: int = INPUTS, outputs: int = N, *, bias: bool = True) -> nn.Linear:
    layer = nn.Linear(inputs, outputs, bias=bias)
    layer.weight.data.uniform_(-0.1, 0.4, generator=torch.Generator().manual_seed(inputs))
    return layer


class Chain(nn.Module):
    """Layers one after another, over steps or over sequences."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
            x = x[0] if isinstance(layer, STATEFUL) else x
        return x


STATEFUL = (nm.ALIF, nm.Recurrent, nm.LeakyIntegrator, nm.LeakyReadout)
HARD: dict[str, Any] = {"init_hidden": True, "reset_mechanism": "zero"}
SOFT: dict[str, Any] = {"init_hidden": True}


def hard(n: int = N, **values: Any) -> nm.ALIF:
    return nm.ALIF(n, beta=0.0, reset="zero", **values)


def one_tofirst_of() -> nn.Module:
    return snntorch.RLeaky(
        0.9, V=torch.linspace(-0.5, 0.5, N), all_to_all=False, reset_delay=False, **HARD
    )


def leaky_net(kind: str) -> nn.Module:
    """Networks of leaky neurons with a reset to zero, which all importers know."""
    torch.manual_seed(1)
    if kind == "Leaky":
        first: nn.Module = snntorch.Leaky(0.9, **HARD)
        return nn.Sequential(linear(), first, linear(N, OUT), snntorch.Leaky(0.8, 0.7, **HARD))
    if kind == "many decays":
        first = snntorch.Leaky(torch.linspace(0.5, 0.95, N), torch.linspace(0.5, 1.5, N), **HARD)
        return nn.Sequential(linear(), first)
    if kind == "no linear layer between":
        return nn.Sequential(
            linear(), snntorch.Leaky(0.9, **HARD), snntorch.Leaky(0.3, 0.5, **HARD)
        )
    if kind == "RLeaky":
        first = snntorch.RLeaky(0.9, linear_features=N, reset_delay=False, **HARD)
        return nn.Sequential(linear(), first, linear(N, OUT), snntorch.Leaky(0.8, **HARD))
    if kind == "RLeaky one to one":
        return nn.Sequential(linear(), one_tofirst_of())
    if kind == "Synaptic":
        first = snntorch.Synaptic(0.6, 0.7, threshold=4.0, reset_delay=False, **HARD)
        return nn.Sequential(linear(), first, linear(N, OUT), snntorch.Leaky(0.8, **HARD))
    if kind == "snntorch.ALIF":
        first = snn_form.ALIF(0.9, adapt_strength=0.0, **HARD)
        return nn.Sequential(linear(), first, nn.Dropout(0.5), linear(N, OUT, bias=False), one(OUT))
    if kind == "snntorch.RALIF":
        first = snn_form.RALIF(
            0.9, adapt_strength=0.0, linear_features=N, reset_delay=False, **HARD
        )
        return nn.Sequential(linear(), first)
    if kind == "ALIF":
        return Chain(linear(), hard(tau_mem=8.0), nm.SpikeLinear(N, OUT), hard(OUT, v_th=0.4))
    if kind == "Recurrent":
        return Chain(nm.Recurrent(hard(v_th=0.6), INPUTS), linear(N, OUT), hard(OUT))
    raise KeyError(kind)


def one(n: int) -> nn.Module:
    return snn_form.ALIF(0.5, threshold=0.3, adapt_strength=0.0, **HARD)


LEAKY = [
    "Leaky", "many decays", "no linear layer between", "RLeaky", "RLeaky one to one", "Synaptic", "snntorch.ALIF",
    "snntorch.RALIF", "ALIF", "Recurrent",
]  # fmt: skip


def output_of(net: nn.Module, x: Tensor) -> Tensor:
    """What the network gives here, evaluated, from rest."""
    net.eval()
    nm.reset(net)
    with torch.no_grad():
        return net(x) if isinstance(net, Chain) else torch.stack([first_of(net(t)) for t in x])


def first_of(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


def stepwise(module: Any, x: Tensor) -> Tensor:
    state, outputs = None, []
    with torch.no_grad():
        for step in x:
            output, state = module(step, state)
            outputs.append(output)
    return torch.stack(outputs)


def through_file(graph: Any, path: Path) -> Any:
    nir.write(path / "network.nir", graph)
    return nir.read(path / "network.nir")


def by_snntorch(graph: Any, x: Tensor) -> Tensor:
    with contextlib.redirect_stdout(io.StringIO()):
        module = import_from_nir(graph)
    return stepwise(module, x)


def by_norse(graph: Any, x: Tensor, dt: float = 1e-4) -> Tensor:
    theirs = pytest.importorskip("norse.torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of nirtorch.load
        module = theirs.from_nir(graph, dt=dt)
    return stepwise(module, x)


def by_nirtorch(graph: Any, x: Tensor) -> Tensor:
    held = {k: v for k, v in graph.metadata.items() if k != "dt"}
    return stepwise(nirtorch.nir_to_torch(graph, nirtorch_map(0.1, **held)), x)


def by_us(graph: Any, x: Tensor) -> Tensor:
    return from_nir(graph)(x)[0].detach()


def by_equations(graph: Any, x: Tensor) -> Tensor:
    held = {k: v for k, v in graph.metadata.items() if k != "dt"}
    return torch.tensor(run(graph, x.double().numpy(), 1e-4, **held)).float()


READERS = [by_snntorch, by_norse, by_nirtorch, by_us, by_equations]


def assert_live(spikes: Tensor) -> None:
    assert set(spikes.unique().tolist()) == {0.0, 1.0}
    assert 0.02 < spikes.mean() < 0.95


def exact_net(kind: str) -> nn.Module:
    """Networks whose neurons need the exact graph, or no reset."""
    torch.manual_seed(2)
    if kind == "Leaky":
        return nn.Sequential(linear(), snntorch.Leaky(0.9, **SOFT))
    if kind == "many decays":
        return nn.Sequential(linear(), snntorch.Leaky(torch.linspace(0.5, 0.95, N), **SOFT))
    if kind == "no reset":
        return nn.Sequential(linear(), snntorch.Leaky(0.3, reset_mechanism="none", **SOFT))
    if kind == "RLeaky":
        return nn.Sequential(linear(), snntorch.RLeaky(0.9, linear_features=N, **SOFT))
    if kind == "Synaptic":
        return nn.Sequential(linear(), snntorch.Synaptic(0.6, 0.7, threshold=4.0, **SOFT))
    if kind == "snntorch.ALIF":
        return nn.Sequential(linear(), snn_form.ALIF(0.9, adapt_strength=0.4, **SOFT))
    if kind == "snntorch.RALIF":
        return nn.Sequential(linear(), snn_form.RALIF(0.9, linear_features=N, **SOFT))
    if kind == "ALIF":
        return Chain(linear(), nm.ALIF(N, beta=nm.Uniform(0.1, 1.0)))
    if kind == "Recurrent with delays":
        return Chain(nm.Recurrent(nm.ALIF(N, v_th=0.5), INPUTS, delay=1 + torch.arange(N) % 4))
    return Chain(nm.Recurrent(hard(v_th=0.6), INPUTS, delay=3, mask_rec=torch.rand(N, N) < 0.5))


EXACT = [
    "Leaky", "many decays", "no reset", "RLeaky", "Synaptic", "snntorch.ALIF", "snntorch.RALIF", "ALIF",
    "Recurrent with delays", "Recurrent with one delay",
]  # fmt: skip
