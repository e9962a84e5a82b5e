"""What is not a number gives NaN, and no silent neuron: every neuron of the package in every form, on every backend."""

from __future__ import annotations

import inspect
from functools import partial
from math import inf, nan
from typing import Any

import pytest
import torch
from snntorch.surrogate import fast_sigmoid
from torch import Tensor, nn

import snn_neuromod as nm
from snn_neuromod import encoders, norse, surrogate
from snn_neuromod.dynamics import alif, scan
from snn_neuromod.kernels import operator
from snn_neuromod.kernels.neurons import describe
from snn_neuromod.snntorch.surrogate import no_surrogate
from tests.helpers import BATCH, CASES, NEURONS, Case
from tests.layers.cases import CASES as LAYERS
from tests.layers.cases import DEFAULTS, LayerCase
from tests.snntorch.steps import N, every_class, made

STEPS, LATER = 6, 2
"""Steps, and how many a parameter of a slow variable may take to reach the spikes."""

NORSE = [
    kind
    for kind in map(partial(getattr, norse), norse.__all__)
    if inspect.isclass(kind) and issubclass(kind, nn.Module)
]
every_case = pytest.mark.parametrize("case", CASES, ids=str)
every_layer = pytest.mark.parametrize("case", LAYERS, ids=str)


def spoilt(tensor: Tensor) -> Tensor:
    """The tensor with NaN for the last neuron."""
    found = tensor.clone()
    found[..., -1] = nan
    return found


def assert_spoilt(spikes: Tensor) -> None:
    """NaN for the last neuron, numbers for the others."""
    assert spikes[..., -1].isnan().all()
    assert spikes[..., :-1].isfinite().all()


@every_case
@pytest.mark.parametrize("backend", ["step", "reference", "eager", "c"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_input_parameters_and_state(case: Case, backend: str, dtype: torch.dtype) -> None:
    run = partial(sequence, case, backend)
    current = case.current(STEPS, dtype=dtype)
    params, state = case.parameters(dtype), case.module.initial_state(current[0])
    first = current.clone()
    first[0] = spoilt(first[0])
    assert_spoilt(run(params, state, first))
    for name in params._fields:
        wide = getattr(params, name).expand(current.shape[-1:])
        assert_spoilt(run(params._replace(**{name: spoilt(wide)}), state, current)[LATER:])
    for name in sorted({*state._fields} - unread(case)):
        wrong = state._replace(**{name: spoilt(getattr(state, name))})
        assert_spoilt(run(params, wrong, current)[LATER:])


def unread(case: Case) -> set[str]:
    """States without which the neuron goes on: counters are compared only, and a synapse may have no memory."""
    return {"held"} | ({"i"} if case.params.get("alpha") == 0 else set())


def sequence(case: Case, backend: str, params: Any, state: Any, current: Tensor) -> Tensor:
    """Spikes."""
    if backend == "step":
        return scan(case.module.step, params, state, current, **case.options)[0]
    key = describe(case.module, case.options).key
    wide = [p.expand(current.shape[-1:]) for p in params]
    return operator.run(key, current, wide, state, backend=backend)[0]


@every_layer
def test_layers(case: LayerCase) -> None:
    layer, current = case.make(), spoilt(case.current(STEPS))
    assert_spoilt(layer(current)[0])
    spikes, state = layer.step(current[0])
    assert_spoilt(spikes)
    assert_spoilt(layer.step(torch.zeros_like(current[0]), state)[0])


@pytest.mark.parametrize("psi", [no_surrogate, surrogate.smooth, nm.Psi()])
def test_spike_functions(psi: Any) -> None:
    distance = torch.tensor([-1.0, 0.0, 1.0, -inf, inf, nan], dtype=torch.float64)
    spikes = psi(distance) if psi is no_surrogate else psi(distance, 1.0)
    assert spikes[:-1].isfinite().all()
    assert spikes[-1].isnan()
    if psi is not surrogate.smooth:
        assert spikes[:-1].tolist() == [0, 0, 1, 0, 1]


@pytest.mark.parametrize(
    "kind", [kind for _, kind in every_class()], ids=lambda kind: kind.__name__
)
@pytest.mark.parametrize(
    ("served", "spike_grad"),
    [(True, None), (False, None), (False, fast_sigmoid(slope=20))],
    ids=["one call", "plain", "surrogate of snnTorch"],
)
def test_forms_of_snntorch(kind: Any, served: bool, spike_grad: Any) -> None:
    options = (
        {"spike_grad": spike_grad} if "spike_grad" in inspect.signature(kind).parameters else {}
    )
    neuron, zeros = made(kind, **options), torch.zeros(BATCH, N)
    with nm.kernels.use("auto" if served else "eager"):
        spikes, *state = neuron(spoilt(zeros))
        assert_spoilt(spikes)
        if not hasattr(neuron, "recurrent"):
            assert_spoilt(neuron(zeros, *state)[0])


@pytest.mark.parametrize("kind", NORSE, ids=lambda kind: kind.__name__)
def test_forms_of_norse(kind: Any) -> None:
    name = kind.__name__
    sizes = [NEURONS, NEURONS] * ("Recurrent" in name)
    neuron = kind(*sizes, *[alif] * ("Custom" in name))
    shape = (BATCH, NEURONS) if "Cell" in name else (STEPS, BATCH, NEURONS)
    spikes, _ = neuron(torch.full(shape, nan))
    assert spikes.isnan().all()


@pytest.mark.parametrize("backend", ["reference", "eager", "c"])
@pytest.mark.parametrize("case", DEFAULTS, ids=str)
def test_recurrent_layers(case: LayerCase, backend: str) -> None:
    """A neuron that sends NaN makes it of all that listen, whether its spikes are multiplied or gathered."""
    net = nm.Recurrent(case.make(), NEURONS)
    current = case.current(STEPS)
    with torch.no_grad():
        net.w_in.copy_(torch.eye(NEURONS))
    with nm.kernels.use(backend):  # type: ignore[arg-type]
        spikes, _ = net(spoilt(current))
    assert spikes[0, :, -1].isnan().all()
    assert spikes[LATER:].isnan().all()


@pytest.mark.parametrize("backend", ["reference", "eager", "c"])
def test_products_with_spikes(backend: str) -> None:
    x = torch.zeros(1024, 100)
    x[:, 3], x[5, 7] = 1.0, nan
    with nm.kernels.use(backend):  # type: ignore[arg-type]
        out = nm.SpikeLinear(100, 8)(x)
    assert out[5].isnan().all()
    assert out[[4, 6]].isfinite().all()


def test_bytes_of_a_rate_code() -> None:
    """A byte cannot be NaN: such an image is refused."""
    with pytest.raises(ValueError, match=r"x must lie in \[0, 1\], got values from nan"):
        encoders.rate(torch.full((2, 3), nan), 5)
