"""What tests of `kernels.fusion` share: neurons, random steps, autograd through a loop, and an evaluator of graphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from hypothesis import strategies as st
from torch import Tensor

import snn_neuromod as nm
from snn_neuromod.kernels.fusion.graph import Node, live
from snn_neuromod.kernels.fusion.trace import Step
from snn_neuromod.surrogate import heaviside
from tests.helpers import CASES

TORCH: dict[str, Callable[..., Tensor]] = {
    "max": torch.maximum,
    "min": torch.minimum,
    "and": torch.logical_and,
    "or": torch.logical_or,
    "xor": torch.logical_xor,
    "not": torch.logical_not,
}


def evaluate(roots: Sequence[Node], given: Mapping[str, Tensor]) -> list[Tensor]:
    """Values of nodes, one operation of PyTorch each."""
    example = next(iter(given.values()))
    values: dict[Node, Tensor] = {}
    for node in live(roots):
        args = [values[a] for a in node.args]
        if node.op == "input":
            values[node] = given[str(node.value)]
        elif node.op == "const":
            kind = torch.bool if node.is_bool else example.dtype
            values[node] = torch.tensor(node.value, dtype=kind)
        elif node.op == "spike":
            values[node] = heaviside(*args)
        elif node.op == "real":
            values[node] = args[0].to(example.dtype)
        else:
            values[node] = TORCH.get(node.op, getattr(torch, node.op, None))(*args)
    return [values[root] for root in roots]


@dataclass(frozen=True)
class Neuron:
    """A step with values of its parameters and the current that drives it."""

    label: str
    step: Callable[..., Any]
    params: Any
    initial: Callable[[Tensor], Any]
    options: dict[str, Any] = field(default_factory=dict)
    mean: float = 0.0
    std: float = 1.0

    def __str__(self) -> str:
        return self.label

    @property
    def state_type(self) -> Any:
        return type(self.initial(torch.zeros(1)))

    def problem(
        self, num_steps: int, shape: tuple[int, ...], dtype: torch.dtype, seed: int = 0
    ) -> Problem:
        """Random input, parameters one per neuron around their values, gradients of the results."""
        draw = torch.Generator().manual_seed(seed)

        def noise(*size: int) -> Tensor:
            return torch.randn(size, generator=draw, dtype=torch.float64)

        current = self.mean + self.std * noise(num_steps, *shape)
        params = []
        for value in self.params:
            value = torch.as_tensor(value, dtype=torch.float64)
            params.append(value * (1 - 0.02 * noise(shape[-1]).abs()) if value.ndim == 0 else value)
        params[0] = params[0].reshape(-1)[0]  # one for all
        state = [s + 0.1 * noise(*shape) for s in self.initial(current[0])]
        grads = [noise(*current.shape), *(noise(*shape) for _ in state)]
        cast = [[t.to(dtype) for t in part] for part in ([current], params, state, grads)]
        return Problem(cast[0][0], *cast[1:])


class Problem(NamedTuple):
    """Input, parameters and state before the first step; gradients of spikes and last state."""

    current: Tensor
    params: list[Tensor]
    state: list[Tensor]
    grads: list[Tensor]


class Solution(NamedTuple):
    """Spikes, last state; gradients of input, parameters and first state."""

    spikes: Tensor
    last: list[Tensor]
    grad_current: Tensor
    grad_params: list[Tensor]
    grad_state: list[Tensor]

    def flat(self) -> dict[str, Tensor]:
        named = {"spikes": self.spikes, "grad current": self.grad_current}
        for name in ("last", "grad_params", "grad_state"):
            named |= {f"{name} {k}": t for k, t in enumerate(getattr(self, name))}
        return named


def by_autograd(neuron: Neuron, problem: Problem) -> Solution:
    """The step in a loop, differentiated by autograd."""
    shape = problem.current.shape[1:]
    current = problem.current.clone().requires_grad_()
    params = [p.clone().requires_grad_() for p in problem.params]
    wide = type(neuron.params)(*(p.expand(shape) for p in params))
    first = [s.clone().requires_grad_() for s in problem.state]
    state, spikes = neuron.state_type(*first), []
    for current_t in current.unbind(0):
        z, state = neuron.step(wide, state, current_t, **neuron.options)
        spikes.append(z)
    results = [torch.stack(spikes), *state]
    inputs = [current, *params, *first]
    pairs = [(y, g) for y, g in zip(results, problem.grads, strict=True) if y.requires_grad]
    grads = torch.autograd.grad(
        [y for y, _ in pairs], inputs, [g for _, g in pairs], allow_unused=True
    )
    filled = [torch.zeros_like(x) if g is None else g for x, g in zip(inputs, grads, strict=True)]
    num = len(params)
    return Solution(
        results[0].detach(),
        [s.detach() for s in results[1:]],
        filled[0],
        filled[1 : num + 1],
        filled[num + 1 :],
    )


def by_graph(traced: Step, problem: Problem) -> Solution:
    """The nodes of a traced step in a loop, forwards and backwards."""
    shape = problem.current.shape[1:]
    fixed = {f"p{k}": p.expand(shape) for k, p in enumerate(problem.params)}
    state, before, spikes = problem.state, [], []
    for x in problem.current.unbind(0):
        before.append({**fixed, "x": x, **{f"s{k}": s for k, s in enumerate(state)}})
        z, *state = evaluate([traced.spikes, *traced.after], before[-1])
        spikes.append(z.expand(shape))
    grad_spikes, *adjoints = problem.grads
    grad_params = [torch.zeros(shape, dtype=problem.current.dtype) for _ in problem.params]
    grad_current = []
    roots = [traced.grad_current, *traced.grad_before, *traced.grad_params]
    for given, gz in zip(before[::-1], grad_spikes.flip(0), strict=True):
        given |= {"gz": gz, **{f"a{k}": a for k, a in enumerate(adjoints)}}
        gx, *rest = (t.expand(shape) for t in evaluate(roots, given))
        grad_current.append(gx)
        adjoints = rest[: len(adjoints)]
        for total, part in zip(grad_params, rest[len(adjoints) :], strict=True):
            total += part
    last = [s.expand(shape) for s in state]
    grad_params = [g.sum_to_size(p.shape) for g, p in zip(grad_params, problem.params, strict=True)]
    return Solution(
        torch.stack(spikes), last, torch.stack(grad_current[::-1]), grad_params, list(adjoints)
    )


def assert_close(found: Solution, right: Solution, tolerance: float) -> None:
    """Every part within `tolerance` of its largest value."""
    wrong = {}
    for name, value in right.flat().items():
        error = (found.flat()[name] - value).abs().max() / value.abs().max().clamp(min=1e-3)
        if not error <= tolerance:
            wrong[name] = float(error)
    assert not wrong, wrong


class _Triangle(torch.autograd.Function):
    """A pseudo-derivative as users write it, of the old kind."""

    @staticmethod
    def forward(ctx: Any, distance: Tensor) -> Tensor:
        ctx.save_for_backward(distance)
        return (distance > 0).to(distance.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (distance,) = ctx.saved_tensors
        return grad * torch.clamp(1 - distance.abs(), min=0)


class Quadratic:
    """The neuron of the documentation of `Custom`."""

    MEMBRANE = ("v",)

    class Params(NamedTuple):
        alpha: float = 0.9
        v_th: float = 1.0

    class State(NamedTuple):
        v: Tensor

    @classmethod
    def initial_state(cls, current: Tensor) -> State:
        return cls.State(torch.zeros_like(current))

    @classmethod
    def step(cls, params: Params, state: State, current: Tensor) -> tuple[Tensor, State]:
        v = params.alpha * state.v + 0.1 * state.v**2 + current
        z = nm.Psi()(v - params.v_th, params.v_th)
        return z, cls.State(v - v * z)


def ours() -> list[Neuron]:
    """Every neuron of the package with every set of options of the shared cases."""
    found = [
        Neuron(
            str(case),
            case.module.step,
            case.module.Params(**case.params),
            case.module.initial_state,
            case.options,
            case.mean,
            case.std,
        )
        for case in CASES
    ]
    alif, izhikevich = nm.dynamics.alif, nm.dynamics.izhikevich
    for shape in nm.surrogate.Shape.__args__:
        psi = nm.Psi(shape, width=0.7, refractory=-1.0, at_spike=0.4)
        options = {"spike_fn": psi, "refractory": 2}
        found.append(
            Neuron(
                f"alif-{shape}",
                alif.step,
                alif.Params(0.8, 0.9),
                alif.initial_state,
                options,
                0.3,
                0.5,
            )
        )
    for clip in (0.5, 2.0):
        options = {"clip_jacobian": clip}
        found.append(
            Neuron(
                f"izhikevich-clip {clip}",
                izhikevich.step,
                izhikevich.Params(),
                izhikevich.initial_state,
                options,
                20.0,
                10.0,
            )
        )
    quadratic = Quadratic
    found.append(
        Neuron(
            "quadratic", quadratic.step, quadratic.Params(), quadratic.initial_state, {}, 0.2, 0.5
        )
    )
    return found


# ---- random steps: programs over a growing list of values, each kept in a range in which everything is smooth enough
ONE: dict[str, Callable[[Tensor], Tensor]] = {
    "neg": lambda x: -x,
    "abs": torch.abs,
    "sign": torch.sign,
    "exp": lambda x: torch.exp(-x.abs()),
    "expm1": lambda x: torch.expm1(-x.abs()),
    "log": lambda x: torch.log(x.abs() + 0.5),
    "log1p": lambda x: torch.log1p(x.abs()),
    "sqrt": lambda x: torch.sqrt(x.abs() + 0.1),
    "rsqrt": lambda x: torch.rsqrt(x.abs() + 0.5),
    "square": lambda x: x**2,
    "cube": lambda x: x**3,
    "power": lambda x: (x.abs() + 0.5) ** 1.7,
    "reciprocal": lambda x: 1 / (x.abs() + 0.5),
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "silu": torch.nn.functional.silu,
    "softplus": torch.nn.functional.softplus,
    "gelu": torch.nn.functional.gelu,
    "gelu by tanh": lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
    "elu": torch.nn.functional.elu,
    "hardtanh": torch.nn.functional.hardtanh,
    "leaky_relu": torch.nn.functional.leaky_relu,
    "relu": torch.relu,
    "sin": torch.sin,
    "cos": torch.cos,
    "erf": torch.erf,
    "atan": torch.atan,
    "floor": torch.floor,
    "ceil": torch.ceil,
    "round": torch.round,
    "trunc": torch.trunc,
    "clamp": lambda x: x.clamp(-0.7, 0.9),
    "detach": lambda x: x.detach(),
    "straight through": lambda x: x + (torch.round(x) - x).detach(),
    "not": lambda x: (~(x > 0.1)).to(x.dtype),
    "filled": lambda x: x.masked_fill(x > 0.3, 0.25),
    "in place": lambda x: (x + 0).mul_(0.5).add_(x, alpha=0.3),
    "triangle": lambda x: _Triangle.apply(x - 0.1),
}
TWO: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": lambda x, y: x / (y.abs() + 0.5),
    "max": torch.maximum,
    "min": torch.minimum,
    "clamp below": lambda x, y: x.clamp(min=y),
    "pow": lambda x, y: (x.abs() + 0.5) ** y,
    "and": lambda x, y: ((x > 0.2) & (y <= 0.1)).to(x.dtype),
    "or": lambda x, y: torch.logical_or(x >= 0.2, y < 0.1).to(x.dtype),
    "xor": lambda x, y: torch.logical_xor(x > 0.3, y > 0.1).to(x.dtype),
    "where": lambda x, y: torch.where(x > y, x * 0.5, y),
    "lerp": lambda x, y: torch.lerp(x, y, 0.3),
    "addcmul": lambda x, y: torch.addcmul(x, x, y, value=0.4),
    "scaled": lambda x, y: torch.add(x, y, alpha=0.6),
}
_SPIKES: dict[str, Callable[[Tensor], Tensor]] = {
    "psi": lambda v: nm.Psi()(v - 0.4, 1.0),
    "held": lambda v: nm.Psi("arctan", refractory=-0.5)(v - 0.4, 1.0, v.detach() < -0.5),
    "old": lambda v: _Triangle.apply(v - 0.3),
    "relu": torch.relu,
    "smooth": lambda v: torch.sigmoid(4 * v),
}


@st.composite
def random_neurons(draw: st.DrawFn) -> Neuron:
    """A neuron with one to three states, two to four parameters and a step of random operations."""
    num_params, num_states = draw(st.integers(2, 4)), draw(st.integers(1, 3))
    params = NamedTuple("Params", [(f"k{k}", float) for k in range(num_params)])
    states = NamedTuple("State", [(f"s{k}", Tensor) for k in range(num_states)])
    program = draw(
        st.lists(
            st.tuples(
                st.sampled_from([*ONE, *TWO]),
                st.integers(0, 99),
                st.integers(0, 99),
            ),
            min_size=3,
            max_size=14,
        )
    )
    spike, reset = draw(st.sampled_from(sorted(_SPIKES))), draw(st.booleans())

    def step(params: Any, state: Any, current: Tensor) -> tuple[Tensor, Any]:
        values = [*params, *state, current]
        for name, i, j in program:
            x, y = values[-1 - i % len(values)], values[-1 - j % len(values)]
            new = TWO[name](x, y) if name in TWO else ONE[name](x)
            values.append(torch.where(new.abs() > 2, 0.1 * new.clamp(-9, 9), new))
        v = 0.8 * state[0] + values[-1] * params[0] + 0.3 * current
        z = _SPIKES[spike](v)
        after = [v - z if reset else v]
        after += [0.5 * s + 0.5 * torch.tanh(values[-2 - k]) for k, s in enumerate(state[1:])]
        return z, states(*after)

    label = " ".join([f"{num_states} states", *(name for name, _, _ in program), spike])
    values = params(*(0.4 + 0.17 * k for k in range(num_params)))
    return Neuron(label, step, values, lambda c: states(*[torch.zeros_like(c)] * num_states))
