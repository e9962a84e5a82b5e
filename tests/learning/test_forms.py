"""The forms of e-prop agree with one another and with autograd, for every neuron and option; and differ from BPTT."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

import snn_neuromod as nm
from snn_neuromod.learning.eprop import rule, traces
from tests.layers.test_custom import Resonator
from tests.learning.cases import (
    STEPS,
    Problem,
    assert_live,
    distance,
    loss_from,
    online,
    oracle,
    sequence,
)

SRC_LEARNED = ("alpha", "rho", "r", "r_s", "z_hyp", "z_dep", "b")
ALIF_LEARNED = {"tau_mem": 8.0, "learn": ("tau_mem", "tau_adapt", "beta", "v_th")}
LIVE_SRC = {"alpha": 0.5, "rho": 3.0}
TAUS = [3.0, 20.0, 3.0]
CHANCE = torch.rand(5, 5, generator=torch.Generator().manual_seed(0))
DELAYS = {
    "common": 3,
    "axonal": torch.tensor([1, 4, 2, 1, 4]),
    "synaptic": 1 + (4 * CHANCE).long(),
}


class Quadratic:
    """A neuron of one's own, whose spike is not a function of the state that it leaves behind."""

    class Params(NamedTuple):
        alpha: float = 0.8
        v_th: float = 1.0

    class State(NamedTuple):
        v: Tensor

    @classmethod
    def initial_state(cls, current: Tensor) -> State:
        return cls.State(torch.zeros_like(current))

    @classmethod
    def step(cls, params: Any, state: State, current: Tensor) -> tuple[Tensor, State]:
        v = params.alpha * state.v + 0.1 * state.v**2 + current
        z = nm.Psi()(v - params.v_th, params.v_th)
        return z, cls.State(v - v * z)


NEURON_CASES = [
    *(
        Problem(nm.ALIF, f"{reset} refractory {refractory} {'detached' if detach else 'attached'}",
                {**ALIF_LEARNED, "reset": reset, "refractory": refractory, "detach_reset": detach})
        for reset, refractory, detach in itertools.product(
            ("subtract", "zero", "none"), (0, 2), (True, False))
    ),
    *(
        Problem(nm.STDPALIF, f"refractory {refractory} {'detached' if detach else 'attached'}",
                {**ALIF_LEARNED, "refractory": refractory, "detach_reset": detach})
        for refractory, detach in itertools.product((1, 3), (True, False))
    ),
    *(
        Problem(nm.Izhikevich, f"dt {dt} {'detached' if detach else 'attached'}",
                {"dt": dt, "detach_reset": detach, "learn": tuple("abcd")}, drive=8 / dt, spread=3.0)
        for dt, detach in itertools.product((0.25, 0.5), (True, False))
    ),
    Problem(nm.SRC, "default", {**LIVE_SRC, "learn": SRC_LEARNED[:3]}, drive=2.0),
    *(
        Problem(layer, "all gradients",
                {**LIVE_SRC, "z": 0.1, "detach_recurrence": False, "straight_through": straight,
                 "learn": (*SRC_LEARNED, *more)}, drive=2.0)
        for layer, more in ((nm.SRC, ()), (nm.MSRC, ("modulation",)), (nm.BSRC, ("r_u", "z_u")))
        for straight in (True, False)
    ),
]  # fmt: skip

OPTION_CASES = [
    *(
        Problem(nm.STDPALIF, f"psi refractory {held} at spike {spike} {scale}",
                {"tau_mem": 8.0, "psi": nm.Psi(refractory=held, at_spike=spike, scale=scale)})
        for held, spike, scale in [(0.0, None, "none"), (-1.0, -1.0, "none"), (1.0, 0.5, "threshold")]
    ),
    *(
        Problem(nm.ALIF, f"psi {shape}", {"tau_mem": 8.0, "psi": nm.Psi(shape=shape, width=0.7)})
        for shape in ("exponential", "boxcar", "fast_sigmoid", "gaussian", "arctan")
    ),
    *(
        Problem(nm.ALIF, f"psi refractory {held}",
                {"tau_mem": 8.0, "refractory": 2, "psi": nm.Psi(refractory=held)})
        for held in (-1.0, 1.0)
    ),
    *(
        Problem(nm.Izhikevich, f"dt {dt} clipped at {clip} psi at spike {spike}",
                {"dt": dt, "clip_jacobian": clip, "learn": ("a", "c"),
                 "psi": nm.Psi(shape="exponential", scale="none", at_spike=spike)},
                drive=8 / dt, spread=3.0)
        for dt, clip, spike in [(0.5, 1.0, None), (0.5, 3.0, -1.0), (0.25, None, 0.0), (1.0, 1.0, 0.5)]
    ),
    *(
        Problem(nm.Custom, f"a step of the user's {label} delay",
                {"dynamics": Resonator, "learn": ["omega", "damping"]}, layer={"delay": delay})
        for label, delay in [("one step", 1), ("axonal", DELAYS["axonal"])]
    ),
    Problem(nm.Izhikevich, "clipped", {"dt": 1.0, "clip_jacobian": 1.5, "learn": tuple("abcd")},
            drive=8.0, spread=3.0),
    Problem(nm.Custom, "quadratic", {"dynamics": Quadratic, "learn": ("alpha", "v_th")}),
    Problem(nm.ALIF, "own spike function", {"tau_mem": 8.0, "psi": nm.surrogate.smooth}, 1.0),
    Problem(nm.ALIF, "parameters per neuron",
            {"tau_mem": [2.0, 4, 8, 16, 30], "tau_adapt": [20.0, 50, 9, 9, 9], "refractory": 1}),
    Problem(nm.ALIF, "shared parameter", {"tau_mem": torch.tensor(8.0), "learn": ["tau_mem"]}),
    *(
        Problem(neuron, f"{label} delay", {"tau_mem": 8.0, "learn": ["beta"]}, layer={"delay": delay})
        for neuron, (label, delay) in itertools.product((nm.ALIF, nm.STDPALIF), DELAYS.items())
    ),
    Problem(nm.ALIF, "masks", {"tau_mem": 8.0}, drive=1.0,
            layer={"mask_in": CHANCE[:, :3] < 0.7, "mask_rec": CHANCE < 0.5, "delay": DELAYS["synaptic"]}),
    *(
        Problem(nm.ALIF, f"feedback {feedback} {readout}", {"tau_mem": 8.0, "refractory": 1},
                readout={"feedback": feedback, **readout})
        for feedback, readout in itertools.product(("symmetric", "random", "adaptive"), (
            {}, {"tau_out": TAUS, "normalise": True}, {"bias_inside": False, "tau_out": float("inf")},
            {"bias": False, "tau_out": TAUS}))
    ),
]  # fmt: skip
LENGTHS = [1, 7, STEPS]
_loss = loss_from(0)


@pytest.mark.parametrize("problem", [*NEURON_CASES, *OPTION_CASES], ids=str)
def test_all_forms_are_autograd_with_the_recurrent_spikes_detached(problem: Problem) -> None:
    layer, readout = problem.make()
    x = sequence()
    spikes, expected = oracle(layer, readout, x)
    if "own" not in problem.label:  # smooth, graded between 0 and 1
        assert_live(spikes)
    forms = {
        "rule": rule.gradients(layer, readout, x, _loss),
        "traces": traces.gradients(layer, readout, x, _loss),
        **{f"online {n}": online(layer, readout, x, n) for n in LENGTHS},
    }
    for form, found in forms.items():
        for name, error in distance(found, expected).items():
            assert error < 1e-10, f"{form}, {name}: relative error {error:.1e}"


@pytest.mark.parametrize("batch", [1, 3])
def test_batches(batch: int) -> None:
    layer, readout = NEURON_CASES[2].make()
    x = sequence(batch)
    _, expected = oracle(layer, readout, x)
    for found in (traces.gradients(layer, readout, x, _loss), online(layer, readout, x, 5)):
        assert max(distance(found, expected).values()) < 1e-10


@pytest.mark.parametrize("problem", [c for c in NEURON_CASES if "detached" not in c.label], ids=str)
def test_eprop_is_not_backpropagation_through_time(problem: Problem) -> None:
    """Negative control: the same network has another gradient when the recurrent path counts."""
    layer, readout = problem.make()
    x = sequence()
    _, local = oracle(layer, readout, x)
    _, exact = oracle(layer, readout, x, hops=None)
    for name, error in distance(local, exact).items():
        if name.startswith("layer.w"):
            assert error > 1e-6, name
        if name.startswith("readout"):
            assert error < 1e-12, name


def test_the_rule_ignores_and_keeps_the_learning_rule() -> None:
    (layer, readout), x = NEURON_CASES[0].make("bptt"), sequence()
    _, expected = oracle(layer, readout, x)
    assert max(distance(rule.gradients(layer, readout, x, _loss), expected).values()) < 1e-10
    assert layer.learning_rule == "bptt"
    with pytest.raises(ValueError, match="at least one step"):
        rule.run(layer, x[:0])
    assert layer.learning_rule == "bptt"
    spikes, state = rule.run(layer, x[:10])
    rest, _ = rule.run(layer, x[10:], state)
    assert torch.equal(torch.cat([spikes, rest]), layer(x)[0])
