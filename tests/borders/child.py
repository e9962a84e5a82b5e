"""Makes bad calls and says how each ended."""

from __future__ import annotations

import warnings

import torch

from tests.borders import (  # noqa: F401  (they register their kinds)
    layer_kinds,
    operator_kinds,
    readout_kinds,
    recurrent_kinds,
)
from tests.borders.kinds import bad_call

CLEAR = (ValueError, TypeError, RuntimeError, NotImplementedError)


def main(start: int, stop: int) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("error")
    for index in range(start, stop):
        call = bad_call(index)
        print(f"{index}\t{call.kind}\t{call.label}", end="\t", flush=True)
        try:
            call.run()
        except CLEAR as error:
            print(f"raised {type(error).__name__} {str(error)[:80]!r}", flush=True)
        except Exception as error:
            print(f"unclear {type(error).__name__} {str(error)[:80]!r}", flush=True)
        else:
            print("silent", flush=True)
