"""What every layer keeps, for all layers and options."""

from __future__ import annotations

import copy
import io
import pickle
import warnings
from collections import namedtuple
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

import snn_neuromod as nm
from snn_neuromod.layers import Normal, Uniform
from tests.layers.cases import (
    BATCH,
    CASES,
    DEFAULTS,
    NEURONS,
    LayerCase,
    assert_live,
    scanned,
)

pytestmark = pytest.mark.usefixtures("device")
every_layer = pytest.mark.parametrize("case", CASES, ids=str)
every_class = pytest.mark.parametrize("case", DEFAULTS, ids=str)
every_parameter = pytest.mark.parametrize(
    ("case", "name"), [pytest.param(c, n, id=f"{c}-{n}") for c in DEFAULTS for n in c.learnable]
)
compiles = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")


def without_detached_gates(case: LayerCase, name: str) -> dict[str, Any]:
    """The slow gates have a gradient only if the recurrence has one."""
    return {"detach_recurrence": False} if name in ("z_hyp", "z_dep", "z_u") else {}


def nodes(tensor: Tensor) -> list[str]:
    """Names of all backward nodes behind a tensor."""
    seen, stack = set(), [tensor.grad_fn]
    while stack:
        node = stack.pop()
        if node is not None and node not in seen:
            seen.add(node)
            stack.extend(parent for parent, _ in node.next_functions)
    return [node.name() for node in seen]


@every_layer
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_layer_is_the_scanned_equations(
    case: LayerCase, dtype: torch.dtype, device: str
) -> None:
    layer, current = case.make(), case.current(dtype=dtype)
    spikes, state = layer(current)
    expected, expected_state = scanned(layer, current)
    assert_live(spikes)
    exact = case.exact and device == "cpu"  # a GPU adds and multiplies in one rounding
    tolerance = 0.0 if exact else {torch.float32: 1e-4, torch.float64: 1e-12}[dtype]
    assert type(state) is type(expected_state)
    for a, b in zip((spikes, *state), (expected, *expected_state), strict=True):
        assert a.dtype == dtype
        assert_close(a, b, rtol=tolerance, atol=tolerance)


DEFAULTS_LEARN = {
    case.layer: [n for n in case.learnable if not without_detached_gates(case, n)]
    for case in DEFAULTS
}


@every_layer
def test_gradients_are_those_of_the_scanned_equations(case: LayerCase) -> None:
    layer = case.make(learn=DEFAULTS_LEARN[case.layer] if case.label == "default" else ())
    current = case.current(dtype=torch.float64).requires_grad_()
    weights = torch.randn(current.shape, dtype=torch.float64)
    inputs = [current, *layer.parameters()]
    got, want = (
        torch.autograd.grad((weights * spikes).sum(), inputs)
        for spikes in (layer(current)[0], scanned(layer, current)[0])
    )
    assert got[0].abs().max() > 0
    for a, b in zip(got, want, strict=True):
        assert_close(a, b, rtol=1e-5 if a.dtype == torch.float32 else 1e-8, atol=1e-9)


@every_class
@pytest.mark.parametrize("again", [False, True], ids=["by hooks", "reentrant"])
def test_gradients_where_the_forward_pass_is_run_again(case: LayerCase, again: bool) -> None:
    """`torch.utils.checkpoint` gives a backward pass what it saved once only."""
    layer, current = case.make(), case.current(dtype=torch.float64)
    weights, grads = torch.randn_like(current), []
    for run in (layer, partial(checkpoint, layer, use_reentrant=again)):
        x = current.clone().requires_grad_()
        (weights * run(x)[0]).sum().backward()
        grads.append(x.grad)
    assert grads[0].any()
    assert_close(grads[1], grads[0])


@every_class
def test_a_gradient_that_is_a_negated_view(case: LayerCase) -> None:
    """As that of an imaginary part; its memory holds the opposite numbers."""
    layer, current = case.make(), case.current(dtype=torch.float64).requires_grad_()
    weights = torch.randn_like(current)
    spikes, _ = layer(current)
    (expected,) = torch.autograd.grad(spikes, current, weights, retain_graph=True)
    (got,) = torch.autograd.grad(spikes, current, torch._neg_view(-weights))
    assert expected.any()
    assert_close(got, expected, rtol=0, atol=0)


@every_class
def test_a_trace_holds_the_neuron(case: LayerCase) -> None:
    """A trace sees what PyTorch's own operations do, and nothing of a kernel but uninitialised memory."""
    layer, current = case.make(), case.current(dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        traced = torch.jit.trace(lambda x: layer(x)[0], current, check_trace=False)
    for x in (current, current.flip(0)):
        assert_close(traced(x), layer(x)[0], rtol=1e-9, atol=1e-9)
    assert_live(traced(current))


@every_layer
def test_stepping_is_the_forward_pass(case: LayerCase) -> None:
    layer, current = case.make(), case.current(dtype=torch.float64)
    spikes, last = layer(current)
    state = None
    for t, current_t in enumerate(current):
        one, state = layer.step(current_t, state)
        assert_close(one, spikes[t], rtol=1e-11, atol=1e-11)
    assert type(state) is type(last)
    for a, b in zip(state, last, strict=True):
        assert_close(a, b, rtol=1e-11, atol=1e-11)
    assert_live(spikes)


@every_layer
@settings(max_examples=4)
@given(split=st.integers(1, 24))
def test_a_segmented_run_is_the_full_run(case: LayerCase, split: int) -> None:
    torch.manual_seed(0)
    layer, current = case.make(), case.current()
    full, full_state = layer(current)
    head, state = layer(current[:split])
    tail, state = layer(current[split:], state)
    assert torch.equal(torch.cat([head, tail]), full)
    assert all(map(torch.equal, state, full_state))


@every_layer
def test_more_axes_and_no_batch(case: LayerCase) -> None:
    """(T, batch, height, width, neuron) and (T, neuron) are what they are flattened."""
    layer, current = case.make(), case.current(20)
    spikes, _ = layer(current)
    folded, state = layer(current.reshape(20, 1, BATCH, 1, NEURONS))
    assert_close(folded.reshape(spikes.shape), spikes, rtol=1e-4, atol=1e-4)
    assert state[0].shape == (1, BATCH, 1, NEURONS)
    alone, _ = layer(current[:, 0])
    assert_close(alone, spikes[:, 0], rtol=1e-4, atol=1e-4)


@every_class
def test_no_number_of_neurons(case: LayerCase) -> None:
    """One layer for inputs of any shape."""
    layer = case.make(None)
    for current in (case.current(), torch.cat([case.current()] * 2, -1)):
        spikes, _ = layer(current)
        assert spikes.shape == current.shape
        assert torch.equal(spikes[..., :NEURONS], layer(case.current())[0])
    assert_live(layer(case.current())[0])


@every_layer
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_input(case: LayerCase, dtype: torch.dtype) -> None:
    """Computed in float32, given back in the input's type; gradients too."""
    layer, current = case.make(), case.current().to(dtype).requires_grad_()
    spikes, state = layer(current)
    expected, expected_state = layer(current.detach().float())
    assert spikes.dtype == dtype
    assert torch.equal(spikes, expected.to(dtype))
    assert {s.dtype for s in state} == {torch.float32}
    assert all(map(torch.equal, state, expected_state))
    spikes.sum().backward()
    assert current.grad is not None
    assert current.grad.dtype == dtype
    one, state = layer.step(current[0].detach(), state)
    assert one.dtype == dtype
    assert state[0].dtype == torch.float32


@every_class
def test_converted_layers(case: LayerCase) -> None:
    """`.to(float64)` and `.half()` leave the computation in the input's type."""
    layer = case.make(learn=case.learnable[:1])
    expected = layer(case.current())[0]
    assert_close(layer.double()(case.current())[0], expected, rtol=1e-4, atol=1e-4)
    assert layer(case.current(dtype=torch.float64))[0].dtype == torch.float64
    assert layer.half()(case.current())[0].dtype == torch.float32


@every_layer
def test_nothing_given_is_changed(case: LayerCase) -> None:
    layer, current = case.make(), case.current()
    state = layer(case.current())[1]
    before = [t.clone() for t in (current, *state, *layer.state_dict().values())]
    layer(current, state)
    layer.step(current[0], state)
    after = (current, *state, *layer.state_dict().values())
    assert all(map(torch.equal, before, after))


@every_layer
@compiles
def test_forward_compiles_to_one_graph_with_its_gradient(case: LayerCase) -> None:
    """Defaults with all that they learn, other options with nothing."""
    torch._dynamo.reset()
    layer = case.make(learn=DEFAULTS_LEARN[case.layer] if case.label == "default" else ())
    current = case.current(10).requires_grad_()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    results = []
    for run in (layer, compiled):
        spikes, state = run(current)
        (by_current, *learned) = torch.autograd.grad(spikes.sum(), [current, *layer.parameters()])
        results.append(((spikes, *state, by_current), learned))
    (found, learned), (expected, rounded) = results
    assert all(map(torch.equal, found, expected))
    for a, b in zip(learned, rounded, strict=True):
        assert_close(a, b, rtol=1e-5, atol=1e-6)


@every_layer
@compiles
def test_step_compiles_to_one_graph(case: LayerCase) -> None:
    torch._dynamo.reset()
    layer, current = case.make(), case.current(3)
    compiled = torch.compile(layer.step, fullgraph=True, backend="eager")
    state = expected_state = layer.initial_state(current[0])
    for current_t in current:
        expected, expected_state = layer.step(current_t, expected_state)
        spikes, state = compiled(current_t, state)
        assert torch.equal(spikes, expected)
    assert all(map(torch.equal, state, expected_state))


@pytest.mark.parametrize("case", [c for c in CASES if c.label != "own spike function"], ids=str)
def test_the_graph_does_not_grow_with_the_sequence(case: LayerCase) -> None:
    """One operator whatever T is: no slice of the sequence with a full-size gradient of its own."""
    layer = case.make(learn=DEFAULTS_LEARN[case.layer] if case.label == "default" else ())
    counts = []
    for num_steps in (3, 300):
        names = nodes(layer(case.current(num_steps).requires_grad_())[0])
        assert not [n for n in names if n.startswith(("Select", "Slice", "Index", "Stack"))]
        counts.append(len(names))
    assert counts[0] == counts[1]


@every_layer
def test_copies_and_pickles_are_the_same_layer(case: LayerCase) -> None:
    layer, current = case.make(), case.current()
    buffer = io.BytesIO()
    torch.save(layer, buffer)
    buffer.seek(0)
    expected = layer(current)[0]
    copies = [
        copy.deepcopy(layer),
        pickle.loads(pickle.dumps(layer)),
        torch.load(buffer, weights_only=False),
    ]
    for other in copies:
        assert torch.equal(other(current)[0], expected)
        assert repr(other) == repr(layer)
        assert other.state_dict().keys() == layer.state_dict().keys()


@every_class
def test_state_dict_round_trip(case: LayerCase) -> None:
    """Fixed values, learned values and random starts are saved."""
    torch.manual_seed(1)
    source = case.make(learn=case.learnable[:1])
    with torch.no_grad():
        getattr(source, case.learnable[0]).mul_(0.3)
    target = case.make(learn=case.learnable[:1])
    current = case.current(100)
    assert not torch.equal(source(current)[0], target(current)[0])
    target.load_state_dict(source.state_dict())
    assert torch.equal(source(current)[0], target(current)[0])


@every_parameter
def test_values(case: LayerCase, name: str) -> None:
    """A number, one per neuron as a list or tensor, a shared tensor, a distribution."""
    default = getattr(case.make(), name)
    number = float(default) * 0.95 if default.ndim == 0 else float(default[0])
    scalar = case.make(**{name: number}, learn=())
    assert getattr(scalar, name).shape == ()
    assert scalar.value(name).item() == pytest.approx(number)
    for value in ([number] * NEURONS, torch.full((NEURONS,), number)):
        layer = case.make(**{name: value})
        assert getattr(layer, name).shape == (NEURONS,)
        if scalar_start(layer) is None:
            assert torch.equal(layer(case.current())[0], scalar(case.current())[0])
    torch.manual_seed(3)
    width = 0.02 * abs(number) + 1e-3
    low = max(number - width, 1e-4) if number >= 0 else number - width
    drawn = getattr(case.make(**{name: Uniform(low, number + width)}), name)
    assert len(drawn.unique()) == NEURONS
    assert ((drawn >= low) & (drawn <= number + width)).all()


def scalar_start(layer: Any) -> Tensor | None:
    """The random start of SRC, which differs from layer to layer."""
    return layer.start if isinstance(layer, nm.SRC) else None


@every_parameter
def test_learning_on_request(case: LayerCase, name: str) -> None:
    """A gradient reaches every neuron's own value; nothing else is learned."""
    layer = case.make(learn=[name], **without_detached_gates(case, name))
    assert [n for n, _ in layer.named_parameters()] == [name]
    assert layer.learned == (name,)
    parameter = getattr(layer, name)
    assert parameter.shape == (NEURONS,)
    spikes, _ = layer(case.current())
    assert_live(spikes)
    (grad,) = torch.autograd.grad((torch.randn_like(spikes) * spikes).sum(), parameter)
    assert (grad.abs() > 1e-6).all()
    assert not list(case.make().parameters())
    assert getattr(case.make(learn=name, **without_detached_gates(case, name)), name).requires_grad


@every_parameter
def test_a_shared_value_is_learned_as_one(case: LayerCase, name: str) -> None:
    number = getattr(case.make(), name).flatten()[0].clone()
    options = without_detached_gates(case, name)
    layer = case.make(**{name: number}, learn=[name], **options)
    assert getattr(layer, name).shape == ()
    separate = case.make(learn=[name], **{name: float(number)}, **options)
    if scalar_start(layer) is not None:
        separate.load_state_dict({"start": layer.start}, strict=False)
    weights = torch.randn_like(case.current())
    grads = [
        torch.autograd.grad((weights * one(case.current())[0]).sum(), getattr(one, name))[0]
        for one in (layer, separate)
    ]
    assert grads[0].abs() > 1e-6
    assert_close(grads[0], grads[1].sum(), rtol=1e-4, atol=1e-5)


@every_parameter
def test_learned_values_stay_in_their_range_and_can_come_back(case: LayerCase, name: str) -> None:
    """A step far outside is projected; the gradient then leads back, and is blocked only further outside."""
    layer = case.make(learn=[name], **without_detached_gates(case, name))
    allowed = layer._ranges[name]
    parameter = getattr(layer, name)
    before = parameter.detach().clone()
    for direction in (1.0, -1.0):
        optimiser = torch.optim.SGD([parameter], lr=50.0)
        (direction * layer.value(name)).sum().backward()
        optimiser.step()
        assert not torch.equal(parameter, before)
        kept = layer.value(name).detach().clone()
        if not allowed.phrase:
            assert torch.equal(kept, parameter)
        else:
            assert allowed.holds(kept).all()
            spikes, state = layer(case.current())
            if isinstance(layer, nm.Izhikevich) and name == "a" and direction < 0:
                # A recovery of tens a step explodes: states and spikes both say so.
                assert not any(s.isfinite().any() for s in (*state, spikes[-1]))
            else:
                assert spikes.isfinite().all()
        outside = parameter.detach().clone()
        optimiser.zero_grad()
        (direction * layer.value(name)).sum().backward()  # further the same way: blocked at the end
        optimiser.step()
        if not torch.equal(kept, outside):
            assert torch.equal(parameter, outside)
        for _ in range(3):
            optimiser.zero_grad()
            (-direction * layer.value(name)).sum().backward()
            optimiser.step()
        assert (direction * (parameter - outside) > 0).all()
        with torch.no_grad():
            parameter.copy_(before)
        parameter.grad = None


@every_parameter
def test_nan_and_wrong_shapes_are_rejected(case: LayerCase, name: str) -> None:
    nan, number = float("nan"), getattr(case.make(), name).flatten()[0]
    for value in (nan, [1.0, nan, 1.0]):
        with pytest.raises(
            ValueError, match=rf"^{case.layer.__name__}: {name} must .*, got (nan|1)"
        ):
            case.make(**{name: value})
    for shape in ((NEURONS + 1,), (1,), (NEURONS, 1), (1, NEURONS)):
        with pytest.raises(
            ValueError, match=rf"{name} must be a number or have shape \(3,\), got \("
        ):
            case.make(**{name: number.expand(shape).clone()})


@every_class
def test_values_of_a_layer_without_a_number_of_neurons(case: LayerCase) -> None:
    for value in (Normal(0.5, 0.1), torch.ones(3)):
        with pytest.raises(ValueError, match=f"{case.learnable[0]} must be a number"):
            case.make(None, **{case.learnable[0]: value})


@every_class
def test_unknown_names(case: LayerCase) -> None:
    who = case.layer.__name__
    with pytest.raises(ValueError, match=f"{who}: learn must name parameters among .*, got tau_x"):
        case.make(learn=[case.learnable[0], "tau_x"])
    with pytest.raises(TypeError, match="tau_x"):
        case.make(tau_x=1.0)


@every_class
def test_wrong_numbers_of_neurons(case: LayerCase) -> None:
    number: Any
    for number in (0, -1, 2.5, True, float("nan")):
        with pytest.raises(ValueError, match=r"num_neurons must be an integer >= 1, got"):
            case.make(number)


@every_class
def test_wrong_shapes(case: LayerCase) -> None:
    pattern = (
        rf"{case.layer.__name__}: current must have shape \(T, batch, 3\) with at least one step"
    )
    for shape in ((3,), (0, 2, 3), (5, 2, 4), (), (5, 3, 2)):
        with pytest.raises(ValueError, match=pattern):
            case.make()(torch.zeros(shape))


@every_class
def test_wrong_shape_of_a_step(case: LayerCase) -> None:
    with pytest.raises(ValueError, match=r"current must have shape \(batch, 3\).*got \(2, 4\)"):
        case.make().step(torch.zeros(2, 4))


@every_class
@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.uint8])
def test_integers_are_no_current(case: LayerCase, dtype: torch.dtype) -> None:
    for call in (case.make(), case.make().step):
        with pytest.raises(TypeError, match=r"must be a floating-point tensor, got .*\.float\(\)"):
            call(torch.zeros(4, 2, 3, dtype=dtype))


@every_class
def test_a_state_that_does_not_fit(case: LayerCase) -> None:
    layer = case.make()
    _, state = layer(case.current())
    one, who = state[0], case.layer.__name__
    for wrong in (one[:1], one.double(), one[..., :1]):
        broken = state._replace(**{state._fields[0]: wrong})
        for call, current in ((layer, case.current()), (layer.step, case.current()[0])):
            with pytest.raises(
                ValueError, match=f"{who}: state {state._fields[0]} must have shape"
            ):
                call(current, broken)
    with pytest.raises(ValueError, match=f"{who}: state must hold {state._fields[0]}.*, got"):
        layer(case.current(), (one,) * 7)
    expected = layer(case.current(), state)[0]
    assert torch.equal(layer(case.current(), tuple(state))[0], expected)
    fields = state._asdict()
    turned = namedtuple("Turned", reversed(fields))(**fields)  # fields say what they are
    assert torch.equal(layer(case.current(), turned)[0], expected)
    others = namedtuple("Others", [f"{name}_other" for name in fields])(*state)
    with pytest.raises(ValueError, match=rf"{who}: state must hold .* got .*_other, as of another"):
        layer(case.current(), others)


@every_class
def test_what_is_printed(case: LayerCase) -> None:
    text = repr(case.make(learn=case.learnable[:1]))
    assert text.startswith(f"{case.layer.__name__}(3, ")
    assert f"learn=('{case.learnable[0]}',)" in text
    for name in case.learnable[1:]:
        assert f"{name}=" in text


@every_class
def test_seeds(case: LayerCase) -> None:
    """Random values come from PyTorch's global generator."""

    def make(seed: int) -> Tensor:
        torch.manual_seed(seed)
        layer = case.make(8, **{case.learnable[0]: Uniform(0.3, 0.6)})
        return layer(case.current().repeat(1, 1, 3)[..., :8])[0]

    assert torch.equal(make(5), make(5))
    assert not torch.equal(make(5), make(6))


@every_class
def test_only_tensors_that_belong_to_it_are_saved(case: LayerCase) -> None:
    layer = case.make(learn=case.learnable[:1])
    extra = {"start"} if isinstance(layer, nm.SRC | nm.MSRC | nm.BSRC) else set()
    assert set(layer.state_dict()) == {*case.learnable, *extra}
