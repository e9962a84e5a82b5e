"""What snnTorch asserts of its own Leaky and RLeaky, asserted of ours; and the faults of its base class avoided."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from typing import Any

import pytest
import snntorch as snn
import torch
from torch import Tensor

from snn_neuromod import snntorch as ours

INPUT = torch.tensor([[0.25], [0.0]])  # two steps, one neuron, no batch axis


def plain(**options: Any) -> ours.ALIF:
    return ours.ALIF(beta=0.5, adapt_strength=0.0, **options)


def plain_recurrent(**options: Any) -> ours.RALIF:
    return ours.RALIF(beta=0.5, V=0.5, all_to_all=False, adapt_strength=0.0, **options)


def test_decay_from_the_empty_state() -> None:
    neuron = plain()
    mem = neuron.init_leaky()
    mems, spikes = [], []
    for step in INPUT:
        spk, mem = neuron(step, mem)
        mems.append(mem)
        spikes.append(spk)
    assert mems[1] == mems[0] * 0.5 + INPUT[1]
    assert spikes[0] == spikes[1] == 0


def test_decay_of_a_recurrent_neuron() -> None:
    neuron = plain_recurrent()
    spk, mem = neuron.init_rleaky()
    mems, spikes = [], []
    for step in INPUT:
        spk, mem = neuron(step, spk, mem)
        mems.append(mem)
        spikes.append(spk)
    assert mems[1] == mems[0] * 0.5 + INPUT[1] + spikes[0]
    assert spikes[0] == spikes[1]


@pytest.mark.parametrize("make", [plain, plain_recurrent])
def test_reset_mechanism_can_be_set(make: Any) -> None:
    values = {"subtract": 0, "zero": 1, "none": 2}
    for before, value in values.items():
        for after in values:
            neuron = make(reset_mechanism=before)
            assert neuron.reset_mechanism_val == value
            neuron.reset_mechanism = after
            assert neuron.reset_mechanism == after
            assert neuron.reset_mechanism_val == values[after]
    with pytest.raises(ValueError, match="reset_mechanism"):
        make(reset_mechanism="nonsense")


def test_a_changed_reset_mechanism_acts() -> None:
    neuron = plain()
    _, mem = neuron(torch.full((1, 1), 3.0))
    assert neuron(torch.zeros(1, 1), mem)[-1] == 0.5
    neuron.reset_mechanism = "zero"
    assert neuron(torch.zeros(1, 1), mem)[-1] == 0.0
    neuron.reset_mechanism = "none"
    assert neuron(torch.zeros(1, 1), mem)[-1] == 1.5


def test_reset_mechanism_travels_with_the_state_dict() -> None:
    neuron, other = plain(reset_mechanism="zero"), plain()
    other.load_state_dict(neuron.state_dict())
    assert other.reset_mechanism == "zero"
    assert other.reset_mechanism_val == 1


@pytest.mark.parametrize("make", [plain, plain_recurrent])
@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
def test_init_hidden(make: Any, reset: str) -> None:
    hidden = make(init_hidden=True, reset_mechanism=reset)
    explicit = make(reset_mechanism=reset)
    state: tuple[Tensor, ...] = ()
    spikes = []
    for step in torch.rand(20, 3, 4).unbind(0):
        spk, *state = explicit(step, *state)
        state = [spk, *state] if make is plain_recurrent else state
        spikes.append(spk)
        assert torch.equal(hidden(step), spk)
        assert torch.equal(hidden.mem, state[-1])
    assert torch.stack(spikes).any()


@pytest.mark.parametrize("make", [plain, plain_recurrent])
def test_a_state_is_refused_with_init_hidden(make: Any) -> None:
    neuron = make(init_hidden=True)
    with pytest.raises(TypeError, match="init_hidden=True"):
        neuron(INPUT, INPUT)
    with pytest.raises(TypeError, match="init_hidden=True"):
        neuron(INPUT, mem=INPUT)


@pytest.mark.parametrize("make", [plain, plain_recurrent])
def test_output_returns_the_state(make: Any) -> None:
    neuron = make(init_hidden=True, output=True)
    out = neuron(2 * torch.ones(3, 4))
    assert len(out) == 2
    assert torch.equal(out[-1], neuron.mem)
    adapting = ours.ALIF(0.5, init_hidden=True, output=True)
    out = adapting(2 * torch.ones(3, 4))
    assert len(out) == 3
    assert torch.equal(out[1], adapting.adapt)


def test_gradient_of_the_graded_factor() -> None:
    neuron = plain(init_hidden=True, learn_graded_spikes_factor=True)
    spikes = [neuron(step) for step in torch.rand(50, 2, 3).unbind(0)]
    torch.stack(spikes).sum().backward()
    assert neuron.graded_spikes_factor.grad == torch.stack(spikes).count_nonzero()
    assert neuron.graded_spikes_factor.grad > 0


@pytest.mark.parametrize("make", [plain, plain_recurrent])
def test_no_graph_break(make: Any) -> None:
    torch._dynamo.reset()
    explanation = torch._dynamo.explain(make(surrogate_disable=True))(INPUT[0])
    assert explanation.graph_break_count == 0
    assert explanation.graph_count == 1


def test_state_follows_the_input() -> None:
    neuron = ours.ALIF(0.9, init_hidden=True)
    assert neuron.mem.shape == (0,)
    neuron(2 * torch.ones(3, 4))
    assert neuron.mem.shape == neuron.adapt.shape == (3, 4)
    neuron(2 * torch.ones(2, 4))  # a smaller last batch starts at rest
    assert torch.equal(neuron.mem, 2 * torch.ones(2, 4))
    neuron(2 * torch.ones(2, 4, dtype=torch.float64))
    assert neuron.mem.dtype == neuron.adapt.dtype == torch.float64
    assert torch.equal(neuron.mem, 2 * torch.ones(2, 4, dtype=torch.float64))
    neuron.to(torch.float32)
    assert neuron.mem.dtype == torch.float32
    neuron(torch.ones(2, 4, device="meta"))
    assert neuron.mem.device.type == "meta"


def test_half_precision_keeps_a_float32_state() -> None:
    for make in (lambda: ours.BSRC(init_hidden=True), lambda: plain_recurrent(init_hidden=True)):
        neuron = make()
        for _ in range(3):
            spk = neuron(torch.ones(2, 4, dtype=torch.bfloat16))
        assert spk.dtype == torch.bfloat16
        assert {b.dtype for n, b in neuron.named_buffers() if n in neuron.state_names} == {
            torch.float32
        }
    assert neuron.mem.unique() != 1  # the state went on


def test_reset_of_an_explicit_state_is_empty() -> None:
    """So that it fits a last batch that is smaller."""
    neuron = ours.RALIF(0.9, linear_features=4)
    neuron(torch.ones(3, 4))
    assert neuron.mem.shape == (3, 4)
    state = neuron.reset_mem()
    assert [tuple(s.shape) for s in state] == [(0,)] * 3
    _, _, mem = neuron(torch.ones(2, 4), *state)
    assert mem.shape == (2, 4)


STATES = [
    (lambda: ours.ALIF(0.9), "adapt, mem"),
    (lambda: ours.RALIF(0.9, linear_features=4), "spk, adapt, mem"),
    (lambda: ours.RALIF(0.9, linear_features=4, adapt_strength=0.0), "spk, mem"),
    (lambda: ours.STDPALIF(0.9), "held, adapt, mem"),
    (ours.Izhikevich, "u, mem"),
    (ours.SRC, "syn, h_s, h"),
    (ours.MSRC, "syn, h_s, h"),
    (ours.BSRC, "syn, h_u, h_s, h"),
]


@pytest.mark.parametrize(("make", "names"), STATES)
def test_no_state_is_taken_for_another(make: Any, names: str) -> None:
    """The message holds the line to write, and the line works."""
    neuron, x = make(), torch.ones(3, 4)
    out = ", ".join(["spk", *names.removeprefix("spk, ").split(", ")])
    line = f"{out} = neuron(input_, {names})"
    some = [x] * (len(names.split(", ")) - 1)
    for states, named in (
        (some, {}), ([], {names.split(", ")[-1]: x}), ([*some, (x, x)], {}), ([x] * 9, {}), ([], {"x": x}),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=f"{type(neuron).__name__}: states") as error:
            neuron(x, *states, **named)
        assert f"`{line}`" in str(error.value)
    values = {"neuron": neuron, "input_": x}
    exec(f"{names} = neuron.reset_mem()\n{line}", values)
    assert values["spk"].shape == (3, 4)


def test_states_by_name() -> None:
    neuron, x = ours.ALIF(0.9), torch.rand(3, 4)
    _, adapt, mem = neuron(x)
    expected = neuron(x, adapt, mem)
    assert all(map(torch.equal, neuron(x, mem=mem, adapt=adapt), expected))
    assert torch.equal(plain()(x, mem=mem)[1], plain()(x, mem)[1])


def test_what_leaky_is_follows_the_strength() -> None:
    neuron, x = plain(), torch.rand(3, 4)
    assert len(neuron(x)) == 2
    neuron.adapt_strength.fill_(0.3)
    assert len(neuron(x)) == 3
    neuron.adapt_strength = torch.zeros(())
    assert len(neuron(x)) == 2
    assert len(ours.ALIF(0.9, adapt_strength=0.0, learn_adapt_strength=True)(x)) == 3
    learned = ours.ALIF(0.9, adapt_strength=0.0, learn_adapt_strength=True)
    given = {"adapt_strength": torch.zeros(())}  # as torch.func passes it, no longer a parameter
    assert len(torch.func.functional_call(learned, given, (x,))) == 3
    at_once = plain(reset_delay=False)
    at_once.load_state_dict(ours.ALIF(0.9).state_dict())
    with pytest.raises(ValueError, match="reset_delay must be True with adaptation"):
        at_once(x)


@torch.inference_mode()
def test_a_neuron_made_in_inference_mode() -> None:
    """Its tensors do not count how often they were written to."""
    neuron, x = plain(), torch.rand(3, 4)
    assert len(neuron(x)) == 2
    neuron.adapt_strength.fill_(0.3)
    assert len(neuron(x)) == 3


def test_a_membrane_cut_off_by_hand_is_all_of_leakys_state() -> None:
    neuron, weight = plain(), torch.ones((), requires_grad=True)
    mem = neuron.reset_mem()
    for step in (2 * torch.rand(6, 3, 4)).unbind(0):
        spk, mem = neuron(weight * step, mem.detach())
        (spk.sum() + mem.sum()).backward()  # would go through the graph a second time
    assert weight.grad != 0


def test_every_neuron_shows_its_membrane() -> None:
    for make, names in STATES:
        neuron = make()
        state = neuron(torch.ones(3, 4))
        assert torch.equal(neuron.mem, state[-1])
        neuron.mem = torch.zeros(3, 4)
        assert not getattr(neuron, names.split(", ")[-1]).any()


def test_a_state_of_another_shape_is_refused() -> None:
    neuron = ours.ALIF(0.9)
    _, adapt, mem = neuron(torch.ones(3, 4))
    with pytest.raises(ValueError, match="ALIF: adapt must have the shape"):
        neuron(torch.ones(2, 4), adapt, mem)
    with pytest.raises(TypeError, match="floating-point"):
        neuron(torch.ones(3, 4, dtype=torch.int64))


def test_reset_and_detach_per_instance_and_per_class() -> None:
    one, two = ours.ALIF(0.9, init_hidden=True), ours.ALIF(0.9, init_hidden=True)
    other = ours.Izhikevich(init_hidden=True)
    x = torch.ones(2, 3, requires_grad=True)
    for neuron in (one, two, other):
        neuron(x)
    _, mem = one.reset_mem()
    assert not mem.any()
    assert mem.shape == (2, 3)
    assert not mem.requires_grad
    assert two.mem.all()
    ours.ALIF.detach_hidden()
    assert not two.mem.requires_grad
    assert two.mem.all()
    assert other.mem.requires_grad
    ours.ALIF.reset_hidden()
    assert not two.mem.any()
    other.reset_mem()
    assert torch.equal(other.mem, torch.full((2, 3), -65.0))
    assert torch.equal(other.u, torch.full((2, 3), -13.0))


def test_no_method_is_called_reset() -> None:
    for name in ours.__all__:
        assert not hasattr(getattr(ours, name), "reset")
    neuron = ours.ALIF(0.9, init_hidden=True)
    neuron(torch.ones(2, 3))
    assert not hasattr(neuron, "reset")


def test_deleted_neurons_are_freed() -> None:
    count = len(snn.SpikingNeuron.instances)
    net = torch.nn.Sequential(
        torch.nn.Linear(4, 3), ours.RALIF(0.9, linear_features=3, init_hidden=True)
    )
    net(torch.ones(2, 4))
    copies = [copy.deepcopy(net), pickle.loads(pickle.dumps(net))]
    references = [weakref.ref(n[1]) for n in (net, *copies)]
    assert len(snn.SpikingNeuron.instances) == count
    del net, copies
    gc.collect()
    assert [reference() for reference in references] == [None] * 3


def test_upstreams_list_leaks() -> None:
    """The fault that the test above guards against: snnTorch keeps its neurons for ever."""
    reference = weakref.ref(snn.Leaky(0.9))
    gc.collect()
    assert reference() is not None
    snn.SpikingNeuron.instances.remove(reference())


@pytest.mark.parametrize(
    "make",
    [
        lambda: ours.ALIF(0.9, reset_mechanism="nonsense"),
        lambda: ours.ALIF(float("nan")),
        lambda: ours.ALIF(0.9, adapt_decay=1.5),
        lambda: ours.ALIF(0.9, adapt_strength=-1.0),
        lambda: ours.ALIF(0.9, reset_delay=False),
        lambda: ours.STDPALIF(0.9, refractory=0),
        lambda: ours.STDPALIF(0.9, reset_mechanism="subtract"),
        lambda: ours.Izhikevich(a=-1.0),
        lambda: ours.MSRC(z_hyp=1.0),
    ],
)
def test_a_constructor_that_raises_leaves_nothing(make: Any) -> None:
    count, gathered = len(snn.SpikingNeuron.instances), gc.collect()
    with pytest.raises(ValueError, match=r"^\w+: |reset_mechanism must"):
        make()
    assert len(snn.SpikingNeuron.instances) == count
    ours.Neuron.reset_hidden()  # half-built neurons are passed over
    assert gathered is not None


def test_a_copied_neuron_has_a_state_of_its_own() -> None:
    neuron = ours.ALIF(0.9, init_hidden=True)
    neuron(
        torch.ones(2, 3, requires_grad=True)
    )  # a state inside a graph, which snnTorch cannot copy
    other = copy.deepcopy(neuron)
    other(torch.ones(2, 3))
    assert torch.equal(neuron.mem, torch.ones(2, 3))
    assert not torch.equal(other.mem, neuron.mem)
    assert neuron.mem.requires_grad


@pytest.mark.parametrize("neuron", [ours.SRC, ours.MSRC, ours.BSRC, ours.Izhikevich])
@pytest.mark.parametrize(
    "keyword",
    [
        {"beta": 0.9},
        {"threshold": 1.0},
        {"reset_mechanism": "subtract"},
        {"reset_delay": True},
        {"nonsense": 1},
    ],
)
def test_a_keyword_without_meaning_is_refused(neuron: Any, keyword: dict[str, Any]) -> None:
    with pytest.raises(
        TypeError, match=f"{neuron.__name__}: {next(iter(keyword))} cannot be set: "
    ):
        neuron(**keyword)
    with pytest.raises(ValueError, match="reset_mechanism cannot be set"):
        neuron().reset_mechanism = "zero"


def test_a_graded_spike_takes_no_spike_grad() -> None:
    with pytest.raises(TypeError, match="spike_grad cannot be set: its spikes are graded"):
        ours.MSRC(spike_grad=ours.ATan())


@pytest.mark.parametrize(
    "options", [{}, {"all_to_all": False, "linear_features": 3}, {"kernel_size": 3}]
)
def test_recurrence_must_fit_together(options: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="RALIF: "):
        ours.RALIF(0.9, **options)


def test_recurrent_weights_can_be_fixed() -> None:
    assert list(ours.RALIF(0.9, linear_features=3, learn_recurrent=False).parameters()) != []
    assert not any(
        p.requires_grad
        for p in ours.RALIF(0.9, V=0.5, all_to_all=False, learn_recurrent=False).parameters()
    )
