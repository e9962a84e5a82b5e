"""Makes the golden set with the code that is there: `python -m tests.golden.make` from the root of the repository.

The set that is kept was made by version 0.1, commit da86441, before anything changed. Made again with later code it
would prove nothing: it is there to be read, not renewed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from tests.golden.cases import FOLDER, SETS, Case
from tests.golden.runs import make_runs
from tests.golden.storage import save


def entry(case: Case) -> dict[str, object]:
    """Weights, input and results of one case, as plain tensors."""
    torch.manual_seed(0)
    module, x = case.build(), case.input()
    state_dict = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    spikes, state, grads = case.run(module, x)
    if not spikes.any() or (case.size < 6 and not grads):
        raise RuntimeError(f"{case.name} is silent: nothing would be tested")
    return {"state_dict": state_dict, "x": x, "spikes": spikes, "state": state, "grads": grads}


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    folder.mkdir(exist_ok=True)
    for name, cases in SETS.items():
        save({case.name: entry(case) for case in cases}, folder / f"{name}.pt.gz")
    make_runs(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
