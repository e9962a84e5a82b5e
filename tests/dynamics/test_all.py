"""What every neuron's `step` keeps, for all neurons and options."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import softplus
from torch.testing import assert_close

from snn_neuromod import surrogate
from snn_neuromod.dynamics import alif, leaky_integrator, msrc, scan
from tests.helpers import BATCH, CASES, NEURONS, Case, graph_nodes, pairwise

every_neuron = pytest.mark.parametrize("case", CASES, ids=str)
SRC_FAMILY = ("src", "msrc", "bsrc")
EXACT = [c for c in CASES if not c.options.get("detach_recurrence", c.options.get("detach_reset"))]


def cloned(tensors: Any) -> Any:
    return type(tensors)(*(t.clone() for t in tensors))


@every_neuron
@settings(max_examples=5)
@given(split=st.integers(1, 39), seed=st.integers(0, 99))
def test_a_segmented_run_is_the_full_run(case: Case, split: int, seed: int) -> None:
    current = case.current(40, seed=seed)
    full, full_state = case.run(current)
    head, state = case.run(current[:split])
    tail, state = case.run(current[split:], state)
    assert torch.equal(torch.cat([head, tail]), full)
    assert all(map(torch.equal, state, full_state))
    case.assert_live(case.run(case.current(40))[0])


@every_neuron
@pytest.mark.parametrize("axis", [1, 2], ids=["batch", "neurons"])
def test_elements_are_independent(case: Case, axis: int) -> None:
    """Changing one element of the batch, or one neuron, leaves the others as they are, bit by bit."""
    current = case.current(40)
    changed = current.clone()
    changed.select(axis, 1).add_(torch.rand(current.select(axis, 1).shape, dtype=current.dtype))
    (spikes, state), (other_spikes, other_state) = case.run(current), case.run(changed)
    kept = torch.arange(current.shape[axis]) != 1
    assert torch.equal(spikes.transpose(0, axis)[kept], other_spikes.transpose(0, axis)[kept])
    assert not torch.equal(spikes, other_spikes)
    for a, b in zip(state, other_state, strict=True):
        assert torch.equal(a.transpose(0, axis - 1)[kept], b.transpose(0, axis - 1)[kept])
    case.assert_live(spikes)


@every_neuron
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_type_of_the_input_is_kept(case: Case, dtype: torch.dtype) -> None:
    """With parameters as plain numbers, which must not promote the result."""
    given = case.module.Params(**case.params)
    numbers = type(given)(*(p.to(dtype) if isinstance(p, Tensor) else p for p in given))
    current = case.current(5, dtype=dtype)
    initial = case.module.initial_state(current[0])
    spikes, state = scan(case.module.step, numbers, initial, current, **case.options)
    assert {spikes.dtype, *(s.dtype for s in state), *(s.dtype for s in initial)} == {dtype}
    assert {tuple(s.shape) for s in (*state, *initial)} == {tuple(current.shape[1:])}


@every_neuron
def test_nothing_given_is_changed(case: Case) -> None:
    current = case.current(30)
    params, state = case.parameters(), case.run(case.current(30, seed=1))[1]
    before = cloned(params), cloned(state), current.clone()
    spikes, after = scan(case.module.step, params, state, current, **case.options)
    case.assert_live(spikes)
    assert all(map(torch.equal, params, before[0]))
    assert all(map(torch.equal, state, before[1]))
    assert torch.equal(current, before[2])
    assert not all(map(torch.equal, after, state))


@pytest.mark.parametrize("case", EXACT, ids=str)
def test_gradients_are_exact_for_a_smooth_spike_function(case: Case) -> None:
    """Autograd against finite differences: current, every parameter, and the initial state."""
    options = dict(case.options)
    if case.name in SRC_FAMILY:
        options["spike_fn"] = softplus
    elif case.name != "leaky_integrator":
        options["spike_fn"] = surrogate.smooth
    current = case.current(4 if case.name == "izhikevich" else 6)
    params = [p.clone().requires_grad_(bool(p.isfinite().all())) for p in case.parameters()]
    _, state = case.run(case.current(20, seed=1), **options)
    # the refractory counter has no gradient, and none of the differences may cross z = 0, which starts it
    fixed = {
        "held": torch.zeros_like(current[0]).detach(),
        "z": 0.2 + 0.6 * torch.rand(BATCH, NEURONS).double(),
    }
    first = [fixed.get(name, s) for name, s in state._asdict().items()]
    leaves = [
        s.clone().requires_grad_(n != "held") for n, s in zip(state._fields, first, strict=True)
    ]
    current.requires_grad_()

    def outputs(current: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        p = case.module.Params(*tensors[: len(params)])
        s = case.module.State(*tensors[len(params) :])
        spikes, last = scan(case.module.step, p, s, current, **options)
        return (spikes, *(x for x in last if x.requires_grad))

    assert torch.autograd.gradcheck(outputs, (current, *params, *leaves), fast_mode=False)
    grads = torch.autograd.grad(outputs(current, *params, *leaves)[0].sum(), current)[0]
    assert (grads != 0).double().mean() > 0.1  # else nothing was tested


PAIRS = pairwise(("subtract", "zero", "none"), (0, 2), (False, True))
COMPILED = [
    case
    for case in CASES
    if case.label == "default"
    or (case.options and (case.name != "alif" or tuple(case.options.values()) in PAIRS))
]
"""Other parameters make no other graph; of ALIF's options any two meet."""


@pytest.mark.parametrize("case", COMPILED, ids=str)
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_step_compiles_to_one_graph(case: Case) -> None:
    torch._dynamo.reset()
    current, params = case.current(4), case.parameters()
    step = partial(case.module.step, **case.options)
    compiled = torch.compile(step, fullgraph=True, backend="eager")
    state = expected_state = case.module.initial_state(current[0])
    for current_t in current:
        expected, expected_state = step(params, expected_state, current_t)
        spikes, state = compiled(params, state, current_t)
        assert torch.equal(spikes, expected)
    assert isinstance(state, case.module.State)
    assert all(map(torch.equal, state, expected_state))


@every_neuron
def test_states_and_parameters_go_through_vmap(case: Case) -> None:
    """A sweep over parameter values, mapped, is the sweep written out."""
    current = case.current(3)
    params, initial = case.parameters(), case.module.initial_state(current[0])
    state = scan(case.module.step, params, initial, case.current(20), **case.options)[1]
    mapped = torch.vmap(partial(case.module.step, params, **case.options), in_dims=(None, 0))
    spikes, _ = mapped(state, current)
    for one, current_t in zip(spikes, current, strict=True):
        assert_close(one, case.module.step(params, state, current_t, **case.options)[0])


@pytest.mark.parametrize("name", ["msrc", "bsrc"])
@pytest.mark.parametrize(
    "shape", [(30, BATCH, NEURONS), (30, BATCH, 1), (30, 1, 1), (BATCH, 1), (NEURONS,)]
)
def test_scan_replaces_the_modulation_at_each_step(name: str, shape: tuple[int, ...]) -> None:
    case = next(c for c in CASES if c.name == name)
    current = 2 + case.current(30)
    modulation = 0.5 + 0.6 * torch.rand(shape, dtype=current.dtype)
    spikes, state = case.run(current, modulation=modulation)
    params, expected = case.parameters(), case.module.initial_state(current[0])
    for t, current_t in enumerate(current):
        h_s0 = modulation.broadcast_to(current.shape)[t]
        z, expected = case.module.step(params._replace(h_s0=h_s0), expected, current_t)
        assert torch.equal(z, spikes[t])
    assert all(map(torch.equal, state, expected))
    assert not torch.equal(spikes, case.run(current)[0])
    case.assert_live(spikes)


@every_neuron
@pytest.mark.parametrize("hops", [None, 0])
def test_scan_adds_the_recurrent_weights(case: Case, hops: int | None) -> None:
    """w_rec[to, from] weighs the spikes of the step before; with no hops their gradient stops."""
    w_rec = torch.tensor([[0.0, 0.5, -0.3], [0.7, 0.0, 0.2], [0.1, -0.6, 0.0]]).double()
    current = case.current(25).requires_grad_()
    first = torch.rand(BATCH, NEURONS, dtype=torch.float64)
    spikes, _ = case.run(current, w_rec=w_rec, spikes=first, hops=hops)
    case.assert_live(spikes)

    params, expected, last = case.parameters(), case.module.initial_state(current[0]), first
    emitted = []
    for current_t in current.unbind(0):
        source = last if hops is None else last.detach()
        drive = torch.stack([(w_rec[j] * source).sum(-1) for j in range(NEURONS)], -1)
        last, expected = case.module.step(params, expected, current_t + drive, **case.options)
        emitted.append(last)
    assert_close(spikes, torch.stack(emitted), rtol=1e-7, atol=1e-7)
    got = torch.autograd.grad(spikes.sum(), current)[0]
    want = torch.autograd.grad(torch.stack(emitted).sum(), current)[0]
    assert_close(got, want, rtol=1e-6, atol=1e-6)
    assert want.abs().max() > 0


def test_scan_without_hops_differs() -> None:
    """Negative control: the recurrent spikes carry a gradient when they may."""
    case = next(c for c in CASES if c.name == "alif")
    current = case.current(25).requires_grad_()
    w_rec = 0.5 * torch.randn(NEURONS, NEURONS, dtype=torch.float64)
    full, stopped = (
        torch.autograd.grad(case.run(current, w_rec=w_rec, hops=hops)[0].sum(), current)[0]
        for hops in (None, 0)
    )
    assert (full - stopped).norm() > 0.05 * full.norm()


@pytest.mark.parametrize("shape", [(0, 3), (0, 2, 3), ()])
def test_scan_rejects_an_empty_sequence(shape: tuple[int, ...]) -> None:
    state = alif.initial_state(torch.zeros(3))
    with pytest.raises(ValueError, match=r"scan: inputs must have at least one step, got shape \("):
        scan(alif.step, alif.Params(), state, torch.zeros(shape))


def test_scan_rejects_a_modulation_that_nothing_reads() -> None:
    current = torch.zeros(5, 2, 3)
    with pytest.raises(ValueError, match="modulation must be None, only mSRC and BSRC"):
        scan(alif.step, alif.Params(), alif.initial_state(current[0]), current, modulation=current)


def test_scan_rejects_a_modulation_of_another_shape() -> None:
    current = torch.zeros(5, 2, 3)
    with pytest.raises(
        ValueError, match=r"modulation must broadcast to \(5, 2, 3\), got \(5, 2, 4\)"
    ):
        scan(
            msrc.step, msrc.Params(), msrc.initial_state(current[0]), current,
            modulation=torch.zeros(5, 2, 4),
        )  # fmt: skip


def test_scan_is_linear_in_the_number_of_steps() -> None:
    """The graph holds one unbind, not one full-size gradient of the sequence per step."""
    current = torch.zeros(50, 2, 3, requires_grad=True)
    state = leaky_integrator.initial_state(current[0])
    spikes, _ = scan(leaky_integrator.step, leaky_integrator.Params(), state, current)
    names = graph_nodes(spikes)
    assert names.count("UnbindBackward0") == 1
    assert not [name for name in names if name.startswith(("Select", "Index", "Slice"))]
