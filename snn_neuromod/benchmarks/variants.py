"""The variants of each workload: this package's, the reference scan, and other libraries'."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["OURS", "VARIANTS", "Variant"]

OURS = "snn_neuromod"
"""Name of the variant that the others are compared with."""


@dataclass(frozen=True)
class Variant:
    """One way to run a workload.

    Attributes:
        name: Short name, for the command line and the results.
        workload: "W1" to "W7".
        title: As in the table.
        build: Module in `peers` and function, "module:function".
        needs: Modules that must be importable.
        same: Whether it computes the same function as the reference, and is checked against it; others are checked
            only to be alive.
        differs: What it does differently.
        arguments: Further arguments of `build`.
        check: Constants that differ in the check alone.
        overrides: Constants for which it serves, by name; the case must have them.
        compiles: Whether its first call compiles.
        optional: Run only when it is asked for by name.
    """

    name: str
    workload: str
    title: str
    build: str
    needs: tuple[str, ...] = ()
    same: bool = True
    differs: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    check: Mapping[str, float] = field(default_factory=dict)
    overrides: Mapping[str, float] = field(default_factory=dict)
    compiles: bool = False
    optional: bool = False


def _plain(workload: str) -> Variant:
    return Variant(
        "plain",
        workload,
        "snn_neuromod without C kernels",
        "ours:plain",
        arguments={"workload": workload.lower()},
        differs='The same layers with `backend="eager"`: both passes printed in plain PyTorch.',
    )


def _bytes(workload: str) -> Variant:
    return Variant(
        "bytes",
        workload,
        "snn_neuromod, input spikes as bytes",
        "ours:in_bytes",
        arguments={"workload": workload.lower()},
        differs="The same layer; its input comes as uint8 instead of float32.",
    )


def _jax(workload: str) -> Variant:
    return Variant(
        "jax",
        workload,
        "JAX scan + checkpoint",
        f"jax_scan:{workload.lower()}",
        needs=("jax",),
        compiles=True,
        differs="The same equations in `jit(lax.scan)`, the step recomputed in the backward pass.",
    )


def _ours(workload: str, what: str) -> Variant:
    return Variant(OURS, workload, f"snn_neuromod {what}", f"ours:{workload.lower()}")


def _reference(workload: str, what: str = "reference scan") -> Variant:
    return Variant(
        "reference",
        workload,
        what,
        f"reference:{workload.lower()}",
        differs="The equations of `snn_neuromod.dynamics` in a Python loop under ordinary autograd.",
    )


VARIANTS = (
    _ours("W1", "SRC"),
    _plain("W1"),
    _reference("W1"),
    Variant(
        "compile",
        "W1",
        "torch.compile of 10 steps",
        "reference:w1_compiled",
        compiles=True,
        optional=True,
        differs="The reference scan, compiled in chunks of 10 steps; run when it is asked for by name.",
    ),
    Variant(
        "spikingjelly",
        "W1",
        "SpikingJelly FlexSN",
        "spikingjelly:w1",
        needs=("spikingjelly",),
        differs="The SRC's step as FlexSN's core. Its Triton kernel needs CUDA; on a CPU FlexSN loops over the steps "
        "in PyTorch, and picks each step out of the sequence by index, whose backward pass writes a whole sequence "
        "of zeros per step.",
    ),
    _jax("W1"),
    _ours("W2", "ALIF, beta = 0"),
    _bytes("W2"),
    _plain("W2"),
    _reference("W2"),
    Variant(
        "snntorch",
        "W2",
        "snnTorch Leaky",
        "snntorch:w2",
        needs=("snntorch",),
        differs="Linear layer and neuron step by step in a Python loop, snnTorch's style.",
    ),
    Variant(
        "spikingjelly",
        "W2",
        "SpikingJelly LIFNode",
        "spikingjelly:w2",
        needs=("spikingjelly",),
        same=False,
        differs="Multi-step mode, PyTorch backend. Subtracts the threshold within the step of the spike.",
    ),
    Variant(
        "norse",
        "W2",
        "Norse LIF",
        "norse:w2",
        needs=("norse",),
        same=False,
        differs="Has a synaptic current; resets to zero within the step of the spike. Picks each step out of the "
        "sequence by index, as FlexSN.",
    ),
    Variant(
        "sinabs",
        "W2",
        "Sinabs LIF",
        "sinabs:w2",
        needs=("sinabs",),
        same=False,
        differs="Batch first; subtracts the threshold within the step of the spike. Picks each step out by index.",
    ),
    Variant(
        "spyx",
        "W2",
        "Spyx LIF",
        "spyx:w2",
        needs=("spyx",),
        same=False,
        compiles=True,
        differs="JAX; the product is part of the scan. Emits a spike one step after the crossing.",
    ),
    _ours("W3", "Recurrent(ALIF)"),
    _bytes("W3"),
    _plain("W3"),
    _reference("W3", "reference scan (eager BPTT)"),
    Variant(
        "snntorch",
        "W3",
        "snnTorch RLeaky",
        "snntorch:w3",
        needs=("snntorch",),
        same=False,
        differs="LIF without adaptation; threshold raised so that it is about as active.",
    ),
    Variant(
        "norse",
        "W3",
        "Norse LSNNRecurrent",
        "norse:w3",
        needs=("norse",),
        same=False,
        differs="Adaptive LIF with a synaptic current, reset to zero; time constants and threshold set so that it is "
        "about as active.",
    ),
    Variant(
        "spikingjelly",
        "W3",
        "SpikingJelly LinearRecurrentContainer",
        "spikingjelly:w3",
        needs=("spikingjelly",),
        same=False,
        differs="LIFNode without adaptation; one product per step with input and spikes side by side.",
    ),
    _jax("W3"),
    _ours("W4", 'Recurrent(ALIF, learning_rule="eprop")'),
    _bytes("W4"),
    _plain("W4"),
    _reference("W4", "reference scan, recurrent spikes detached"),
    Variant(
        "traces",
        "W4",
        "explicit traces",
        "traces:forwards",
        differs="Eligibility traces per sample and synapse, carried forwards in time in as few passes over memory as "
        "plain PyTorch allows.",
    ),
    Variant(
        "eprop_pytorch",
        "W4",
        "eprop-PyTorch's algorithm",
        "traces:convolved",
        overrides={"beta": 0.0},
        differs="LIF. The traces of all steps at once in memory, filtered by convolutions over time; written anew "
        "after the published algorithm (C. Frenkel, eprop-PyTorch).",
    ),
    Variant(
        "eprop",
        "W4",
        "BrainTrace EProp",
        "braintrace:w4",
        needs=("braintrace",),
        arguments={"rule": "EProp"},
        check={"kappa": 0.0},
        compiles=True,
        differs="JAX; traces per sample and synapse. Filters the trace of the states, not the eligibility trace, for "
        "the readout's leak: the same gradient without a leak, which is how it is checked.",
    ),
    Variant(
        "es_d_rtrl",
        "W4",
        "BrainTrace ES-D-RTRL",
        "braintrace:w4",
        needs=("braintrace",),
        same=False,
        arguments={"rule": "ES_D_RTRL"},
        compiles=True,
        differs="JAX; an approximation whose trace is one outer product.",
    ),
    _ours("W5", "OnlineEprop, segments of 50 steps"),
    Variant(
        "eprop",
        "W5",
        "BrainTrace EProp",
        "braintrace:w5",
        needs=("braintrace",),
        arguments={"rule": "EProp"},
        check={"kappa": 0.0},
        compiles=True,
        differs="As in W4; one compiled scan per segment of 50 steps.",
    ),
    Variant(
        "es_d_rtrl",
        "W5",
        "BrainTrace ES-D-RTRL",
        "braintrace:w5",
        needs=("braintrace",),
        same=False,
        arguments={"rule": "ES_D_RTRL"},
        compiles=True,
        differs="As in W4.",
    ),
    _ours("W6", "Izhikevich"),
    _plain("W6"),
    _reference("W6"),
    Variant(
        "spikingjelly",
        "W6",
        "SpikingJelly IzhikevichNode",
        "spikingjelly:w6",
        needs=("spikingjelly",),
        same=False,
        differs="Normalised units; current scaled so that it is about as active.",
    ),
    Variant(
        "norse",
        "W6",
        "Norse Izhikevich",
        "norse:w6",
        needs=("norse",),
        same=False,
        differs="The same Euler step with the reset inside the step of the spike, and SuperSpike's derivative. Picks "
        "each step out of the sequence by index.",
    ),
    Variant(
        OURS,
        "W7",
        "snn_neuromod layers",
        "training:layers",
        differs="Coded spikes stay bytes up to the first product; the other libraries take floating point.",
    ),
    Variant(
        "plain",
        "W7",
        "snn_neuromod without C kernels",
        "training:plain",
        differs='The same layers with `backend="eager"`.',
    ),
    Variant(
        "snntorch",
        "W7",
        "eager snnTorch style",
        "training:loop",
        differs="The same network in a Python loop over the steps, layer after layer, each neuron a call of its step.",
    ),
    Variant(
        "spikingjelly",
        "W7",
        "SpikingJelly FlexSN",
        "spikingjelly:w7",
        needs=("spikingjelly",),
        differs="The same network, its neurons as FlexSN with modulation and bias as further inputs.",
    ),
)
"""All variants, this package's first in each workload."""
