"""JAX: `jit` of a scan whose step is recomputed in the backward pass (`jax.checkpoint`); the same equations."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from snn_neuromod.benchmarks.outcome import Outcome, Run
from snn_neuromod.benchmarks.problems import Problem

__all__ = ["w1", "w3"]


@jax.custom_jvp
def _relu(h: Any) -> Any:
    return jnp.maximum(h, 0.0)


@_relu.defjvp
def _(primals: Any, tangents: Any) -> Any:
    return _relu(primals[0]), tangents[0]


def _spike(gamma: float) -> Any:
    @jax.custom_jvp
    def spike(distance: Any) -> Any:
        return (distance > 0).astype(distance.dtype)

    @spike.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        psi = gamma * jnp.maximum(0.0, 1.0 - jnp.abs(primals[0]))
        return spike(primals[0]), psi * tangents[0]

    return spike


def _timed(loss: Any, learned: Any, *data: Any) -> Run:
    """Jitted value and gradient of `loss(learned, *data) -> (loss, spikes)`."""
    step = jax.jit(jax.value_and_grad(loss, has_aux=True))

    def run() -> Outcome:
        (_, spikes), gradients = jax.block_until_ready(step(learned, *data))
        return Outcome(list(gradients.values()), spikes)

    return run


def w1(problem: Problem) -> Run:
    """SRC layer."""
    c, arrays = problem.constants, problem.arrays
    alpha, rho, r, r_s, z_hyp = 0.9, 3.0, 2.0, -7.0, 0.9

    def loss(learned: Any, cotangent: Any) -> Any:
        @jax.checkpoint
        def step(state: Any, current: Any) -> Any:
            i, h, h_s = state
            if c["detach"]:
                h, h_s = lax.stop_gradient((h, h_s))
            i = alpha * i + current
            drive = rho * jnp.tanh(i / rho)
            z_s = z_hyp * (1.0 - jax.nn.sigmoid(10.0 * (h - 0.5)))
            new = jnp.tanh(drive + r * h + r_s * h_s + learned["b"])
            return (i, new, z_s * h_s + (1.0 - z_s) * h), _relu(new)

        zero = jnp.zeros_like(cotangent[0])
        start = zero + c["start"]
        _, out = lax.scan(step, (zero, start, start), learned["current"])
        return (out * cotangent).sum(), out

    learned = {
        "b": jnp.full(problem.size.neurons, c["b"]),
        "current": jnp.asarray(arrays["current"]),
    }
    return _timed(loss, learned, jnp.asarray(arrays["cotangent"]))


def w3(problem: Problem) -> Run:
    """Recurrent ALIF, backpropagation through time."""
    c = problem.constants
    arrays = {name: jnp.asarray(array) for name, array in problem.arrays.items()}
    spike = _spike(c["gamma"])

    def loss(learned: Any, x: Any, cotangent: Any) -> Any:
        w_rec = learned["w_rec"] * (1.0 - jnp.eye(problem.size.neurons))

        @jax.checkpoint
        def step(state: Any, current: Any) -> Any:
            v, a, z = state
            v = c["alpha"] * v + current + z @ w_rec.T - c["v_th"] * z
            a = c["rho"] * a + z
            z = spike((v - c["v_th"] - c["beta"] * a) / c["v_th"])
            return (v, a, z), z

        zero = jnp.zeros_like(cotangent[0])
        _, out = lax.scan(step, (zero, zero, zero), x @ learned["w_in"].T)
        return (out * cotangent).sum(), out

    learned = {"w_in": arrays["w_in"], "w_rec": arrays["w_rec"]}
    return _timed(loss, learned, arrays["x"], arrays["cotangent"])
