"""A neuron is stated once: every form has the names, defaults and sentences of its module in `snn_neuromod.dynamics`.

What a form does not take from there is owned by a peer's convention, and stands below with the reason.
"""

from __future__ import annotations

import inspect
import math
import re
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, get_args

import pytest
import torch
from typing_extensions import get_type_hints

import snn_neuromod as nm
from snn_neuromod import layers, norse, snntorch
from snn_neuromod.dynamics import NEURONS
from snn_neuromod.dynamics.parameter import Parameter
from tests import helpers
from tests.layers import cases

CLASSES: dict[str, type[nm.layers.Layer]] = {
    kind.dynamics_name: kind
    for kind in vars(layers).values()
    if isinstance(kind, type) and "dynamics_name" in vars(kind)
}
DECAY = "snnTorch counts in steps: a time constant is its decay per step"
LEAKY = "the argument of snntorch.Leaky that it stands for"
SNNTORCH = {
    "tau_mem": ("beta", f"{DECAY}, and beta is {LEAKY}, which has no default"),
    "tau_adapt": ("adapt_decay", DECAY),
    "beta": ("adapt_strength", f"beta is {LEAKY}"),
    "v_th": ("threshold", LEAKY),
}
"""Of ALIF and STDP-ALIF in snnTorch's form: name and reason."""
SNNTORCH_DEFAULTS = {
    ("src", "z_hyp"): 0.7,
    ("msrc", "z_hyp"): 0.7,
    ("msrc", "b"): 1.0,
}
"""Defaults of snnTorch's form that are its own; a table of its docstring says why."""
NORSE = {
    "tau_mem": ("tau_mem_inv", "Norse's parameters are inverse time constants in 1/s"),
    "tau_adapt": ("tau_adapt_inv", "Norse's parameters are inverse time constants in 1/s"),
}
"""In Norse's form: name and reason."""
NORSE_ONLY = {
    "tau_inv": "Norse's unit of time",
    "mn": "Norse's name of the layer's option linear",
    "bias": "Norse's name of the layer's option constant",
}
OPTIONS = {
    "detach_recurrence": "the source's gradient, which training needs; equations alone are exact",
    "spike_fn": "made of psi or straight_through",
}
"""Options of `step` whose default is another in a layer: reason."""
STARTS = {"h": "start", "v": "v_init"}
"""Arguments of `initial_state`, and of the layer."""
OWN_STARTS = {"SRC": "drawn per neuron, as in the source; -0.4 is the mean"}


class Stated(NamedTuple):
    """What a form says of one parameter."""

    default: Any
    sentence: str


def entries(documented: Any, heading: str) -> dict[str, str]:
    """Entries of one section of a docstring by name, each on one line."""
    text = inspect.getdoc(documented) or ""
    found = re.search(rf"^{heading}:\n((?:    .*\n|\n)+)", text + "\n", re.MULTILINE)
    body = found[1] if found else ""
    return {
        name: " ".join(entry.split())
        for name, entry in re.findall(
            r"^    (\w+): ((?:.*\n)(?:        .*\n)*)", body, re.MULTILINE
        )
    }


def arguments(kind: type) -> dict[str, Stated]:
    said = entries(kind, "Args")
    return {
        name: Stated(p.default, said.get(name, ""))
        for name, p in inspect.signature(kind).parameters.items()
    }


def fields(kind: Any) -> dict[str, Stated]:
    said, defaults = entries(kind, "Attributes"), kind._field_defaults
    return {name: Stated(defaults.get(name), said.get(name, "")) for name in kind._fields}


every_neuron = pytest.mark.parametrize(("name", "module"), NEURONS.items(), ids=[*NEURONS])


def same(form: Stated, parameter: Parameter) -> None:
    assert form.default == parameter.default
    assert form.sentence.startswith(parameter.sentence.removesuffix(".")), form.sentence


def test_the_package_holds_all_neurons() -> None:
    folder = Path(inspect.getfile(nm.dynamics)).parent
    texts = {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.py")}
    found = {name for name, text in texts.items() if "\ndef step(" in text}
    assert found == set(NEURONS) == set(CLASSES)


@every_neuron
def test_the_shared_tests_run_it(name: str, module: ModuleType) -> None:
    """With a current that makes it fire, with equations and as a layer, and with every parameter learned."""
    assert name in {case.name for case in helpers.CASES}
    learned = {case.layer: set(case.learnable) for case in cases.DEFAULTS}
    assert learned[CLASSES[name]] == set(module.PARAMETERS)


@every_neuron
def test_the_equations(name: str, module: ModuleType) -> None:
    """Symbols, their defaults, and the ranges of those that are parameters themselves."""
    said = fields(module.Params)
    symbols = {p.symbol for p in module.PARAMETERS.values()}
    assert symbols == set(said) - {"dt"}
    for public, p in module.PARAMETERS.items():
        symbol = said[p.symbol]
        if p.decay:
            assert symbol.default == pytest.approx(math.exp(-1 / p.default), rel=1e-15)
            assert "per step, in [0, 1]" in symbol.sentence
        else:
            same(symbol, p)
        assert p.range.holds(torch.tensor(p.default)), public


@every_neuron
def test_the_layer(name: str, module: ModuleType) -> None:
    kind = CLASSES[name]
    said = arguments(kind)
    for public, p in module.PARAMETERS.items():
        same(said[public], p)
    learnable = {k for k, v in said.items() if v.sentence and k in module.PARAMETERS}
    assert learnable == set(module.PARAMETERS)
    for option, p in inspect.signature(module.step).parameters.items():
        if p.kind is p.KEYWORD_ONLY and option not in OPTIONS:
            assert said[option].default == p.default, option
    if kind.__name__ not in OWN_STARTS:
        for key, p in inspect.signature(module.initial_state).parameters.items():
            if key in STARTS:
                assert said[STARTS[key]].default == p.default


@every_neuron
def test_options_mean_the_same_everywhere(name: str, module: ModuleType) -> None:
    """What every layer takes has one sentence; what a layer takes its recurrent wrapper and adapters can be given."""
    reference = arguments(nm.ALIF)
    said = arguments(CLASSES[name])
    for option in {"num_neurons", "dt", "backend"} & set(said) & set(reference):
        first = reference[option].sentence.split(".")[0].split(" N;")[0]
        assert said[option].default == reference[option].default
        if name != "leaky_integrator":
            assert said[option].sentence.startswith(first)
    if name != "leaky_integrator":
        assert "delay" in said


@every_neuron
def test_the_snntorch_form(name: str, module: ModuleType) -> None:
    form = getattr(snntorch, CLASSES[name].__name__, None)
    if form is None:
        assert name == "leaky_integrator"  # a readout, no neuron
        return
    said = arguments(form)
    owned = SNNTORCH if name in ("alif", "stdp_alif") else {}
    for public, p in module.PARAMETERS.items():
        if public not in owned:
            default = SNNTORCH_DEFAULTS.get((name, public), p.default)
            same(said[public], p._replace(default=default))
            assert default == p.default or f"| `{public}={default:g}` |" in str(form.__doc__)
            continue
        theirs = said[owned[public][0]]
        if theirs.default is not inspect.Parameter.empty:
            assert theirs.default == (fields(module.Params)[p.symbol].default)
    recurrent = getattr(snntorch, "R" + form.__name__, None)
    if recurrent is not None:
        theirs = arguments(recurrent)
        assert all(
            value.default == said[key].default for key, value in theirs.items() if key in said
        )
        if "options" in theirs:  # handed on, and typed
            typed = get_args(get_type_hints(recurrent.__init__)["options"])[0]
            assert {*typed.__annotations__} | {*theirs} >= {*said} - {"meaningless"}
            assert {*typed.__annotations__} <= {*said}


@every_neuron
def test_the_norse_form(name: str, module: ModuleType) -> None:
    pytest.importorskip("norse")
    form = getattr(norse, CLASSES[name].__name__, None)
    if form is None:
        assert name == "leaky_integrator"
        return
    said = fields(form.recipe.parameters)
    assert set(said) - set(NORSE_ONLY) == {
        NORSE.get(public, (public,))[0] for public in module.PARAMETERS
    }
    for public, p in module.PARAMETERS.items():
        if public in NORSE:
            theirs = said[NORSE[public][0]]
            assert theirs.default == pytest.approx(1000 / p.default)
            assert theirs.sentence.startswith(
                f"Inverse {p.text[0].lower()}{p.text[1:]} in 1/s, > 0"
            )
        else:
            same(said[public], p)
    suffixes = ("Cell", "Recurrent", "RecurrentCell")
    assert all(getattr(norse, form.__name__ + s).recipe is form.recipe for s in suffixes)


@every_neuron
def test_traits_and_tables(name: str, module: ModuleType) -> None:
    found = nm.dynamics.traits.traits(module)
    assert set(found.membrane) <= set(module.State._fields)
    assert found.slow is None or found.slow in module.State._fields
    assert set(found.direct) <= set(module.Params._fields)
    analysed = nm.analysis.neuron(module)
    assert (analysed.membrane, analysed.slow) == (found.membrane[-1], found.slow)
    assert analysed.threshold == found.spike_level
