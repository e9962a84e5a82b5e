"""What is written, as the importers of other libraries read it."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import nirtorch
import numpy as np
import pytest
import snntorch
import torch
from snntorch.import_nir import import_from_nir
from torch import Tensor, nn

import snn_neuromod as nm
from snn_neuromod import snntorch as snn_form
from snn_neuromod.nir import from_nir, nirtorch_map, to_nir
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


def one_to_one() -> nn.Module:
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
        return nn.Sequential(linear(), one_to_one())
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
        return net(x) if isinstance(net, Chain) else torch.stack([_one(net(t)) for t in x])


def _one(output: Any) -> Tensor:
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


@pytest.mark.parametrize("kind", LEAKY)
def test_leaky_neurons_spike_equally_everywhere(kind: str, tmp_path: Path) -> None:
    net, x = leaky_net(kind), stimulus()
    expected = output_of(net, x)
    assert_live(expected)
    graph = through_file(to_nir(net, dt=0.1), tmp_path)
    assert all((node.r == 1).all() for node in graph.nodes.values() if isinstance(node, nir.LIF))
    for reader in READERS:
        if kind == "many decays" and reader is by_snntorch:
            with pytest.raises(AssertionError, match="v_threshold must be same for all neurons"):
                reader(graph, x)
        else:
            assert torch.equal(reader(graph, x), expected), reader.__name__


def test_the_reader_sees_another_time_step() -> None:
    """The test above can fail: snnTorch always takes steps of 0.1 ms."""
    net, x = leaky_net("Leaky"), stimulus()
    assert not torch.equal(by_snntorch(to_nir(net, dt=1.0), x), output_of(net, x))
    assert torch.equal(by_norse(to_nir(net, dt=1.0), x, dt=1e-3), output_of(net, x))


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


@pytest.mark.parametrize("kind", EXACT)
def test_soft_reset_and_adaptation_are_exact(kind: str, tmp_path: Path) -> None:
    net, x = exact_net(kind), stimulus()
    expected = output_of(net, x)
    assert_live(expected)
    graph = through_file(to_nir(net, dt=0.1), tmp_path)
    assert not any(isinstance(node, nir.LIF) for node in graph.nodes.values())
    for reader in (by_equations, by_us, by_nirtorch):
        if reader is by_nirtorch and "delay" in kind:  # it runs a Delay in a loop a step later
            continue
        assert torch.equal(reader(graph, x), expected)


@pytest.mark.parametrize("kind", ["Leaky", "snntorch.ALIF", "ALIF", "RLeaky"])
def test_a_plain_lif_for_tools_that_know_no_other(kind: str) -> None:
    net, x = exact_net(kind), stimulus()
    words = "takes the threshold off the membrane"
    words += ".*a threshold adapts" if "ALIF" in kind else ""
    with pytest.warns(UserWarning, match=words):
        graph = to_nir(net, dt=0.1, soft_reset="lif")
    hard_spikes = by_equations(graph, x)
    assert_live(hard_spikes)
    for reader in (by_snntorch, by_norse, by_us):
        assert torch.equal(reader(graph, x), hard_spikes)
    assert not torch.equal(hard_spikes, output_of(net, x)), "nothing was lost, and a warning given"


def test_no_warning_without_a_loss() -> None:
    to_nir(leaky_net("Leaky"), soft_reset="lif")


def by_sinabs_rule(graph: Any, x: Tensor) -> Tensor:
    """Sinabs's own neuron: decay exp(-1 / tau) with tau in steps, spikes counted and subtracted."""
    signal = x.double().numpy()
    for name in ("_0", "_1", "_2", "_3"):
        node = graph.nodes[name]
        if isinstance(node, nir.Affine):
            signal = signal @ node.weight.T.astype(float) + node.bias
            continue
        v, outputs = np.zeros(signal.shape[1:]), []
        for step in signal:
            v = np.exp(-1 / node.tau) * v + step
            spikes = np.floor(np.maximum(v / node.v_threshold, 0))
            v = v - spikes * node.v_threshold
            outputs.append(spikes)
        signal = np.stack(outputs)
    return torch.tensor(signal)


def by_sinabs(graph: Any, x: Tensor) -> Tensor:
    """Sinabs's importer; it takes samples one after another."""
    sinabs = pytest.importorskip("sinabs.nir")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = sinabs.from_nir(graph, batch_size=B)
    with torch.no_grad():
        y = _one(module(x.transpose(0, 1).flatten(0, 1)))
    return y.unflatten(0, (B, T)).transpose(0, 1)


@pytest.mark.parametrize("soft", [False, True])
def test_sinabs_reads_it_as_its_own_neuron(soft: bool) -> None:
    pytest.importorskip("sinabs")
    kind = {"init_hidden": True, "reset_mechanism": "subtract" if soft else "zero"}
    net = nn.Sequential(
        linear(),
        snntorch.Leaky(0.6, threshold=3.0, **kind),
        linear(N, OUT),
        snntorch.Leaky(0.5, **kind),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        graph = to_nir(net, dt=1000.0, soft_reset="lif")  # tau counted in steps
    expected = by_sinabs_rule(graph, stimulus())
    assert expected.std() > 0
    assert torch.equal(by_sinabs(graph, stimulus()).double(), expected)


def test_integrators_have_the_gain_in_the_weights() -> None:
    net = Chain(linear(), nm.LeakyIntegrator(N, tau=7.0), nm.LeakyReadout(N, 3, bias=True))
    x = stimulus()
    graph = to_nir(net)
    integrator = graph.nodes["layers_1"]
    assert isinstance(integrator, nir.LI)
    assert (integrator.r == 1).all()
    expected = output_of(net, x)
    torch.testing.assert_close(by_us(graph, x), expected, rtol=0, atol=0)
    seen = torch.tensor(run(graph, x.double().numpy(), 1e-3)).float()
    torch.testing.assert_close(seen, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("options", [{"normalise": True}, {"bias_inside": False}])
def test_readouts_of_every_kind(options: dict[str, bool]) -> None:
    torch.manual_seed(0)
    net = Chain(linear(), hard(), nm.LeakyReadout(N, 3, bias=True, **options)).double()
    net.layers[2].bias.data.uniform_(-1, 1)  # type: ignore[operator, union-attr]
    x = stimulus().double()
    graph = to_nir(net)
    for seen in (
        torch.tensor(run(graph, x.numpy(), 1e-3)),
        from_nir(graph, dtype=torch.float64)(x)[0],
    ):
        torch.testing.assert_close(seen, output_of(net, x), rtol=1e-10, atol=1e-10)


def test_a_reader_of_sinabs_takes_our_integrators() -> None:
    pytest.importorskip("sinabs")
    net = Chain(linear(), nm.LeakyIntegrator(N, tau=7.0))
    graph = to_nir(net, dt=1000.0)
    x = stimulus()
    alpha = np.exp(-1 / graph.nodes["layers_1"].tau)
    weights, y, outputs = graph.nodes["layers_0"], np.zeros((B, N)), []
    for step in x.double().numpy():
        y = alpha * y + step @ weights.weight.T + weights.bias
        outputs.append(y)
    torch.testing.assert_close(
        by_sinabs(graph, x).double(), torch.tensor(np.stack(outputs)), rtol=1e-4, atol=1e-3
    )


def convolutional(pool: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    layers = [
        nn.Conv2d(2, 4, 3, stride=(1, 2), padding=1),
        snntorch.Leaky(0.7, 2.5, **HARD),
        pool,
        nn.Conv2d(4, 6, 3, bias=False),
        snntorch.Leaky(0.6, 0.4, **HARD),
        nn.Dropout2d(0.5),
        nn.Flatten(),
        nn.Linear(6 * 2 * 4, OUT),
        snntorch.Leaky(0.5, 0.6, **HARD),
    ]
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            layer.weight.data.add_(0.1)
    if isinstance(pool, nn.LPPool2d):
        layers[3].weight.data.div_(4)  # type: ignore[operator, union-attr]
    layers[7].weight.data.add_(0.05)  # type: ignore[operator, union-attr]
    return nn.Sequential(*layers)


@pytest.mark.parametrize("pool", [nn.AvgPool2d(2), nn.LPPool2d(1, 2)])
@pytest.mark.parametrize("reader", READERS)
def test_convolutional_networks(
    reader: Callable[[Any, Tensor], Tensor], pool: nn.Module, tmp_path: Path
) -> None:
    if reader is by_norse and isinstance(pool, nn.AvgPool2d):
        pytest.skip("Norse's importer knows no average")
    net, x = convolutional(pool), stimulus(2, 8, 24)
    expected = output_of(net, x)
    assert_live(expected)
    graph = through_file(to_nir(net, x[0], dt=0.1), tmp_path)
    assert torch.equal(reader(graph, x), expected)


def test_one_dimensional_convolutions_and_functions() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv1d(2, 3, 3, padding=1), nn.Linear(3 * 9, OUT)
            self.lif = snntorch.Leaky(0.5, 0.1, **HARD)

        def forward(self, x: Tensor) -> Tensor:
            return self.lif(self.fc(torch.flatten(self.conv(x), 1)))

    net, x = Net(), stimulus(2, 9)
    expected = output_of(net, x)
    assert_live(expected)
    graph = to_nir(net, x[0], dt=0.1)
    for reader in (by_us, by_equations, by_nirtorch):
        assert torch.equal(reader(graph, x), expected)


@pytest.mark.parametrize("convolves", [False, True])
def test_the_factor_of_scale_input_is_in_the_weights(convolves: bool) -> None:
    layer: nn.Module = nn.Conv1d(2, N, 3) if convolves else linear()
    neuron = snn_form.ALIF(0.9, threshold=3.0, init_hidden=True)
    x = stimulus(2, 7) if convolves else stimulus()
    net = nn.Sequential(layer, neuron)
    without = output_of(net, x)
    snn_form.scale_input(layer, neuron)
    expected = output_of(net, x)
    assert_live(expected)
    assert not torch.equal(without, expected)
    assert torch.equal(by_equations(to_nir(net, x[0], dt=0.1), x), expected)


def test_explicit_states() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.lif = linear(), snntorch.Leaky(0.9, reset_mechanism="zero")

        def forward(self, x: Tensor, mem: Tensor | None = None) -> tuple[Tensor, Tensor]:
            spikes, mem = self.lif(self.fc(x), mem)
            return spikes, mem

    net, x = Net(), stimulus()
    expected = output_of(net, x)
    assert torch.equal(by_us(to_nir(net, dt=0.1), x), expected)


def test_imported_networks_are_written_again(tmp_path: Path) -> None:
    net, x = exact_net("Recurrent with delays"), stimulus()
    for graph in (to_nir(net), to_nir(leaky_net("Synaptic")), to_nir(leaky_net("RLeaky"))):
        first = from_nir(graph)
        again = from_nir(through_file(to_nir(first), tmp_path))
        assert torch.equal(again(x)[0], first(x)[0])
        assert_live(first(x)[0])


def test_nirtorch_writes_our_layers() -> None:
    net, x = Chain(linear(), nm.ALIF(N), linear(N, OUT), hard(OUT)), stimulus()
    kinds = {nm.ALIF, nm.LeakyReadout}
    graph = nirtorch.torch_to_nir(net, nirtorch_map(1.0), stateful_modules=kinds, type_check=False)
    assert torch.equal(from_nir(graph, 1.0)(x)[0], output_of(net, x))
