"""What the golden set holds: modules of every kind, how each is called, and what is compared."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import snn_neuromod as nm

FOLDER = Path(__file__).parent / "v0_1"
T, B, IN, N = 25, 2, 3, 4
ALIF_LEARNED = ("tau_mem", "tau_adapt", "beta", "v_th")
SRC_LEARNED = ("alpha", "rho", "r", "r_s", "z_hyp", "z_dep", "b")


class Resonator:
    """A neuron of one's own: a damped oscillator with a threshold."""

    class Params(NamedTuple):
        omega: Any = 0.6
        damping: Any = 0.1
        v_th: Any = 0.5

    class State(NamedTuple):
        v: Tensor
        w: Tensor

    @classmethod
    def initial_state(cls, current: Tensor) -> State:
        return cls.State(torch.zeros_like(current), torch.zeros_like(current))

    @classmethod
    def step(cls, params: Any, state: State, current: Tensor) -> tuple[Tensor, State]:
        omega, damping, v_th = params
        v = (1 - damping) * state.v - omega * state.w + current
        w = omega * state.v + (1 - damping) * state.w
        z = nm.Psi()(v - v_th, v_th)
        return z, cls.State(v * (1 - z), w)


class Run(NamedTuple):
    """What is compared."""

    spikes: Tensor
    state: list[Tensor]
    grads: dict[str, Tensor]


@dataclass(frozen=True)
class Case:
    """A module, how it is called, and an input that makes it fire."""

    name: str
    make: Callable[[], nn.Module]
    call: Callable[[Any, Tensor], tuple[Tensor, Any]]
    size: int = IN
    low: float = 0.0
    high: float = 1.0
    dtype: torch.dtype = torch.float64

    def __str__(self) -> str:
        return self.name

    def build(self, state_dict: Mapping[str, Tensor] | None = None) -> Any:
        """The module, with the weights of `state_dict` if there are some."""
        module = self.make().to(self.dtype)
        if state_dict is not None:
            module.load_state_dict(state_dict, strict=True)
        return module

    def input(self) -> Tensor:
        generator = torch.Generator().manual_seed(1)
        drawn = torch.rand(T, B, self.size, generator=generator, dtype=self.dtype)
        return self.low + (self.high - self.low) * drawn

    def run(self, module: nn.Module, x: Tensor) -> Run:
        """Run, and differentiate a loss of spikes and last state by the input and all parameters."""
        x = x.clone().requires_grad_()
        spikes, state = self.call(module, x)
        leaves = [s for s in torch.utils._pytree.tree_leaves(state) if isinstance(s, Tensor)]
        loss = (torch.cos(torch.arange(spikes.numel())).view(spikes.shape) * spikes).sum()
        for leaf in leaves:
            loss = loss + 0.01 * leaf.to(loss.dtype).sum()
        asked = {"x": x, **{n: p for n, p in module.named_parameters() if p.requires_grad}}
        found = torch.autograd.grad(loss, list(asked.values()), allow_unused=True)
        grads = {n: g for n, g in zip(asked, found, strict=True) if g is not None}
        return Run(spikes.detach(), [s.detach() for s in leaves], grads)


def sequence(module: Any, x: Tensor) -> tuple[Tensor, Any]:
    out: tuple[Tensor, Any] = module(x)
    return out


def two_parts(module: Any, x: Tensor) -> tuple[Tensor, Any]:
    """A sequence in two segments, the state passed on."""
    first, state = module(x[:11])
    rest, state = module(x[11:], state)
    return torch.cat([first, rest]), state


def alone(module: Any, x: Tensor) -> tuple[Tensor, Any]:
    """A module that gives no state."""
    return module(x), ()


def stepped(module: Any, x: Tensor) -> tuple[Tensor, Any]:
    """A cell of Norse's form, step by step."""
    state, emitted = None, []
    for x_t in x:
        z, state = module(x_t, state)
        emitted.append(z)
    return torch.stack(emitted), state


def snntorch_steps(module: Any, x: Tensor) -> tuple[Tensor, Any]:
    """A neuron of snnTorch's form, step by step, its state passed in and out."""
    state: tuple[Tensor, ...] = ()
    emitted = []
    for x_t in x:
        spk, *rest = module(x_t, *state)
        state = (spk, *rest) if "spk" in module.state_names else tuple(rest)
        emitted.append(spk)
    return torch.stack(emitted), state


def hidden_steps(module: Any, x: Tensor) -> tuple[Tensor, Any]:
    """A network with a neuron that keeps its own state, from rest."""
    nm.reset(module)
    return torch.stack([module(x_t) for x_t in x]), ()


LIVE_SRC: dict[str, Any] = {"alpha": 0.5}
IZHIKEVICH: dict[str, Any] = {"dt": 0.5}


def _drawn_alif(**options: Any) -> nm.ALIF:
    drawn = {"tau_mem": nm.Uniform(5.0, 20.0), "tau_adapt": nm.LogNormal(100.0, 0.3)}
    return nm.ALIF(N, beta=nm.Groups([0.0, 0.2], [1, 1]), **drawn, **options)


NEURONS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "alif": (lambda **o: nm.ALIF(N, **o), {"high": 0.8}),
    "alif_learned": (
        lambda **o: nm.ALIF(N, tau_mem=8.0, refractory=2, learn=ALIF_LEARNED, **o),
        {"high": 1.2},
    ),
    "alif_zero_detached": (
        lambda **o: nm.ALIF(N, reset="zero", detach_reset=True, psi=nm.Psi("boxcar"), **o),
        {"high": 0.8},
    ),
    "alif_drawn": (_drawn_alif, {"high": 0.8}),
    "alif_own_psi": (lambda **o: nm.ALIF(N, psi=nm.surrogate.smooth, **o), {"high": 2.0}),
    "stdp_alif": (lambda **o: nm.STDPALIF(N, learn=ALIF_LEARNED, **o), {"high": 1.2}),
    "izhikevich": (
        lambda **o: nm.Izhikevich(N, **IZHIKEVICH, learn=tuple("abcd"), **o),
        {"high": 60.0},
    ),
    "izhikevich_clipped": (
        lambda **o: nm.Izhikevich(N, **IZHIKEVICH, clip_jacobian=1.5, detach_reset=True, **o),
        {"high": 60.0},
    ),
    "src": (lambda: nm.SRC(N, **LIVE_SRC, learn=("alpha", "rho", "r_s", "b")), {"high": 5.0}),
    "src_full": (
        lambda: nm.SRC(
            N, **LIVE_SRC, detach_recurrence=False, straight_through=False, learn=SRC_LEARNED
        ),
        {"high": 5.0},
    ),
    "msrc": (lambda: nm.MSRC(N, **LIVE_SRC, learn_modulation=True, learn=["b"]), {"high": 5.0}),
    "msrc_drawn": (
        lambda: nm.MSRC(N, **LIVE_SRC, modulation=nm.Uniform(0.4, 1.6), z=0.1),
        {"high": 5.0},
    ),
    "bsrc": (lambda: nm.BSRC(N, learn_modulation=True, learn=["b", "h_u0"]), {"high": 2.0}),
    "custom": (lambda **o: nm.Custom(N, Resonator, learn=["omega", "v_th"], **o), {}),
    "integrator": (lambda: nm.LeakyIntegrator(N, tau=5.0, learn=["tau"]), {"low": -1.0}),
}

LAYERS = [
    *(Case(name, make, sequence, size=N, **drive) for name, (make, drive) in NEURONS.items()),
    *(
        Case(f"{name}_two_parts", NEURONS[name][0], two_parts, size=N, **NEURONS[name][1])
        for name in ("alif_learned", "stdp_alif", "msrc")
    ),
    *(
        Case(f"{name}_float32", NEURONS[name][0], sequence, size=N, dtype=torch.float32, **NEURONS[name][1])
        for name in ("alif", "stdp_alif", "izhikevich", "src", "msrc", "bsrc")
    ),
]  # fmt: skip

DELAYS = {
    "common": 3,
    "axonal": torch.tensor([1, 4, 2, 4]),
    "synaptic": torch.tensor([[1, 2, 5, 1], [3, 1, 1, 2], [2, 2, 1, 5], [1, 3, 3, 1]]),
}
MASK_IN = torch.tensor([[1, 0, 1], [1, 1, 0], [0, 1, 1], [1, 1, 1]], dtype=torch.bool)
MASK_REC = torch.tensor([[0, 1, 0, 1], [1, 0, 1, 0], [1, 1, 0, 1], [0, 1, 1, 0]], dtype=torch.bool)


def recurrent(neuron: str, rule: str, **options: Any) -> nn.Module:
    """A recurrent layer whose input weights are large enough for it to fire."""
    layer = nm.Recurrent(NEURONS[neuron][0](), IN, learning_rule=rule, **options)  # type: ignore[arg-type]
    with torch.no_grad():
        layer.w_in.abs_()
        layer.w_rec.mul_(0.5)
    return layer


def _recurrent_case(label: str, neuron: str, rule: str, **options: Any) -> Case:
    call = options.pop("call", sequence)
    drive = NEURONS[neuron][1]
    return Case(
        f"{neuron}_{rule}_{label}", lambda: recurrent(neuron, rule, **options), call, **drive
    )


def stack(credit: str, rule: str) -> nn.Module:
    lower, upper = (nm.Recurrent(nm.ALIF(N, tau_mem=8.0), n, learning_rule=rule) for n in (IN, N))  # type: ignore[arg-type]
    with torch.no_grad():
        lower.w_in.abs_()
        upper.w_in.abs_()
    return nm.RecurrentStack([lower, upper], credit=credit)  # type: ignore[arg-type]


RECURRENT = [
    *(
        _recurrent_case(label, neuron, rule, delay=delay)
        for rule in ("bptt", "eprop")
        for neuron in ("alif_learned", "stdp_alif", "izhikevich")
        for label, delay in (("plain", None), *DELAYS.items())
    ),
    *(
        _recurrent_case("plain", neuron, rule)
        for rule in ("bptt", "eprop")
        for neuron in ("alif_own_psi", "src", "src_full", "msrc", "bsrc", "custom")
    ),
    *(
        _recurrent_case("masked", "alif", rule, mask_in=MASK_IN, mask_rec=MASK_REC, delay=delay)
        for rule, delay in (("bptt", 1), ("eprop", DELAYS["synaptic"]))
    ),
    *(
        _recurrent_case("two_parts", "alif", rule, delay=DELAYS["axonal"], call=two_parts)
        for rule in ("bptt", "eprop")
    ),
    *(
        Case(f"stack_{credit}_{rule}", lambda c=credit, r=rule: stack(c, r), sequence)  # type: ignore[misc]
        for credit in ("broadcast", "spatial")
        for rule in ("bptt", "eprop")
    ),
    Case(
        "bidirectional",
        lambda: nm.Bidirectional(recurrent("alif", "eprop"), recurrent("alif", "bptt")),
        alone,
    ),
]


def _readout(**options: Any) -> Callable[[], nn.Module]:
    return lambda: nm.LeakyReadout(IN, N, **options)


READOUTS = [
    Case("symmetric", _readout(), sequence),
    Case("random", _readout(feedback="random", bias_inside=False), sequence),
    Case("adaptive", _readout(feedback="adaptive", tau_out=[2.0, 5.0, 5.0, 9.0]), sequence),
    Case("normalised", _readout(normalise=True, bias=False), two_parts),
    Case("population", lambda: nm.PopulationReadout(IN * 2, 2), sequence, size=IN * 2),
    Case("smoothing", lambda: nm.Smoothing(tau=4.0), sequence),
    Case("spike_linear", lambda: nm.SpikeLinear(IN, N), alone),
]

IZHIKEVICH_0_1: dict[str, Any] = {
    "dt": 0.5,
    "detach_reset": False,
    "clip_jacobian": None,
    "min_current": None,
}
"""Of which all but the first were the defaults in version 0.1."""
STDP_0_1: dict[str, Any] = {"spike_grad": nm.dynamics.stdp_alif.PSI}
"""The default in version 0.1."""
SRC_0_1: dict[str, Any] = {**LIVE_SRC, "z_hyp": 0.9, "start": None}
MSRC_0_1: dict[str, Any] = {**LIVE_SRC, "z_hyp": 0.9, "b": 0.0, "wide_surrogate": False}
"""Of which all but the first were the defaults in version 0.1."""

SNNTORCH_NEURONS: dict[str, tuple[Callable[..., nn.Module], float]] = {
    "ALIF": (lambda **o: nm.snntorch.ALIF(0.9, learn_beta=True, learn_adapt_strength=True, **o), 0.8),
    "RALIF": (lambda **o: nm.snntorch.RALIF(0.9, linear_features=N, learn_threshold=True, **o), 0.8),
    "RALIF_one_to_one": (lambda **o: nm.snntorch.RALIF(0.9, V=0.3, all_to_all=False, **o), 0.8),
    "STDPALIF": (lambda **o: nm.snntorch.STDPALIF(0.9, learn_beta=True, **STDP_0_1, **o), 1.0),
    "RSTDPALIF": (lambda **o: nm.snntorch.RSTDPALIF(0.9, linear_features=N, **STDP_0_1, **o), 1.0),
    "Izhikevich": (
        lambda **o: nm.snntorch.Izhikevich(learn=["d", "b"], num_neurons=N, **IZHIKEVICH_0_1, **o), 60.0),
    "RIzhikevich": (lambda **o: nm.snntorch.RIzhikevich(linear_features=N, **IZHIKEVICH_0_1, **o), 60.0),
    "SRC": (lambda **o: nm.snntorch.SRC(num_neurons=N, learn=["b"], **SRC_0_1, **o), 5.0),
    "MSRC": (lambda **o: nm.snntorch.MSRC(num_neurons=N, learn_modulation=True, **MSRC_0_1, **o), 5.0),
    "BSRC": (lambda **o: nm.snntorch.BSRC(num_neurons=N, learn_modulation=True, **o), 2.0),
}  # fmt: skip


def _network(make: Callable[..., nn.Module]) -> nn.Module:
    linear = nn.Linear(IN, N)
    with torch.no_grad():
        linear.weight.abs_()
    return nn.Sequential(linear, make(init_hidden=True))


SNNTORCH = [
    *(
        Case(name, make, snntorch_steps, size=N, high=high)
        for name, (make, high) in SNNTORCH_NEURONS.items()
    ),
    *(
        Case(f"{name}_hidden", lambda m=make: _network(m), hidden_steps, high=2 * high)  # type: ignore[misc]
        for name, (make, high) in SNNTORCH_NEURONS.items()
    ),
]

NORSE_LEARNED = {
    "ALIF": (["beta", "tau_mem_inv"], 0.5),
    "STDPALIF": (["beta", "v_th"], 1.5),
    "Izhikevich": (["b", "d"], 60.0),
    "SRC": (["b"], 3.0),
    "MSRC": (["modulation"], 3.0),
    "BSRC": (["modulation", "h_u0"], 3.0),
}


def _norse(name: str, form: str) -> nn.Module:
    sizes = (IN, N) if "Recurrent" in form else ()
    options = {} if sizes else {"num_neurons": IN}
    kind = getattr(nm.norse, name + form)
    module: nn.Module = kind(*sizes, learn=NORSE_LEARNED[name][0], **options)
    if sizes:
        with torch.no_grad():
            module.input_weights.abs_()  # type: ignore[operator]
    return module


NORSE = [
    Case(
        f"{name}{form}",
        lambda n=name, f=form: _norse(n, f),  # type: ignore[misc]
        stepped if "Cell" in form else sequence,
        high=high * (2 if "Recurrent" in form else 1),
    )
    for name, (_, high) in NORSE_LEARNED.items()
    for form in ("", "Cell", "Recurrent", "RecurrentCell")
]

SETS = {"layers": LAYERS, "recurrent": RECURRENT, "readouts": READOUTS, "snntorch": SNNTORCH}
if importlib.util.find_spec("norse") is not None:
    SETS["norse"] = NORSE
