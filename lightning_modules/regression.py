"""Regression of signals over time as a Lightning module."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from lightning_modules.losses import SquaredError
from lightning_modules.monitor import Mode
from lightning_modules.tally import SignalTally
from lightning_modules.task_base import Task

__all__ = ["Signals", "SpikeRegression"]


class Signals(NamedTuple):
    """What `predict_step` returns.

    Attributes:
        outputs: (T, batch, output).
        targets: (T, batch, output), NaN where none counts.
    """

    outputs: Tensor
    targets: Tensor


class SpikeRegression(Task):
    r"""Train a network so that its readout follows given signals.

    A target that is NaN counts nowhere: not in the loss, the errors, nor in any gradient.

    Logs at the end of each epoch `<stage>/loss`; `<stage>/nmse`, $\sum (y - y^*)^2 / \sum (y^* - \bar y^*)^2$, which is
    1 for a readout that gives the mean; and `<stage>/spikes/<k>`, the spikes per neuron and sample of layer k, for the
    stages train, val and test.

    Args:
        network: A `FeedForward`, whose `num_classes` is the number of signals, or any module that takes spikes
            (T, batch, ...) and returns outputs (T, batch, output), or outputs and spikes, as `any_network.AnyNetwork`
            calls it.
        loss: Loss on outputs and targets.
        **options: As of `Task`.

    Attributes:
        findings: For each stage what makes the numbers of its last epoch doubtful, such as a layer without a spike.

    Raises:
        ValueError: When a run starts, if the network does not fit the data or `lr_factors` names no parameter.
    """

    metric_modes: ClassVar[dict[str, Mode]] = {"loss": "min", "nmse": "min"}
    tally = SignalTally
    data_outputs = "num_outputs"
    byte_spikes = True  # its network takes spikes as the loaders give them

    def __init__(
        self, network: nn.Module, *, loss: SquaredError = SquaredError(), **options: Any
    ) -> None:
        super().__init__(network, **options)
        self.loss = loss

    def predict_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Signals:
        spikes, targets = batch
        return Signals(self(spikes).outputs, targets)

    def _metrics(self, tally: SignalTally) -> dict[str, Tensor]:
        return {"nmse": tally.nmse}
