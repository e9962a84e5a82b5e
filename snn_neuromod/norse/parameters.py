"""Parameters in Norse's form: a NamedTuple per neuron, in Norse's units, which a layer is made of."""

from __future__ import annotations

from typing import Any, NamedTuple

import norse.torch as theirs
import torch

from snn_neuromod.errors import ConfigError, KindError
from snn_neuromod.layers.parameters import Value


class ALIFParameters(NamedTuple):
    """Parameters of ALIF and STDP-ALIF, in Norse's units.

    Attributes:
        tau_mem_inv: Inverse membrane time constant in 1/s, > 0.
        tau_adapt_inv: Inverse adaptation time constant in 1/s, > 0.
        beta: Threshold increase per spike in units of the membrane, >= 0.
        v_th: Baseline threshold in units of the membrane, > 0.
    """

    tau_mem_inv: Value = 1 / 20e-3
    tau_adapt_inv: Value = 1 / 200e-3
    beta: Value = 0.184
    v_th: Value = 1.0


class IzhikevichParameters(NamedTuple):
    """Parameters of the Izhikevich neuron, in the source's units (and Norse's).

    Attributes:
        a: Rate of recovery in 1/ms, > 0; negative together with a negative b only.
        b: Sensitivity of recovery to the membrane.
        c: Membrane after a spike in mV.
        d: Increase of recovery by a spike in mV.
        tau_inv: Milliseconds of the equations in one second of `dt`, by Norse's name: 1000 takes `dt` as it is, Norse's
            own 250 makes each step of 0.001 one of 0.25 ms.
        mn: Factor of the membrane in its equation, 1/ms.
        bias: Constant in it, mV/ms.
    """

    a: Value = 0.02
    b: Value = 0.2
    c: Value = -65.0
    d: Value = 2.0
    tau_inv: float = 1000.0
    mn: float = 5.0
    bias: float = 140.0


class SRCParameters(NamedTuple):
    """Parameters of the SRC, dimensionless.

    Attributes:
        alpha: Decay of the synapse per step, in [0, 1]; 0 has no memory.
        rho: Bound of the drive, > 0; inf for none.
        r: Fast positive feedback.
        r_s: Slow feedback.
        z: Membrane update gate, in [0, 1).
        z_hyp: Gate of the slow variable at rest, in [0, 1).
        z_dep: Gate of the slow variable during a spike, in [0, 1).
        b: Bias.
    """

    alpha: Value = 0.9
    rho: Value = 3.0
    r: Value = 2.0
    r_s: Value = -7.0
    z: Value = 0.0
    z_hyp: Value = 0.9
    z_dep: Value = 0.0
    b: Value = -6.0


class MSRCParameters(NamedTuple):
    """Parameters of the mSRC, dimensionless.

    Attributes:
        modulation: Modulation, which sets the type of excitability.
        alpha: Decay of the synapse per step, in [0, 1]; 0 has no memory.
        rho: Bound of the drive, > 0; inf for none.
        r: Fast positive feedback.
        r_s: Slow feedback.
        z: Membrane update gate, in [0, 1).
        z_hyp: Gate of the slow variable at rest, in [0, 1).
        z_dep: Gate of the slow variable during a spike, in [0, 1).
        b: Bias.
    """

    modulation: Value = 0.9
    alpha: Value = 0.9
    rho: Value = 3.0
    r: Value = 4.0
    r_s: Value = -7.0
    z: Value = 0.0
    z_hyp: Value = 0.9
    z_dep: Value = 0.0
    b: Value = 0.0


class BSRCParameters(NamedTuple):
    """Parameters of the BSRC, dimensionless.

    Attributes:
        modulation: Modulation, which sets the type of excitability.
        alpha: Decay of the synapse per step, in [0, 1]; 0 has no memory.
        rho: Bound of the drive, > 0; inf for none.
        r: Fast positive feedback.
        r_s: Slow feedback.
        r_u: Ultra-slow feedback.
        z: Membrane update gate, in [0, 1).
        z_hyp: Gate of the slow variable at rest, in [0, 1).
        z_dep: Gate of the slow variable during a spike, in [0, 1).
        z_u: Gate of the ultra-slow variable, in [0, 1).
        b: Bias.
        h_u0: Offset of the ultra-slow feedback; an addition to the source.
    """

    modulation: Value = 0.7
    alpha: Value = 0.5
    rho: Value = 3.0
    r: Value = 4.0
    r_s: Value = -7.0
    r_u: Value = -8.5
    z: Value = 0.0
    z_hyp: Value = 0.9
    z_dep: Value = 0.0
    z_u: Value = 0.999
    b: Value = 0.0
    h_u0: Value = 0.55


CONVERTED = (
    theirs.LIFParameters,
    theirs.LIFBoxParameters,
    theirs.LSNNParameters,
    theirs.IzhikevichParameters,
)
"""Norse's parameters that `from_norse` converts."""


def from_norse(p: Any) -> Any:
    r"""This package's parameters for those of Norse's LIF, LSNN and Izhikevich neurons; the classes here take both.

    Parameters are handed on as they are, learned ones too. What differs from Norse's LIF and LSNN of the same numbers:
    the input is the membrane's own, without a synapse (`tau_syn_inv` has no place) and without the gain
    $\Delta t / \tau$; a decay is $e^{-\Delta t / \tau}$; a spike takes the threshold off the membrane, and adds `beta`
    to the threshold, a step later; the surrogate gradient is `psi` (`method` and `alpha` have no place). Izhikevich's
    neuron is Norse's, step for step.

    Args:
        p: `LIFParameters`, `LIFBoxParameters`, `LSNNParameters` or `IzhikevichParameters` of Norse.

    Returns:
        `ALIFParameters`, of a LIF with `beta` 0, or `IzhikevichParameters`.

    Raises:
        TypeError: If they are those of another neuron.
        ConfigError: If a leak or reset is not 0, or the square's factor or the threshold of Izhikevich's is another.

    Examples:
        >>> from norse.torch import LSNNParameters
        >>> from_norse(LSNNParameters(tau_adapt_inv=5.0)).tau_adapt_inv
        5.0
    """
    if isinstance(p, theirs.IzhikevichParameters):
        _require(p, sq=0.04, v_th=30.0)
        return IzhikevichParameters(p.a, p.b, p.c, p.d, p.tau_inv, p.mn, p.bias)
    if not isinstance(p, CONVERTED):
        raise KindError(
            "from_norse: p must be LIFParameters, LIFBoxParameters, LSNNParameters or IzhikevichParameters of Norse, "
            f"got {type(p).__name__}"
        )
    _require(p, v_leak=0.0, v_reset=0.0)
    plain = ALIFParameters(tau_mem_inv=p.tau_mem_inv, beta=0.0, v_th=p.v_th)
    if not isinstance(p, theirs.LSNNParameters):
        return plain
    return plain._replace(tau_adapt_inv=p.tau_adapt_inv, beta=p.beta)


def _require(p: Any, **wanted: float) -> None:
    for name, value in wanted.items():
        found = torch.as_tensor(getattr(p, name)).detach().double()
        if not torch.allclose(found, torch.full_like(found, value), rtol=1e-6, atol=0):
            raise ConfigError(
                f"from_norse: {name} must be {value:g}, as of the neurons here, got {getattr(p, name)}; "
                "shift membrane and threshold"
            )
