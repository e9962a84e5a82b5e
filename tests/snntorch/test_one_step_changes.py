"""What is printed once serves many neurons, and follows what is changed in one."""

from __future__ import annotations

import copy
import pickle
import threading

import pytest
import torch
from torch import nn

import snn_neuromod as nm
from snn_neuromod import snntorch as ours
from tests.snntorch.steps import (
    CLASSES,
    EVERY,
    N,
    inputs,
    needs_compiler,
    plainly,
    results,
)

pytestmark = needs_compiler


def test_in_another_thread() -> None:
    neuron = ours.MSRC(init_hidden=True)
    x, found = inputs(neuron, torch.float32).requires_grad_(), []

    def run() -> None:
        torch.stack([neuron(step) for step in x.unbind(0)]).sum().backward()
        found.append(x.grad)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    neuron.reset_mem()
    x.grad = None
    run()
    assert torch.equal(*found)


def test_threads_do_not_matter() -> None:
    neuron, x = ours.BSRC(init_hidden=True), 5 * torch.rand(3, 64, 2048)
    found = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        try:
            neuron.reset_mem()
            found.append(torch.stack([neuron(step) for step in x]))
        finally:
            torch.set_num_threads(1)
    assert torch.equal(*found)


def test_copies_and_pickles() -> None:
    neuron = ours.ALIF(0.9, init_hidden=True)
    x = inputs(neuron, torch.float32)
    spikes = torch.stack([neuron(step) for step in x])
    for other in (copy.deepcopy(neuron), pickle.loads(pickle.dumps(neuron)), copy.copy(neuron)):
        other.reset_mem()
        other.beta = torch.tensor(0.2)
        assert not torch.equal(torch.stack([other(step) for step in x]), spikes)
        neuron.reset_mem()
        assert torch.equal(torch.stack([neuron(step) for step in x]), spikes)


@pytest.mark.parametrize("name", CLASSES)
def test_it_is_read_once_for_all_neurons_of_the_same_options(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    neuron = EVERY[name]()
    x = inputs(neuron, torch.float32)[:1]
    results(neuron, x, fused=True)
    monkeypatch.setattr("snn_neuromod.snntorch.fused._made", None)
    for again in (neuron, EVERY[name]()):
        nm.reset(again)
        results(again, x, fused=True)


def test_an_option_that_is_changed_acts() -> None:
    x = torch.full((2, N), 3.0)
    neuron = ours.Izhikevich(init_hidden=True)
    neuron(x)
    for changed in ({"min_current": -1.0}, {"substeps": 4}, {"inhibition": True}):
        for name, value in changed.items():
            setattr(neuron, name, value)
        given = -50 * torch.rand(2, N)
        neuron.reset_mem()
        fused = neuron(given), neuron.mem
        neuron.reset_mem()
        with plainly():
            plain = neuron(given), neuron.mem
        assert torch.equal(fused[1], plain[1])
    src = ours.SRC(start=-0.4)  # no spike within the two calls
    leaf = torch.ones(2, N, requires_grad=True)
    for straight in (True, False):
        src.layer.straight_through = straight
        src.detach_mem()
        (grad,) = torch.autograd.grad(src(leaf)[0].sum(), leaf)
        assert bool(grad.any()) == straight
    src.layer = ours.MSRC().layer
    assert not torch.equal(src(x)[-1], ours.SRC()(x)[-1])


def test_parameters_are_read_at_each_call() -> None:
    neuron, x = ours.ALIF(0.9, learn_beta=True), torch.ones(1, 2)
    mem = torch.ones(1, 2)
    for beta in (0.9, 0.5):
        with torch.no_grad():
            neuron.beta.fill_(beta)
        assert torch.allclose(neuron(x, 0 * mem, 0.5 * mem)[2], 1 + 0.5 * torch.tensor(beta))
    neuron.beta = nn.Parameter(torch.tensor([0.1, 0.2]))
    assert torch.allclose(neuron(x, 0 * mem, 0.5 * mem)[2], torch.tensor([[1.05, 1.1]]))


def test_a_layer_that_spiked_is_heard() -> None:
    neuron = ours.ALIF(0.9, init_hidden=True, graded_spikes_factor=0.01)
    x = torch.full((5, 2, N), 1.5, requires_grad=True)
    torch.stack([neuron(step) for step in x.unbind(0)]).sum().backward()
    neuron.reset_mem()  # no warning
    torch.stack([neuron(0.01 * step) for step in x.unbind(0)]).sum().backward()
    with pytest.warns(ours.SilentLayerWarning):
        neuron.reset_mem()
