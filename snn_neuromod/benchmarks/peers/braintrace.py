"""BrainTrace: online rules for JAX models, one compiled scan over the sequence."""

from __future__ import annotations

from typing import Any

import brainstate
import braintrace
import jax
import jax.numpy as jnp
import numpy as np

from snn_neuromod.benchmarks.outcome import Outcome, Run
from snn_neuromod.benchmarks.problems import GIVEN, INPUTS, OUTPUTS, Problem

__all__ = ["w4", "w5"]


def _network(problem: Problem) -> Any:
    """Recurrent ALIF neurons."""
    c, arrays, n = problem.constants, problem.arrays, problem.size.neurons

    @jax.custom_jvp
    def spike(distance: Any) -> Any:
        return (distance > 0).astype(distance.dtype)

    @spike.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        psi = c["gamma"] * jnp.maximum(0.0, 1.0 - jnp.abs(primals[0]))
        return spike(primals[0]), psi * tangents[0]

    class Network(brainstate.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            w = np.concatenate([arrays["w_in"].T, arrays["w_rec"].T])
            self.w = brainstate.ParamState(jnp.asarray(w))

        def init_state(self, batch_size: int | None = None, **kwargs: Any) -> None:
            zero = jnp.zeros((batch_size, n))
            self.v, self.a = brainstate.HiddenState(zero), brainstate.HiddenState(zero)

        def spikes(self, v: Any, a: Any) -> Any:
            return spike((v - c["v_th"] - c["beta"] * a) / c["v_th"])

        def update(self, x: Any) -> Any:
            v, a = self.v.value, self.a.value
            z = self.spikes(v, a)
            current = braintrace.matmul(
                jnp.concatenate([x, jax.lax.stop_gradient(z)], -1), self.w.value
            )
            v = c["alpha"] * v + current - c["v_th"] * jax.lax.stop_gradient(z)
            a = c["rho"] * a + z
            self.v.value, self.a.value = v, a
            return self.spikes(v, a)

    return Network()


def _learner(problem: Problem, rule: str) -> tuple[Any, Any]:
    """The compiled learner, and a function that goes over a segment and gives gradients and spikes."""
    network, batch = _network(problem), problem.size.batch
    options: dict[str, Any] = (
        {"kappa_filter_decay": problem.constants["kappa"]}
        if rule == "EProp"
        else {"decay_or_rank": 0.99}
    )
    example = jnp.zeros((batch, INPUTS))
    learner: Any = braintrace.compile(
        network, getattr(braintrace, rule), example, batch_size=batch, **options
    )

    w_out = brainstate.ParamState(jnp.asarray(problem.arrays["w_out"].T))
    weights = {"w": network.w, "w_out": w_out}

    def step(x: Any, cotangent: Any) -> Any:
        """A readout without leak: the filter is the rule's."""
        z = learner(x)
        return ((z @ w_out.value) * cotangent).sum(), z

    @brainstate.transform.jit
    def segment(x: Any, cotangent: Any) -> Any:
        return learner.etrace_grad(
            x, cotangent, step_fn=step, weights=weights, reduction="sum", has_aux=True
        )

    def reset() -> None:
        for state in (network.v, network.a):
            state.value = jnp.zeros_like(state.value)
        learner.reset_state(batch_size=batch)

    return reset, segment


def _gradients(gradients: Any) -> list[Any]:
    """Gradients of w_in, w_rec and w_out."""
    w, w_out = (np.asarray(gradients[name]).T for name in ("w", "w_out"))
    w_rec = w[:, INPUTS:].copy()
    np.fill_diagonal(w_rec, 0.0)
    return [w[:, :INPUTS], w_rec, w_out]


def w4(problem: Problem, rule: str) -> Run:
    """A whole sequence."""
    reset, segment = _learner(problem, rule)
    x, cotangent = (jnp.asarray(problem.arrays[name]) for name in ("x", "cotangent"))

    def run() -> Outcome:
        reset()
        gradients, spikes = jax.block_until_ready(segment(x, cotangent))
        return Outcome(_gradients(gradients), spikes)

    return run


def w5(problem: Problem, rule: str) -> Run:
    """In segments, the input made as it goes."""
    reset, segment = _learner(problem, rule)
    steps, batch, *_ = problem.size
    length = min(int(problem.constants["segment"]), steps)
    given = [jnp.asarray(problem.arrays[name]) for name in ("x", "cotangent")]

    @jax.jit
    def draw(key: Any) -> Any:
        one, two = jax.random.split(key)
        x = jax.random.bernoulli(one, 0.1, (length, batch, INPUTS)).astype(jnp.float32)
        return x, jax.random.normal(two, (length, batch, OUTPUTS))

    def part(start: int) -> Any:
        if steps <= GIVEN:
            return [array[start : start + length] for array in given]
        return draw(jax.random.PRNGKey(start))

    def run() -> Outcome:
        reset()
        total: Any = None
        for start in range(0, steps, length):
            gradients, spikes = jax.block_until_ready(segment(*part(start)))
            total = gradients if total is None else jax.tree.map(jnp.add, total, gradients)
        return Outcome(_gradients(total), spikes)

    return run
