"""A step in a loop by a printed kernel gives what the step in plain PyTorch gives, and stands aside where it has to."""

from __future__ import annotations

import copy
import inspect
import pickle
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import snntorch as snn
import torch
from snntorch import surrogate
from torch import Tensor, nn

import snn_neuromod as nm
from snn_neuromod import snntorch as ours
from snn_neuromod.kernels.backends.c import library
from snn_neuromod.kernels.fusion import jit
from snn_neuromod.snntorch.base import Neuron

T, B, N = 12, 3, 37
pytestmark = pytest.mark.skipif(
    library.load()[0] is None or jit.unable() is not None,
    reason="no compiled library, or no compiler",
)


def every_class() -> Iterator[tuple[str, Any]]:
    for name in ours.__all__:
        kind = getattr(ours, name)
        if inspect.isclass(kind) and issubclass(kind, Neuron) and kind is not Neuron:
            yield name, kind


def made(kind: Any, **options: Any) -> Any:
    beta = (0.9,) if "beta" in inspect.signature(kind).parameters else ()
    if kind is ours.Custom:
        return kind("snn_neuromod.dynamics.alif", **options)
    if hasattr(kind, "_connect"):
        options = {"linear_features": N, **options}
    return kind(*beta, **options)


class Own(torch.autograd.Function):
    """A surrogate as users write it."""

    @staticmethod
    def forward(ctx: Any, distance: Tensor) -> Tensor:
        ctx.save_for_backward(distance)
        return (distance > 0).to(distance.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (distance,) = ctx.saved_tensors
        return grads[0] * torch.exp(-2 * distance.abs())


CLASSES = dict(every_class())
OPTIONS: dict[str, Callable[..., Any]] = {
    "ALIF learned, zero": lambda **k: ours.ALIF(
        torch.rand(N), learn_beta=True, learn_adapt_strength=True, reset_mechanism="zero", **k
    ),
    "ALIF learned threshold, none": lambda **k: ours.ALIF(
        0.9, learn_threshold=True, learn_adapt_decay=True, reset_mechanism="none", **k
    ),
    "Leaky of ours, graded": lambda **k: ours.ALIF(
        0.9, adapt_strength=0.0, graded_spikes_factor=0.5, learn_graded_spikes_factor=True, **k
    ),
    "reset at once": lambda **k: ours.ALIF(0.9, adapt_strength=0.0, reset_delay=False, **k),
    "a surrogate of one's own": lambda **k: ours.ALIF(0.9, spike_grad=Own.apply, **k),
    "no surrogate": lambda **k: ours.STDPALIF(0.9, surrogate_disable=True, learn_beta=True, **k),
    "Izhikevich learned, attached": lambda **k: ours.Izhikevich(
        num_neurons=N, learn=["a", "d"], detach_reset=False, clip_jacobian=None, **k
    ),
    "MSRC attached": lambda **k: ours.MSRC(
        num_neurons=N, learn=["r", "z_hyp"], learn_modulation=True, detach_recurrence=False, **k
    ),
    "BSRC, the synapse's decay learned": lambda **k: ours.BSRC(learn=["alpha", "rho"], **k),
    "per channel": lambda **k: ours.ALIF(torch.rand(5, 1), learn_beta=True, **k),
}
EVERY: dict[str, Callable[..., Any]] = {
    **{name: (lambda kind=kind, **k: made(kind, **k)) for name, kind in CLASSES.items()},
    **OPTIONS,
}
THRESHOLD = {name for name in EVERY if "SRC" not in name}


@contextmanager
def plainly() -> Iterator[None]:
    with nm.kernels.use("eager"):
        yield


def inputs(neuron: Any, dtype: torch.dtype = torch.float64) -> Tensor:
    shape = (T, B, 5, N) if neuron.graded_spikes_factor.ndim or _channels(neuron) else (T, B, N)
    return torch.rand(shape, dtype=dtype) * neuron.input_scale


def _channels(neuron: Any) -> bool:
    return getattr(neuron, "beta", torch.tensor(0)).ndim == 2


def results(neuron: Any, x: Tensor, *, fused: bool) -> list[Tensor]:
    """Spikes, last state, and gradients of input and parameters, of a loop in which all results are used."""
    neuron, x = copy.deepcopy(neuron), x.clone().requires_grad_()
    spikes, state = [], ()
    for step in x.unbind(0):
        spk, *state = neuron(step, *state)
        state = [spk, *state] if neuron.state_names[0] == "spk" else state
        spikes.append(spk)
    bound = vars(neuron).get("_bound_step")
    plans = bound.step._plans if bound and bound.step else {}  # those of other tests too
    mine = [plan for key, plan in plans.items() if key[0] == x.shape[1:]]
    assert fused == bool(mine and None not in mine)
    stacked = torch.stack(spikes)
    weights = torch.linspace(-1, 1, stacked.numel(), dtype=x.dtype).view_as(stacked)
    loss = (stacked * weights).sum() + sum((s * weights[0]).sum() for s in state)
    wanted = [x, *neuron.parameters()]
    grads = torch.autograd.grad(loss, wanted, allow_unused=True)
    return [stacked.detach(), *(s.detach() for s in state), *(g for g in grads if g is not None)]


@pytest.mark.parametrize("name", EVERY)
def test_it_is_the_plain_step(name: str) -> None:
    """Every neuron that snnTorch's form has, and its options; fused throughout, as the count of kernels says."""
    neuron = EVERY[name]().double()
    x = inputs(neuron)
    fused = results(neuron, x, fused=True)
    with plainly():
        plain = results(neuron, x, fused=False)
    assert fused[0].any()
    assert len(fused) == len(plain)
    if name in THRESHOLD:
        assert torch.equal(fused[0], plain[0])
    for a, b in zip(fused, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9 * float(b.abs().max() + 1e-3))


@pytest.mark.parametrize("name", CLASSES)
def test_single_precision(name: str) -> None:
    neuron = EVERY[name]()
    x = inputs(neuron, torch.float32)
    fused = results(neuron, x, fused=True)
    with plainly():
        plain = results(neuron, x, fused=False)
        exact = results(neuron.double(), x.double(), fused=False)
    if name in THRESHOLD and "R" not in name[:1]:
        assert torch.equal(fused[0], plain[0])
    for a, b, c in zip(fused, plain, exact, strict=True):
        wrong = float((a - c).norm()), float((b - c).norm())
        assert wrong[0] <= 3 * wrong[1] + 1e-5 * float(c.norm())


def test_half_precision() -> None:
    neuron = ours.ALIF(0.9)
    x = torch.rand(4, N).bfloat16()
    spk, _, mem = neuron(x)
    assert (spk.dtype, mem.dtype) == (torch.bfloat16, torch.float32)
    with plainly():
        plain = ours.ALIF(0.9)(x)
    assert torch.equal(mem, plain[-1])


@pytest.mark.parametrize("name", ["ALIF", "MSRC"])
def test_without_gradients(name: str) -> None:
    neuron = EVERY[name](init_hidden=True)
    x = inputs(neuron, torch.float32)
    trained = torch.stack([neuron(step) for step in x.requires_grad_()])
    neuron.reset_mem()
    with torch.no_grad():
        evaluated = torch.stack([neuron(step) for step in x])
    assert torch.equal(trained.detach(), evaluated)
    assert trained.requires_grad
    assert not evaluated.requires_grad
    assert not neuron.mem.requires_grad


def test_only_a_parameter_learns() -> None:
    neuron = ours.ALIF(0.9, learn_beta=True, init_hidden=True).double()
    x, grads = inputs(neuron), []
    for context in (torch.enable_grad(), plainly()):
        neuron.reset_mem()
        with context:
            torch.stack([neuron(step) for step in x]).sum().backward()
        grads.append(neuron.beta.grad.clone())
        neuron.beta.grad = None
    torch.testing.assert_close(*grads)


def test_a_membrane_alone_is_trained_on() -> None:
    """No gradient comes from the spikes."""
    neuron = ours.ALIF(0.9, reset_mechanism="none").double()
    found = []
    for context in (torch.enable_grad(), plainly()):
        x = torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
        with context:
            _, adapt, mem = neuron(x)
            neuron(x, adapt, mem)[2].sum().backward()
        found.append(x.grad)
        neuron.reset_mem()
    torch.testing.assert_close(*found)


def test_the_result_may_be_changed_in_place() -> None:
    found = []
    for context in (torch.enable_grad(), plainly()):
        neuron = ours.ALIF(0.9).double()
        x = torch.full((2, 3), 1.5, dtype=torch.float64, requires_grad=True)
        with context:
            spk, adapt, mem = neuron(x)
            spk *= 3
            mem[0] = 0.25
            spk2, _, mem = neuron(x, adapt, mem)
            (spk.sum() + (mem * spk2).sum()).backward()
        found.append(x.grad)
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("name", ["ALIF", "Izhikevich", "BSRC", "MSRC attached"])
def test_a_gradient_of_a_gradient(name: str) -> None:
    """The backward pass is differentiated through the plain step, so that it is right."""
    found = []
    for context in (torch.enable_grad(), plainly()):
        torch.manual_seed(3)
        neuron = EVERY[name]().double()
        x = (inputs(neuron)[:4]).requires_grad_()
        with context:
            state: Any = ()
            spikes: Any = 0.0
            for step in x.unbind(0):
                spk, *state = neuron(step, *state)
                spikes = spikes + spk.square()
            loss = spikes.sum() + sum(s.square().sum() for s in state)
            (first,) = torch.autograd.grad(loss, x, create_graph=True)
            wanted = [x, *neuron.parameters()]
            second = torch.autograd.grad(first.square().sum(), wanted, allow_unused=True)
        found.append([first.detach(), *(g for g in second if g is not None)])
    assert found[0][1].any()
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def test_a_state_given_twice_has_two_gradients() -> None:
    found = []
    for context in (torch.enable_grad(), plainly()):
        neuron = ours.ALIF(0.9).double()
        same = torch.full((2, 3), 0.3, dtype=torch.float64, requires_grad=True)
        with context:
            _, adapt, mem = neuron(torch.ones(2, 3, dtype=torch.float64), same, same)
            (first,) = torch.autograd.grad((mem * mem * adapt).sum(), same, create_graph=True)
        found.append(first)
    torch.testing.assert_close(*found)


def test_function_transforms() -> None:
    neuron = ours.ALIF(0.9, learn_beta=True).double()
    x = torch.full((4, N), 1.2, dtype=torch.float64)

    def loss(params: Any, step: Tensor) -> Tensor:
        spk, _, mem = torch.func.functional_call(neuron, params, (step[None],))
        return (spk + mem**2).sum()

    params = dict(neuron.named_parameters())
    grads = torch.func.vmap(torch.func.grad(loss), (None, 0))(params, x)
    neuron.reset_mem()
    spk, _, mem = neuron(x)
    (spk + mem**2).sum().backward()
    torch.testing.assert_close(grads["beta"].sum(), neuron.beta.grad)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_compiled_whole() -> None:
    neuron = ours.ALIF(0.9, init_hidden=True)
    x = inputs(neuron, torch.float32)
    compiled = torch.compile(neuron, fullgraph=True, backend="aot_eager")
    first = torch.stack([compiled(step) for step in x])
    neuron.reset_mem()
    assert torch.equal(first, torch.stack([neuron(step) for step in x]))


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


def test_modulation_of_a_step() -> None:
    found = []
    for context in (torch.enable_grad(), plainly()):
        neuron = ours.MSRC(detach_recurrence=False).double()
        x = torch.ones(B, N, dtype=torch.float64)
        given = torch.linspace(0, 1, B, dtype=torch.float64)[:, None].requires_grad_()
        state: Any = ()
        with context:
            for _ in range(3):
                _, *state = neuron(x, *state, modulation=given)
            state[-1].sum().backward()
        found += [state[-1].detach(), given.grad]
    torch.testing.assert_close(found[0], found[2])
    torch.testing.assert_close(found[1], found[3])
    with pytest.raises(ValueError, match="modulation"):
        neuron(x, modulation=torch.ones(7, dtype=torch.float64))


@pytest.mark.parametrize("name", ["atan", "fast_sigmoid", "custom_surrogate"])
def test_surrogates_of_snntorch(name: str) -> None:
    given = [lambda x, grad, spk: grad * torch.exp(-2 * x.abs())] * (name == "custom_surrogate")
    neuron = ours.ALIF(0.9, spike_grad=getattr(surrogate, name)(*given))
    x = inputs(neuron, torch.float32)
    fused = results(neuron, x, fused=True)
    with plainly():
        plain = results(neuron, x, fused=False)
    assert torch.equal(fused[0], plain[0])
    for a, b in zip(fused, plain, strict=True):
        torch.testing.assert_close(a, b)


def test_what_cannot_be_traced_is_plain() -> None:
    """`triangular` picks elements by a mask."""
    neuron = ours.ALIF(0.9, spike_grad=surrogate.triangular())
    x = torch.full((2, N), 1.2, requires_grad=True)
    neuron(x)[0].sum().backward()
    assert x.grad is not None
    assert x.grad.any()
    assert set(vars(neuron)["_bound_step"].step._plans.values()) == {None}


@pytest.mark.parametrize("shape", [(0, N), (B, N, 0)])
def test_nothing_at_all(shape: tuple[int, ...]) -> None:
    assert ours.ALIF(0.9)(torch.ones(shape))[0].shape == shape


@pytest.mark.parametrize("view", ["columns", "expanded"])
def test_views(view: str) -> None:
    whole = torch.rand(N, B) if view == "columns" else torch.rand(B, 1)
    x = whole.T if view == "columns" else whole.expand(B, N)
    neuron = ours.ALIF(0.9)
    found = neuron(x, x, x), neuron(x.contiguous(), x.contiguous(), x.contiguous())
    for a, b in zip(*found, strict=True):
        assert torch.equal(a, b)


def test_memory_of_the_backward_pass() -> None:
    """At most two tensors a step more than `snntorch.Leaky` keeps."""
    leaky = saved(snn.Leaky(0.9, init_hidden=True))
    for name, kind in CLASSES.items():
        neuron = made(kind, init_hidden=True)
        if not hasattr(kind, "_connect") and kind is not ours.Custom:
            assert saved(neuron) <= round(leaky) + 2, name


def saved(neuron: Any) -> float:
    """Tensors of a step's size per step that a graph keeps alive, input and spikes included."""
    steps, kept = 20, {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = (storage.nbytes(), storage)
        return tensor

    x = [torch.rand(B, N, requires_grad=True) for _ in range(steps)]
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        spikes = [neuron(step) for step in x]
    assert len(spikes) == steps
    return sum(size >= 4 * B * N for size, _ in kept.values()) / steps


def test_a_layer_that_spiked_is_heard() -> None:
    neuron = ours.ALIF(0.9, init_hidden=True, graded_spikes_factor=0.01)
    x = torch.full((5, 2, N), 1.5, requires_grad=True)
    torch.stack([neuron(step) for step in x.unbind(0)]).sum().backward()
    neuron.reset_mem()  # no warning
    torch.stack([neuron(0.01 * step) for step in x.unbind(0)]).sum().backward()
    with pytest.warns(ours.SilentLayerWarning):
        neuron.reset_mem()


@pytest.mark.parametrize("place", range(4))
def test_negated_views_are_read_with_their_sign(place: int) -> None:
    """Such as an imaginary part: input, adaptation, membrane, or the gradient that comes back."""
    neuron, given = ours.ALIF(0.9), [1 + torch.rand(B, N) for _ in range(4)]
    results = []
    for view in (torch.clone, lambda x: torch._neg_view(-x)):
        *step, grad = [view(x) if k == place else x.clone() for k, x in enumerate(given)]
        leaves = [x.requires_grad_() for x in step]
        out = neuron(*leaves)
        results.append([*out, *torch.autograd.grad(sum(out), leaves, grad)])
    assert results[0][0].any()
    for expected, got in zip(*results, strict=True):
        torch.testing.assert_close(got, expected)
