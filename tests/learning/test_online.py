"""Online e-prop: weights that change on the way, memory, segments, errors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

import snn_neuromod as nm
from snn_neuromod.dynamics import scan
from snn_neuromod.errors import RunError
from snn_neuromod.kernels.backends.c import jobs, library
from snn_neuromod.learning.eprop import OnlineEprop, carried, rule, traces
from tests.learning.cases import (
    INPUTS,
    NEURONS,
    Problem,
    assert_live,
    loss_from,
    online,
    oracle,
    sequence,
)

ALIF = Problem(nm.ALIF, "", {"tau_mem": 8.0, "refractory": 2, "learn": ["beta"]})


def test_the_gradient_after_a_change_of_weights_follows_the_traces_of_the_old_ones() -> None:
    """Two sets of weights, one for each half; the loss of the second half reaches both."""
    (layer, readout), x, half = ALIF.make(), sequence(), 9
    run = OnlineEprop(layer, readout)
    run.segment(x[:half])
    first = {name: p.detach().clone() for name, p in rule.learned(layer, readout).items()}
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in layer.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=generator, dtype=p.dtype))
        layer.w_rec.fill_diagonal_(0.0)
    y, spikes = run.segment(x[half:])
    assert_live(spikes)
    loss_from(half)(y, spikes).backward()

    old = [first["layer." + n].requires_grad_() for n in ("w_in", "w_rec", "neuron.beta")]
    new = [
        p.detach().clone().requires_grad_() for p in (layer.w_in, layer.w_rec, layer.neuron.beta)
    ]
    state, z = layer.neuron.initial_state(x[0] @ layer.w_in.T), None
    emitted = []
    for part, (w_in, w_rec, beta) in ((x[:half], old), (x[half:], new)):
        z, state = scan(
            layer.neuron.dynamics.step, layer.neuron.params(x.dtype)._replace(beta=beta), state,
            part @ w_in.T, w_rec=w_rec, spikes=None if z is None else z[-1], hops=0,
            **layer.neuron.step_options(),
        )  # fmt: skip
        emitted.append(z)
    outputs, _ = readout(torch.cat(emitted))
    loss = loss_from(half)(outputs[half:], emitted[1])
    for a, b, p in zip(
        torch.autograd.grad(loss, old, retain_graph=True), torch.autograd.grad(loss, new),
        (layer.w_in, layer.w_rec, layer.neuron.beta), strict=True,
    ):  # fmt: skip
        assert a.norm() > 1e-3 * b.norm(), "nothing reaches the weights of the first half"
        expected = a + b if a.ndim == 1 or a.shape[1] == INPUTS else (a + b).fill_diagonal_(0.0)
        assert_close(p.grad, expected, rtol=1e-10, atol=1e-10)


def test_steps_and_segments_give_the_outputs_of_the_layer() -> None:
    (layer, readout), x = ALIF.make(), sequence()
    spikes, _ = layer(x)
    y, _ = readout(spikes)
    run = OnlineEprop(layer, readout)
    for length in (1, 4, 15):
        run.reset()
        parts = [run.segment(x[start : start + length]) for start in range(0, len(x), length)]
        assert torch.equal(torch.cat([s for _, s in parts]), spikes)
        assert_close(torch.cat([out for out, _ in parts]), y, rtol=1e-12, atol=1e-12)
    run.reset()
    steps = [run.step(x_t) for x_t in x]
    assert torch.equal(torch.stack([s for _, s in steps]), spikes)


def test_learning_online_learns() -> None:
    """The loss falls while the weights change at every fifth step."""
    (layer, readout), x = ALIF.make(), sequence(4, 60)
    optimiser = torch.optim.Adam([*layer.parameters(), *readout.parameters()], lr=0.02)
    run, losses = OnlineEprop(layer, readout), []
    for _ in range(20):
        run.reset()
        losses.append(0.0)
        for start in range(0, 60, 5):
            y, spikes = run.segment(x[start : start + 5])
            loss = loss_from(start)(y, 0 * spikes)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses[-1] += loss.item()
    assert losses[-1] < 0.8 * losses[0]


def held(value: Any) -> int:
    """Elements of all tensors in a nest of tuples, lists and dictionaries."""
    if isinstance(value, Tensor):
        return value.numel()
    if isinstance(value, dict):
        return sum(held(v) for v in value.values())
    return sum(held(v) for v in value) if isinstance(value, tuple | list) else 0


def nodes(tensor: Tensor) -> int:
    seen, waiting = set(), [tensor.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [below for below, _ in node.next_functions]
    return len(seen)


def test_memory_does_not_grow_with_the_sequence() -> None:
    (layer, readout), x = ALIF.make(), sequence(num_steps=60)
    run, sizes = OnlineEprop(layer, readout), []
    for x_t in x:
        y, _ = run.step(x_t)
        y.sum().backward(retain_graph=True)
        sizes.append((held([run._runs, run._output]), nodes(y)))
    assert sizes[59] == sizes[10]
    assert sizes[59][0] > 4 * x.shape[1] * NEURONS * (INPUTS + NEURONS)


@pytest.mark.parametrize("feedback", ["symmetric", "random", "adaptive"])
def test_stacks_of_layers(feedback: Any) -> None:
    torch.manual_seed(0)
    lower = nm.Recurrent(nm.ALIF(4, v_th=0.6, learn=["beta"]), INPUTS)
    stack = nm.RecurrentStack([lower, nm.Recurrent(nm.STDPALIF(6, v_th=0.4), 4)]).double()
    readout = nm.LeakyReadout(10, 2, tau_out=6.0, feedback=feedback).double()
    with torch.no_grad():
        stack.layers[0].w_in.add_(0.2)
        stack.layers[1].w_in.add_(1.0)
    x = sequence()
    spikes, _ = stack(x)
    assert_live(spikes[..., :4])
    assert_live(spikes[..., 4:])

    def loss(y: Tensor, spikes: Tensor) -> Tensor:
        return (y - 1).square().sum() + spikes.sum()

    expected = rule.gradients(stack, readout, x, loss)
    explicit = traces.gradients(stack, readout, x, loss)
    run = OnlineEprop(stack, readout)
    for start in range(0, len(x), 6):
        loss(*run.segment(x[start : start + 6])).backward()
    for name, p in rule.learned(stack, readout).items():
        assert expected[name].norm() > 0, name
        assert_close(explicit[name], expected[name], rtol=1e-10, atol=1e-12)
        assert_close(p.grad, expected[name], rtol=1e-10, atol=1e-12)


def test_single_precision_is_close() -> None:
    (layer, readout), x = ALIF.make(), sequence()
    expected = online(layer, readout, x, 5)
    layer, readout = layer.float(), readout.float()
    found = online(layer, readout, x.float(), 5)
    for name, grad in expected.items():
        assert found[name].dtype == torch.float32
        assert (found[name] - grad).norm() < 1e-5 * grad.norm()


def test_autocast_changes_nothing() -> None:
    (layer, readout), x = ALIF.make(), sequence().float()
    layer, readout = layer.float(), readout.float()
    expected = {name: grad.clone() for name, grad in online(layer, readout, x, 5).items()}
    with torch.autocast("cpu", torch.bfloat16):
        found = online(layer, readout, x, 5)
    for name, grad in expected.items():
        assert grad.any()
        assert_close(found[name], grad, rtol=0.02, atol=0.02 * grad.abs().max().item())


def test_membrane_traces_are_kept_once_for_all_neurons_while_they_are_alike(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The decays of the membranes come apart on the way; the gradient is that of traces kept for each neuron."""
    x, found = sequence(), []
    for alike in (True, False):
        if not alike:
            monkeypatch.setattr(carried, "_shared", lambda *_: set())
        options = {"tau_mem": torch.full((NEURONS,), 8.0), "detach_reset": True}
        layer, readout = Problem(nm.ALIF, "", options).make()
        run, widths = OnlineEprop(layer, readout), []
        for start in range(0, len(x), 5):
            if start == 10:
                layer.neuron.tau_mem += torch.arange(NEURONS)
            loss_from(start)(*run.segment(x[start : start + 5])).backward()
            kept = run._runs[0].traces.synapses
            widths.append({name: trace.shape[-1] for name, trace in kept.items()})
        assert [w["v"] for w in widths[1:]] == ([1, 1, 5] if alike else [5, 5, 5])
        assert widths[1]["a"] == 5
        found.append([layer.w_in.grad, layer.w_rec.grad])
    for a, b in zip(*found, strict=True):
        assert a.any()
        assert_close(a, b, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("backend", ["auto", "eager"])
def test_a_gradient_may_be_sent_back_in_parts_or_not_at_all(backend: str) -> None:
    """The traces are taken on when a gradient first reads them, once."""
    x, found = sequence(), []
    for parts in (1, 2):
        (layer, readout), half = Problem(nm.ALIF, "", {"backend": backend}).make(), 8
        run = OnlineEprop(layer, readout)
        run.segment(x[:half])
        run.segment(x[half : half + 3])
        y, spikes = run.segment(x[half + 3 :])
        loss = loss_from(half + 3)(y, spikes) / parts
        for _ in range(parts):
            loss.backward(retain_graph=True)
        found.append(layer.w_in.grad)
    assert found[0].any()
    assert_close(*found, rtol=1e-12, atol=1e-12)


def test_without_gradients_the_traces_go_on() -> None:
    (layer, readout), x = ALIF.make(), sequence()
    results = []
    for enabled in (True, False):
        layer.zero_grad()
        run = OnlineEprop(layer, readout)
        with torch.set_grad_enabled(enabled):
            run.segment(x[:10])
        loss_from(10)(*run.segment(x[10:])).backward()
        results.append(layer.w_in.grad.clone())
    assert torch.equal(*results)


@pytest.mark.parametrize("backend", ["auto", "eager"])
def test_a_batch_of_none(backend: str) -> None:
    """As every layer: empty outputs, and gradients of zero."""
    layer, readout = ALIF.make()
    run, x = OnlineEprop(layer, readout), sequence(batch=0)
    with nm.kernels.use(backend):
        for part in (x[:1], x[1:2], x[2:]):
            y, spikes = run.segment(part)
            assert (y.shape, spikes.shape) == ((len(part), 0, 3), (len(part), 0, NEURONS))
            loss_from(0)(y, spikes).backward()
    for p in rule.learned(layer, readout).values():
        assert p.grad is not None
        assert not p.grad.any()


@pytest.mark.parametrize("reentrant", [False, True])
def test_steps_that_are_taken_a_second_time_are_refused(reentrant: bool) -> None:
    """The traces would be taken on twice."""
    (layer, readout), x = ALIF.make(), sequence().requires_grad_()
    run = OnlineEprop(layer, readout)
    with pytest.raises(RunError, match=r"taken in a backward pass.*call it without"):  # noqa: PT012
        y, _ = checkpoint(run.segment, x, use_reentrant=reentrant)
        y.sum().backward()


def test_errors() -> None:
    (layer, readout), x = ALIF.make(), sequence()
    with pytest.raises(TypeError, match="layer must be a Recurrent or a RecurrentStack, got ALIF"):
        OnlineEprop(nm.ALIF(3), readout)
    with pytest.raises(TypeError, match="readout must be a LeakyReadout, got Linear"):
        OnlineEprop(layer, torch.nn.Linear(3, 3))
    with pytest.raises(ValueError, match="layer must have credit='broadcast', got 'spatial'"):
        OnlineEprop(nm.RecurrentStack([layer], credit="spatial"), readout)
    with pytest.raises(ValueError, match="readout must have in_features=5, the neurons of all"):
        OnlineEprop(layer, nm.LeakyReadout(7, 2).double())
    run = OnlineEprop(layer, readout)
    with pytest.raises(ValueError, match=r"x must have shape \(T, batch, in_features\) with at"):
        run.segment(x[0])
    y, _ = run.segment(x)
    with pytest.raises(ValueError, match=r"batch size 2 of the steps before, got 1; call reset"):
        run.step(x[0, :1])
    y, _ = run.step(x[0])
    run.step(x[0])
    with pytest.raises(RuntimeError, match="must be sent back before the next one is run"):
        y.sum().backward()
    run.reset()
    assert run.step(x[0, :1])[0].shape == (1, 3)


@pytest.mark.parametrize("neuron", [nm.ALIF, nm.STDPALIF, nm.Izhikevich])
@pytest.mark.parametrize("length", [1, 7])
def test_backends_agree(neuron: Any, length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Traces by the compiled library and in plain PyTorch, both against the traces of the whole sequence."""
    called = []
    original = jobs._traces
    monkeypatch.setattr(jobs, "_traces", lambda *a: (called.append(a[0]), original(*a))[1])
    options, drive = ({"dt": 0.5}, 40.0) if neuron is nm.Izhikevich else ({"tau_mem": 8.0}, 0.6)
    problem, x = Problem(neuron, "", options, drive=drive), sequence()
    (layer, readout), found = problem.make(), {}
    with torch.no_grad():
        assert_live(layer(x)[0])
    for backend in ("eager", "auto"):
        with nm.kernels.use(backend):
            found[backend] = {k: v.clone() for k, v in online(layer, readout, x, length).items()}
        assert bool(called) == (backend == "auto" and library.load()[0] is not None)
    _, expected = oracle(layer, readout, x)
    for grads in found.values():
        for name, grad in grads.items():
            assert_close(
                grad, expected[name], rtol=1e-9, atol=1e-9 * expected[name].abs().max().item()
            )
    assert expected["layer.w_rec"].any()
