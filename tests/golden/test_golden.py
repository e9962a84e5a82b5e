"""What version 0.1 wrote is read, and gives the numbers that it gave."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from tests.golden.cases import FOLDER, SETS, Case
from tests.golden.storage import load

CASES = [pytest.param(name, case, id=f"{name}-{case.name}") for name in SETS for case in SETS[name]]
TOLERANCES = {
    torch.float64: {"rtol": 1e-9, "atol": 1e-11},
    torch.float32: {"rtol": 2e-3, "atol": 2e-4},
}


@cache
def kept(name: str) -> Any:
    return load(FOLDER / f"{name}.pt.gz")


def by_names_of_0_1(module: Any, grads: dict[str, Any]) -> dict[str, Any]:
    """Norse's forms learned time constants in ms; now they learn their inverses in 1/s."""
    held = dict(module.named_parameters())
    return {
        name.removesuffix("_inv"): grad * -(held[name].detach() ** 2) / 1000
        if name.endswith("_inv")
        else grad
        for name, grad in grads.items()
    }


def test_every_kept_case_is_tested() -> None:
    for name, cases in SETS.items():
        assert sorted(kept(name)) == sorted(case.name for case in cases)
    assert sum(f.stat().st_size for f in FOLDER.rglob("*") if f.is_file()) < 1_500_000


@pytest.mark.parametrize(("name", "case"), CASES)
def test_state_dict_loads_and_gives_the_same_numbers(name: str, case: Case) -> None:
    golden = kept(name)[case.name]
    torch.manual_seed(7)  # other weights than those that are loaded
    module = case.build(golden["state_dict"])
    spikes, state, grads = case.run(module, golden["x"])
    grads = by_names_of_0_1(module, grads)
    near = TOLERANCES[case.dtype]
    assert_close(spikes, golden["spikes"], **near)
    assert_close(state, golden["state"], **near)
    assert set(grads) == set(golden["grads"])
    for parameter, grad in golden["grads"].items():
        scale = float(grad.abs().max())
        assert scale > 0, parameter
        assert_close(
            grads[parameter] / scale,
            grad / scale,
            **near,
            msg=lambda m, p=parameter: f"gradient of {p}: {m}",
        )


@pytest.mark.parametrize(
    "case", [c for c in SETS["recurrent"] if "alif_learned_eprop" in c.name], ids=str
)
def test_other_weights_give_other_numbers(case: Case) -> None:
    """Negative control: without the saved weights nothing agrees."""
    golden = kept("recurrent")[case.name]
    torch.manual_seed(7)
    spikes, _, grads = case.run(case.build(), golden["x"])
    assert not torch.equal(spikes, golden["spikes"])
    assert not torch.allclose(grads["w_in"], golden["grads"]["w_in"])


def test_eprop_and_bptt_were_told_apart() -> None:
    """Negative control: the golden gradients of the two rules differ where spikes are the same."""
    found = kept("recurrent")
    for delay in ("plain", "common", "axonal", "synaptic"):
        bptt, eprop = (found[f"alif_learned_{rule}_{delay}"] for rule in ("bptt", "eprop"))
        assert torch.equal(bptt["spikes"], eprop["spikes"])
        assert (bptt["grads"]["w_in"] - eprop["grads"]["w_in"]).norm() > 1e-3
