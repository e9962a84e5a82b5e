"""Norse's calling convention: states, containers, parameters; and the faults of Norse's own neurons avoided."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("norse")

import snn_neuromod as nm  # isort: skip
from snn_neuromod import dynamics

from snn_neuromod import norse as ours  # isort: skip
import norse.torch as theirs
from norse.torch.module import snn as bases

NEURONS = ["ALIF", "STDPALIF", "Izhikevich", "SRC", "MSRC", "BSRC"]
FORMS = {
    "Cell": bases.SNNCell,
    "RecurrentCell": bases.SNNRecurrentCell,
    "": bases.SNN,
    "Recurrent": bases.SNNRecurrent,
}
T, B, IN, N = 30, 3, 5, 4


def drive(name: str, *shape: int) -> Tensor:
    """Inputs on which the neuron spikes within 30 steps."""
    return torch.rand(*shape) * (60 if name == "Izhikevich" else 3)


def make(name: str, form: str, **options: Any) -> Any:
    sizes = (IN, N) if "Recurrent" in form else ()
    return getattr(ours, name + form)(*sizes, **options)


@pytest.mark.parametrize("name", NEURONS)
@pytest.mark.parametrize("form", FORMS)
def test_bases_state_and_argument(name: str, form: str) -> None:
    module = make(name, form)
    assert isinstance(module, FORMS[form])
    assert "state" in inspect.signature(module.forward).parameters
    x = drive(name, B, IN) if "Cell" in form else drive(name, T, B, IN)
    _, state = module(x)
    assert isinstance(state, tuple)
    assert set(state._asdict()) == set(state._fields)
    assert ("z" in state._fields) or "Recurrent" not in form
    assert {tuple(s.shape) for s in state} == {(B, N if "Recurrent" in form else IN)}


@pytest.mark.parametrize("name", NEURONS)
@pytest.mark.parametrize("recurrent", [False, True])
def test_cell_module_layer_and_scan_agree(name: str, recurrent: bool) -> None:
    form = "Recurrent" if recurrent else ""
    torch.manual_seed(3)
    module = make(name, form).double()
    cell = make(name, form + "Cell").double()
    cell.load_state_dict(module.state_dict())
    x = drive(name, T, B, IN).double().requires_grad_()
    spikes, last = module(x)
    assert (spikes > 0).any()
    assert spikes.dtype == torch.float64
    state, stepped = None, []
    for step in x.unbind(0):
        z, state = cell(step, state)
        stepped.append(z)
    torch.testing.assert_close(torch.stack(stepped), spikes, rtol=0, atol=1e-10)
    layer = module.p
    current = x
    options: dict[str, Any] = {}
    if recurrent:
        current = x @ module.input_weights.T
        options["w_rec"] = module.recurrent_weights
    scanned, scanned_state = dynamics.scan(
        layer.dynamics.step,
        layer.params(torch.float64),
        layer.initial_state(current[0]),
        current,
        **options,
        **layer.step_options(),
    )
    torch.testing.assert_close(spikes, scanned, rtol=0, atol=1e-10)
    skip = len(last) - len(scanned_state)  # the spikes, where the neuron's own state has none
    for mine, reference, stepwise in zip(last[skip:], scanned_state, state[skip:], strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(stepwise, reference, rtol=1e-10, atol=1e-10)
    weights = torch.randn_like(spikes)
    gradients = [
        torch.autograd.grad((out * weights).sum(), x, retain_graph=True)[0]
        for out in (spikes, torch.stack(stepped), scanned)
    ]
    assert gradients[0].abs().sum() > 0
    for gradient in gradients[:2]:
        torch.testing.assert_close(gradient, gradients[2], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", NEURONS)
@pytest.mark.parametrize("form", ["", "Recurrent"])
def test_record_states(name: str, form: str) -> None:
    module = make(name, form).double()
    recorder = make(name, form, record_states=True).double()
    recorder.load_state_dict(module.state_dict())
    x = drive(name, T, B, IN).double()
    spikes, last = module(x)
    recorded, states = recorder(x)
    torch.testing.assert_close(recorded, spikes)
    assert type(states) is type(last)
    for track, final in zip(states, last, strict=True):
        assert len(track) == T
        torch.testing.assert_close(track[-1], final, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NEURONS)
def test_segments_go_on_where_they_stopped(name: str) -> None:
    for form in ("", "Recurrent"):
        module = make(name, form)
        x = drive(name, T, B, IN)
        spikes, state = module(x)
        first, middle = module(x[:11])
        second, final = module(x[11:], middle)
        assert torch.equal(torch.cat([first, second]), spikes)
        assert all(torch.equal(a, b) for a, b in zip(final, state, strict=True))


@pytest.mark.parametrize("name", NEURONS)
def test_sequential_state_and_lift_with_norses_lif(name: str) -> None:
    net = theirs.SequentialState(
        theirs.Lift(nn.Linear(IN, N)),
        unsized(name, ""),
        theirs.LIF(),
        getattr(ours, name + "Recurrent")(N, 6),
        theirs.LIFRecurrent(6, 3),
    )
    assert net.stateful_layers == [False, True, True, True, True]
    x = drive(name, T, B, IN)
    stepwise = theirs.SequentialState(nn.Linear(IN, N), unsized(name, "Cell"), theirs.LIFCell())
    stepwise[0].load_state_dict(net[0].lifted_module.state_dict())
    lifted, _ = theirs.Lift(stepwise)(x)
    z, states = theirs.SequentialState(*list(net)[:3])(x)
    torch.testing.assert_close(lifted, z)
    assert [type(s).__name__ for s in states] == ["NoneType", name + "State", "LIFFeedForwardState"]
    whole, states = net(x)
    assert whole.shape == (T, B, 3)
    assert states[3]._asdict().keys() >= {"z"}


def unsized(name: str, form: str) -> Any:
    options = {"dt": 0.0005} if name == "Izhikevich" else {}
    return getattr(ours, name + form)(**options)


@pytest.mark.parametrize("name", NEURONS)
def test_gradient_reaches_every_layer_of_a_mixed_net(name: str) -> None:
    net = theirs.SequentialState(
        theirs.Lift(nn.Linear(IN, N)),
        unsized(name, ""),
        theirs.Lift(nn.Linear(N, N)),
        theirs.LIF(),
        getattr(ours, name + "Recurrent")(N, 6),
    )
    with torch.no_grad():
        net[0].lifted_module.weight.mul_(1.0 if name == "Izhikevich" else 3.0)
        net[2].lifted_module.weight.fill_(3.0)
        net[4].input_weights.abs_().mul_(20.0 if name == "Izhikevich" else 2.0)
    z, _ = net(drive(name, T, B, IN))
    (z * torch.randn_like(z)).sum().backward()
    for parameter in net.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
        assert parameter.grad.any()


@pytest.mark.parametrize("name", NEURONS)
@pytest.mark.parametrize("form", FORMS)
def test_each_sample_by_itself(name: str, form: str) -> None:
    """The state at rest, made inside torch.vmap, requires no gradient of its own."""
    module, x = make(name, form).double(), drive(name, T, B, IN).double()
    x, axis = (x[0], 0) if "Cell" in form else (x, 1)
    mapped = torch.vmap(lambda sample: module(sample)[0], axis, axis)(x)
    torch.testing.assert_close(mapped, module(x)[0])


def test_parameters_are_visible() -> None:
    p = ours.ALIFParameters(v_th=nn.Parameter(torch.tensor(0.8)), beta=torch.linspace(0.1, 0.4, N))
    cell = ours.ALIFRecurrentCell(IN, N, p, learn=["tau_adapt_inv"])
    names = {name for name, _ in cell.named_parameters()}
    assert names == {"p.v_th", "p.tau_adapt_inv", "input_weights", "recurrent_weights"}
    assert {"p.beta", "p.tau_mem_inv"} < set(cell.state_dict())
    torch.testing.assert_close(cell.p.tau_adapt_inv, torch.full((N,), 5.0))
    torch.testing.assert_close(cell.p.tau_adapt, torch.full((N,), 200.0))
    torch.testing.assert_close(cell.p.tau_mem, torch.tensor(20.0))
    z, _ = cell.double()(5 * torch.rand(B, IN).double())
    assert z.dtype == torch.float64
    assert cell.p.beta.dtype == torch.float64
    hidden = theirs.LIFRecurrentCell(
        IN, N, theirs.LIFParameters(v_th=nn.Parameter(torch.tensor(0.8)))
    )
    assert not any("v_th" in name for name, _ in hidden.named_parameters())  # the fault


def test_inverse_time_constants_and_seconds() -> None:
    p = ours.ALIFParameters(tau_mem_inv=50.0, tau_adapt_inv=torch.tensor([2.0, 4.0, 5.0, 10.0]))
    module = ours.ALIF(p, num_neurons=N, dt=0.0005)
    reference = nm.ALIF(N, tau_mem=20.0, tau_adapt=[500.0, 250.0, 200.0, 100.0], dt=0.5)
    x = drive("ALIF", T, B, N)
    spikes, _ = module(x)
    assert spikes.any()
    assert torch.equal(spikes, reference(x)[0])
    module.dt = 0.001
    assert module.p.dt == 1.0
    assert not torch.equal(module(x)[0], spikes)


def test_adaptation_time_constant_is_not_norses() -> None:
    """Norse's default is 800 s, which is no adaptation."""
    assert 1 / ours.ALIFParameters().tau_adapt_inv == pytest.approx(0.2)
    assert 1 / theirs.LSNNParameters().tau_adapt_inv == pytest.approx(800.0)


def test_gradient_through_adaptation() -> None:
    """The adaptation of a spike early on changes the gradient to the input of that time; beta gets a gradient."""
    x = torch.rand(T, B, N, dtype=torch.float64)
    gradients = []
    for beta in (0.0, 0.5):
        module = ours.ALIF(ours.ALIFParameters(beta=beta), num_neurons=N, learn=["beta"]).double()
        y = x.clone().requires_grad_()
        # drive far below threshold after step 4, so that only adaptation links input and threshold
        spikes, state = module(y)
        (state.a.sum()).backward()
        gradients.append(y.grad)
        assert spikes.any()
        assert beta == 0 or module.p.beta.grad.abs().min() > 0
    assert not torch.allclose(*gradients)


@pytest.mark.parametrize("name", ["ALIF", "MSRC"])
def test_autapses(name: str) -> None:
    for form in ("RecurrentCell", "Recurrent"):
        weights = torch.ones(N, N)
        module = make(name, form, recurrent_weights=weights)
        assert torch.equal(weights, torch.ones(N, N))  # Norse changes the caller's tensor
        assert torch.equal(module.recurrent_weights.diagonal(), torch.zeros(N))
        for copied in (module, copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
            x = drive(name, T, B, IN)
            state = None
            loss = torch.zeros(())
            for step in x.unbind(0) if "Cell" in form else (x,):
                z, state = copied(step, state)
                loss = loss + z.sum()
            loss.backward()
            assert not copied.recurrent_weights.grad.diagonal().any()
            assert copied.recurrent_weights.grad.any()
        free = make(name, form, recurrent_weights=weights, autapses=True)
        assert torch.equal(free.recurrent_weights, weights)
        assert len(list(free.parameters())) == 2


@pytest.mark.parametrize("name", ["MSRC", "BSRC"])
def test_modulation_per_step(name: str) -> None:
    x, m = drive(name, T, B, N).double(), torch.rand(T, B, 1, dtype=torch.float64).requires_grad_()
    module, cell = unsized(name, "").double(), unsized(name, "Cell").double()
    recorder = getattr(ours, name)(record_states=True).double()
    spikes, _ = module(x, modulation=m)
    reference, _ = getattr(nm, name)(None).double()(x, modulation=m)
    assert torch.equal(spikes, reference)
    assert not torch.equal(spikes, module(x)[0])
    state, stepped = None, []
    for step, value in zip(x.unbind(0), m.unbind(0), strict=True):
        z, state = cell(step, state, modulation=value)
        stepped.append(z)
    torch.testing.assert_close(torch.stack(stepped), spikes, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(recorder(x, modulation=m)[0], spikes, rtol=1e-8, atol=1e-8)
    spikes.sum().backward()
    assert m.grad.any()


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (
            lambda: ours.ALIFCell(theirs.LIFRefracParameters()),
            TypeError,
            "ALIFCell: p must be ALIFParameters",
        ),
        (lambda: ours.ALIFCell(0.9), TypeError, "p must be ALIFParameters"),
        (lambda: ours.ALIFCell(method="super"), TypeError, "method is no option of this neuron"),
        (lambda: ours.SRCCell(dt=0.001), TypeError, "dt cannot be set"),
        (lambda: ours.ALIF()(torch.ones(0, 2, 3)), ValueError, r"least one step, got \(0, 2, 3\)"),
        (lambda: ours.SRCRecurrent(3, 2)(torch.ones(0, 2, 3)), ValueError, "at least one step"),
        (
            lambda: ours.SRC()(torch.ones(2, 3), theirs.LIFState(*torch.ones(3, 3))),
            ValueError,
            "state must hold i, h, h_s, got z, v, i, as of another neuron",
        ),
        (lambda: ours.ALIF(dt=-1.0), ValueError, "dt must be > 0"),
        (lambda: ours.ALIF(dt=float("nan")), ValueError, "dt must be > 0"),
        (
            lambda: ours.ALIF(ours.ALIFParameters(tau_mem_inv=0.0)),
            ValueError,
            "tau_mem_inv must be > 0",
        ),
        (
            lambda: ours.ALIF(ours.ALIFParameters(tau_mem_inv="x")),
            TypeError,
            "tau_mem_inv must be a number",
        ),
        (
            lambda: ours.ALIF(learn=["tau_mem"]),
            ValueError,
            "learn must name parameters among tau_mem_inv",
        ),
        (lambda: ours.ALIFRecurrent(0, 3), ValueError, "input_size must be >= 1"),
        (
            lambda: ours.ALIFRecurrent(2, 3, input_weights=torch.ones(2, 3)),
            ValueError,
            r"shape \(3, 2\)",
        ),
    ],
)
def test_errors(call: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        call()
