"""NIR: through a file and back, and run by executors that know nothing of this package."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import snntorch
import torch
from torch import Tensor, nn

import snn_neuromod as nm
from snn_neuromod import snntorch as snn_form
from snn_neuromod.nir import from_nir, subgraphs, to_nir
from tests.nir.interpreters import run, run_nirtorch

STEPS, BATCH, INPUTS, N = 120, 3, 6, 10


class Chain(nn.Module):
    """Layers one after another; unlike in nn.Sequential those with a state may be among them."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor, state: Any = None) -> Tensor:
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                x = layer(x)
            else:
                x, _ = layer(x)
        return x


class Skip(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(INPUTS, N), nn.Linear(N, N)
        self.a, self.b = nm.ALIF(N), nm.ALIF(N, tau_mem=5.0)

    def forward(self, x: Tensor) -> Tensor:
        current = self.first(x)
        spikes, _ = self.a(current)
        spikes, _ = self.b(self.second(spikes) + current)
        return spikes


def linear(inputs: int, outputs: int, gain: float) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    layer.weight.data.uniform_(-0.2 * gain, gain)
    layer.bias.data.uniform_(0.0, 0.05)
    return layer


def scattered() -> nm.ALIF:
    """Each neuron with parameters of its own, learned ones among them."""
    return nm.ALIF(
        N,
        tau_mem=nm.Uniform(5.0, 40.0),
        tau_adapt=nm.Uniform(20.0, 2000.0),
        beta=nm.Uniform(0.05, 1.0),
        v_th=nm.Uniform(0.3, 1.2),
        dt=0.5,
        learn=["beta", "tau_mem"],
    )


def network(name: str) -> nn.Module:
    """A network whose last neurons all fire on `stimulus`."""
    if name == "scalar":
        return Chain(linear(INPUTS, N, 0.2), nm.ALIF(N), linear(N, N, 0.4), nm.ALIF(N, tau_mem=9.0))
    if name == "per neuron":
        return Chain(linear(INPUTS, N, 0.2), scattered())
    if name == "lif":
        return Chain(linear(INPUTS, N, 0.2), nm.ALIF(N, beta=0.0))
    if name == "recurrent":
        return Chain(nm.Recurrent(scattered(), INPUTS, learning_rule="eprop"), linear(N, 4, 1.0))
    if name == "readout":
        return Chain(nm.Recurrent(nm.ALIF(N), INPUTS), nm.LeakyReadout(N, 2))
    if name == "filter":
        return Chain(linear(INPUTS, N, 0.2), nm.ALIF(N), nm.LeakyIntegrator(N, tau=7.0))
    if name == "skip":
        net = Skip()
        net.first, net.second = linear(INPUTS, N, 0.2), linear(N, N, 0.3)
        return net
    raise KeyError(name)


NETWORKS = ["scalar", "per neuron", "lif", "recurrent", "readout", "filter", "skip"]


def stimulus(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(STEPS, BATCH, INPUTS, generator=torch.Generator().manual_seed(1)).to(dtype)


def through_file(graph: Any, folder: Path) -> Any:
    nir.write(folder / "network.nir", graph)
    return nir.read(folder / "network.nir")


def assert_live(output: Tensor, kind: str) -> None:
    """Spikes neither absent nor everywhere, in every neuron; other outputs vary."""
    if kind in ("recurrent", "readout", "filter"):
        assert (output.flatten(0, 1).std(0) > 0.1).all()
        return
    rate = output.flatten(0, 1).mean(0)
    assert set(output.unique().tolist()) == {0.0, 1.0}
    assert (rate > 0.01).all()
    assert (rate < 0.7).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_file_gives_the_same_network_bit_by_bit(name: str, tmp_path: Path) -> None:
    net, x = network(name), stimulus(torch.float32)
    with torch.no_grad():
        expected = net(x)
        output, _ = from_nir(through_file(to_nir(net), tmp_path))(x)
    assert_live(expected, name)
    assert torch.equal(output, expected)


@pytest.mark.parametrize(
    ("name", "executor"),
    [
        *((name, run) for name in NETWORKS),
        # nirtorch wires a graph in the graph twice where it comes, by name, before its input
        *((name, run_nirtorch) for name in NETWORKS if name != "skip"),
    ],
)
def test_other_executors_see_the_same_network(name: str, executor: Any, tmp_path: Path) -> None:
    net, x = network(name).double(), stimulus()
    with torch.no_grad():
        expected = net(x)
    assert_live(expected, name)
    dt = 0.5e-3 if name in ("per neuron", "recurrent") else 1e-3
    output = executor(through_file(to_nir(net), tmp_path), x.numpy(), dt)
    np.testing.assert_allclose(output, expected.numpy(), rtol=0, atol=1e-10)


def test_an_executor_sees_a_missing_loop() -> None:
    """The test above can fail: each loop of the graph matters."""
    net, x = network("per neuron").double(), stimulus()
    graph = to_nir(net)
    expected = run(graph, x.numpy(), 0.5e-3)
    (alif,) = (node for node in graph.nodes.values() if isinstance(node, nir.NIRGraph))
    for name in ("reset", "adapt_scale"):
        scale = alif.nodes[name].scale
        alif.nodes[name].scale = 0 * scale
        assert (run(graph, x.numpy(), 0.5e-3) != expected).sum() > 50
        alif.nodes[name].scale = scale


def test_snntorch_form_is_written() -> None:
    options: dict[str, Any] = {"adapt_strength": 0.3, "init_hidden": True}
    betas = torch.linspace(0.7, 0.97, N)
    net = nn.Sequential(
        linear(INPUTS, N, 0.2), snn_form.ALIF(betas, **options),
        linear(N, N, 0.8), snn_form.ALIF(0.8, threshold=0.7, **options),
    ).double()  # fmt: skip
    x = stimulus()
    graph = to_nir(net, x[0])
    assert net[1].mem.numel() == 0, "export left a state behind"
    expected = torch.stack([net(x_t) for x_t in x.unbind(0)]).detach()
    assert_live(expected, "spikes")
    output, _ = from_nir(graph, dtype=torch.float64)(x)
    assert torch.equal(output, expected)
    assert np.array_equal(run(graph, x.numpy(), 1e-3), expected.numpy())


def test_time_constants_and_step_are_kept() -> None:
    layer = scattered().double()
    graph = to_nir(nn.Sequential(nn.Linear(INPUTS, N), layer))
    nodes = next(n for n in graph.nodes.values() if isinstance(n, nir.NIRGraph)).nodes
    alpha = torch.exp(-layer.dt / layer.value("tau_mem")).detach().numpy()
    np.testing.assert_allclose(1 - 0.5e-3 / nodes["mem"].tau, alpha, rtol=1e-12)
    np.testing.assert_allclose(nodes["mem"].tau / nodes["mem"].r, 0.5e-3, rtol=1e-12)
    tau, dt = subgraphs.decay_of(nodes["adapt"])
    assert dt == layer.dt
    np.testing.assert_allclose(tau, layer.value("tau_adapt").numpy(), rtol=1e-10)


def test_segments_equal_the_whole() -> None:
    net, x = from_nir(to_nir(network("readout"))), stimulus(torch.float32)
    whole, _ = net(x)
    first, state = net(x[:50])
    second, _ = net(x[50:], state)
    assert torch.equal(torch.cat([first, second]), whole)


def test_an_imported_network_is_written_again_copied_and_trained() -> None:
    x = stimulus(torch.float32)
    net = from_nir(to_nir(network("scalar")))
    expected, _ = net(x)
    again, _ = from_nir(to_nir(net))(x)
    assert torch.equal(again, expected)
    copied = copy.deepcopy(net)
    graph = to_nir(net)
    net(x)[0].sum().backward()
    with torch.no_grad():
        for parameter in net.parameters():
            assert parameter.grad is not None
            parameter -= 0.1
    assert not torch.equal(net(x)[0], expected)
    assert torch.equal(copied(x)[0], expected)
    assert torch.equal(from_nir(graph)(x)[0], expected), "the graph shares the network's memory"


class MyALIF(nm.ALIF):
    pass


class MyLinear(nn.Linear):
    pass


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (nm.SRC(N), "SRC cannot be written: its tanh"),
        (nm.MSRC(N), "MSRC cannot be written: its tanh"),
        (nm.BSRC(N), "BSRC cannot be written: its tanh"),
        (nm.Izhikevich(N), "product of the membrane"),
        (nm.STDPALIF(N), "refractory period"),
        (nm.Recurrent(nm.SRC(N), N), "SRC cannot be written: its tanh"),
        (MyALIF(N), "MyALIF must be one of the known classes itself"),
        (nm.Recurrent(MyALIF(N), N), "MyALIF must be one of the known classes itself"),
        (MyLinear(N, N), "MyLinear must be one of the known classes itself"),
        (snn_form.SRC(), "SRC cannot be written: its tanh"),
        (snn_form.RIzhikevich(linear_features=N), "product of the membrane"),
        (snn_form.RALIF(0.9, linear_features=N), r"Recurrent\(ALIF"),
        (snntorch.Leaky(0.9), "swap snntorch.Leaky"),
        (nn.ReLU(), "ReLU cannot be written: known are nn.Linear"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_layers_that_nir_cannot_express(layer: nn.Module, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        to_nir(nn.Sequential(nn.Linear(INPUTS, N), layer))


def test_norses_form_is_refused() -> None:
    pytest.importorskip("norse")
    with pytest.raises(TypeError, match="MSRCCell cannot be written: its tanh"):
        to_nir(nn.Sequential(nm.norse.MSRCCell()))


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (nm.ALIF(N, reset="zero"), "reset='subtract', got 'zero'"),
        (nm.ALIF(N, refractory=2), "refractory=0, got 2"),
        (nm.ALIF(N, tau_adapt=float("inf")), "decays per step must lie in"),
        (nm.ALIF(N, psi=nm.surrogate.smooth), "above its threshold only"),
        (nm.ALIF(None), "sample must be given"),
        (nm.LeakyIntegrator(N, normalise=True), "normalise=False"),
        (nm.LeakyReadout(N, 2, bias_inside=False), "bias_inside=True"),
        (snn_form.ALIF(0.9, reset_mechanism="none"), "reset='subtract', got 'none'"),
        (snn_form.ALIF(0.9, adapt_strength=0.0, reset_delay=False), "reset_delay=True"),
        (snn_form.ALIF(0.9, graded_spikes_factor=torch.tensor([2.0, 0.5])), "graded_spikes_factor"),
        (snn_form.ALIF(0.0 * torch.ones(N)), "decays per step must lie in"),
    ],
)
def test_options_that_nir_cannot_express(layer: nn.Module, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        to_nir(nn.Sequential(nn.Linear(INPUTS, N), layer))


class Wrong(nn.Module):
    """Does one thing that a graph of its layers would not show."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.fc, self.alif = kind, nn.Linear(N, N), nm.ALIF(N)
        self.form = snn_form.ALIF(0.9 * torch.ones(N))
        self.offset = nn.Parameter(torch.ones(N))

    def forward(self, x: Tensor, y: Any) -> Any:
        if self.kind == "loop":
            return torch.stack([self.fc(x[t]) for t in range(x.shape[0])])
        if self.kind == "branch":
            return self.fc(x) if x.sum() > 0 else self.alif(x)[0]
        if self.kind == "called twice":
            return self.fc(self.fc(x))
        if self.kind == "constant":
            return self.fc(x) + 1
        if self.kind == "parameter":
            return self.fc(x) + self.offset
        if self.kind == "product":
            return self.fc(x) * 2
        if self.kind == "second input":
            return self.fc(x) + y
        if self.kind == "second input to a layer":
            return self.fc(x) + self.alif(y)[0]
        spikes, _, mem = self.form(x)
        if self.kind == "membrane":
            return self.fc(mem)
        if self.kind == "returned membrane":
            return mem
        if self.kind == "spikes as state":
            return self.alif(self.fc(x), spikes)
        return spikes, self.fc(x)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("loop", "without control flow"),
        ("branch", "without control flow"),
        ("called twice", "call each layer once, got 2 calls of fc"),
        ("constant", "hand on its one input"),
        ("parameter", "hand on its one input"),
        ("product", "only supported function"),
        ("second input", "hand on its one input"),
        ("second input to a layer", "hand on its one input"),
        ("membrane", "hand on its one input"),
        ("returned membrane", "return one output"),
        ("spikes as state", "hand on its one input"),
        ("two outputs", "return one output"),
    ],
)
def test_operations_that_nir_cannot_express(kind: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        to_nir(Wrong(kind))


def changed(**values: Any) -> Any:
    """The graph of one ALIF layer, with one value of one node replaced."""
    graph = to_nir(nm.ALIF(N))
    (alif,) = (node for node in graph.nodes.values() if isinstance(node, nir.NIRGraph))
    for place, value in values.items():
        name, _, attribute = place.partition("__")
        setattr(alif.nodes[name], attribute, value)
    return graph


@pytest.mark.parametrize(
    ("graph", "words"),
    [
        (changed(mem__v_leak=np.ones(N)), "v_leak of an LI must be 0"),
        (changed(mem__r=np.ones(N)), "dt < tau"),
        (changed(mem__tau=np.linspace(1e-3, 2e-3, N)), "dt < tau"),
        (changed(adapt__tau=np.ones(N)), "one time step"),
        (changed(reset__scale=-2 * np.ones(N)), "reset take off the threshold"),
        (nir.NIRGraph.from_list(nir.Threshold(np.ones(N))), "node 'threshold' must be"),
        (
            nir.NIRGraph(
                {
                    "input": nir.Input(np.array([N])),
                    "a": nir.Linear(np.eye(N)),
                    "b": nir.Linear(np.eye(N)),
                    "output": nir.Output(np.array([N])),
                },
                [("input", "a"), ("a", "b"), ("b", "a"), ("b", "output")],
            ),
            "loops",
        ),
    ],
)
def test_graphs_that_are_not_understood(graph: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        from_nir(graph)


def test_the_package_offers_it() -> None:
    assert nm.nir.to_nir is to_nir
    assert "nir" in dir(nm)


def test_the_page_of_the_docs_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Path(__file__).parents[2] / "docs" / "nir.md"
    (block,) = re.findall(
        r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(block, names)
    assert names["spikes"].shape == (30, 8, 20)
