"""`reset` and `detach` of one network, snnTorch's neurons and ours alike."""

from __future__ import annotations

import gc
import weakref

import pytest
import snntorch as snn
import torch
from snntorch import utils
from torch import Tensor, nn

import snn_neuromod as nm
from snn_neuromod import snntorch as ours
from tests.fresh import Fresh

THEIRS = {
    "Leaky": lambda: snn.Leaky(0.9, init_hidden=True),
    "RLeaky": lambda: snn.RLeaky(0.9, linear_features=4, init_hidden=True),
    "Synaptic": lambda: snn.Synaptic(0.8, 0.9, init_hidden=True),
    "RSynaptic": lambda: snn.RSynaptic(0.8, 0.9, linear_features=4, init_hidden=True),
    "Alpha": lambda: snn.Alpha(0.9, 0.8, init_hidden=True),
    "Lapicque": lambda: snn.Lapicque(0.9, init_hidden=True),
    "SLSTM": lambda: snn.SLSTM(4, 4, init_hidden=True),
}
OURS = {
    "ALIF": lambda: ours.ALIF(0.9, init_hidden=True),
    "RALIF": lambda: ours.RALIF(0.9, linear_features=4, init_hidden=True),
    "STDPALIF": lambda: ours.STDPALIF(0.9, init_hidden=True),
    "Izhikevich": lambda: ours.Izhikevich(init_hidden=True),
    "SRC": lambda: ours.SRC(init_hidden=True),
    "MSRC": lambda: ours.MSRC(init_hidden=True),
    "BSRC": lambda: ours.BSRC(init_hidden=True),
}
NEURONS = THEIRS | OURS


class Deep(nn.Module):
    """A neuron three levels down, in a list."""

    def __init__(self, neuron: nn.Module) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ModuleList([neuron])[0]))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block(3 * x)
        return out


def states(net: nn.Module) -> dict[str, Tensor]:
    """Buffers that are no parameters: what the neurons keep."""
    saved = net.state_dict()
    return {name: b for name, b in net.named_buffers() if name not in saved and b.numel() > 1}


@pytest.mark.parametrize("name", NEURONS)
def test_reset_gives_the_first_run_again(name: str) -> None:
    net, other = Deep(NEURONS[name]()), Deep(NEURONS[name]())
    xs = torch.rand(10, 2, 4)
    first = torch.stack([net(x) for x in xs.unbind(0)])
    for x in xs.unbind(0):
        other(x)
    kept = {n: s.clone() for n, s in states(other).items()}
    assert nm.reset(net) is None
    assert not any(s.requires_grad for s in states(net).values())
    assert torch.equal(torch.stack([net(x) for x in xs.unbind(0)]), first)
    assert kept
    assert all(torch.equal(s, kept[n]) for n, s in states(other).items())
    assert any(s.abs().sum() > 0 for s in kept.values())


@pytest.mark.parametrize("name", NEURONS)
def test_detach_keeps_values_and_cuts_the_graph(name: str) -> None:
    net, other = Deep(NEURONS[name]()), Deep(NEURONS[name]())
    xs = torch.rand(10, 2, 4)
    for x in xs.unbind(0):
        net(x)
        other(x)
    kept = {n: s.clone() for n, s in states(net).items()}
    assert any(s.requires_grad for s in states(net).values())
    assert nm.detach(net) is None
    assert all(torch.equal(s, kept[n]) for n, s in states(net).items())
    assert not any(s.requires_grad for s in states(net).values())
    assert any(s.requires_grad for s in states(other).values())


@pytest.mark.parametrize("name", NEURONS)
def test_truncated_backpropagation(name: str) -> None:
    net = Deep(NEURONS[name]())
    segments = torch.rand(3, 5, 2, 4).unbind(0)
    for segment in segments:
        nm.detach(net)
        torch.stack([net(x) for x in segment.unbind(0)]).sum().backward()
    assert net.block[0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["Leaky", "ALIF", "MSRC"])
def test_without_detach_backward_fails(name: str) -> None:
    net = Deep(NEURONS[name]())
    for repeat in range(2):
        loss = torch.stack([net(x) for x in torch.rand(5, 2, 4).unbind(0)]).sum()
        if repeat:
            with pytest.raises(RuntimeError, match="backward through the graph a second time"):
                loss.backward()
        else:
            loss.backward()


def test_mixed_network() -> None:
    net = nn.Sequential(
        OURS["MSRC"](),
        nn.Linear(4, 4),
        THEIRS["Leaky"](),
        nn.Sequential(nn.Linear(4, 4), OURS["ALIF"]()),
    )
    net[1].weight.data.fill_(1.0)
    net[3][0].weight.data.fill_(0.5)
    xs = 3 * torch.rand(30, 2, 4)
    first = torch.stack([net(x) for x in xs.unbind(0)])
    assert 0.02 < first.mean() < 0.98
    nm.reset(net)
    assert torch.equal(torch.stack([net(x) for x in xs.unbind(0)]), first)


def test_parameters_stay() -> None:
    net = nn.Sequential(
        nn.BatchNorm1d(4), ours.ALIF(0.9, init_hidden=True, learn_beta=True, learn_threshold=True)
    )
    net(torch.rand(8, 4))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    nm.reset(net)
    nm.detach(net)
    assert all(p.requires_grad for p in net.parameters())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_snntorchs_own_reset_is_shallow_and_wipes_others() -> None:
    """The fault that ours avoids."""
    net, other = Deep(THEIRS["Leaky"]()), THEIRS["Leaky"]()
    flat = nn.Sequential(THEIRS["Leaky"]())
    for module in (net, other, flat):
        module(torch.ones(2, 4))
    utils.reset(net)
    assert states(net)["block.1.0.mem"].any()
    utils.reset(flat)
    assert not other.mem.any()


def test_norses_regularisation_cell() -> None:
    pytest.importorskip("norse")
    from norse.torch.module.regularization import RegularizationCell

    cell = RegularizationCell()
    weight = torch.ones(2, 3, requires_grad=True)
    cell(weight * 1, None)
    assert cell.state.requires_grad
    nm.detach(cell)
    assert not cell.state.requires_grad
    assert cell.state == 6
    nm.reset(cell)
    assert cell.state is None


def test_only_modules_and_states() -> None:
    with pytest.raises(TypeError, match=r"net must be a torch\.nn\.Module, got list"):
        nm.reset([ours.ALIF(0.9)])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a state must be made of tensors, got one that holds ALIF"):
        nm.detach([ours.ALIF(0.9)])
    with pytest.raises(TypeError, match=r"net must be a torch\.nn\.Module, got str"):
        nm.detach("net")  # type: ignore[call-overload]


def test_networks_are_freed_after_reset() -> None:
    net = Deep(OURS["RALIF"]())
    net(torch.rand(2, 4)).sum()
    nm.reset(net)
    nm.detach(net)
    reference = weakref.ref(net)
    del net
    gc.collect()
    assert reference() is None


def test_forms_are_imported_when_asked_for(fresh: Fresh) -> None:
    code = (
        "import sys, snn_neuromod as nm\n"
        "loaded = lambda *names: [n for n in names if n in sys.modules]\n"
        "assert not loaded('norse', 'snn_neuromod.norse', 'snntorch', 'snn_neuromod.snntorch')\n"
        "assert {'norse', 'snntorch'} <= set(dir(nm))\n"
        "nm.snntorch.ALIF(0.9)\n"
        "assert not loaded('norse', 'torchvision', 'torchmetrics', 'matplotlib')\n"
        "from snn_neuromod import snntorch; assert snntorch is nm.snntorch\n"
        "try: nm.nonsense\n"
        "except AttributeError: print('right')\n"
    )
    result = fresh(code)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "right"


def test_a_state_passed_on_is_detached_with_its_values() -> None:
    """Truncated backpropagation of layers that pass their state in and out."""
    layer = nm.Recurrent(nm.ALIF(4, v_th=0.5), 3, learning_rule="eprop", delay=2)
    x = 1 + torch.rand(10, 2, 3)
    spikes, state = layer(x)
    assert state.neuron.v.requires_grad
    cut = nm.detach(state)
    assert type(cut) is type(state)
    assert torch.equal(cut.neuron.v, state.neuron.v)
    assert not any(tensor.requires_grad for tensor in (*cut.neuron, cut.spikes, cut.earlier))
    spikes.sum().backward()
    layer(x, cut)[0].sum().backward()
