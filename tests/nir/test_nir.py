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
from snn_neuromod.nir import from_nir, to_nir
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
    assert (nodes["mem"].r == 1).all()
    assert graph.metadata["dt"] == 0.5e-3
    back = from_nir(graph, dtype=torch.float64).layers[1]
    assert back.dt == layer.dt
    for name in ("tau_mem", "tau_adapt", "beta", "v_th"):
        torch.testing.assert_close(
            getattr(back, name), layer.value(name).detach(), rtol=1e-10, atol=0
        )


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
        (snntorch.Alpha(0.9, 0.8), "swap it for snntorch.Leaky"),
        (nn.MaxPool2d(2), "use AvgPool2d"),
        (nn.BatchNorm1d(N), "fold it into the weights"),
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
        (snn_form.ALIF(0.9, reset_mechanism="zero"), "reset='subtract', got 'zero'"),
        (snn_form.RALIF(0.9, conv2d_channels=2, kernel_size=3), "through a linear layer or V"),
        (snntorch.Synaptic(0.8, 0.9, reset_mechanism="zero"), "reset_delay=False, got True"),
        (nn.Flatten(0), "must leave batch and time alone"),
        (snn_form.ALIF(0.9, adapt_strength=0.0, reset_delay=False), "reset_delay=True"),
        (snn_form.ALIF(0.9, graded_spikes_factor=torch.tensor([2.0, 0.5])), "graded_spikes_factor"),
        (snn_form.ALIF(1.0 * torch.ones(N)), "decays per step must lie in"),
        (nm.Recurrent(nm.ALIF(N), N, delay=1 + torch.arange(N * N).reshape(N, N)), "per synapse"),
    ],
)
def test_options_that_nir_cannot_express(layer: nn.Module, words: str) -> None:
    with pytest.raises(ValueError, match="to_nir: node '1': .*" + words):
        to_nir(nn.Sequential(nn.Linear(INPUTS, N), layer))


def test_what_a_whole_network_cannot_be() -> None:
    with pytest.raises(ValueError, match="sample must be given"):
        to_nir(nm.ALIF(None))
    steps = nn.Sequential(nn.Linear(INPUTS, N), nm.ALIF(N, dt=0.5), nm.LeakyIntegrator(N, dt=1.0))
    with pytest.raises(ValueError, match=r"node '2': dt must be given, .* 0\.5, 1 ms"):
        to_nir(steps)
    assert to_nir(steps, dt=1.0).metadata["dt"] == 1e-3
    for wrong in ({"dt": 0.0}, {"dt": float("nan")}, {"soft_reset": "soft"}):
        with pytest.raises(ValueError, match=f"to_nir: {next(iter(wrong))} must"):
            to_nir(steps, **wrong)


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


def old_file(network: nn.Module, dt: float) -> Any:
    """The graph as version 0.1 wrote it: r = tau / dt, weights as they are, adaptation always."""
    graph = to_nir(network)
    graph.metadata = {}
    for node in graph.nodes.values():
        if not isinstance(node, nir.NIRGraph):
            continue
        gain = dt / node.nodes["mem"].tau
        for inner in ("mem", "adapt"):
            node.nodes[inner].r = node.nodes[inner].tau / dt
        node.nodes["reset"].scale = node.nodes["reset"].scale * gain
        node.nodes["adapt_scale"].scale = (
            node.nodes["adapt_scale"].scale * dt / node.nodes["adapt"].tau
        )
        for name in {"input_weights", "recurrent_weights"} & set(node.nodes):
            node.nodes[name].weight = node.nodes[name].weight * gain[:, None]
    return graph


def test_files_of_version_0_1_are_read() -> None:
    net, x = network("recurrent"), stimulus(torch.float32)
    with torch.no_grad():
        output, _ = from_nir(old_file(net, 0.5e-3))(x)
        assert torch.equal(output, net(x))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("mem__v_leak", 0.02 * np.ones(N)),
        ("mem__r", 1.5 * np.ones(N)),
        ("adapt__tau", 0.1 * np.ones(N)),
        ("reset__scale", -2 * np.ones(N)),
        ("mem__tau", np.linspace(0.8e-3, 9e-3, N)),
    ],
)
def test_graphs_like_an_alif_that_is_none(place: str, value: Any) -> None:
    """What an ALIF cannot do is run as it is written."""
    net, x = network("per neuron"), stimulus()
    graph = to_nir(net)
    (alif,) = (node for node in graph.nodes.values() if isinstance(node, nir.NIRGraph))
    before = run(graph, x.numpy(), 0.5e-3)
    name, _, attribute = place.partition("__")
    setattr(alif.nodes[name], attribute, value)
    expected = run(graph, x.numpy(), 0.5e-3)
    assert (before != expected).any()
    output, _ = from_nir(graph, dtype=torch.float64)(x)
    assert np.array_equal(output.detach().numpy(), expected)


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
