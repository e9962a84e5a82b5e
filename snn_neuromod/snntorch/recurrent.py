"""Neurons with recurrent weights in the place of `snntorch.RLeaky`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from typing_extensions import TypedDict, Unpack

from snn_neuromod._types import Param
from snn_neuromod.errors import ConfigError, KindError
from snn_neuromod.layers.parameters import Value
from snn_neuromod.learning.rules import LearningRule, resolve
from snn_neuromod.snntorch.alif import ALIF
from snn_neuromod.snntorch.alif_family import ADAPT_DECAY
from snn_neuromod.snntorch.base import Neuron
from snn_neuromod.snntorch.izhikevich import Izhikevich
from snn_neuromod.snntorch.stdp_alif import STDPALIF
from snn_neuromod.snntorch.surrogate import SpikeGrad


class OneToOne(nn.Module):
    """Recurrence of each neuron with itself.

    Args:
        V: Weight, a number or one per neuron.
    """

    V: Tensor

    def __init__(self, V: Param) -> None:
        super().__init__()
        value = torch.as_tensor(V).detach().clone()
        value = value if value.is_floating_point() else value.to(torch.get_default_dtype())
        self.register_parameter("V", nn.Parameter(value))

    def forward(self, spk: Tensor) -> Tensor:
        """Weighted spikes, the shape of `spk`."""
        return spk * self.V


class _Recurrence(Neuron):
    """Feed the emitted spikes back through weights; mixed in before the neuron."""

    recurrent: nn.Module

    def init_rleaky(self) -> Tensor:
        """`reset_mem`, under snnTorch's older name."""
        return self.reset_mem()

    @property
    def V(self) -> Tensor:  # noqa: N802  (snnTorch's name)
        """Weight of each neuron's recurrence with itself, with `all_to_all=False`."""
        if not isinstance(self.recurrent, OneToOne):
            raise AttributeError(
                f"{type(self).__name__}: V exists with all_to_all=False only; see recurrent.weight"
            )
        return self.recurrent.V

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        if prefix + "recurrent.V" in state_dict:  # RLeaky names the same weight twice
            state_dict.pop(prefix + "V", None)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def _connect(
        self,
        V: Param,
        all_to_all: bool,
        linear_features: int | None,
        conv2d_channels: int | None,
        kernel_size: int | tuple[int, int] | None,
        learn_recurrent: bool,
    ) -> None:
        who = type(self).__name__
        convolves = conv2d_channels is not None or kernel_size is not None
        if not all_to_all:
            if linear_features is not None or convolves:
                raise KindError(
                    f"{who}: linear_features, conv2d_channels and kernel_size belong to all_to_all=True; "
                    "without it V is the weight"
                )
            self.recurrent = OneToOne(V)
        elif linear_features is not None and not convolves:
            self.recurrent = nn.Linear(linear_features, linear_features)
        elif linear_features is None and conv2d_channels is not None and kernel_size is not None:
            sizes = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
            padding = (sizes[0] // 2, sizes[1] // 2)
            self.recurrent = nn.Conv2d(conv2d_channels, conv2d_channels, sizes, padding=padding)
        else:
            raise KindError(
                f"{who}: all_to_all=True needs either linear_features, or conv2d_channels and kernel_size; "
                f"got linear_features={linear_features}, conv2d_channels={conv2d_channels}, kernel_size={kernel_size}"
            )
        self.all_to_all, self.learn_recurrent = all_to_all, learn_recurrent
        self.recurrent.requires_grad_(learn_recurrent)

    @property
    def learning_rule(self) -> LearningRule:
        """Which part of the gradient is followed, as it was given; it may be set again at any time."""
        return self._learning_rule

    @learning_rule.setter
    def learning_rule(self, learning_rule: LearningRule) -> None:
        rule = resolve(type(self).__name__, learning_rule)
        if not rule.serves_steps:
            raise ConfigError(
                f"{type(self).__name__}: learning_rule must be 'bptt', 'eprop' or 'rflo' where steps are called one by "
                f"one, got {learning_rule!r}; nm.Recurrent sees whole sequences"
            )
        self._rule, self._learning_rule = rule, learning_rule

    def _rest(self, current: Tensor) -> list[Tensor]:
        return [torch.zeros_like(current), *super()._rest(current)]

    def _sweep(self, current: Tensor, states: list[Tensor]) -> list[Tensor] | None:
        return None  # the recurrent module is called at every step

    def _advance(self, current: Tensor, states: list[Tensor], **inputs: Any) -> list[Tensor]:
        spk, *states = states
        if self._rule.hops is not None:
            spk = spk.detach()
        if self._rule.follows == "membrane":
            names = self.state_names[1:]
            states = [
                s if name == "mem" else s.detach() for name, s in zip(names, states, strict=True)
            ]
        weight = next(self.recurrent.parameters())
        feedback = self.recurrent(spk.to(weight.dtype)).to(current.dtype)
        spk, *after = super()._advance(current + feedback, states, **inputs)
        return [spk, spk, *after]


class RALIF(_Recurrence, ALIF):
    r"""Recurrent ALIF neuron in snnTorch's form; equations in `snn_neuromod.dynamics.alif`.

    `spk, adapt, mem = ralif(input_, spk, adapt, mem)`. With the constant `adapt_strength=0` it is `snntorch.RLeaky`,
    also in its calls: `spk, mem = ralif(input_, spk, mem)`; as there, the reset "zero" also drops the input of the step
    after a spike.

    Args:
        beta: Decay of the membrane per step, clamped to [0, 1]; a number or a tensor, one per neuron.
        V: Weight of each neuron's recurrence with itself, with `all_to_all=False`.
        all_to_all: Connect all neurons, through a linear layer or a convolution.
        linear_features: Number of neurons of the linear layer.
        conv2d_channels: Number of channels of the convolution.
        kernel_size: Kernel of the convolution.
        threshold: Baseline threshold; a number or one per neuron.
        spike_grad: Surrogate, see `ALIF`.
        surrogate_disable: No surrogate gradient.
        init_hidden: Keep the state in the module; the call takes none and returns the spikes alone.
        inhibition: Only the neuron furthest above its threshold emits its spike; inputs are (batch, neuron).
        learn_beta: Learn beta.
        learn_threshold: Learn the threshold.
        learn_recurrent: Learn the recurrent weights.
        reset_mechanism: "subtract", "zero" or "none"; may be set again later.
        state_quant: Quantiser of the membrane, from `snntorch.functional.quant`; False for none.
        output: With `init_hidden`, return the state as well.
        reset_delay: False resets in the step of the spike; without adaptation only.
        graded_spikes_factor: Factor of the emitted spikes, also of those fed back.
        learn_graded_spikes_factor: Learn it.
        adapt_decay: Decay of the adaptation per step, rho, in [0, 1].
        adapt_strength: Rise of the threshold by a spike, >= 0, the papers' beta; 0 is plain RLeaky.
        learn_adapt_decay: Learn adapt_decay.
        learn_adapt_strength: Learn adapt_strength.
        learning_rule: "bptt"; "eprop", where no gradient passes through the recurrent spikes; "rflo", nor through
            adaptation; or one of `snn_neuromod.learning.rules`. It may be set again later.

    Raises:
        ValueError: If an argument is outside its range, or `reset_delay=False` meets adaptation, or a rule needs to see
            a whole sequence, as "khop".
        TypeError: If the arguments of the recurrence do not fit together.

    Examples:
        >>> import torch
        >>> neuron = RALIF(0.9, linear_features=20)
        >>> spk, adapt, mem = neuron(torch.rand(8, 20))
        >>> spk, adapt, mem = neuron(torch.rand(8, 20), spk, adapt, mem)
    """

    state_names: ClassVar[tuple[str, ...]] = ("spk", "adapt", "mem")
    _leaky_names: ClassVar[tuple[str, ...]] = ("spk", "mem")

    def __init__(
        self,
        beta: Param,
        V: Param = 1.0,
        all_to_all: bool = True,
        linear_features: int | None = None,
        conv2d_channels: int | None = None,
        kernel_size: int | tuple[int, int] | None = None,
        threshold: Param = 1.0,
        spike_grad: SpikeGrad | None = None,
        surrogate_disable: bool = False,
        init_hidden: bool = False,
        inhibition: bool = False,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        learn_recurrent: bool = True,
        reset_mechanism: str = "subtract",
        state_quant: Any = False,
        output: bool = False,
        reset_delay: bool = True,
        *,
        graded_spikes_factor: Param = 1.0,
        learn_graded_spikes_factor: bool = False,
        adapt_decay: Param = ADAPT_DECAY,
        adapt_strength: Param = 0.184,
        learn_adapt_decay: bool = False,
        learn_adapt_strength: bool = False,
        learning_rule: LearningRule = "bptt",
    ) -> None:
        super().__init__(
            beta,
            threshold,
            spike_grad,
            surrogate_disable,
            init_hidden,
            inhibition,
            learn_beta,
            learn_threshold,
            reset_mechanism,
            state_quant,
            output,
            graded_spikes_factor,
            learn_graded_spikes_factor,
            reset_delay,
            adapt_decay=adapt_decay,
            adapt_strength=adapt_strength,
            learn_adapt_decay=learn_adapt_decay,
            learn_adapt_strength=learn_adapt_strength,
        )
        self._connect(V, all_to_all, linear_features, conv2d_channels, kernel_size, learn_recurrent)
        self.learning_rule = learning_rule

    def _drive(self, current: Tensor, before: Tensor) -> Tensor:
        return current * (1 - before.detach()) if self._reset_mechanism == "zero" else current


class _Options(TypedDict, total=False):
    """Arguments of `STDPALIF` and `Izhikevich` as their recurrent forms hand them on."""

    spike_grad: SpikeGrad | None
    surrogate_disable: bool
    init_hidden: bool
    inhibition: bool
    state_quant: Any
    output: bool
    graded_spikes_factor: Param
    learn_graded_spikes_factor: bool


class _STDPALIFOptions(_Options, total=False):
    threshold: Param
    learn_beta: bool
    learn_threshold: bool
    reset_mechanism: str
    refractory: int
    adapt_decay: Param
    adapt_strength: Param
    learn_adapt_decay: bool
    learn_adapt_strength: bool


class _IzhikevichOptions(_Options, total=False):
    a: Value
    b: Value
    c: Value
    d: Value
    dt: float
    v_init: float
    detach_reset: bool
    clip_jacobian: float | Literal["auto"] | None
    substeps: int | None
    min_current: float | None
    num_neurons: int | None
    learn: Collection[str]


class RSTDPALIF(_Recurrence, STDPALIF):
    r"""Recurrent STDP-ALIF neuron in snnTorch's form; equations in `snn_neuromod.dynamics.stdp_alif`.

    `spk, held, adapt, mem = neuron(input_, spk, held, adapt, mem)`.

    Args:
        beta: Decay of the membrane per step, clamped to [0, 1]; a number or a tensor, one per neuron.
        V: Weight of each neuron's recurrence with itself, with `all_to_all=False`.
        all_to_all: Connect all neurons, through a linear layer or a convolution.
        linear_features: Number of neurons of the linear layer.
        conv2d_channels: Number of channels of the convolution.
        kernel_size: Kernel of the convolution.
        learn_recurrent: Learn the recurrent weights.
        learning_rule: As of `RALIF`.
        **options: Further arguments of `STDPALIF`.

    Raises:
        ValueError: If an argument is outside its range.
        TypeError: If the arguments of the recurrence do not fit together.

    Examples:
        >>> import torch
        >>> spk, held, adapt, mem = RSTDPALIF(0.9, linear_features=20)(torch.rand(8, 20))
    """

    state_names: ClassVar[tuple[str, ...]] = ("spk", "held", "adapt", "mem")

    def __init__(
        self,
        beta: Param,
        V: Param = 1.0,
        all_to_all: bool = True,
        linear_features: int | None = None,
        conv2d_channels: int | None = None,
        kernel_size: int | tuple[int, int] | None = None,
        *,
        learn_recurrent: bool = True,
        learning_rule: LearningRule = "bptt",
        **options: Unpack[_STDPALIFOptions],
    ) -> None:
        super().__init__(beta, **options)
        self._connect(V, all_to_all, linear_features, conv2d_channels, kernel_size, learn_recurrent)
        self.learning_rule = learning_rule


class RIzhikevich(_Recurrence, Izhikevich):
    r"""Recurrent Izhikevich neuron in snnTorch's form; equations in `snn_neuromod.dynamics.izhikevich`.

    `spk, u, mem = neuron(input_, spk, u, mem)`. The constructor takes keywords only.

    Args:
        V: Weight of each neuron's recurrence with itself, with `all_to_all=False`.
        all_to_all: Connect all neurons, through a linear layer or a convolution.
        linear_features: Number of neurons of the linear layer.
        conv2d_channels: Number of channels of the convolution.
        kernel_size: Kernel of the convolution.
        learn_recurrent: Learn the recurrent weights.
        learning_rule: As of `RALIF`.
        **options: Further arguments of `Izhikevich`.

    Raises:
        ValueError: If an argument is outside its range.
        TypeError: If the arguments of the recurrence do not fit together, or have no meaning for this neuron.

    Examples:
        >>> import torch
        >>> spk, u, mem = RIzhikevich(linear_features=20)(10 * torch.rand(8, 20))
    """

    state_names: ClassVar[tuple[str, ...]] = ("spk", "u", "mem")

    def __init__(
        self,
        *,
        V: Param = 1.0,
        all_to_all: bool = True,
        linear_features: int | None = None,
        conv2d_channels: int | None = None,
        kernel_size: int | tuple[int, int] | None = None,
        learn_recurrent: bool = True,
        learning_rule: LearningRule = "bptt",
        **options: Unpack[_IzhikevichOptions],
    ) -> None:
        super().__init__(**options)
        self._connect(V, all_to_all, linear_features, conv2d_channels, kernel_size, learn_recurrent)
        self.learning_rule = learning_rule
