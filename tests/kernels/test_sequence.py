"""The sequence operator as a PyTorch operator: shapes, dtypes, compilation, memory, precision."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_map

import snn_neuromod as nm
from snn_neuromod import dynamics, surrogate
from snn_neuromod.kernels import backends, neurons, operator
from snn_neuromod.kernels.call import call_of
from snn_neuromod.kernels.synapses import grouped
from tests.kernels.reference import Case, assert_equal_gradients, gradients, make_case

NEURONS = {
    "src": {"straight_through": True, "detach_recurrence": True},
    "msrc": {"straight_through": True, "detach_recurrence": False},
    "bsrc": {"straight_through": False, "detach_recurrence": False},
    "alif": {"psi": surrogate.Psi(), "reset": "zero", "refractory": 1, "detach_reset": False},
    "stdp_alif": {"psi": dynamics.stdp_alif.PSI, "refractory": 2, "detach_reset": True},
    "izhikevich": {"psi": dynamics.izhikevich.PSI, "detach_reset": False},
    "leaky_integrator": {"normalise": True},
}
every_neuron = pytest.mark.parametrize("neuron", NEURONS)


def case_of(neuron: str, **kwargs: Any) -> Case:
    return make_case(neuron, NEURONS[neuron], **kwargs)


@every_neuron
@pytest.mark.parametrize("shape", [(30, 5), (12, 2, 3, 4), (40, 1, 63)], ids=str)
def test_any_number_of_batch_dimensions(neuron: str, shape: tuple[int, ...]) -> None:
    assert_equal_gradients(case_of(neuron, shape=shape))


def test_weights_ask_for_the_spikes_before() -> None:
    case = case_of("alif")._replace(w_rec=torch.rand(3, 3))
    with pytest.raises(ValueError, match="spikes before the first step are needed with w_rec"):
        gradients(case, fast=True)


@every_neuron
@pytest.mark.parametrize("recurrent", [False, True])
def test_one_step(neuron: str, recurrent: bool) -> None:
    case = case_of(neuron, shape=(1, 2, 3), recurrent=recurrent)
    for name, expected in gradients(case, fast=False)[2].items():
        found = gradients(case, fast=True)[2][name]
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@every_neuron
@pytest.mark.parametrize("recurrent", [False, True])
def test_empty_batch(neuron: str, recurrent: bool) -> None:
    spikes, state, grads = gradients(
        case_of(neuron, shape=(5, 0, 3), recurrent=recurrent), fast=True
    )
    assert spikes.shape == (5, 0, 3)
    assert all(s.shape == (0, 3) for s in state)
    assert all((g == 0).all() for g in grads.values())


@every_neuron
def test_strided_input(neuron: str) -> None:
    case = case_of(neuron)
    expected = case.operator()[0]
    strided = case.current.detach().permute(2, 1, 0).contiguous().permute(2, 1, 0).requires_grad_()
    assert not strided.is_contiguous()
    found = gradients(case._replace(current=strided), fast=True)
    assert torch.equal(found[0], expected)
    torch.testing.assert_close(found[2]["current"], gradients(case, fast=True)[2]["current"])
    spikes, _ = case.operator()  # gradient that arrives strided
    weight = torch.randn(4, 3, 20, dtype=spikes.dtype).permute(2, 1, 0)
    (a,) = torch.autograd.grad(spikes, case.current, weight)
    (b,) = torch.autograd.grad(case.operator()[0], case.current, weight.contiguous())
    assert torch.equal(a, b)


@every_neuron
def test_segmented_run_equals_full_run(neuron: str) -> None:
    case = case_of(neuron)
    spikes, state, grads = gradients(case, fast=True)

    class Halves(Case):
        def operator(self, *, generic: bool = False) -> tuple[torch.Tensor, list[torch.Tensor]]:
            first, middle = Case.operator(self._replace(current=self.current[:9]))
            second, last = Case.operator(self._replace(current=self.current[9:], state=middle))
            return torch.cat([first, second]), last

    parts = gradients(Halves(*case), fast=True)
    assert torch.equal(parts[0], spikes)
    assert all(torch.equal(a, b) for a, b in zip(parts[1], state, strict=True))
    for name, grad in grads.items():
        torch.testing.assert_close(parts[2][name], grad, rtol=1e-10, atol=1e-12)


@every_neuron
def test_arguments_stay_as_they_are(neuron: str) -> None:
    case = case_of(neuron)
    before = {name: leaf.detach().clone() for name, leaf in case.leaves.items()}
    gradients(case, fast=True)
    assert all(torch.equal(leaf, before[name]) for name, leaf in case.leaves.items())
    _, state = case.operator()
    pointers = {s.data_ptr() for s in state}
    assert len(pointers) == len(state)
    assert not pointers & {s.data_ptr() for s in case.state}


@every_neuron
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_dtype_is_kept(neuron: str, dtype: torch.dtype) -> None:
    spikes, state, grads = gradients(case_of(neuron, dtype=dtype), fast=True)
    assert {x.dtype for x in (spikes, *state, *grads.values())} == {dtype}
    assert spikes.isfinite().all()


@every_neuron
@pytest.mark.parametrize("recurrent", [False, True])
def test_nothing_is_kept_without_gradient(neuron: str, recurrent: bool) -> None:
    case = case_of(neuron, recurrent=recurrent)
    weights = [] if case.w_rec is None else [case.spikes[None], case.w_rec]
    encoded = neurons.encode(neuron, **case.options)
    args = encoded, case.current, case.params, case.state, weights, [1], []
    needed = [True] * len(case.params)
    with torch.no_grad(), backends.use("eager"):
        bare = torch.ops.snn_neuromod.sequence(*args, "inf", False, needed, "eager")
        full = torch.ops.snn_neuromod.sequence(*args, "inf", True, needed, "eager")
        spikes, _ = case.operator()
    assert len(bare) == 1 + len(case.state)
    assert len(full) > len(bare) or neuron == "leaky_integrator"  # whose state is its output
    assert torch.equal(spikes, bare[0])
    assert torch.equal(spikes, full[0])


def test_detached_src_keeps_two_tracks() -> None:
    """The slow variable and the synapse are not read when only input and bias learn."""
    case = case_of("src")
    needed = [name == "b" for name in case.module.Params._fields]
    with torch.no_grad():
        out = torch.ops.snn_neuromod.sequence(
            neurons.encode("src", **case.options),
            case.current,
            case.params,
            case.state,
            [],
            [1],
            [],
            "inf",
            True,
            needed,
            "eager",
        )
    assert len(out) == 1 + len(case.state) + 2


@pytest.mark.parametrize(
    ("neuron", "delay"),
    [
        *((neuron, None) for neuron in NEURONS),
        ("msrc", 1),
        ("alif", 1),
        ("alif", torch.tensor([1, 3, 1, 2])),
    ],
)
def test_opcheck(neuron: str, delay: int | torch.Tensor | None) -> None:
    recurrent = {} if delay is None else {"recurrent": True, "delay": delay}
    case = case_of(neuron, shape=(3, 2, 4), **recurrent)
    encoded = neurons.encode(neuron, **case.options)
    delays = grouped(case.delay)
    weights, sources = [], [*delays.sources]
    if case.w_rec is not None:
        past = case.spikes if case.spikes.ndim == 3 else case.spikes[None]
        weights = [past, *delays.split(case.w_rec)]
        weights = [w.detach().requires_grad_() for w in weights]
    groups = [weights, [*delays.steps], sources]
    args = [encoded, case.current, case.params, case.state, *groups, "inf", True]
    args += [[True] * len(case.params), "auto"]
    torch.library.opcheck(torch.ops.snn_neuromod.sequence.default, tuple(args))
    with torch.no_grad():
        spikes, *rest = torch.ops.snn_neuromod.sequence(*args)
    count = len(case.state)
    detached = [[x.detach() for x in group] for group in (case.params, case.state, weights)]
    backward = (
        torch.randn_like(spikes),
        [torch.randn_like(rest[0]), *[None] * (count - 1)],
        spikes,
        rest[count:],
        encoded,
        case.current.detach(),
        *detached,
        *args[5:-1],
        backends.choose(call_of(*args[:-1]), "auto"),
    )
    torch.library.opcheck(torch.ops.snn_neuromod.sequence_backward.default, backward)


@pytest.mark.parametrize("backend", ["auto", "eager"])
@pytest.mark.parametrize("layer", [nm.MSRC(6), nm.ALIF(6)], ids=["MSRC", "ALIF"])
def test_results_lie_as_a_compiler_is_told(layer: Any, backend: str) -> None:
    """Also beside states and parameters that are transposed."""
    turned = lambda t: t.expand(4, 6).T.contiguous().T  # noqa: E731
    x, mode = torch.rand(6, 4, 5).permute(2, 1, 0), FakeTensorMode()
    params, state = [*map(turned, layer.params(x.dtype))], [*layer.initial_state(turned(x[0]))]
    call = [layer._know(), x, params, state, [], [1], [], "inf", True, [True] * len(params)]
    call.append(backends.choose(call_of(*call), backend))
    forward = torch.ops.snn_neuromod.sequence
    spikes, *rest = forward(*call)
    count = len(state)
    adjoint = [spikes, rest[:count], spikes, rest[count:]]
    for run, given in (
        (forward, call),
        (torch.ops.snn_neuromod.sequence_backward, [*adjoint, *call]),
    ):
        with mode:
            told = run(
                *tree_map(lambda t: mode.from_tensor(t) if isinstance(t, Tensor) else t, given)
            )
        assert [t.stride() for t in run(*given)] == [t.stride() for t in told]


@pytest.mark.parametrize("neuron", ["src", "alif"])
@pytest.mark.parametrize(
    "recurrent", [{}, {"recurrent": True}, {"recurrent": True, "delay": torch.tensor([2, 1, 3, 1])}]
)
def test_compiles_into_one_graph(neuron: str, recurrent: dict[str, Any]) -> None:
    case = case_of(neuron, **recurrent)
    encoded = neurons.encode(neuron, **case.options)
    delays, weights = grouped(case.delay), {"w_rec": case.w_rec, "spikes": case.spikes}

    def loss(current: torch.Tensor) -> torch.Tensor:
        spikes, _ = operator.run(
            encoded, 2 * current, case.params, case.state, **weights, delays=delays
        )
        return (spikes * current).sum()

    expected = torch.autograd.grad(loss(case.current), case.current)
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    found = torch.autograd.grad(compiled(case.current), case.current)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("neuron", ["src", "msrc", "bsrc"])
@pytest.mark.parametrize("detach_recurrence", [True, False])
def test_float32_is_as_precise_as_the_reference(neuron: str, detach_recurrence: bool) -> None:
    """Error of spikes, last state and gradient against float64.

    The cells are ill-conditioned: a few neurons on the verge of a spike decide the norm of the error, so its 95 %
    quantile is compared.
    """
    options = {"straight_through": True, "detach_recurrence": detach_recurrence}
    rough = make_case(neuron, options, shape=(30, 16, 32), seed=3, dtype=torch.float32)
    same = [leaf.detach().double().requires_grad_() for leaf in rough.leaves.values()]
    count = len(rough.params)
    exact = rough._replace(current=same[0], params=same[1 : 1 + count], state=same[1 + count :])

    def error(fast: bool) -> list[float]:
        (z, s, grads), (z64, s64, grads64) = (
            gradients(rough, fast=fast),
            gradients(exact, fast=False),
        )
        pairs = [(z, z64), *zip(s, s64, strict=True), (grads["current"], grads64["current"])]
        return [(a.double() - b).abs().flatten().quantile(0.95).item() for a, b in pairs]

    for found, reference in zip(error(fast=True), error(fast=False), strict=True):
        assert 0 < reference < 1e-3
        assert found <= 3 * reference


@pytest.mark.parametrize("neuron", ["alif", "stdp_alif", "izhikevich"])
def test_spikes_are_bit_equal_in_float32(neuron: str) -> None:
    case = make_case(neuron, NEURONS[neuron], shape=(100, 8, 16), dtype=torch.float32)
    spikes, reference = case.operator()[0], case.reference()[0]
    assert spikes.any()
    assert torch.equal(spikes, reference)


def test_encode_is_stable() -> None:
    psi = surrogate.Psi(gamma=0.5)
    text = neurons.encode("alif", psi=psi, reset="zero", refractory=2, detach_reset=True)
    assert text == neurons.encode("alif", detach_reset=True, refractory=2, reset="zero", psi=psi)
    assert neurons.encode("alif", psi=surrogate.Psi()) != neurons.encode("alif", psi=psi)


LAYERS = pytest.mark.parametrize(
    "layer",
    [nm.ALIF(3), nm.STDPALIF(3), nm.Izhikevich(3), nm.SRC(3)],
    ids=lambda layer: type(layer).__name__,
)


@LAYERS
def test_an_input_that_is_not_read_again_is_freed(layer: torch.nn.Module) -> None:
    """The graph of plain PyTorch must not hold it: an input is as large as all that the backward pass needs."""
    weight = torch.ones(3, requires_grad=True)
    current = torch.rand(5, 2, 3) * weight
    held = weakref.ref(current)
    with nm.kernels.use("eager"):
        spikes, _ = layer(current)
    del current
    assert held() is None
    spikes.sum().backward()
    assert weight.grad.isfinite().all()


@LAYERS
def test_kernels_keep_the_input_and_the_spikes_alone(layer: torch.nn.Module) -> None:
    """Of states they keep every sixteenth."""
    if nm.kernels.info()["c"].split()[0] != "available":
        pytest.skip(f"C kernels: {nm.kernels.info()['c']}")
    steps, kept = 64, list[int]()

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.shape[0] if tensor.ndim == 3 else 0)
        return tensor

    current = torch.rand(steps, 2, 3, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        layer(current)
    assert kept.count(steps) == 2
    assert max(size for size in kept if size != steps) <= 4
