"""`snntorch.utils.reset` and `snntorch.backprop` with the neurons of this package."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import snntorch as snn
import torch
from snntorch import functional, utils
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import snn_neuromod as nm
from snn_neuromod import snntorch as ours
from snn_neuromod.snntorch import upstream
from tests.fresh import Fresh

NEURONS: dict[str, Callable[..., nn.Module]] = {
    "ALIF": lambda **o: ours.ALIF(0.9, **o),
    "Leaky": lambda **o: ours.ALIF(0.9, adapt_strength=0.0, **o),
    "RALIF": lambda **o: ours.RALIF(0.9, linear_features=4, **o),
    "STDPALIF": lambda **o: ours.STDPALIF(0.9, **o),
    "Izhikevich": ours.Izhikevich,
    "SRC": ours.SRC,
    "MSRC": ours.MSRC,
    "BSRC": ours.BSRC,
}


def later_reset(net: nn.Module) -> None:
    """What snnTorch does after 1.0.0: flags of the classes are set, then each of its neurons is reset by itself."""
    utils._layer_check(net)
    for module in net.modules():
        if isinstance(module, snn.SpikingNeuron) and hasattr(module, "reset_mem"):
            module.reset_mem()


def own_classes_reset(net: nn.Module) -> None:
    """The same where only snnTorch's own classes count as its neurons."""
    utils._layer_check(net)
    for module in net.modules():
        if isinstance(module, snn.Leaky | snn.RLeaky | snn.Synaptic):
            module.reset_mem()


class Net(nn.Module):
    """A neuron three levels down."""

    def __init__(self, neuron: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(4, 4), nn.Sequential(neuron))])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.blocks[0](20 * x)
        return out


@pytest.fixture(name="reset", params=[utils.reset, later_reset, own_classes_reset])
def _reset(request: Any) -> Callable[[nn.Module], None]:
    return request.param  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", NEURONS)
def test_reset_reaches_ours(name: str, reset: Callable[[nn.Module], None]) -> None:
    net, other = Net(NEURONS[name](init_hidden=True)), Net(NEURONS[name](init_hidden=True))
    x = torch.rand(12, 3, 4)
    first = torch.stack([net(step) for step in x.unbind(0)])
    for step in x.unbind(0):
        other(step)
    kept = other.blocks[0][1][0].mem.clone()
    reset(net)
    again = torch.stack([net(step) for step in x.unbind(0)])
    assert first.any()
    assert torch.equal(first, again)
    assert torch.equal(other.blocks[0][1][0].mem, kept)  # another network's state stays
    for _ in range(2):  # and no graph is left
        reset(net)
        torch.stack([net(step) for step in x.unbind(0)]).sum().backward()


def test_reset_imported_before_us_reaches_ours(fresh: Fresh) -> None:
    code = (
        "from snntorch import utils\nfrom snntorch.utils import reset\nimport torch\n"
        "from snn_neuromod import snntorch as ours\n"
        "net = torch.nn.Sequential(torch.nn.Sequential(ours.ALIF(0.9, init_hidden=True)))\n"
        "for f in (reset, utils.reset):\n"
        "    net(torch.ones(2, 3)); f(net); assert not net[0][0].mem.any()\n"
        "    assert net[0][0].mem.shape == (2, 3)\n"
    )
    result = fresh(code)
    assert result.returncode == 0, result.stderr


def test_installed_once() -> None:
    before = utils._layer_check
    upstream.install()
    assert utils._layer_check is before


@pytest.fixture(name="backprop")
def _backprop() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return importlib.import_module("snntorch.backprop")


def network(hidden: str, out: str) -> nn.Sequential:
    torch.manual_seed(0)
    last = (
        snn.Leaky(0.9, init_hidden=True, output=True)
        if out == "snn"
        else NEURONS[out](init_hidden=True, output=True)
    )
    net = nn.Sequential(nn.Linear(6, 4), NEURONS[hidden](init_hidden=True), nn.Linear(4, 4), last)
    with torch.no_grad():
        net[0].weight.mul_(5), net[2].weight.mul_(5)
    return net


def batches() -> DataLoader[Any]:
    torch.manual_seed(1)
    return DataLoader(TensorDataset(torch.rand(12, 6), torch.randint(4, (12,))), 6)


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad=True")
@pytest.mark.parametrize("rule", ["BPTT", "TBPTT", "RTRL"])
@pytest.mark.parametrize(
    ("hidden", "out"), [("ALIF", "snn"), ("RALIF", "ALIF"), ("Leaky", "Leaky"), ("MSRC", "MSRC")]
)
def test_backprop(backprop: Any, rule: str, hidden: str, out: str) -> None:
    """Weights after an epoch equal those of the loop written out."""
    net, other = network(hidden, out), network(hidden, out)
    other.load_state_dict(net.state_dict())
    extra = {"K": 5} if rule == "TBPTT" else {}
    loss_fn = functional.mse_count_loss()
    getattr(backprop, rule)(
        net,
        batches(),
        torch.optim.SGD(net.parameters(), lr=0.1),
        loss_fn,
        num_steps=10,
        time_var=False,
        **extra,
    )
    optimiser = torch.optim.SGD(other.parameters(), lr=0.1)
    stretch = {"BPTT": 10, "TBPTT": 5, "RTRL": 1}[rule]
    for x, labels in batches():
        nm.reset(other)
        for _ in range(10 // stretch):
            spikes = torch.stack([other(x)[0] for _ in range(stretch)])
            optimiser.zero_grad()
            loss_fn(spikes, labels).backward()
            optimiser.step()
            nm.detach(other)
    fresh = network(hidden, out)
    for one, two, before in zip(*(n.parameters() for n in (net, other, fresh)), strict=True):
        torch.testing.assert_close(one, two)
        assert not torch.equal(one, before)


def test_backprop_names_the_loop(backprop: Any) -> None:
    net = network("ALIF", "BSRC")
    with pytest.raises(TypeError, match=r"write the loop: `nm\.reset\(net\)`"):
        backprop.BPTT(
            net,
            batches(),
            torch.optim.SGD(net.parameters()),
            functional.mse_count_loss(),
            num_steps=3,
            time_var=False,
        )


def test_snntorchs_own_networks_are_as_before() -> None:
    net, nested = nn.Sequential(snn.Leaky(0.9, init_hidden=True)), nn.Sequential(nn.Sequential())
    net(torch.ones(2, 3))
    utils.reset(net)
    assert not net[0].mem.any()
    assert utils._final_layer_check(net) == 2
    assert utils._final_layer_check(nested) == 1
    assert utils.is_linearleaky is False
