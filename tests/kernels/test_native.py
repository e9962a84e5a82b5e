"""The C kernels next to the eager form and the reference: values, gradients, shapes, threads, memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch

import snn_neuromod as nm
from snn_neuromod import dynamics, surrogate
from snn_neuromod.kernels import neurons, operator
from snn_neuromod.kernels.backends.c import library
from snn_neuromod.kernels.backends.c.jobs import weight_gradient
from snn_neuromod.kernels.call import Paths
from snn_neuromod.kernels.gradients import weights_gradient
from snn_neuromod.kernels.synapses import Synapses
from tests.helpers import pairwise
from tests.kernels.reference import SRC_FAMILY, Case, assert_equal_gradients, make_case

AVAILABLE, STATUS = library.load()
pytestmark = pytest.mark.skipif(AVAILABLE is None, reason=f"C kernels: {STATUS}")

ALIF = {"psi": surrogate.Psi(), "reset": "subtract", "refractory": 0, "detach_reset": False}
STDP = {"psi": dynamics.stdp_alif.PSI, "refractory": 2, "detach_reset": False}
IZHIKEVICH = {"psi": dynamics.izhikevich.PSI, "detach_reset": False}
NEURONS: dict[str, dict[str, Any]] = {
    "alif": ALIF,
    "stdp_alif": STDP,
    "izhikevich": IZHIKEVICH,
    "leaky_integrator": {"normalise": True},
    "src": {"straight_through": False, "detach_recurrence": False},
    "msrc": {"straight_through": False, "detach_recurrence": False},
    "bsrc": {"straight_through": False, "detach_recurrence": False},
}
PATHS = {"feedforward": (False, None), "recurrent": (True, None), "e-prop": (True, 0)}
SPIKING = ["alif", "stdp_alif", "izhikevich"]
every_neuron = pytest.mark.parametrize("neuron", NEURONS)
every_spiking_neuron = pytest.mark.parametrize("neuron", SPIKING)
every_path = pytest.mark.parametrize("path", PATHS)
NEURONS_AND_PATHS = [
    (neuron, path)
    for neuron in NEURONS
    for path in PATHS
    if path == "feedforward" or neuron in SPIKING
]
every_neuron_and_path = pytest.mark.parametrize(("neuron", "path"), NEURONS_AND_PATHS)


@pytest.fixture(autouse=True)
def _by_name() -> Iterator[None]:
    """Whatever the kernels cannot serve is an error here."""
    with nm.kernels.use("c"):
        yield


def live_case(neuron: str, path: str = "feedforward", **kwargs: Any) -> Case:
    """A case with gradients of everything that the kernel knows."""
    recurrent, hops = PATHS[path]
    options = kwargs.pop("options", NEURONS[neuron])
    if neuron == "izhikevich":
        kwargs.setdefault("dt", 0.5)
    case = make_case(neuron, options, recurrent=recurrent, hops=hops, **kwargs)
    if path != "feedforward":  # the recurrent input stays in the range of the current
        weights = (case.w_rec.detach() * (2 / case.w_rec.shape[0] ** 0.5)).requires_grad_()
        case = case._replace(w_rec=weights)
    if neuron == "izhikevich":  # its kernel gives no gradient of dt, which no layer learns
        case.params[-1].requires_grad_(False)
    return case


def all_gradients(case: Case, backend: str) -> tuple[list[torch.Tensor], dict[str, torch.Tensor]]:
    """Spikes and last state, and the gradients by the leaves that need one."""
    with nm.kernels.use(backend):
        spikes, state = case.operator()
        generator = torch.Generator().manual_seed(7)
        loss = sum(
            (x * torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x.dtype)).sum()
            for x in (spikes, *state)
        )
        leaves = {name: leaf for name, leaf in case.leaves.items() if leaf.requires_grad}
        found = torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)
    return [spikes, *state], dict(zip(leaves, found, strict=True))


def assert_equal_to_eager(case: Case, tolerance: float = 1e-10) -> None:
    eager, eager_grads = all_gradients(case, "eager")
    found, grads = all_gradients(case, "c")
    if case.neuron != "leaky_integrator":
        assert 0 < eager[0].mean() < 1, "the network must be live"
    pairs = [*zip(eager, found, strict=True), *((eager_grads[k], grads[k]) for k in grads)]
    for expected, value in pairs:
        assert value.isfinite().all()
        if expected.numel():
            error = (value - expected).abs().max() / expected.abs().max().clamp(min=1e-300)
            assert error < tolerance
    assert grads["current"].abs().max() > 0


@pytest.mark.parametrize(
    ("of", "num", "num_steps", "batch"),
    pairwise(NEURONS_AND_PATHS, [1, 63, 257], [1, 100], [1, 5]),
)
def test_equal_to_eager(of: tuple[str, str], num: int, num_steps: int, batch: int) -> None:
    neuron, path = of
    # Long runs amplify rounding: in Izhikevich neurons until a spike moves, in the ill-conditioned SRC family always.
    if neuron in SRC_FAMILY or (neuron == "izhikevich" and path != "feedforward"):
        num_steps = min(num_steps, 30)
    case = live_case(neuron, path, shape=(num_steps, batch, num))
    if num * batch < 60 or num_steps == 1:  # too few for a live network
        eager, eager_grads = all_gradients(case, "eager")
        found, grads = all_gradients(case, "c")
        for expected, value in [
            *zip(eager, found, strict=True),
            *((eager_grads[k], grads[k]) for k in grads),
        ]:
            torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-10)
    else:
        assert_equal_to_eager(case, 1e-7 if neuron in SRC_FAMILY else 1e-10)


@pytest.mark.parametrize(
    ("neuron", "path"),
    [
        ("alif", "recurrent"),
        ("alif", "e-prop"),
        ("stdp_alif", "recurrent"),
        ("izhikevich", "feedforward"),
        ("leaky_integrator", "feedforward"),
    ],
)
def test_wide_layers_and_long_runs(neuron: str, path: str) -> None:
    case = live_case(neuron, path, shape=(300, 2, 1000))
    if neuron == "izhikevich":  # else its gradients grow until only a few numbers count
        case = case._replace(options={**case.options, "clip_jacobian": 0.9})
    assert_equal_to_eager(case)


@pytest.mark.parametrize(
    ("reset", "refractory", "detach_reset", "path"),
    pairwise(["subtract", "zero", "none"], [0, 2], [True, False], PATHS),
)
def test_resets_of_alif(reset: str, refractory: int, detach_reset: bool, path: str) -> None:
    options = {**ALIF, "reset": reset, "refractory": refractory, "detach_reset": detach_reset}
    assert_equal_gradients(
        live_case("alif", path, options=options, alpha=0.8, rho=torch.linspace(0.5, 1, 4))
    )


@pytest.mark.parametrize(
    ("shape", "scale", "refractory", "path"),
    pairwise(surrogate.PROFILES, ["threshold", "none"], [0, 2], PATHS),
)
def test_pseudo_derivatives(shape: Any, scale: Any, refractory: int, path: str) -> None:
    psi = surrogate.Psi(shape=shape, scale=scale, gamma=0.4, width=0.7, refractory=-1.0)
    for at_spike in (None, 0.5):
        psi = surrogate.Psi(**{**vars(psi), "at_spike": at_spike})
        options = {**ALIF, "psi": psi, "refractory": refractory}
        assert_equal_gradients(live_case("alif", path, options=options, v_th=0.8))
    options = {**IZHIKEVICH, "psi": psi}
    if path == "feedforward" or not refractory:
        assert_equal_to_eager(live_case("izhikevich", path, options=options, shape=(20, 3, 40)))


@pytest.mark.parametrize("clip_jacobian", [None, 0.9])
@pytest.mark.parametrize("detach_reset", [True, False])
@every_path
def test_stdp_alif_and_izhikevich(
    detach_reset: bool, clip_jacobian: float | None, path: str
) -> None:
    options = {**STDP, "detach_reset": detach_reset}
    assert_equal_gradients(live_case("stdp_alif", path, options=options, alpha=0.8))
    options = {**IZHIKEVICH, "detach_reset": detach_reset, "clip_jacobian": clip_jacobian}
    per_neuron = {"a": torch.linspace(0.01, 0.1, 40), "dt": torch.linspace(0.3, 0.6, 40)}
    assert_equal_to_eager(
        live_case("izhikevich", path, options=options, shape=(20, 3, 40), **per_neuron)
    )


@pytest.mark.parametrize("num", [4, 300])
def test_parameters_per_neuron_and_per_sample(num: int) -> None:
    beta, v_th = torch.linspace(0.1, 0.3, num), torch.rand(3, num) + 0.5
    assert_equal_gradients(live_case("alif", beta=beta, v_th=v_th, shape=(20, 3, num)))
    assert_equal_gradients(
        live_case("alif", "recurrent", beta=beta, v_th=v_th[0], shape=(20, 3, num))
    )


@every_neuron
@pytest.mark.parametrize("shape", [(5, 0, 3), (12, 2, 3, 4), (30, 5)], ids=str)
def test_any_batch(neuron: str, shape: tuple[int, ...]) -> None:
    case = live_case(neuron, shape=shape)
    (eager, eager_grads), (found, grads) = all_gradients(case, "eager"), all_gradients(case, "c")
    for expected, value in zip(
        [*eager, *eager_grads.values()], [*found, *grads.values()], strict=True
    ):
        torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-10)


@every_neuron
def test_strided_input(neuron: str) -> None:
    case = live_case(neuron)
    strided = case.current.detach().permute(2, 1, 0).contiguous().permute(2, 1, 0).requires_grad_()
    states = [s.detach().T.contiguous().T.requires_grad_() for s in case.state]
    (a, a_grads), (b, b_grads) = (
        all_gradients(x, "c") for x in (case, case._replace(current=strided, state=states))
    )
    for x, y in zip([*a, *a_grads.values()], [*b, *b_grads.values()], strict=True):
        assert torch.equal(x, y)
    spikes, _ = case.operator()
    (whole,) = torch.autograd.grad(spikes.sum(), case.current)  # an expanded gradient
    (ones,) = torch.autograd.grad(case.operator()[0], case.current, torch.ones_like(spikes))
    assert torch.equal(whole, ones)


@every_spiking_neuron
@every_path
def test_segmented_run_equals_full_run(neuron: str, path: str) -> None:
    case = live_case(neuron, path, shape=(20, 3, 40), dtype=torch.float32)
    spikes, state = case.operator()
    first, middle = case._replace(current=case.current[:9]).operator()
    before = first[-1] if case.w_rec is not None else None
    rest = case._replace(current=case.current[9:], state=middle, spikes=before)
    second, last = rest.operator()
    assert torch.equal(torch.cat([first, second]), spikes)
    assert all(torch.equal(a, b) for a, b in zip(last, state, strict=True))


@every_neuron_and_path
def test_threads_change_nothing(neuron: str, path: str) -> None:
    case = live_case(neuron, path, shape=(30, 13, 70), dtype=torch.float32)
    results = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            values, grads = all_gradients(case, "c")
            # GEMM of PyTorch itself may depend on its threads
            grads.pop("w_rec", None)
            results.append([*values, *grads.values()])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@every_neuron_and_path
def test_every_number_is_written(neuron: str, path: str) -> None:
    """Fresh memory is filled with NaN."""
    case = live_case(neuron, path, shape=(20, 5, 63))
    expected, expected_grads = all_gradients(case, "c")
    torch.use_deterministic_algorithms(True)  # which fills what torch.empty gives
    try:
        found, grads = all_gradients(case, "c")
    finally:
        torch.use_deterministic_algorithms(False)
    pairs = zip([*expected, *expected_grads.values()], [*found, *grads.values()], strict=True)
    for a, b in pairs:
        assert torch.equal(a, b)


@every_spiking_neuron
def test_float32_spikes_equal_those_of_the_reference(neuron: str) -> None:
    """Without recurrent weights every rounding is the same."""
    case = live_case(neuron, shape=(100, 8, 64), dtype=torch.float32)
    with torch.no_grad():
        spikes, reference = case.operator()[0], case.reference()[0]
    assert spikes.any()
    assert torch.equal(spikes, reference)


@every_spiking_neuron
@every_path
def test_float32_is_as_precise_as_the_step(neuron: str, path: str) -> None:
    """Error against float64 where no spike moved; spikes are equal away from the threshold."""
    options = NEURONS[neuron]
    if neuron == "izhikevich":  # else its gradients reach 1e24, and one neuron's rounding decides
        options = {**options, "clip_jacobian": 1.0}
    rough = live_case(neuron, path, options=options, shape=(30, 8, 64), dtype=torch.float32, seed=3)
    leaf = {k: v.detach().double().requires_grad_(v.requires_grad) for k, v in rough.leaves.items()}
    values = list(leaf.values())
    count, states = len(rough.params), len(rough.state)
    exact = rough._replace(
        current=values[0],
        params=values[1 : 1 + count],
        state=values[1 + count : 1 + count + states],
        w_rec=leaf.get("w_rec"),
        spikes=leaf.get("spikes"),
    )
    true, true_grads = all_gradients(exact, "eager")

    def errors(backend: str) -> list[float]:
        found, grads = all_gradients(rough, backend)
        assert torch.equal(found[0].double(), true[0]), "a spike moved: take another seed"
        pairs = [*zip(found, true, strict=True), *((grads[k], true_grads[k]) for k in grads)]
        return [(a.double() - b).norm().item() / (1 + b.norm().item()) for a, b in pairs]

    for c, step in zip(errors("c"), errors("reference"), strict=True):
        assert c <= 3 * step + 1e-6


def test_exponential_is_accurate() -> None:
    """The kernels' own exponential, seen through the pseudo-derivative of one step."""
    v = torch.linspace(-900, 30, 20001)
    psi = surrogate.Psi(shape="exponential", scale="none", gamma=1.0)
    params = [torch.tensor(x) for x in (0.0, 0.0, 0.0, 0.0, 1.0)]
    current = torch.zeros(1, len(v)).requires_grad_()
    encoded = neurons.encode("izhikevich", psi=psi, detach_reset=True)
    state = [v, torch.zeros_like(v), torch.zeros_like(v)]
    spikes, last = operator.run(encoded, current, params, state)
    (grad,) = torch.autograd.grad(spikes.sum(), current)
    distance = (last[0] - 30).double() / 30
    expected = torch.exp(distance.clamp(max=0))
    torch.testing.assert_close(grad[0].double(), expected, rtol=3e-6, atol=1e-37)


def test_gradient_of_the_weights_at_every_rate() -> None:
    """Event by event below the rate at which a product of matrices takes over, and above."""
    delta = torch.randn(40, 3, 70, dtype=torch.float64)
    for rate in (0.02, 0.1, 0.6):
        spikes = (torch.rand(40, 3, 70) < rate).double()
        first = torch.rand(3, 70, dtype=torch.float64)
        before = torch.cat([first[None], spikes[:-1]])
        expected = torch.einsum("tbj,tbi->ji", delta, before)
        group = Synapses(torch.empty(70, 70), 1, None)
        found = weights_gradient(group, delta, first[None], spikes, weight_gradient)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


BY_NEURON = torch.arange(40) % 3 + 1
DELAYS = {
    "2": 2,
    "25, longer than the sequence": 25,
    "by neuron": BY_NEURON,
    "by synapse": (BY_NEURON + 2 * torch.arange(40)[:, None]) % 4 + 1,
}


@every_spiking_neuron
@pytest.mark.parametrize("path", ["recurrent", "e-prop"])
@pytest.mark.parametrize("delay", DELAYS.values(), ids=DELAYS)
def test_delays(neuron: str, path: str, delay: Any) -> None:
    case = live_case(neuron, path, shape=(20, 5, 40), delay=delay)
    assert_equal_gradients(case) if neuron != "izhikevich" else assert_equal_to_eager(case)
    for cut in (3, 12):  # the spikes before the second part are partly those before the first
        spikes, state = case.operator()
        first, middle = case._replace(current=case.current[:cut]).operator()
        past = torch.cat([case.spikes.reshape(-1, 5, 40), first])[
            -int(torch.as_tensor(delay).max()) :
        ]
        rest = case._replace(current=case.current[cut:], state=middle, spikes=past)
        second, last = rest.operator()
        assert torch.equal(torch.cat([first, second]), spikes)
        assert all(torch.equal(a, b) for a, b in zip(last, state, strict=True))


@pytest.mark.parametrize("delay", [1, BY_NEURON], ids=["1", "by neuron"])
def test_many_spikes_at_once(delay: Any) -> None:
    """Some rows take the product of matrices, others single events, at every step anew."""
    case = live_case("alif", "recurrent", shape=(20, 13, 40), delay=delay, alpha=0.5, beta=0.0)
    strong = 6 * torch.rand(20, 13, 1, dtype=torch.float64) - 2
    case = case._replace(current=(case.current + strong).detach().requires_grad_())
    rates = case.operator()[0].mean(-1)
    assert (rates > 0.6).any()
    assert ((rates > 0) & (rates < 0.3)).any()
    assert_equal_gradients(case)
    single = live_case("alif", "recurrent", shape=(20, 13, 40), delay=delay, dtype=torch.float32)
    dense = single._replace(current=(single.current + strong.float()).detach().requires_grad_())
    results = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            results.append(dense.operator()[0])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*results)


def test_learned_parameters_of_izhikevich_and_filters() -> None:
    """Each on its own: what is not learned is not computed."""
    for neuron, names in (("izhikevich", "abcd"), ("leaky_integrator", ["kappa"])):
        for name, per_neuron in itertools.product(names, (True, False)):
            case = live_case(neuron, shape=(37, 3, 300))
            params = []
            for field, p in zip(case.module.Params._fields, case.params, strict=True):
                value = (
                    p.detach() * torch.linspace(0.9, 1.1, 300).double()
                    if per_neuron
                    else p.detach()
                )
                params.append(value.requires_grad_(field == name))
            assert_equal_to_eager(case._replace(params=params))


def test_asked_for_by_name_and_unable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNN_NEUROMOD_JIT", "0")  # or a kernel is printed
    case = make_case("alif", ALIF, dtype=torch.bfloat16)
    with pytest.raises(RuntimeError, match=r"'c' was asked for by name.*float32 or float64"):
        case.operator()
    with nm.kernels.use("auto"):
        assert case.operator()[0].isfinite().all()


@pytest.mark.parametrize(
    ("neuron", "change"),
    [("src", {"recurrent": True}), ("alif", {"beta": torch.rand(20, 3, 4)}), ("izhikevich", {})],
    ids=["recurrent", "per step", "gradient of dt"],
)
def test_served_without_a_compiler(
    neuron: str, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SNN_NEUROMOD_JIT", "0")
    assert_equal_to_eager(make_case(neuron, NEURONS[neuron], **change), 1e-7)


@every_neuron
def test_the_backward_pass_follows_its_forward_pass(neuron: str) -> None:
    case = live_case(neuron)
    expected = all_gradients(case, "c")[1]["current"]
    for first, then in (("c", "eager"), ("eager", "c")):
        with nm.kernels.use(first):
            spikes, state = case.operator()
        generator = torch.Generator().manual_seed(7)
        loss = sum(
            (x * torch.randn(x.shape, generator=generator, dtype=x.dtype)).sum()
            for x in (spikes, *state)
        )
        with nm.kernels.use(then):
            (found,) = torch.autograd.grad(loss, case.current)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("neuron", "sizes"),
    [
        ("alif", [3, 3, 3]),
        ("stdp_alif", [3, 3, 3, 3]),
        ("izhikevich", [3, 3, 3]),
        ("leaky_integrator", []),
        ("src", [3, 3, 3]),
        ("bsrc", [3, 3, 3, 3]),
    ],
)
def test_what_is_kept_for_the_backward_pass(neuron: str, sizes: list[int]) -> None:
    case = live_case(neuron, shape=(33, 2, 5))
    encoded = neurons.encode(neuron, **case.options)
    args = (encoded, case.current, case.params, case.state, [], [1], [], "inf")
    needed = [False] * len(case.params)
    with torch.no_grad():
        out = torch.ops.snn_neuromod.sequence(*args, True, needed, "c")
        bare = torch.ops.snn_neuromod.sequence(*args, False, needed, "c")
    assert [len(track) for track in out[1 + len(case.state) :]] == sizes
    assert len(bare) == 1 + len(case.state)
    assert all(torch.equal(a, b) for a, b in zip(bare, out, strict=False))


@pytest.mark.parametrize(
    ("neuron", "path"),
    [
        *dict(zip(SPIKING, PATHS, strict=True)).items(),
        ("leaky_integrator", "feedforward"),
        ("bsrc", "feedforward"),
        ("izhikevich", "recurrent"),
    ],
)
def test_opcheck(neuron: str, path: str) -> None:
    case = live_case(neuron, path, shape=(18, 2, 4))
    encoded = neurons.encode(neuron, **case.options)
    weights = [] if case.w_rec is None else [case.spikes[None].detach(), case.w_rec]
    weights = [w.detach().requires_grad_() for w in weights]
    needed = [p.requires_grad for p in case.params]
    rule = Paths(PATHS[path][1]).encode()
    args = (encoded, case.current, case.params, case.state, weights, [1], [], rule)
    torch.library.opcheck(torch.ops.snn_neuromod.sequence.default, (*args, True, needed, "c"))


def test_compiles_into_one_graph_for_each_backend() -> None:
    case = live_case("alif", "recurrent", options={**ALIF, "refractory": 2})
    encoded = neurons.encode("alif", **case.options)

    def loss(current: torch.Tensor) -> torch.Tensor:
        spikes, _ = operator.run(
            encoded, 2 * current, case.params, case.state, w_rec=case.w_rec, spikes=case.spikes
        )
        return (spikes * current).sum()

    expected = torch.autograd.grad(loss(case.current), case.current)
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    for backend in ("c", "eager", "c"):
        with nm.kernels.use(backend):
            found = torch.autograd.grad(compiled(case.current), case.current)
        torch.testing.assert_close(found, expected)
