"""What is written, as the importers of other libraries read it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import nirtorch
import pytest
import snntorch
import torch
from torch import Tensor, nn

import snn_neuromod as nm
from snn_neuromod import snntorch as snn_form
from snn_neuromod.nir import from_nir, nirtorch_map, to_nir
from tests.nir.interpreters import run
from tests.nir.networks import (
    EXACT,
    HARD,
    LEAKY,
    OUT,
    READERS,
    Chain,
    N,
    assert_live,
    by_equations,
    by_nirtorch,
    by_norse,
    by_snntorch,
    by_us,
    exact_net,
    hard,
    leaky_net,
    linear,
    output_of,
    stimulus,
    through_file,
)


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
