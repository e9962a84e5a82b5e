"""`python -m snn_neuromod.benchmarks.loop`: a step in snnTorch's loop over time, each neuron beside `snntorch.Leaky`.

Every neuron in the place of `snn.Leaky(0.9, init_hidden=True)`, inputs in its range, called step by step; and whole
sequences by `snntorch.run`, beside the loop with Leaky. It needs snnTorch.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from typing import Any

import snntorch
import torch
from torch import Tensor, nn

from snn_neuromod import snntorch as ours

__all__ = ["NEURONS", "measure"]

NEURONS: dict[str, Callable[..., nn.Module]] = {
    "snn.Leaky": lambda **o: snntorch.Leaky(0.9, **o),
    "ALIF, adapt_strength=0": lambda **o: ours.ALIF(0.9, adapt_strength=0.0, **o),
    "ALIF": lambda **o: ours.ALIF(0.9, **o),
    "STDPALIF": lambda **o: ours.STDPALIF(0.9, **o),
    "Izhikevich": ours.Izhikevich,
    "SRC": ours.SRC,
    "MSRC": ours.MSRC,
    "BSRC": ours.BSRC,
}
STEPS = 25


def measure(
    num_neurons: int, *, batch: int, repeats: int, steps: int
) -> dict[str, tuple[float, ...]]:
    """Least microseconds of a step, in turns.

    Args:
        num_neurons: Neurons of the layer, and inputs.
        batch: Samples.
        repeats: Timed repeats of each; the first, untimed, compiles.
        steps: Steps of a repeat.

    Returns:
        Of each neuron: forward and backward, forward under `no_grad`, `run` forward and backward with a linear layer
        in front, and the loop over the same.
    """
    made: dict[str, Any] = {name: make(init_hidden=True) for name, make in NEURONS.items()}
    inputs = {name: _inputs(neuron, steps, batch, num_neurons) for name, neuron in made.items()}
    nets = {name: _behind_weights(neuron, num_neurons) for name, neuron in made.items()}
    least = {name: [float("inf")] * 4 for name in made}
    for repeat in range(repeats + 1):
        for name, neuron in made.items():
            net = nets[name]
            runs = ((_trained, neuron), (_evaluated, neuron), (_at_once, net), (_trained, net))
            for k, (run, module) in enumerate(runs):
                neuron.reset_mem()
                taken = _microseconds(run, module, inputs[name]) / steps
                least[name][k] = min(least[name][k], taken) if repeat else float("inf")
    return {name: tuple(times) for name, times in least.items()}


def _inputs(neuron: Any, steps: int, batch: int, num_neurons: int) -> Tensor:
    scale = getattr(neuron, "input_scale", 1.0)
    return (scale * torch.rand(steps, batch, num_neurons)).requires_grad_()


def _behind_weights(neuron: nn.Module, num_neurons: int) -> nn.Module:
    """With a linear layer in front that excites."""
    linear = nn.Linear(num_neurons, num_neurons)
    with torch.no_grad():
        linear.weight.abs_()
    return nn.Sequential(linear, neuron)


def _trained(net: nn.Module, x: Tensor) -> None:
    torch.stack([net(step) for step in x.unbind(0)]).sum().backward()


def _evaluated(net: nn.Module, x: Tensor) -> None:
    with torch.no_grad():
        torch.stack([net(step) for step in x.unbind(0)])


def _at_once(net: nn.Module, x: Tensor) -> None:
    ours.run(net, x).sum().backward()


def _microseconds(run: Callable[[nn.Module, Tensor], None], net: nn.Module, x: Tensor) -> float:
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    run(net, x)
    return 1e6 * (clock() - start)


def main() -> None:
    """Print one row for each neuron."""
    parser = argparse.ArgumentParser(
        prog="python -m snn_neuromod.benchmarks.loop", description=__doc__
    )
    parser.add_argument("--repeats", type=int, default=60, help="timed repeats (default 60)")
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch (default 1)")
    parser.add_argument("--neurons", type=int, nargs="*", default=[100, 1000])
    parser.add_argument("--batch", type=int, default=128)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {platform.machine()}, {options.threads} thread(s)")
    for num_neurons in options.neurons:
        times = measure(num_neurons, batch=options.batch, repeats=options.repeats, steps=STEPS)
        leaky = times["snn.Leaky"]
        print(
            f"\nB{options.batch} N{num_neurons} T{STEPS}: snn.Leaky {leaky[0]:.0f} us a step, ",
            end="",
        )
        print(f"{leaky[1]:.0f} us without gradient; ratios to it, of minima\n")
        print("| neuron | step, forward + backward | step under no_grad | linear + neuron by run |")
        print("|---|---|---|---|")
        for name, found in times.items():
            ratios = found[0] / leaky[0], found[1] / leaky[1], found[2] / leaky[3]
            print(f"| {name} | {' | '.join(f'{ratio:.2f}' for ratio in ratios)} |", flush=True)


if __name__ == "__main__":
    main()
