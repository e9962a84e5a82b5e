"""Layers on the meta device: built there, materialised, and never mixed with memory that is not theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import snn_neuromod as nm

MAKERS: dict[str, Callable[[], Any]] = {
    "ALIF": lambda: nm.ALIF(4, tau_mem=nm.layers.parameters.Uniform(10, 30), learn=["beta"]),
    "STDPALIF": lambda: nm.STDPALIF(4),
    "Izhikevich": lambda: nm.Izhikevich(4),
    "SRC": lambda: nm.SRC(4),
    "MSRC": lambda: nm.MSRC(4, learn_modulation=True),
    "BSRC": lambda: nm.BSRC(4),
    "LeakyIntegrator": lambda: nm.LeakyIntegrator(4, normalise=True),
    "Custom": lambda: nm.Custom(4, nm.dynamics.alif),
    "Recurrent": lambda: nm.Recurrent(nm.ALIF(4), 4, delay=[1, 2, 2, 3]),
    "masks": lambda: nm.Recurrent(nm.ALIF(4), 4, mask_rec=nm.connectivity.Random(sparsity=0.5)),
}
every_module = pytest.mark.parametrize("name", MAKERS)


@every_module
def test_built_there_and_filled_from_a_state_dict(name: str) -> None:
    torch.manual_seed(0)
    real, x = MAKERS[name](), torch.rand(20, 3, 4) * 2
    with torch.device("meta"):
        module = MAKERS[name]()
    tensors = [*module.parameters(), *module.buffers()]
    assert all(tensor.is_meta for tensor in tensors)
    assert repr(module)
    module.to_empty(device="cpu").load_state_dict(real.state_dict())
    assert torch.equal(module(x)[0], real(x)[0])


@every_module
def test_built_there_and_given_its_first_values(name: str) -> None:
    with torch.device("meta"):
        module = MAKERS[name]()
    module.to_empty(device="cpu")
    for tensor in [*module.parameters(), *module.buffers()]:
        tensor.data.fill_(-7)  # what memory holds by chance
    torch.manual_seed(0)
    module.reset_parameters()
    real = MAKERS[name]()
    for key, value in real.state_dict().items():
        found = module.state_dict()[key]
        assert found.shape == value.shape
        drawn = key in ("w_in", "w_rec", "start", "tau_mem", "mask_rec")
        assert drawn or torch.equal(found, value), key
    out, _ = module(torch.rand(20, 3, 4) * 2)
    assert out.isfinite().all()


@every_module
def test_a_layer_elsewhere_is_refused(name: str) -> None:
    x = torch.rand(20, 3, 4)
    with pytest.raises((TypeError, ValueError, RuntimeError), match=r"device|meta|tensors"):
        MAKERS[name]().to("meta")(x)
    out, state = MAKERS[name]().to("meta")(x.to("meta"))
    assert out.is_meta
    with pytest.raises((TypeError, ValueError, RuntimeError), match=r"device|meta|tensors|fit"):
        MAKERS[name]()(x, state)
