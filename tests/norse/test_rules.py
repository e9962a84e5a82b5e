"""Learning rules, delays and masks of the recurrent forms: as those of `Recurrent` around the same neurons."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("norse")

import norse.torch as theirs

import snn_neuromod as nm
from snn_neuromod import norse as ours
from snn_neuromod.errors import ConfigError

T, B, IN, N = 40, 3, 6, 8
DELAYS: dict[str, Any] = {
    "one": 1,
    "three": 3,
    "by neuron": 1 + torch.arange(N) % 4,
    "by synapse": 1 + torch.arange(N * N).reshape(N, N) % 3,
}
SPIKES = {"ALIF": 1.5, "STDPALIF": 1.5, "Izhikevich": 30.0, "SRC": 12.0, "MSRC": 5.0, "BSRC": 4.0}


def pair(name: str, **options: Any) -> tuple[Any, Any]:
    """A layer here and its form for Norse, with the same weights."""
    torch.manual_seed(0)
    start = (
        {"start": -0.4} if name == "SRC" else {}
    )  # the layer's own start differs from neuron to neuron
    layer = nm.Recurrent(getattr(nm, name)(N, **start), IN, **options).double()
    with torch.no_grad():
        layer.w_in.abs_()
        layer.w_in.mul_(SPIKES[name])
    form = getattr(ours, name + "Recurrent")(IN, N, **options, **start).double()
    form.load_state_dict(
        {"input_weights": layer.w_in, "recurrent_weights": layer.w_rec}, strict=False
    )
    return layer, form


def stimulus() -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return (torch.rand(T, B, IN, generator=generator) < 0.4).double()


def loss(spikes: Tensor) -> Tensor:
    return (spikes * torch.linspace(0, 1, T)[:, None, None] * torch.linspace(0.5, 1, N)).sum()


@pytest.mark.parametrize("name", SPIKES)
@pytest.mark.parametrize("rule", ["bptt", "eprop", "khop", nm.learning.rules.KHop(2), "rflo"])
@pytest.mark.parametrize("delay", ["one", "by neuron"])
def test_sequences_are_those_of_recurrent(name: str, rule: Any, delay: str) -> None:
    if rule == "rflo" and name == "Izhikevich":
        pytest.skip("its membrane cannot be told from its recovery")
    layer, form = pair(name, learning_rule=rule, delay=DELAYS[delay])
    x = stimulus()
    expected, spikes = layer(x)[0], form(x)[0]
    assert (expected > 0).flatten(0, 1).any(0).sum() > N // 2
    assert torch.equal(spikes, expected)
    wanted = torch.autograd.grad(loss(expected), [layer.w_in, layer.w_rec])
    found = torch.autograd.grad(loss(spikes), [form.input_weights, form.recurrent_weights])
    for a, b in zip(found, wanted, strict=True):
        assert b.any()
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["ALIF", "MSRC"])
@pytest.mark.parametrize("rule", ["bptt", "eprop"])
@pytest.mark.parametrize("delay", DELAYS)
def test_cells_and_records_are_those_of_sequences(name: str, rule: Any, delay: str) -> None:
    _, form = pair(name, learning_rule=rule, delay=DELAYS[delay])
    options = {"learning_rule": rule, "delay": DELAYS[delay]}
    cell = getattr(ours, name + "RecurrentCell")(IN, N, **options).double()
    recorder = getattr(ours, name + "Recurrent")(IN, N, record_states=True, **options).double()
    cell.load_state_dict(form.state_dict())
    recorder.load_state_dict(form.state_dict())
    x = stimulus()
    spikes, last = form(x)
    state, emitted = None, []
    for step in x:
        z, state = cell(step, state)
        emitted.append(z)
    recorded, states = recorder(x)
    for other in (torch.stack(emitted), recorded):
        torch.testing.assert_close(other, spikes, rtol=0, atol=1e-10)
    torch.testing.assert_close(states.z[-1], last.z, rtol=0, atol=1e-10)
    torch.testing.assert_close(state.z, last.z, rtol=0, atol=1e-10)
    wanted = torch.autograd.grad(loss(spikes), form.recurrent_weights)[0]
    for module, output in ((cell, torch.stack(emitted)), (recorder, recorded)):
        found = torch.autograd.grad(loss(output), module.recurrent_weights)[0]
        torch.testing.assert_close(found, wanted, rtol=1e-8, atol=1e-10)


def test_the_rules_differ() -> None:
    gradients = []
    for rule in ("bptt", "eprop"):
        _, form = pair("ALIF", learning_rule=rule)
        gradients.append(torch.autograd.grad(loss(form(stimulus())[0]), form.recurrent_weights)[0])
    assert not torch.allclose(*gradients, rtol=0.01)


@pytest.mark.parametrize("delay", DELAYS)
def test_segments_go_on_with_delays(delay: str) -> None:
    _, form = pair("ALIF", delay=DELAYS[delay])
    x = stimulus()
    whole, _ = form(x)
    first, state = form(x[:1])
    second, state = form(x[1:15], state)
    third, state = form(x[15:], state.to(torch.float64))
    assert torch.equal(torch.cat([first, second, third]), whole)
    assert type(state).__name__ == ("ALIFRecurrentState" if delay == "one" else "DelayedState")


def test_masks() -> None:
    mask_in = torch.rand(N, IN) < 0.7
    connectivity = nm.connectivity.Random(sparsity=0.5)
    for form in ("ALIFRecurrent", "ALIFRecurrentCell"):
        module = getattr(ours, form)(IN, N, mask_in=mask_in, mask_rec=connectivity)
        assert not module.input_weights[~mask_in].any()
        assert not module.recurrent_weights[~module.mask_rec].any()
        assert 0 < module.mask_rec.sum() < N * N - N
        with torch.no_grad():
            module.input_weights.fill_(1.0)  # absent synapses act as absent whatever stands there
        x = torch.rand(T, B, IN)
        z, _ = module(x if form == "ALIFRecurrent" else x[0])
        z.sum().backward()
        assert not module.input_weights.grad[~mask_in].any()
        assert module.input_weights.grad[mask_in].any()
        assert "mask_rec" in module.state_dict()
        for copied in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
            assert torch.equal(copied.mask_rec, module.mask_rec)
    free = ours.ALIFRecurrent(IN, N, mask_rec=torch.ones(N, N), autapses=True)
    assert free.recurrent_weights.diagonal().any()


def test_new_arguments_leave_random_numbers_alone() -> None:
    drawn = []
    for options in ({}, {"learning_rule": "eprop", "delay": 2}):
        torch.manual_seed(4)
        module = ours.ALIFRecurrent(IN, N, **options)
        drawn.append((module.recurrent_weights.detach(), torch.rand(3)))
    assert torch.equal(drawn[0][0], drawn[1][0])
    assert torch.equal(drawn[0][1], drawn[1][1])


def test_rules_that_steps_cannot_serve() -> None:
    with pytest.raises(
        ConfigError, match="ALIFRecurrentCell: learning_rule must be 'bptt' or 'eprop'"
    ):
        ours.ALIFRecurrentCell(IN, N, learning_rule="khop")
    with pytest.raises(
        ConfigError, match=r"ALIFRecurrent: learning_rule must be .* without record_states"
    ):
        ours.ALIFRecurrent(IN, N, learning_rule="rflo", record_states=True)
    module = ours.ALIFRecurrent(IN, N)
    module.learning_rule = "khop"  # may be set again
    module(torch.rand(T, B, IN))
    with pytest.raises(ValueError, match="learning_rule"):
        ours.ALIFRecurrent(IN, N, learning_rule="hebb")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="mask_in must have shape"):
        ours.ALIFRecurrent(IN, N, mask_in=torch.ones(N, N))
    with pytest.raises(ValueError, match="delay must be >= 1"):
        ours.ALIFRecurrent(IN, N, delay=0)


def test_sequential_state_takes_them() -> None:
    net = theirs.SequentialState(
        ours.ALIFRecurrent(IN, N, learning_rule="eprop", delay=2),
        theirs.Lift(torch.nn.Linear(N, 3)),
        theirs.LI(),
    )
    y, state = net(torch.rand(T, B, IN))
    y, state = net(torch.rand(T, B, IN), state)
    assert y.shape == (T, B, 3)
