"""Layer around any neuron given by its step."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from snn_neuromod.dynamics.parameter import Range
from snn_neuromod.dynamics.traits import Dynamics, P, S
from snn_neuromod.errors import ConfigError, KindError
from snn_neuromod.kernels.backends import Backend
from snn_neuromod.kernels.neurons import Neuron
from snn_neuromod.layers.base import Layer, working_dtype
from snn_neuromod.layers.delays import Delay
from snn_neuromod.layers.parameters import Value


class Custom(Layer[S, P]):
    r"""Neurons of your own, given by the equations of one step.

    Such a layer does what the others do: alone or in a `Recurrent`, it learns by exact backpropagation through time or
    by exact e-prop, compiles to one graph and passes its state on. On a CPU with a C compiler its step is
    read once, with its derivative, and kernels as fast as those of the package's own neurons are printed from it and
    compiled when they are first needed (one line on stderr says so; they are kept, see `kernels.fusion.jit`): what else
    than its arguments the step reads then stays as it was. Where that cannot be, plain PyTorch is printed from it; a
    step that cannot be read runs in a loop that autograd differentiates. `kernels.info()` and `backend="c"` say why.

    `dynamics` is a module or an object with

    - `Params`, a NamedTuple of the parameters, with defaults;
    - `State`, a NamedTuple of tensors shaped as the current;
    - `initial_state(current) -> State`;
    - `step(params, state, current, **options) -> (spikes, State)`, made of PyTorch operations, elementwise (each neuron
      of each sample reads its own state, parameters and current only), for any number of leading axes, and without
      random numbers. A pseudo-derivative is a `snn_neuromod.Psi`, or a `torch.autograd.Function` of your own with a
      `setup_context` method, which `torch.func` asks for.

    The modules of `snn_neuromod.dynamics` are examples.

    Args:
        num_neurons: Number of neurons N; None for inputs of any shape.
        dynamics: The neuron's equations, or the name of a module that can be imported.
        params: Values in the place of the defaults of `Params`: numbers, one per neuron, or a distribution to draw
            from.
        options: Keyword arguments of `step`.
        ranges: Ranges of parameters, in which those that are learned are kept.
        delay: Delay of the spikes that a `Recurrent` around the layer feeds back, in steps, >= 1: one number or one per
            neuron.
        learn: Names of the parameters that are learned: a number becomes one value per neuron, a 0-d tensor stays one
            for all.
        backend: Asks for a backend by name, see `kernels.backends`; None: as `kernels.use` or the environment says.

    Raises:
        TypeError: If `dynamics` lacks one of its parts.
        ValueError: If a parameter is unknown, missing or outside its range, or `step` is not elementwise or not
            deterministic.

    Examples:
        >>> import torch
        >>> from typing import NamedTuple
        >>> from snn_neuromod import Psi, Recurrent
        >>> class QuadraticNeuron:
        ...     class Params(NamedTuple):
        ...         alpha: float = 0.9
        ...         v_th: float = 1.0
        ...     class State(NamedTuple):
        ...         v: torch.Tensor
        ...     @classmethod
        ...     def initial_state(cls, current):
        ...         return cls.State(torch.zeros_like(current))
        ...     @classmethod
        ...     def step(cls, params, state, current):
        ...         v = params.alpha * state.v + 0.1 * state.v**2 + current
        ...         z = Psi()(v - params.v_th, params.v_th)
        ...         return z, cls.State(v - v * z)
        >>> net = Recurrent(Custom(20, QuadraticNeuron, learn=["alpha"]), 5, learning_rule="eprop")
        >>> spikes, state = net(torch.rand(30, 8, 5))  # (T, batch, in_features)
        >>> spikes.sum().backward()
    """

    def __init__(
        self,
        num_neurons: int | None,
        dynamics: str | Dynamics[P, S],
        *,
        params: Mapping[str, Value] | None = None,
        options: Mapping[str, Any] | None = None,
        ranges: Mapping[str, Range] | None = None,
        delay: Delay = 1,
        learn: Collection[str] = (),
        backend: Backend | None = None,
    ) -> None:
        equations: Any = (
            importlib.import_module(dynamics) if isinstance(dynamics, str) else dynamics
        )
        missing = [
            part
            for part in ("Params", "State", "initial_state", "step")
            if not hasattr(equations, part)
        ]
        if missing:
            raise KindError(
                f"Custom: dynamics must have Params, State, initial_state and step, got {equations!r} "
                f"without {', '.join(missing)}"
            )
        fields = equations.Params._fields
        values = {**getattr(equations.Params, "_field_defaults", {}), **(params or {})}
        if set(values) != set(fields):
            wrong = ", ".join(sorted(set(values) ^ set(fields)))
            raise ConfigError(
                f"Custom: params must give each of {', '.join(fields)} that has no default, and no "
                f"others, got unknown or missing {wrong}"
            )
        self.__dict__["_equations"] = Neuron(equations, options or {})
        super().__init__(num_neurons, values, learn, ranges=ranges, delay=delay, backend=backend)
        self._known = self._described()
        self._check_step()

    @property
    def dynamics(self) -> Any:
        """The neuron's equations."""
        return self._equations.module

    @property
    def options(self) -> dict[str, Any]:
        """Options of the neuron's `step`; a copy, to be set as a whole."""
        return dict(self._equations.options)

    @options.setter
    def options(self, options: Mapping[str, Any]) -> None:
        self._equations = Neuron(self.dynamics, options)

    def _described(self) -> Neuron:
        options = self.step_options()
        same = options == self._equations.options
        return self._equations if same else Neuron(self.dynamics, options)

    def params(self, dtype: torch.dtype | None = None) -> P:
        kind = self.dynamics.Params
        made: P = kind(*(self.value(name, dtype) for name in kind._fields))
        return made

    def initial_state(self, current: Tensor) -> S:
        single = current.to(working_dtype(current))
        rest: S = self._checked_state(self.dynamics.initial_state(single), single)
        return rest

    def step_options(self) -> dict[str, Any]:
        return self.options

    @torch.no_grad()
    def _check_step(self) -> None:
        """Change the inputs of one neuron: the results of all others must stay as they are."""
        if torch.get_default_device().type == "meta":
            return  # there are no values
        current = torch.linspace(-1, 1, 2 * (self.num_neurons or 2)).reshape(2, -1)
        params, state, options = self.params(), self.initial_state(current), self.step_options()
        pushed = current.clone()
        pushed[0, 0] += 1.0
        moved = [s.clone() for s in state]
        for s in moved:
            s[0, 0] += 1.0
        results = []
        for inputs in ((state, current), (self.dynamics.State(*moved), pushed)):
            spikes, after = self.dynamics.step(params, *inputs, **options)
            results.append([tensor.flatten()[1:] for tensor in (spikes, *after)])
        if not all(map(_same, *results)):
            raise ConfigError(
                "Custom: dynamics.step must treat each neuron on its own and give the same results again, got results "
                "of a neuron that change with the input of another, or from call to call"
            )


def _same(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a.nan_to_num(), b.nan_to_num())
