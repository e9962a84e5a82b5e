"""Products of weights with spikes, bytes or floating point, next to the dense product in float64."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import snn_neuromod as nm
from snn_neuromod.kernels.backends.c import jobs, library

AVAILABLE, STATUS = library.load()
needs_c = pytest.mark.skipif(AVAILABLE is None, reason=f"C kernels: {STATUS}")
every_backend = pytest.mark.parametrize("backend", [pytest.param("c", marks=needs_c), "eager"])
compiles = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")


def operands(
    inputs: int, outputs: int, share: float = 0.05, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor]:
    """Spikes (17, 15, inputs), weights and bias; blocks of rows and inputs end unevenly."""
    x = (torch.rand(17, 15, inputs) < share).to(torch.uint8)
    x[0, 0, -1] = 1
    weight = torch.randn(outputs, inputs, dtype=dtype).requires_grad_()
    return x, weight, torch.randn(outputs, dtype=dtype).requires_grad_()


def results(
    product: Callable[..., Tensor], x: Tensor, weight: Tensor, bias: Tensor | None
) -> list[Tensor]:
    """Output and gradients under a loss that weighs every number differently."""
    out = product(x, weight, bias)
    generator = torch.Generator().manual_seed(3)
    factor = torch.randn(out.shape, generator=generator, dtype=torch.float64).to(out.dtype)
    leaves = [leaf for leaf in (weight, bias) if leaf is not None]
    return [out, *torch.autograd.grad((out * factor).sum(), leaves)]


def dense(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return functional.linear(x.to(weight.dtype), weight, bias)


@every_backend
@pytest.mark.parametrize("inputs", [1, 7, 63, 1000])
@pytest.mark.parametrize("outputs", [1, 10, 63, 170])
def test_equal_to_the_dense_product(
    monkeypatch: pytest.MonkeyPatch, backend: nm.kernels.Backend, inputs: int, outputs: int
) -> None:
    monkeypatch.setattr(jobs, "rare", lambda *_, **__: True)  # also of few columns
    for bias in (True, False):
        x, weight, b = operands(inputs, outputs)
        with nm.kernels.use(backend):
            found = results(nm.kernels.spike_linear, x, weight, b if bias else None)
        expected = results(dense, x, weight, b if bias else None)
        assert all(value.abs().max() > 0 for value in expected)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@needs_c
@pytest.mark.parametrize("outputs", [63, 64, 170])
def test_sums_of_many_blocks_and_groups(monkeypatch: pytest.MonkeyPatch, outputs: int) -> None:
    monkeypatch.setattr(jobs, "TOGETHER", 3)
    sizes: list[list[int]] = []
    call = library.call

    def recorded(name: str, numbers: list[int], tensors: Any) -> None:
        sizes.append(numbers)
        call(name, numbers, tensors)

    monkeypatch.setattr(library, "call", recorded)
    x, weight, bias = operands(1500, outputs)
    x = x.repeat(5, 1, 1)
    found = results(nm.kernels.spike_linear, x, weight, bias)
    torch.testing.assert_close(found, results(dense, x, weight, bias), rtol=1e-12, atol=1e-12)
    assert len(sizes) == 2
    assert all(block < inputs and rows > 1024 for rows, inputs, *_, block, _ in sizes)


@every_backend
@pytest.mark.parametrize("share", [0.0, 0.2, 0.9])
def test_any_share_of_spikes(backend: nm.kernels.Backend, share: float) -> None:
    x, weight, bias = operands(100, 20, share)
    with nm.kernels.use(backend):
        found = results(nm.kernels.spike_linear, x, weight, bias)
    torch.testing.assert_close(found, results(dense, x, weight, bias), rtol=1e-12, atol=1e-12)


@every_backend
def test_counts_and_bool(backend: nm.kernels.Backend) -> None:
    x, weight, bias = operands(40, 5)
    with nm.kernels.use(backend):
        found = results(nm.kernels.spike_linear, x.bool(), weight, bias)
        counts = x * torch.randint(1, 256, x.shape, dtype=torch.uint8)
        counted = results(nm.kernels.spike_linear, counts, weight, bias)
    torch.testing.assert_close(found, results(dense, x, weight, bias), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(counted, results(dense, counts, weight, bias), rtol=1e-12, atol=1e-9)
    assert counts.max() > 200


@every_backend
@pytest.mark.parametrize("shape", [(40,), (6, 40), (0, 3, 40), (5, 0, 40), (2, 3, 4, 40)])
def test_any_batch(backend: nm.kernels.Backend, shape: tuple[int, ...]) -> None:
    x = (torch.rand(shape) < 0.1).byte()
    weight, bias = torch.randn(5, 40).double().requires_grad_(), torch.randn(5).double()
    bias.requires_grad_()
    with nm.kernels.use(backend):
        found = results(nm.kernels.spike_linear, x, weight, bias)
    assert found[0].shape == (*shape[:-1], 5)
    torch.testing.assert_close(found, results(dense, x, weight, bias), rtol=1e-12, atol=1e-12)


@needs_c
def test_strided_operands() -> None:
    x, weight, bias = operands(80, 12)
    x, weight = x.transpose(0, 1)[:, :, ::2], torch.randn(40, 12).double().T.requires_grad_()
    assert not x.is_contiguous()
    assert not weight.is_contiguous()
    with nm.kernels.use("c"):
        found = results(nm.kernels.spike_linear, x, weight, bias)
    torch.testing.assert_close(found, results(dense, x, weight, bias), rtol=1e-12, atol=1e-12)


@needs_c
@pytest.mark.parametrize("share", [0.05, 0.15])
def test_float32_is_as_precise_as_the_dense_product(share: float) -> None:
    x = (torch.rand(50, 64, 784) < share).byte()
    weight, bias = torch.randn(32, 784).requires_grad_(), torch.randn(32).requires_grad_()
    exact = results(dense, x, weight.double(), bias.double())
    with nm.kernels.use("c"):
        found = results(nm.kernels.spike_linear, x, weight, bias)
    for value, usual, true in zip(found, results(dense, x, weight, bias), exact, strict=True):
        error, allowed = (value - true).abs().max(), 3 * (usual - true).abs().max()
        assert error <= allowed


@needs_c
def test_threads_change_nothing() -> None:
    x, weight, bias = operands(90, 30, dtype=torch.float32)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 7):
            torch.set_num_threads(threads)
            found.append(results(nm.kernels.spike_linear, x, weight, bias))
    finally:
        torch.set_num_threads(before)
    for values in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(values, found[0], strict=True))


@needs_c
def test_every_number_is_written() -> None:
    x, weight, bias = operands(90, 30, dtype=torch.float32)
    torch.use_deterministic_algorithms(True)  # which fills what torch.empty gives
    try:
        assert torch.empty(3).isnan().all()
        found = results(nm.kernels.spike_linear, x, weight, bias)
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(value.isfinite().all() for value in found)


def looked_for(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Look for zeros in any floating-point input; the names of the kernels called."""
    calls: list[str] = []
    original = library.call

    def recorded(name: str, *arguments: Any) -> None:
        calls.append(name)
        original(name, *arguments)

    monkeypatch.setattr("snn_neuromod.kernels.products.WORTHWHILE", 0)
    monkeypatch.setattr(jobs, "rare", lambda *_, **__: True)  # also of few columns
    monkeypatch.setattr(library, "call", recorded)
    return calls


@needs_c
@pytest.mark.parametrize("inputs", [1, 63, 64, 1000])
@pytest.mark.parametrize("outputs", [1, 10, 63, 170])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_floating_point_with_many_zeros(
    monkeypatch: pytest.MonkeyPatch, inputs: int, outputs: int, dtype: torch.dtype
) -> None:
    """Any values, not only ones; the input gets its gradient too."""
    calls = looked_for(monkeypatch)
    spiked, weight, bias = operands(inputs, outputs, dtype=dtype)
    x = (spiked * torch.randn(spiked.shape)).to(dtype)
    x[0, 0, 0] = -0.0
    x.requires_grad_()
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    for leaves in ((x, weight, bias), (x, weight)):
        found, expected = (
            torch.autograd.grad(product(*leaves).square().sum(), leaves)
            for product in (nm.kernels.spike_linear, functional.linear)
        )
        for value, usual in zip(found, expected, strict=True):
            assert usual.abs().max() > 0
            assert (value - usual).abs().max() < tolerance * usual.abs().max()
    assert calls == ["sparse_forward_of_reals", "sparse_weight_gradient_of_reals"] * 2


@needs_c
def test_floating_point_gradients_of_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = looked_for(monkeypatch)
    spiked, weight, bias = operands(12, 3)
    leaves = (spiked.double().requires_grad_(), weight, bias)
    product = nm.kernels.spike_linear
    assert torch.autograd.gradcheck(product, leaves)
    assert torch.autograd.gradgradcheck(product, leaves, fast_mode=True)
    assert "sparse_weight_gradient_of_reals" in calls
    torch.library.opcheck(torch.ops.snn_neuromod.spike_linear, (*leaves, "auto"))


@needs_c
def test_transforms_and_forward_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    """What works on a linear layer works here: vmap over anything, gradients in it, forward-mode derivatives."""
    looked_for(monkeypatch)
    x, weights = (torch.rand(4, 9, 20) < 0.1).double(), torch.randn(4, 3, 20).double()

    def loss(product: Callable[..., Tensor], w: Tensor, x: Tensor) -> Tensor:
        return product(x, w).pow(3).sum()

    for in_dims in ((0, None), (None, 0), (0, 0)):
        given = [a if d == 0 else a[0] for a, d in zip((weights, x), in_dims, strict=True)]
        found, expected = (
            torch.vmap(torch.func.grad(partial(loss, product)), in_dims=in_dims)(*given)
            for product in (nm.kernels.spike_linear, functional.linear)
        )
        torch.testing.assert_close(found, expected)
    found, expected = (
        torch.func.jvp(lambda w, p=product: p(x[0], w), (weights[0],), (weights[1],))[1]
        for product in (nm.kernels.spike_linear, functional.linear)
    )
    torch.testing.assert_close(found, expected)


@needs_c
def test_rare_spikes_are_summed_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(library, "call", lambda name, *_: calls.append(name))
    for share in (0.2, 0.8):
        x, weight, bias = operands(300, 64, share)
        results(nm.kernels.spike_linear, x, weight, bias)
    assert calls == ["sparse_forward_of_bytes", "sparse_weight_gradient_of_bytes"]


@needs_c
def test_the_backward_pass_follows_its_forward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = looked_for(monkeypatch)
    x, weight, bias = operands(300, 64)
    with nm.kernels.use("eager"):
        dense_out = nm.kernels.spike_linear(x, weight, bias)
        asked = nm.kernels.spike_linear(x, weight, bias, backend="c")
    with nm.kernels.use("c"):
        dense_out.sum().backward()
    assert calls == ["sparse_forward_of_bytes"]
    with nm.kernels.use("eager"):
        asked.sum().backward()
    assert calls == ["sparse_forward_of_bytes", "sparse_weight_gradient_of_bytes"]


@needs_c
def test_a_layer_asks_for_its_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = looked_for(monkeypatch)
    x = torch.rand(6, 5, 300) < 0.05
    nm.SpikeLinear(300, 9, backend="eager")(x)
    nm.Recurrent(nm.ALIF(9, backend="eager"), 300)(x.float())
    assert calls == []
    layer = nm.SpikeLinear(300, 9, backend="c")
    layer(x)
    assert calls == ["sparse_forward_of_bytes"]
    assert repr(layer) == "SpikeLinear(in_features=300, out_features=9, bias=True, backend='c')"
    with pytest.raises(ValueError, match="SpikeLinear: backend must be one of"):
        nm.SpikeLinear(3, 2, backend="fast")


def test_asked_for_by_name_without_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "load", lambda: (None, "not built"))
    x, weight, bias = operands(30, 4)
    expected = dense(x, weight, bias)
    torch.testing.assert_close(nm.kernels.spike_linear(x, weight, bias), expected)
    with nm.kernels.use("c"), pytest.raises(RuntimeError, match=r"cannot serve.*not built"):
        nm.kernels.spike_linear(x, weight, bias)


@every_backend
def test_gradients_of_gradients(backend: nm.kernels.Backend) -> None:
    x, weight, bias = operands(6, 3)
    with nm.kernels.use(backend):
        assert torch.autograd.gradgradcheck(
            lambda w, b: nm.kernels.spike_linear(x, w, b).pow(3), (weight, bias)
        )


@every_backend
def test_opcheck(backend: nm.kernels.Backend) -> None:
    x, weight, bias = operands(20, 4)
    with nm.kernels.use(backend):
        for b in (bias, None):
            torch.library.opcheck(torch.ops.snn_neuromod.spike_linear, (x, weight, b, backend))
        grad = torch.randn(17, 15, 4, dtype=torch.float64, requires_grad=True)
        torch.library.opcheck(torch.ops.snn_neuromod.spike_linear_weight, (x, grad, backend))


@compiles
def test_layer_compiles_into_one_graph() -> None:
    layer, x = nm.SpikeLinear(60, 9), torch.rand(4, 3, 60) < 0.1
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x), layer(x))


def test_layer_replaces_a_linear_one() -> None:
    linear, layer = torch.nn.Linear(50, 8), nm.SpikeLinear(50, 8)
    layer.load_state_dict(linear.state_dict())
    x = torch.rand(7, 50) < 0.1
    torch.testing.assert_close(layer(x), linear(x.float()))
    assert torch.equal(layer(x.float()), linear(x.float()))
    layer(x).sum().backward()
    linear(x.float()).sum().backward()
    torch.testing.assert_close(layer.weight.grad, linear.weight.grad)
    torch.testing.assert_close(layer.bias.grad, linear.bias.grad)


@every_backend
def test_mixed_precision_keeps_the_weights_dtype(backend: nm.kernels.Backend) -> None:
    x, weight, bias = operands(300, 8, dtype=torch.float32)
    expected = results(dense, x, weight, bias)
    with nm.kernels.use(backend), torch.autocast("cpu", torch.bfloat16):
        out = nm.kernels.spike_linear(x, weight, bias)
        grad = torch.autograd.grad(out.sum(), weight)[0]
    assert out.dtype == grad.dtype == torch.float32
    torch.testing.assert_close(out, expected[0])


def test_half_precision_weights() -> None:
    x, weight, bias = operands(30, 8, dtype=torch.bfloat16)
    found = results(nm.kernels.spike_linear, x, weight, bias)
    assert all(value.dtype == torch.bfloat16 for value in found)
    torch.testing.assert_close(found, results(dense, x, weight, bias))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda() -> None:
    x, weight, bias = operands(300, 8, dtype=torch.float32)
    x, weight, bias = (a.detach().cuda() for a in (x, weight, bias))
    torch.testing.assert_close(nm.kernels.spike_linear(x, weight, bias), dense(x, weight, bias))
    with torch.autocast("cuda", torch.bfloat16):
        assert nm.kernels.spike_linear(x, weight, bias).dtype == torch.bfloat16
