"""From networks to NIR."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from typing import Any

import nir
import nirtorch
import numpy as np
import torch
from torch import Tensor, nn

from snn_neuromod.layers import ALIF, LeakyIntegrator, LeakyReadout, Recurrent
from snn_neuromod.nir import subgraphs, tracing
from snn_neuromod.nir.subgraphs import Array

Writer = Callable[[Any], Any]


def to_nir(network: nn.Module, sample: Tensor | None = None, *, dt: float = 1.0) -> Any:
    """Write a network as a NIR graph; `nir.write(path, graph)` makes a file of it.

    The network is made of `nn.Linear`, `ALIF` (reset "subtract", no refractory period), `Recurrent` around such an
    ALIF, `LeakyIntegrator`, `LeakyReadout` and `snn_neuromod.snntorch.ALIF`; in an `nn.Sequential` or in a module of
    your own that calls each once and adds signals at most. What it does is taken from a symbolic trace: loops over
    time must stay outside. Weights and parameters are copied. How a layer is written: `snn_neuromod.nir.subgraphs`.

    Surrogate gradients, learning rules and which parameters are learned are no part of NIR.

    Args:
        network: The network; only the exact classes above are known, not their subclasses.
        sample: An input on which the network runs. Needed only where a layer does not know its number of neurons.
        dt: Time step in ms of the layers that have none, those in snnTorch's form.

    Returns:
        A `nir.NIRGraph`, tau in seconds.

    Raises:
        TypeError: If the network has a layer that NIR cannot express.
        ValueError: If a layer has an option or the network an operation that NIR cannot express, or a number of neurons
            is unknown.

    Examples:
        >>> import torch
        >>> from snn_neuromod import ALIF
        >>> graph = to_nir(torch.nn.Sequential(torch.nn.Linear(5, 20), ALIF(20)))
        >>> list(graph.nodes)
        ['input_1', '_0', '_1', 'output']
    """
    if not dt > 0:
        raise ValueError(f"to_nir: dt must be > 0, got {dt}")
    writers = _writers(_sizes(network, sample), dt)
    if type(network) in writers:
        network = nn.Sequential(network)
    concrete = tracing.left_at_none(network)
    tracing.check(network, tuple(writers), concrete)
    return nirtorch.torch_to_nir(
        network, writers, None, stateful_modules=set(writers), concrete_args=concrete
    )


def _writers(sizes: dict[nn.Module, int], dt: float) -> dict[type[nn.Module], Writer]:
    """What writes the layers of each class."""
    writers: dict[type[nn.Module], Writer] = {
        nn.Linear: lambda layer: _linear(layer.weight, layer.bias),
        ALIF: lambda layer: _alif(layer, sizes, layer.dt),
        Recurrent: _recurrent,
        LeakyIntegrator: lambda layer: _integrator(layer, sizes),
        LeakyReadout: _readout,
    }
    snntorch_form = sys.modules.get("snn_neuromod.snntorch")  # not loaded: not in the network
    if snntorch_form is not None:
        writers[snntorch_form.ALIF] = lambda layer: _alif(layer, sizes, dt)
    return writers


def _alif(layer: Any, sizes: dict[nn.Module, int], dt: float, **weights: Tensor) -> Any:
    who = type(layer).__name__
    _check_alif(layer, who)
    params = layer.params(torch.float64)
    alpha, rho, beta, v_th = _per_neuron(layer, params, sizes)
    inputs = weights["input_weights"].shape[1] if weights else alpha.size
    nodes = {
        "input": nir.Input(np.array([inputs])),
        "mem": subgraphs.leaky(alpha, dt, who),
        "spike": nir.Threshold(v_th),
        "reset": nir.Scale(-v_th),
        "adapt": subgraphs.leaky(rho, dt, who),
        "adapt_scale": nir.Scale(-beta),
        "output": nir.Output(np.array([alpha.size])),
        **{name: _linear(weight) for name, weight in weights.items()},
    }
    return nir.NIRGraph(nodes, sorted(subgraphs.RECURRENT if weights else subgraphs.ALIF))


def _check_alif(layer: Any, who: str) -> None:
    """Refuse the options of an ALIF, in either form, that NIR cannot express."""
    if isinstance(layer, ALIF):
        options = layer.step_options()
        reset, spike_fn = options["reset"], options["spike_fn"]
        wrong: dict[str, tuple[Any, Any]] = {"refractory": (layer.refractory, 0)}
    else:
        reset, spike_fn = layer._reset_mechanism, layer._spikes
        wrong = {
            "reset_delay": (layer.reset_delay, True),
            "inhibition": (layer.inhibition, False),
            "state_quant": (layer.state_quant, False),
            "graded_spikes_factor": (set(layer.graded_spikes_factor.flatten().tolist()), {1.0}),
        }
    for name, (value, wanted) in {"reset": (reset, "subtract"), **wrong}.items():
        if value != wanted:
            raise ValueError(
                f"to_nir: {who} must have {name}={wanted!r}, got {value!r}, for which NIR has no node; "
                "train the network with that option, or run it with this package"
            )
    distance = torch.tensor([-1.0, 0.0, 1.0])
    if spike_fn(distance, 1.0, None).tolist() != [0.0, 0.0, 1.0]:
        raise ValueError(f"to_nir: {who} must spike above its threshold only, got {spike_fn}")


def _recurrent(layer: Recurrent) -> Any:
    neuron = layer.neuron
    if type(neuron) is not ALIF:
        raise TypeError(tracing.refusal(neuron, (ALIF,)))
    w_in, w_rec = layer.weights()
    return _alif(neuron, {}, neuron.dt, input_weights=w_in, recurrent_weights=w_rec)


def _integrator(layer: LeakyIntegrator, sizes: dict[nn.Module, int]) -> Any:
    if layer.normalise:
        raise ValueError(
            "to_nir: LeakyIntegrator must have normalise=False, got True; scale its input instead"
        )
    (kappa,) = _per_neuron(layer, layer.params(torch.float64), sizes)
    return subgraphs.leaky(kappa, layer.dt, type(layer).__name__)


def _readout(layer: LeakyReadout) -> Any:
    if layer.bias is not None and not layer.bias_inside:
        raise ValueError(
            "to_nir: LeakyReadout must have bias_inside=True, got False; add the bias in an nn.Linear after it"
        )
    outputs, inputs = layer.w_out.shape
    nodes = {
        "input": nir.Input(np.array([inputs])),
        "output_weights": _linear(layer.w_out, layer.bias),
        "filter": _integrator(layer.filter, {}),
        "output": nir.Output(np.array([outputs])),
    }
    return nir.NIRGraph(nodes, sorted(subgraphs.READOUT))


def _linear(weight: Tensor, bias: Tensor | None = None) -> Any:
    if bias is None:
        return nir.Linear(_array(weight))
    return nir.Affine(_array(weight), _array(bias))


def _array(tensor: Tensor) -> Array:
    tensor = tensor.detach().cpu()
    tensor = tensor if tensor.dtype == torch.float64 else tensor.float()
    return np.array(tensor.numpy())  # a copy: the network may train on


def _per_neuron(layer: Any, params: tuple[Any, ...], sizes: dict[nn.Module, int]) -> list[Array]:
    """Parameters as (N,) each."""
    n = getattr(layer, "num_neurons", None) or sizes.get(layer)
    n = n or next((param.numel() for param in params if param.ndim), None)
    if n is None:
        raise ValueError(
            f"to_nir: sample must be given, got None, since {type(layer).__name__} does not know its number of neurons"
        )
    return [_array(param.expand(n)) for param in params]


def _sizes(network: nn.Module, sample: Tensor | None) -> dict[nn.Module, int]:
    """Size of each module's input for a sample, seen on a copy so that no neuron's state moves."""
    sizes: dict[nn.Module, int] = {}
    if sample is None:
        return sizes
    originals = dict(network.named_modules())
    run = copy.deepcopy(network)

    def see(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def hook(module: nn.Module, args: tuple[Any, ...]) -> None:
            if args and isinstance(args[0], Tensor):
                sizes[originals[name]] = args[0].shape[-1]

        return hook

    for name, module in run.named_modules():
        module.register_forward_pre_hook(see(name))
    with torch.no_grad():
        run(sample)
    return sizes
