"""Masks of Recurrent: absent synapses are zero, stay zero, and carry nothing."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch.testing import assert_close

import snn_neuromod as nm
from snn_neuromod.connectivity import Random
from snn_neuromod.dynamics import scan
from snn_neuromod.nir import to_nir

INPUTS, NEURONS = 4, 12
rules = pytest.mark.parametrize("learning_rule", ["bptt", "eprop"])


def make(learning_rule: Any = "bptt", **options: Any) -> nm.Recurrent:
    torch.manual_seed(0)
    options = {
        "mask_in": Random(density=0.5, seed=1),
        "mask_rec": Random(sparsity=0.6, seed=2),
        **options,
    }
    layer = nm.ALIF(NEURONS, v_th=0.6)
    return nm.Recurrent(layer, INPUTS, learning_rule=learning_rule, **options)


def sequence(num_steps: int = 25) -> torch.Tensor:
    return 1 + torch.randn(num_steps, 3, INPUTS, generator=torch.Generator().manual_seed(3))


@rules
def test_forward_and_gradients_are_those_of_dense_weights_with_zeros(learning_rule: str) -> None:
    """Garbage written to absent weights changes nothing; the gradient is the dense one, masked."""
    net, x = make(learning_rule).double(), sequence().double()
    w_in, w_rec = (w.detach().requires_grad_() for w in net.weights())
    layer = net.neuron
    current = x @ w_in.T
    expected, _ = scan(
        layer.dynamics.step, layer.params(x.dtype), layer.initial_state(current[0]), current,
        w_rec=w_rec, hops=None if learning_rule == "bptt" else 0, **layer.step_options(),
    )  # fmt: skip
    with torch.no_grad():
        net.w_in[~net.mask_in] = 7.0
        net.w_rec[~net.mask_rec] = -7.0
    spikes, _ = net(x)
    assert 0.02 < spikes.mean() < 0.9
    assert torch.equal(spikes, expected)
    weights = torch.randn_like(spikes)
    want = torch.autograd.grad((weights * expected).sum(), (w_in, w_rec))
    got = torch.autograd.grad((weights * spikes).sum(), (net.w_in, net.w_rec))
    for a, b, mask in zip(got, want, (net.mask_in, net.mask_rec), strict=True):
        assert b[~mask].any(), "the dense gradient vanishes there too: nothing tested"
        assert not a[~mask].any()
        assert_close(a, b * mask, rtol=1e-12, atol=1e-12)


@rules
@pytest.mark.parametrize(
    "optimiser",
    [
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1, nesterov=True),
        lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.1),
        lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=0.1, amsgrad=True),
    ],
)
def test_absent_weights_stay_zero_in_training(learning_rule: Any, optimiser: Any) -> None:
    net, x = make(learning_rule), sequence()
    before = copy.deepcopy(net.state_dict())
    steps = optimiser(net.parameters())
    for _ in range(3):
        steps.zero_grad()
        net(x)[0].sum().backward()
        steps.step()
    for weight, mask in ((net.w_in, net.mask_in), (net.w_rec, net.mask_rec)):
        assert not weight[~mask].any()
    assert (net.w_rec != before["w_rec"]).sum() > 10
    assert torch.equal(net.mask_rec, before["mask_rec"])


def test_a_full_mask_is_no_mask() -> None:
    plain = make(mask_in=None, mask_rec=None)
    full = make(mask_in=torch.ones(NEURONS, INPUTS), mask_rec=torch.ones(NEURONS, NEURONS))
    assert torch.equal(plain.w_in, full.w_in)
    assert torch.equal(plain.w_rec, full.w_rec)
    assert torch.equal(plain(sequence())[0], full(sequence())[0])
    assert not full.mask_rec.diagonal().any()
    assert "mask_in" not in plain.state_dict()


def test_initial_weights_make_up_for_absent_synapses() -> None:
    """Each neuron's weights have the variance 1 over the number of its inputs; a neuron without any is no error."""
    torch.manual_seed(0)
    mask = torch.zeros(3, 4000)
    mask[0] = 1.0
    mask[1, :400] = 1.0
    net = nm.Recurrent(nm.ALIF(3), 4000, mask_in=mask)
    assert net.w_in[0].square().sum().item() == pytest.approx(1.0, rel=0.1)
    assert net.w_in[1].square().sum().item() == pytest.approx(1.0, rel=0.3)
    assert not net.w_in[2].any()
    net = nm.Recurrent(nm.ALIF(400), 1, mask_rec=Random(sparsity=0.8, seed=0))
    assert net.w_rec.square().sum(1).mean().item() == pytest.approx(1.0, rel=0.05)


def test_masks_travel_with_the_weights() -> None:
    net, other = make(), make(mask_rec=Random(sparsity=0.6, seed=9))
    assert not torch.equal(net.mask_rec, other.mask_rec)
    other.load_state_dict(net.state_dict())
    assert torch.equal(net.mask_rec, other.mask_rec)
    assert torch.equal(net(sequence())[0], other(sequence())[0])
    with pytest.raises(RuntimeError, match="mask_in"):
        make(mask_in=None).load_state_dict(net.state_dict())


def test_a_mask_changed_in_place_acts() -> None:
    """What rewiring does: the synapse is gone from the sum, from the gradient, and its diagonal stays absent."""
    net, x = make(), sequence()
    net.mask_rec.fill_(True)
    net.mask_in[:, 1:] = False
    spikes, _ = net(x)
    spikes.sum().backward()
    assert not net.w_in.grad[:, 1:].any()
    assert net.w_in.grad[:, 0].any()
    assert not net.w_rec.grad.diagonal().any()
    dense = nm.Recurrent(net.neuron, 1)
    with torch.no_grad():
        dense.w_in.copy_(net.w_in[:, :1])
        dense.w_rec.copy_(net.w_rec)
    assert_close(dense(x[..., :1])[0], spikes)


def test_the_given_mask_is_copied() -> None:
    mask = torch.ones(NEURONS, NEURONS, dtype=torch.bool)
    net = make(mask_rec=mask)
    net.mask_rec.fill_(False)
    assert mask.all()


def test_weights_filled_again() -> None:
    net = make()
    with torch.no_grad():
        net.w_in.fill_(1.0)
        net.w_rec.fill_(1.0)
    net.remove_absent(rescale=True)
    inputs = net.mask_in.sum(1, keepdim=True).expand(-1, INPUTS)
    assert_close(net.w_in, net.mask_in * (INPUTS / inputs).sqrt().nan_to_num(posinf=0.0))
    assert not net.w_rec[~net.mask_rec].any()
    assert net.w_rec[net.mask_rec].all()


def test_other_forms_see_the_mask() -> None:
    net = make()
    with torch.no_grad():
        net.w_in.add_(1.0)
    (subgraph,) = (n for n in to_nir(net).nodes.values() if hasattr(n, "nodes"))
    found = [torch.as_tensor(subgraph.nodes[f"{k}_weights"].weight) for k in ("input", "recurrent")]
    for weight, mask in zip(found, (net.mask_in, net.mask_rec), strict=True):
        assert torch.equal(weight != 0, mask)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_it_compiles_to_one_graph() -> None:
    torch._dynamo.reset()
    net, x = make("eprop").double(), sequence(8).double()
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    assert_close(compiled(x)[0], net(x)[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("mask", "error", "message"),
    [
        (
            torch.ones(4, 12),
            ValueError,
            r"mask_in must have shape \(12, 4\), row: to, .* \(4, 12\)",
        ),
        (torch.full((12, 4), 0.5), ValueError, "mask_in must hold zeros and ones only"),
        (0.8, TypeError, r"mask_in must be a tensor or a connectivity such as .*, got 0.8"),
    ],
)
def test_errors(mask: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"Recurrent: {message}"):
        make(mask_in=mask)
