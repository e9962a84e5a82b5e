"""Sequences run by C that is printed from the neuron's step.

That of the neurons of the package, with all their options, is compiled when the package is installed; that of others,
and of what those do not serve, at first use.
"""

from __future__ import annotations

import inspect
import json
from functools import cache
from typing import Any

import torch

from snn_neuromod.kernels.backends.c import library
from snn_neuromod.kernels.backends.c.prepared import Prepared
from snn_neuromod.kernels.call import Call
from snn_neuromod.kernels.fusion import jit
from snn_neuromod.kernels.fusion.c import TYPES
from snn_neuromod.kernels.fusion.kernel import Kernel, address
from snn_neuromod.kernels.fusion.switches import Switches
from snn_neuromod.kernels.fusion.trace import NotElementwise
from snn_neuromod.kernels.neurons import Neuron


def unable(call: Call) -> str | None:
    """Why no printed kernel can serve a sequence, None if one can; it is compiled here."""
    current = call.current
    if current.device.type != "cpu" or current.dtype not in TYPES:
        return f"the input must be float32 or float64 on the CPU, got {current.dtype} on {current.device}"
    if _installed(call) is not None:
        return None
    library.say_missing()
    reason = jit.unable()
    if reason is not None:
        return reason if library.load()[0] else f"its library is {library.load()[1]}; {reason}"
    try:
        _kernel(call)
    except (NotElementwise, jit.CompileError) as error:
        return f"no kernel can be printed from the step: {error}"
    return None


def prepare(call: Call) -> Prepared:
    """What runs a sequence and all that look like it."""
    return Prepared(call, _kernel(call))


def _kernel(call: Call) -> Kernel:
    return _installed(call) or call.neuron.kernel(call.current.dtype, call.paths.states)


def _installed(call: Call) -> Kernel | None:
    """The kernel of a neuron of the package with these options, None if it was not compiled with it."""
    neuron, dtype = call.neuron, call.current.dtype
    if not neuron.known or call.paths.states is not None:
        return None
    return neuron.once(("installed", dtype), lambda: _linked(neuron, dtype))


def _linked(neuron: Neuron, dtype: torch.dtype) -> Kernel | None:
    built, known = library.load()[0], index().get(neuron.name)
    if built is None or known is None:
        return None
    switches = Switches(neuron.module.OPTIONS)
    arguments = inspect.signature(neuron.module.step).parameters.items()
    options = {name: a.default for name, a in arguments if a.default is not a.empty}
    options |= neuron.options
    try:
        numbers = switches.numbers(options)
        choice = switches.choice(options, known["apart"])
    except ValueError:  # none of the values that were printed
        return None
    name = "_".join([neuron.name, *map(str, choice)])
    function, recurrent = (
        address(getattr(built, f"snn_{name}{form}_{TYPES[dtype]}")) for form in ("", "_recurrent")
    )
    row = [*torch.tensor(numbers, dtype=dtype).unbind(0)]
    kept, zero, reads = (known["kernels"][name][key] for key in ("kept", "zero", "reads"))
    return Kernel(function, recurrent, dtype, kept, zero, reads, row)


@cache
def index() -> dict[str, Any]:
    """What was printed: of each neuron the options with kernels of their own, and what there is to know of each."""
    text = (library.FOLDER / "fusion" / "printed" / "index.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def status(neuron: str | None = None) -> str:
    """What runs sequences of a neuron of the package on a CPU, and why; None: of any other."""
    built, why = library.load()
    if built is not None and neuron in index():
        return "c: printed in the package"
    missing = "" if neuron is None or built is not None else f" (the library is {why})"
    reason = jit.unable()
    if reason is None:
        return f"c: printed and compiled at first use{missing}"
    return f"eager: {reason}{missing}"
