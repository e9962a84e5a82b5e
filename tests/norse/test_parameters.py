"""Parameters as Norse's users give them: their own, in Norse's units, and Norse's classes."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("norse")

import norse.torch as theirs

import snn_neuromod as nm
from snn_neuromod import norse as ours
from snn_neuromod.errors import ConfigError

T, B, IN, N = 40, 3, 6, 5
FORMS = ["ALIF", "ALIFCell", "ALIFRecurrent", "ALIFRecurrentCell"]


def make(form: str, p: Any, **options: Any) -> Any:
    sizes = (IN, N) if "Recurrent" in form else ()
    return getattr(ours, form)(*sizes, p=p, **options)


def drive(form: str) -> Tensor:
    return torch.rand(
        T, B, IN if "Recurrent" in form else N, generator=torch.Generator().manual_seed(1)
    )


def run(module: Any, x: Tensor) -> Tensor:
    if not type(module).__name__.endswith("Cell"):
        spikes: Tensor = module(x)[0]
        return spikes
    state, emitted = None, []
    for step in x:
        z, state = module(step, state)
        emitted.append(z)
    return torch.stack(emitted)


@pytest.mark.parametrize("form", FORMS)
def test_the_users_parameter_is_the_one_that_learns(form: str) -> None:
    torch.manual_seed(0)
    own = {
        "tau_mem_inv": nn.Parameter(100 + 20 * torch.rand(N)),
        "tau_adapt_inv": nn.Parameter(torch.tensor(8.0)),
        "v_th": nn.Parameter(0.5 + 0.1 * torch.rand(N)),
    }
    module = make(form, ours.ALIFParameters(**own))
    for name, parameter in own.items():
        assert getattr(module.p, name) is parameter
        assert dict(module.named_parameters())[f"p.{name}"] is parameter
    torch.testing.assert_close(module.p.tau_mem, 1000 / own["tau_mem_inv"])
    spikes = run(module, drive(form))
    assert spikes.any()
    (spikes * torch.linspace(0, 1, T)[:, None, None]).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in own.values())
    reference = nm.ALIF(N, tau_mem=1000 / own["tau_mem_inv"], tau_adapt=125.0, v_th=own["v_th"])
    if "Recurrent" not in form:
        assert torch.equal(spikes, reference(drive(form))[0])


def test_gradients_are_those_of_the_inverse() -> None:
    inverse = nn.Parameter(torch.tensor([40.0, 60.0, 80.0, 100.0, 120.0], dtype=torch.float64))
    module = ours.ALIF(ours.ALIFParameters(tau_mem_inv=inverse))
    x = drive("ALIF").double()
    (module(x)[0] * torch.linspace(0, 1, T)[:, None, None]).sum().backward()
    layer = nm.ALIF(N, tau_mem=(1000 / inverse).detach(), learn=["tau_mem"]).double()
    with torch.no_grad():
        layer.tau_mem.copy_(1000 / inverse)
    (layer(x)[0] * torch.linspace(0, 1, T)[:, None, None]).sum().backward()
    expected = layer.tau_mem.grad * -1000 / inverse.detach() ** 2
    torch.testing.assert_close(inverse.grad, expected, rtol=1e-10, atol=1e-12)


def test_one_parameter_tied_across_cells_stays_one() -> None:
    shared = nn.Parameter(torch.full((N,), 90.0))
    p = ours.ALIFParameters(tau_mem_inv=shared)
    net = nn.ModuleList([ours.ALIF(p), ours.ALIFRecurrent(N, N, p)])
    assert [q is shared for q in net.parameters()].count(True) == 1
    assert net[0].p.tau_mem_inv is net[1].p.tau_mem_inv
    first, _ = net[0](drive("ALIF"))
    net[1](first)[0].sum().backward()
    assert shared.grad is not None
    optimiser = torch.optim.SGD(net.parameters(), lr=1.0)
    before = shared.detach().clone()
    optimiser.step()
    assert not torch.equal(net[0].p.tau_mem_inv, before)
    assert torch.equal(net[0].p.tau_mem_inv, net[1].p.tau_mem_inv)
    for copied in (
        copy.deepcopy(net),
        pickle.loads(pickle.dumps(net)),
        copy.deepcopy(net).double(),
    ):
        assert copied[0].p.tau_mem_inv is copied[1].p.tau_mem_inv


def test_a_computed_tensor_reaches_what_it_was_computed_from() -> None:
    raw = torch.zeros(N, requires_grad=True)
    module = ours.ALIF(ours.ALIFParameters(v_th=0.4 + torch.sigmoid(raw)))
    (module(drive("ALIF"))[0] * torch.linspace(0, 1, T)[:, None, None]).sum().backward()
    assert raw.grad is not None
    assert raw.grad.any()
    assert list(module.parameters()) == []


@pytest.mark.parametrize("form", ["ALIF", "ALIFCell", "STDPALIF", "Izhikevich", "SRCCell", "MSRC"])
def test_parameters_per_neuron_tell_how_many(form: str) -> None:
    name = {"ALIF": "beta", "STDP": "beta", "Izhi": "d", "SRCC": "r", "MSRC": "modulation"}[
        form[:4]
    ]
    kind = {"STDPALIF": "ALIF"}.get(form.removesuffix("Cell"), form.removesuffix("Cell"))
    p = getattr(ours, kind + "Parameters")(**{name: torch.linspace(0.3, 0.9, N)})
    module = getattr(ours, form)(p)
    assert module.p.num_neurons == N
    run(module, drive("ALIF"))
    with pytest.raises(
        (ValueError, RuntimeError), match=rf"must have shape .*{N}|size of (the )?tensor"
    ):
        run(module, torch.rand(T, B, N + 1))


def test_units_ranges_and_learned_numbers() -> None:
    module = ours.ALIF(ours.ALIFParameters(tau_mem_inv=50.0), num_neurons=N, learn=["tau_mem_inv"])
    assert module.p.learned == ("tau_mem_inv",)
    torch.testing.assert_close(module.p.tau_mem_inv, torch.full((N,), 50.0))
    with torch.no_grad():
        module.p.tau_mem_inv.fill_(-3.0)
    assert module(drive("ALIF"))[0].isfinite().all()
    assert (module.p.value("tau_mem") > 0).all()
    assert "tau_mem_inv" in repr(module) or "learn" in repr(module)


def test_state_dicts_of_version_0_1_load() -> None:
    module = ours.ALIF(ours.ALIFParameters(tau_mem_inv=torch.full((N,), 40.0)), learn=["beta"])
    old = {
        "p.tau_mem": torch.full((N,), 10.0),
        "p.tau_adapt": torch.tensor(100.0),
        "p.beta": torch.full((N,), 0.3),
        "p.v_th": torch.tensor(0.9),
    }
    module.load_state_dict(old)
    torch.testing.assert_close(module.p.tau_mem_inv, torch.full((N,), 100.0))
    torch.testing.assert_close(module.p.tau_adapt_inv, torch.tensor(10.0))
    again = ours.ALIF(ours.ALIFParameters(tau_mem_inv=torch.full((N,), 40.0)), learn=["beta"])
    again.load_state_dict(module.state_dict())
    assert torch.equal(again(drive("ALIF"))[0], module(drive("ALIF"))[0])


def test_norses_lif_and_lsnn_parameters_are_taken() -> None:
    own = nn.Parameter(torch.full((N,), 90.0))
    lsnn = theirs.LSNNParameters(
        tau_mem_inv=own, tau_adapt_inv=torch.tensor(4.0), beta=torch.tensor(0.3)
    )
    for form in FORMS:
        module = make(form, lsnn)
        assert module.p.tau_mem_inv is own
        assert float(module.p.tau_adapt) == pytest.approx(250.0)
        assert float(module.p.beta) == pytest.approx(0.3)
    lif = ours.from_norse(theirs.LIFParameters(v_th=torch.tensor(0.7)))
    assert lif.beta == 0
    assert float(lif.v_th) == pytest.approx(0.7)
    assert float(lif.tau_mem_inv) == pytest.approx(100.0)
    assert ours.from_norse(theirs.LIFBoxParameters()).beta == 0
    for wrong in (
        theirs.LIFParameters(v_leak=torch.tensor(-65.0)),
        theirs.LSNNParameters(v_reset=torch.tensor(0.1)),
    ):
        with pytest.raises(ConfigError, match=r"from_norse: v_\w+ must be 0"):
            ours.ALIFCell(wrong)
    with pytest.raises(TypeError, match="p must be MSRCParameters"):
        ours.MSRCCell(theirs.LIFParameters())
    with pytest.raises(TypeError, match="from_norse: p must be LIFParameters"):
        ours.from_norse(theirs.LIFExParameters())


@pytest.mark.parametrize("name", ["ALIF", "STDPALIF", "Izhikevich", "SRC", "MSRC", "BSRC"])
def test_states_have_names_and_move(name: str) -> None:
    names = set()
    for form in ("", "Cell", "Recurrent", "RecurrentCell"):
        kind = getattr(ours, name + form)
        module = kind(IN, N) if "Recurrent" in form else kind()
        x = torch.rand(T, B, IN)
        _, state = module(x if "Cell" not in form else x[0])
        assert type(state).__name__ == name + ("RecurrentState" if "Recurrent" in form else "State")
        moved = state.to(torch.float64)
        assert type(moved) is type(state)
        assert {t.dtype for t in moved} == {torch.float64}
        assert {t.device.type for t in state.to("meta")} == {"meta"}
        names.add(type(state).__name__)
    assert len(names) == 2


BEHAVIOURS = [
    "tonic_spiking", "phasic_spiking", "tonic_bursting", "phasic_bursting", "mixed_mode",
    "spike_frequency_adaptation", "class_1_exc", "class_2_exc", "spike_latency",
    "subthreshold_oscillation", "resonator", "integrator", "rebound_spike", "rebound_burst",
    "threshold_variability", "bistability", "dap", "accomodation", "inhibition_induced_spiking",
    "inhibition_induced_bursting",
]  # fmt: skip


def norse_spikes(behaviour: Any, current: Tensor, dt: float) -> tuple[Tensor, Any]:
    state = type(behaviour.s)(*(s.detach().double() for s in behaviour.s))
    emitted = []
    for step in current:
        z, state = theirs.izhikevich_feed_forward_step(step, state, behaviour.p, dt)
        emitted.append(z)
    return torch.stack(emitted), state


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_norses_izhikevich_behaviours_step_for_step(name: str) -> None:
    behaviour = getattr(theirs, name)
    generator = torch.Generator().manual_seed(0)
    offset = 80.0 if name.startswith("inhibition") else 8.0
    current = (offset + 8 * torch.randn(800, 2, 3, generator=generator)).double()
    expected, state = norse_spikes(behaviour, current, 0.001)
    torch.set_default_dtype(torch.float64)
    module, cell = ours.Izhikevich(behaviour), ours.IzhikevichCell(behaviour)
    torch.set_default_dtype(torch.float32)
    assert module.dt == 0.001
    assert module.p.dt == pytest.approx(behaviour.p.tau_inv * 0.001)
    spikes, last = module(current)
    assert torch.equal(spikes, expected)
    assert expected.any()
    quiet = last.z == 0
    torch.testing.assert_close(last.v[quiet], state.v[quiet], rtol=1e-9, atol=1e-9)
    assert torch.equal(run(cell, current[:200]), expected[:200])


@pytest.mark.parametrize("current", [6.0, 14.0, 30.0])
def test_norses_step_is_a_quarter_of_a_millisecond(current: float) -> None:
    """The same neuron here spikes as often at dt = 0.25 ms, and much more often at the 1 ms that 0.001 s is."""
    x = torch.full((2000, 1, 1), current, dtype=torch.float64)
    expected = int(norse_spikes(theirs.tonic_spiking, x, 0.001)[0].sum())
    assert expected > 5
    layer = nm.Izhikevich(1, a=0.02, b=0.2, c=-65.0, d=6.0, dt=0.25, v_init=-70.0).double()
    explicit = ours.Izhikevich(ours.IzhikevichParameters(d=6.0, tau_inv=250.0), v_init=-70.0)
    plain = ours.Izhikevich(ours.IzhikevichParameters(d=6.0), v_init=-70.0).double()
    assert int(layer(x)[0].sum()) == expected
    assert int(explicit.double()(x)[0].sum()) == expected
    assert explicit.p.dt == 0.25
    assert plain.p.dt == 1.0
    assert int(plain(x)[0].sum()) > 2 * expected


def test_options_of_izhikevich() -> None:
    module = ours.Izhikevich(clip_jacobian=1.0, u_init=-10.0)
    assert module.p.clip_jacobian == 1.0
    assert float(module.initial_state(torch.zeros(3, 1, 1)).u) == -10.0
    for wrong in ({"tau_inv": 0.0}, {"mn": math.nan}, {"bias": torch.ones(3)}):
        with pytest.raises(ConfigError, match=f"Izhikevich: {next(iter(wrong))} must be"):
            ours.Izhikevich(ours.IzhikevichParameters(**wrong))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="from_norse: v_th must be 30"):
        ours.Izhikevich(theirs.IzhikevichParameters(a=0.02, b=0.2, c=-65, d=6, v_th=20.0))
