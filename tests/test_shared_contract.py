"""What every neuron does in both libraries' forms: copies, types, parameters, compilation, and equal numbers."""

from __future__ import annotations

import copy
import gc
import importlib.util
import math
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import snn_neuromod as nm
from snn_neuromod import dynamics

pytestmark = pytest.mark.usefixtures("device")
B, N, T = 3, 4, 25
# PyTorch's own warnings while it compiles an autograd.Function and states inside a graph
_FILTERS = (
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
    pytest.mark.filterwarnings(
        "ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"
    ),
)


def compiles(test: Any) -> Any:
    """Mark a test that compiles."""
    for mark in _FILTERS:
        test = mark(test)
    return test


SNNTORCH: dict[str, Callable[..., nn.Module]] = {
    "ALIF": lambda **o: nm.snntorch.ALIF(0.9, learn_beta=True, learn_adapt_strength=True, **o),
    "RALIF": lambda **o: nm.snntorch.RALIF(0.9, linear_features=N, learn_threshold=True, **o),
    "STDPALIF": lambda **o: nm.snntorch.STDPALIF(0.9, learn_beta=True, **o),
    "RSTDPALIF": lambda **o: nm.snntorch.RSTDPALIF(0.9, linear_features=N, **o),
    "Izhikevich": lambda **o: nm.snntorch.Izhikevich(learn=["d", "b"], dt=0.25, **o),
    "RIzhikevich": lambda **o: nm.snntorch.RIzhikevich(linear_features=N, dt=0.25, **o),
    "SRC": lambda **o: nm.snntorch.SRC(num_neurons=N, learn=["b"], **o),
    "MSRC": lambda **o: nm.snntorch.MSRC(num_neurons=N, learn_modulation=True, **o),
    "BSRC": lambda **o: nm.snntorch.BSRC(num_neurons=N, learn_modulation=True, **o),
}
NORSE = {
    "ALIF": ["beta", "tau_mem_inv"],
    "STDPALIF": ["beta", "v_th"],
    "Izhikevich": ["b", "d"],
    "SRC": ["b"],
    "MSRC": ["modulation"],
    "BSRC": ["modulation", "h_u0"],
}
FORMS = ("", "Cell", "Recurrent", "RecurrentCell")
CASES = [f"snntorch.{name}" for name in SNNTORCH]
if importlib.util.find_spec("norse") is not None:
    CASES += [f"norse.{name}{form}" for name in NORSE for form in FORMS]


def test_every_neuron_of_the_package_is_here() -> None:
    """Those of either form that the module of its name states; `Custom` is tested with a neuron of its own."""
    ours = {name for name, kind in vars(nm.snntorch).items() if _is(kind, nm.snntorch.Neuron)}
    assert set(SNNTORCH) == ours - {"Neuron", "Custom"}
    if CASES[-1].startswith("norse"):
        names = {f"norse.{name}" for name, kind in vars(nm.norse).items() if _is(kind, nn.Module)}
        custom = {f"norse.Custom{form}" for form in FORMS}
        assert {case for case in CASES if case.startswith("norse")} == names - custom


def _is(kind: Any, base: type) -> bool:
    return isinstance(kind, type) and issubclass(kind, base)


def make(case: str) -> Any:
    """A neuron with learned parameters."""
    library, name = case.split(".")
    if library == "snntorch":
        return SNNTORCH[name]()
    kind = name.removesuffix("Cell").removesuffix("Recurrent")
    cls = getattr(nm.norse, name)
    options = (
        {"dt": 0.00025} if kind == "Izhikevich" else {}
    )  # 1 ms lets its gradient grow without bound
    if "Recurrent" in name:
        return cls(N, N, learn=NORSE[kind], **options)
    return cls(num_neurons=N, learn=NORSE[kind], **options)


def drive(case: str, dtype: torch.dtype = torch.float32) -> Tensor:
    """Time first; every neuron spikes on it."""
    low, high = (
        (20.0, 60.0) if "Izhikevich" in case else (-1.0, 2.0) if "ALIF" in case else (0.0, 4.0)
    )
    return low + (high - low) * torch.rand(T, B, N, dtype=dtype)


def run(neuron: Any, case: str, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Spikes over time and the last state, from rest, in either convention."""
    if case.startswith("snntorch"):
        nm.reset(neuron)
    return unroll(neuron, case, x)


def unroll(neuron: Any, case: str, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    if case.startswith("norse") and not case.endswith("Cell"):
        spikes, state = neuron(x)
        return spikes, tuple(state)
    spikes, state = [], ()
    for step in x.unbind(0):
        if case.startswith("norse"):
            spk, state = neuron(step, state or None)
        else:
            spk, *state = neuron(step, *state)
            state = [spk, *state] if hasattr(neuron, "recurrent") else state
        spikes.append(spk)
    return torch.stack(spikes), tuple(state)


def same(one: Any, other: Any, case: str, x: Tensor) -> bool:
    (spikes, state), (spikes2, state2) = run(one, case, x), run(other, case, x)
    assert (spikes > 0).any()
    return torch.equal(spikes, spikes2) and all(map(torch.equal, state, state2))


@pytest.mark.parametrize("case", CASES)
def test_pickle_and_deepcopy(case: str) -> None:
    neuron, x = make(case), drive(case)
    run(neuron, case, x)
    for other in (pickle.loads(pickle.dumps(neuron)), copy.deepcopy(neuron)):
        assert same(neuron, other, case, x)
        assert repr(other) == repr(neuron)
        theirs = {p.data_ptr() for p in other.parameters()}
        assert not theirs & {p.data_ptr() for p in neuron.parameters()}


@pytest.mark.parametrize("case", CASES)
def test_state_dict_round_trip(case: str) -> None:
    neuron, other, x = make(case), make(case), drive(case)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.2)
    assert not same(neuron, other, case, x)
    other.load_state_dict(neuron.state_dict())
    assert same(neuron, other, case, x)


@pytest.mark.parametrize("case", CASES)
def test_float64(case: str) -> None:
    neuron = make(case).to(torch.float64)
    assert {p.dtype for p in neuron.parameters()} == {torch.float64}
    spikes, state = run(neuron, case, drive(case, torch.float64))
    assert (spikes > 0).any()
    assert {s.dtype for s in (spikes, *state)} == {torch.float64}


@pytest.mark.parametrize("case", CASES)
def test_parameters_are_visible_and_learn(case: str) -> None:
    neuron = make(case)
    parameters = dict(neuron.named_parameters())
    learned = 2 if "Recurrent" in case else 1
    assert len(parameters) >= learned
    spikes, state = run(neuron, case, drive(case))
    sum((torch.randn_like(s) * s).sum() for s in (spikes, state[-1])).backward()
    for name, parameter in parameters.items():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name
        assert parameter.grad.isfinite().all(), name
    assert set(parameters) <= set(neuron.state_dict())


class Loop(nn.Module):
    """Calls a neuron several times, first without a state: as a user's network that is compiled as a whole."""

    def __init__(self, neuron: nn.Module, case: str) -> None:
        super().__init__()
        self.neuron, self.case = neuron, case

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        return unroll(self.neuron, self.case, x)


COMPILED = [case for case in CASES if case.startswith("snntorch") or case in {
    "norse.ALIF", "norse.ALIFRecurrentCell", "norse.STDPALIFCell", "norse.IzhikevichRecurrent", "norse.SRCCell",
    "norse.MSRCRecurrentCell", "norse.BSRCRecurrent",
}]  # fmt: skip
"""Forms of a neuron are compiled by the same code: of Norse's, every neuron and every form, not one with the other."""


@compiles
@pytest.mark.filterwarnings("ignore:a layer of .* has not spiked")  # in two steps
@pytest.mark.parametrize("case", COMPILED)
def test_one_graph(case: str) -> None:
    torch._dynamo.reset()
    neuron, x = make(case), drive(case)
    compiled = torch.compile(Loop(neuron, case), fullgraph=True, backend="eager")
    x = x if case.startswith("norse") and not case.endswith("Cell") else x[:2]
    expected, after = run(neuron, case, x)
    if case.startswith("snntorch"):
        nm.reset(neuron)
    spikes, state = compiled(x)
    torch.testing.assert_close(spikes, expected, rtol=1e-5, atol=1e-5)
    for mine, theirs in zip(state, after, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


KINDS = ("ALIF", "RALIF", "Izhikevich", "SRC")
"""By which classes hold their parameters and states in different ways."""


@compiles
@pytest.mark.parametrize("name", KINDS)
def test_one_graph_with_a_hidden_state(name: str) -> None:
    torch._dynamo.reset()
    neuron, reference = SNNTORCH[name](init_hidden=True), SNNTORCH[name]()
    reference.load_state_dict(neuron.state_dict())
    backend = "aot_eager" if name in ("RALIF", "SRC") else "eager"
    compiled = torch.compile(neuron, fullgraph=True, backend=backend)
    x = drive(name)[:3]
    expected, state = run(reference, f"snntorch.{name}", x)
    spikes = torch.stack([compiled(step) for step in x.unbind(0)])
    torch.testing.assert_close(spikes, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        getattr(neuron, neuron.state_names[-1]), state[-1], rtol=1e-4, atol=1e-4
    )


@compiles
@pytest.mark.parametrize("name", KINDS)
def test_no_graph_break_without_surrogate(name: str) -> None:
    torch._dynamo.reset()
    explanation = torch._dynamo.explain(SNNTORCH[name](surrogate_disable=True))(drive(name)[0])
    assert explanation.graph_break_count == 0


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_mutated(case: str) -> None:
    neuron, x = make(case), drive(case)
    before = {k: v.clone() for k, v in neuron.state_dict().items()}
    kept = x.clone()
    _, state = run(neuron, case, x[:5])
    saved = [s.clone() for s in state]
    if case.startswith("norse"):
        neuron(x if not case.endswith("Cell") else x[0], type(neuron.initial_state(x))(*state))
    else:
        neuron(x[0], *state)
    assert torch.equal(x, kept)
    assert all(map(torch.equal, state, saved))
    assert all(torch.equal(v, before[k]) for k, v in neuron.state_dict().items())


def test_deleted_neurons_are_freed() -> None:
    neurons = {case: make(case) for case in CASES}
    for case, neuron in neurons.items():
        run(neuron, case, drive(case)[:3])
    references = {case: weakref.ref(neuron) for case, neuron in neurons.items()}
    del neuron, neurons
    gc.collect()
    assert not [case for case, reference in references.items() if reference() is not None]


@pytest.mark.parametrize("name", SNNTORCH)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_snntorch_form_layer_and_scan_agree(name: str, dtype: torch.dtype) -> None:
    """Spikes, last state and the gradient to the input; Norse's forms are compared in tests/norse."""
    plain = name if name in NORSE else name.removeprefix("R")
    neuron, layer, order = pair(name, plain, dtype)
    x = drive(name, dtype).requires_grad_()
    spikes, state = run(neuron, f"snntorch.{name}", x)
    w_rec = neuron.recurrent.weight if hasattr(neuron, "recurrent") else None
    rest = layer.initial_state(x[0])
    options = {} if w_rec is None else {"w_rec": w_rec}
    scanned, after = dynamics.scan(
        layer.dynamics.step, layer.params(dtype), rest, x, **options, **layer.step_options()
    )
    if w_rec is None:
        swept, _ = layer(x, rest)
    else:
        swept, _ = layer.forward_recurrent(x, rest, w_rec, torch.zeros_like(x[0]))
    assert 0.01 < (spikes > 0).float().mean() < 0.99
    rounded = 2e-3 if "SRC" in name else 2e-4  # the SRC family amplifies rounding
    tolerance = rounded if dtype == torch.float32 else 1e-9
    for other in (scanned, swept):
        torch.testing.assert_close(spikes, other, rtol=tolerance, atol=tolerance)
    mine = state[1:] if w_rec is not None else state
    for field, value in zip(order, mine, strict=True):
        torch.testing.assert_close(value, getattr(after, field), rtol=tolerance, atol=tolerance)
    weights = torch.randn_like(spikes)
    gradients = [
        torch.autograd.grad((out * weights).sum(), x, retain_graph=True)[0]
        for out in (spikes, scanned, swept)
    ]
    assert gradients[0].abs().max() > 1e-4
    scale = float(gradients[1].abs().max())
    for gradient in gradients[1:]:
        torch.testing.assert_close(
            gradients[0] / scale, gradient / scale, rtol=0, atol=10 * tolerance
        )


def pair(name: str, plain: str, dtype: torch.dtype) -> tuple[Any, Any, tuple[str, ...]]:
    """A neuron in snnTorch's form, the layer that it equals, and its state in the layer's names."""
    extra: dict[str, Any] = {"linear_features": N} if name != plain else {}
    if "ALIF" in name:
        psi = nm.Psi() if plain == "ALIF" else dynamics.stdp_alif.PSI
        neuron = getattr(nm.snntorch, name)(
            torch.tensor(math.exp(-1 / 20), dtype=dtype),
            adapt_decay=torch.tensor(math.exp(-1 / 200), dtype=dtype),
            adapt_strength=torch.tensor(0.25, dtype=dtype),
            spike_grad=psi,
            **extra,
        )
        layer = getattr(nm, plain)(None, beta=0.25, detach_reset=True, psi=psi)
        order = ("a", "v") if plain == "ALIF" else ("held", "a", "v")
    elif plain == "Izhikevich":
        neuron = getattr(nm.snntorch, name)(dt=0.5, **extra)
        layer = nm.Izhikevich(None, dt=0.5, detach_reset=True)
        order = ("u", "v")
    else:
        own = {"SRC": {"start": -0.9, "z_hyp": 0.7}, "MSRC": {"b": 1.0, "z_hyp": 0.7}}.get(name, {})
        gradient = {"wide_surrogate": False} if name == "MSRC" else {}
        neuron, layer = getattr(nm.snntorch, name)(**gradient), getattr(nm, name)(None, **own)
        order = ("i", "h_u", "h_s", "h") if name == "BSRC" else ("i", "h_s", "h")
    if extra:
        nn.init.zeros_(neuron.recurrent.bias)
    return neuron.to(dtype), layer.to(dtype), order
