r"""e-prop with readout, feedback and layers, written in numpy from Bellec et al. 2020: traces of every synapse.

$$
\begin{aligned}
y_k[t] &= \kappa_k\, y_k[t-1] + g_k \Big(\sum_j W_{kj}\, z_j[t] + b_k\Big), \qquad g_k = 1 \text{ or } 1 - \kappa_k \\
\bar e_{ji}[t] &= \kappa\, \bar e_{ji}[t-1] + e_{ji}[t], \qquad
\frac{dE}{dW_{ji}} = \sum_t \Big( \sum_k B_{kj}\, (y_k - y_k^*)\, g_k\, \bar e^{\kappa_k}_{ji} + c_j[t]\, e_{ji} \Big)
\end{aligned}
$$

of $E = \frac12 \sum (y - y^*)^2 + \sum c_j[t]\, z_j[t]$. Layers above one another have the same rule, each with its own
columns of B. Nothing here is turned round in time, and nothing is differentiated automatically.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tests.learning.oracles.neurons import Array, Trajectory
from tests.learning.oracles.rules import Gradient, split


@dataclass(frozen=True)
class Readout:
    """Weights and feedback (output, neuron), bias (output,), and the decay of each output."""

    w_out: Array
    b: Array
    bias: Array
    kappa: Array
    normalise: bool = False
    bias_inside: bool = True

    @property
    def gain(self) -> Array:
        return 1 - self.kappa if self.normalise else np.ones_like(self.kappa)

    def __call__(self, z: Array) -> Array:
        """Outputs, (T, batch, output)."""
        y, last = [], np.zeros((z.shape[1], len(self.w_out)))
        for z_t in z:
            fed = z_t @ self.w_out.T + (self.bias if self.bias_inside else 0)
            last = self.kappa * last + self.gain * fed
            y.append(last if self.bias_inside else last + self.bias)
        return np.stack(y)


class Found(NamedTuple):
    """Gradient of each layer, of the output weights, and of the bias."""

    layers: list[Gradient]
    w_out: Array
    bias: Array


def eprop(runs: list[Trajectory], readout: Readout, target: Array, rates: Array) -> Found:
    """The gradient of all layers and the readout.

    Args:
        runs: Run of each layer, the lowest first.
        readout: Of the spikes of all layers side by side.
        target: y*, (T, batch, output).
        rates: c, (T, batch, neuron of all layers).
    """
    z = np.concatenate([run.z for run in runs], -1)
    error = readout(z) - target
    found, start = [], 0
    for run in runs:
        stop = start + run.z.shape[-1]
        b = readout.b[:, start:stop]
        found.append(_layer(run, error * readout.gain, b, readout.kappa, rates[..., start:stop]))
        start = stop
    return Found(found, *_readout(z, error, readout))


def _layer(run: Trajectory, error: Array, b: Array, kappa: Array, rates: Array) -> Gradient:
    own, spike, drive, read = run.linear
    n, inputs = run.z.shape[-1], run.x.shape[-1]
    shape = (run.z.shape[1], n, inputs + n)
    eps, e = np.zeros((*shape, drive.shape[-1])), np.zeros(shape)
    filtered = {decay: np.zeros(shape) for decay in np.unique(kappa)}
    total = np.zeros(shape[1:])
    for t in range(len(run.z)):
        s = np.concatenate([np.repeat(run.x[t][:, None], n, 1), run.earlier(t)], -1)
        eps = np.einsum("bnij,bnsj->bnsi", own[t], eps) + spike[t][:, :, None] * e[..., None]
        eps += drive[t][:, :, None] * s[..., None]
        e = np.einsum("bni,bnsi->bns", read[t], eps)
        total += np.einsum("bn,bns->ns", rates[t], e)
        for decay in filtered:
            filtered[decay] = decay * filtered[decay] + e
            signal = error[t][:, kappa == decay] @ b[kappa == decay]
            total += np.einsum("bn,bns->ns", signal, filtered[decay])
    return split(total, inputs)


def _readout(z: Array, error: Array, readout: Readout) -> tuple[Array, Array]:
    """Error times filtered spikes, and error times the filtered constant."""
    shape = (z.shape[1], *readout.w_out.shape)
    kappa, gain = readout.kappa[:, None], readout.gain[:, None]
    mean, one = np.zeros(shape), np.zeros_like(readout.kappa)
    w_out, bias = np.zeros_like(readout.w_out), np.zeros_like(readout.bias)
    for z_t, error_t in zip(z, error, strict=True):
        mean = kappa * mean + gain * z_t[:, None]
        one = readout.kappa * one + readout.gain if readout.bias_inside else np.ones_like(one)
        w_out += np.einsum("bk,bkn->kn", error_t, mean)
        bias += error_t.sum(0) * one
    return w_out, bias
