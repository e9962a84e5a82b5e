"""How much of the package a call runs through: what is decided once must not be decided again at every call."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

import snn_neuromod as nm

MOST = 15
"""Functions from `layer(current)` to the kernel."""

TO_WEIGHTS = 20
"""Functions from the gradient of the spikes to that of the recurrent weights under e-prop."""

FILES = {"ALIF": 5, "STDPALIF": 5, "Izhikevich": 5, "SRC": 6, "MSRC": 7, "BSRC": 7}

pytestmark = pytest.mark.skipif(
    not nm.kernels.info()["c"].startswith("available"),
    reason=f"C kernels: {nm.kernels.info()['c']}",
)


def visited(call: Callable[[], Any]) -> set[tuple[str, str, int]]:
    """File, name and line of every function of the package that a second call runs; comprehensions are not counted."""
    found = set()

    def seen(frame: Any, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and "snn_neuromod" in code.co_filename and code.co_name[0] != "<":
            file = code.co_filename.rpartition("snn_neuromod")[2]
            found.add((file, code.co_name, code.co_firstlineno))

    with nm.kernels.use("auto"), torch.autograd.set_multithreading_enabled(False):
        call()
        sys.setprofile(seen)
        try:
            call()
        finally:
            sys.setprofile(None)
    return found


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("name", FILES)
def test_from_a_layer_to_its_kernel(name: str, grad: bool) -> None:
    layer, current = getattr(nm, name)(6), torch.rand(20, 2, 6, requires_grad=grad)
    found = visited(lambda: layer(current))
    assert ("/kernels/backends/c/prepared.py", "forward") in {place[:2] for place in found}
    assert len(found) <= MOST, sorted(found)
    assert len({file for file, _, _ in found}) <= FILES[name], sorted(found)


def test_from_the_recurrent_weights_to_their_gradient_under_e_prop() -> None:
    layer, x = nm.Recurrent(nm.ALIF(6), 5, learning_rule="eprop"), torch.rand(20, 2, 5)

    def backward(grads: bool) -> None:
        spikes, _ = layer(x)
        if grads:
            torch.autograd.grad(spikes.sum(), layer.w_rec)

    found = visited(lambda: backward(True)) - visited(lambda: backward(False))
    assert any(name == "gradients" for _, name, _ in found)
    assert len(found) <= TO_WEIGHTS, sorted(found)


def test_a_longer_path_is_seen() -> None:
    """The count sees a function that a layer of one's own puts in the way."""

    class Slower(nm.ALIF):
        def step_options(self) -> dict[str, Any]:
            return super().step_options()

        def params(self, dtype: torch.dtype | None = None) -> Any:
            return self._twice(super().params(dtype))

        def _twice(self, params: Any) -> Any:
            return nm.dynamics.alif.Params(*[self._again(p) for p in params])

        def _again(self, p: torch.Tensor) -> torch.Tensor:
            return self.dynamics.threshold(nm.dynamics.alif.Params(v_th=p, beta=0 * p), p)

    current = torch.rand(20, 2, 6)
    own, slower = (visited(lambda: layer(current)) for layer in (nm.ALIF(6), Slower(6)))  # noqa: B023
    assert {name for _, name, _ in slower - own} == {"threshold"}
