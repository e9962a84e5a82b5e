"""Spyx: JAX, one scan over linear layer and neurons."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from spyx import axn
from spyx import nn as layers

from snn_neuromod.benchmarks.outcome import Outcome, Run
from snn_neuromod.benchmarks.problems import Problem

__all__ = ["w2"]


def w2(problem: Problem) -> Run:
    """`nnx.Linear` and `LIF` in `spyx.nn.Sequential`; a spike is emitted one step after the crossing."""
    c, n = problem.constants, problem.size.neurons
    x, cotangent = (jnp.asarray(problem.arrays[name]) for name in ("x", "cotangent"))
    rngs = nnx.Rngs(0)
    model = layers.Sequential(
        nnx.Linear(n, n, use_bias=False, rngs=rngs),
        layers.LIF(
            (n,),
            beta=c["alpha"],
            threshold=c["v_th"],
            activation=axn.superspike(c["slope"]),
            rngs=rngs,
        ),
    )
    graph, state = nnx.split(model)
    kernel = jnp.asarray(problem.arrays["weight"].T)
    paths = [path for path, leaf in nnx.to_flat_state(state) if leaf[...].shape == kernel.shape]

    def loss(weight: Any) -> Any:
        flat = dict(nnx.to_flat_state(state))
        flat[paths[0]] = flat[paths[0]].replace(weight)
        out, _ = layers.run(nnx.merge(graph, nnx.from_flat_state(flat)), x)
        return (out * cotangent).sum(), out

    step = jax.jit(jax.value_and_grad(loss, has_aux=True))

    def run() -> Outcome:
        (_, out), gradient = jax.block_until_ready(step(kernel))
        return Outcome([gradient.T], out)

    return run
