"""Pictures of a trained network: spike rasters, membrane traces, distribution of the modulation."""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from torch import Tensor

from lightning_modules.any_network import AnyNetwork
from lightning_modules.arguments import ZERO_OR_MORE, check
from lightning_modules.board import show
from lightning_modules.framewise.pictures import draw_confusion, draw_sentence
from lightning_modules.losses import final_labels
from lightning_modules.networks import FeedForward, is_graded, membrane_of, modulations
from lightning_modules.panels import array, caption, column, raster
from snn_neuromod import _palette as palette
from snn_neuromod._storage import write_atomically
from snn_neuromod.dynamics.parameter import Range
from snn_neuromod.errors import KindError

__all__ = ["Pictures"]

_COLOURS = (
    palette.BLUE, palette.ORANGE, palette.GREEN, palette.PURPLE, palette.SKY, palette.VERMILION,
)  # fmt: skip
_LEGEND: Any = {"frameon": False, "fontsize": 8, "loc": "lower right", "bbox_to_anchor": (1, 0.98)}


class Pictures(pl.Callback):
    """Draw a network's response to one sample, and its modulation, into the run's `pictures/` and TensorBoard.

    Drawn are the input spikes, the spikes of each layer, the membrane of a few neurons of each layer, the outputs, and,
    where neurons have a modulation, how it is distributed before and after training. For framewise classification:
    features, spikes and class probabilities of a sentence, and the confusion of classes in validation and test.

    Args:
        enabled: Whether to draw at all.
        every_n_epochs: Draw after every so many epochs too; 0 only at the end.
        sample: Index of the sample in the first batch of the test data.
        num_traces: Number of neurons per layer whose membrane is drawn, at most 6.

    Raises:
        ValueError: If a number is outside its range.
        ImportError: When training starts, if matplotlib is not installed.
    """

    def __init__(
        self,
        enabled: bool = True,
        every_n_epochs: int = 0,
        sample: int = 0,
        num_traces: int = 3,
    ) -> None:
        check("Pictures", "every_n_epochs", every_n_epochs, ZERO_OR_MORE)
        check("Pictures", "sample", sample, ZERO_OR_MORE)
        check("Pictures", "num_traces", num_traces, Range(1, len(_COLOURS)))
        self.enabled, self.every_n_epochs = enabled, every_n_epochs
        self.sample, self.num_traces = sample, num_traces
        self._before: dict[int, Tensor] = {}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self.enabled:
            return
        if find_spec("matplotlib") is None:
            raise ImportError(
                "Pictures: matplotlib must be installed; run pip install 'snn-neuromod[plot]' "
                "or set --pictures.enabled false"
            )
        network = pl_module.network
        if isinstance(network, FeedForward):
            self._before = modulations(network)
        elif not isinstance(network, AnyNetwork) and not hasattr(pl_module, "confusion"):
            raise KindError(
                f"Pictures: network must be a FeedForward, got {type(network).__name__}; set --pictures.enabled false"
            )

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        if self.enabled and self.every_n_epochs and epoch % self.every_n_epochs == 0:
            self._draw(trainer, pl_module, f"epoch_{epoch:03d}")

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.enabled and not getattr(trainer, "fast_dev_run", False):
            self._draw(trainer, pl_module, "network")

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        confusions = getattr(pl_module, "confusion", {})
        if not self.enabled or "test" not in confusions or trainer.log_dir is None:
            return
        folder = Path(trainer.log_dir) / "pictures"
        if trainer.is_global_zero and folder.is_dir():  # of the training that went before
            classes = trainer.datamodule.classes  # type: ignore[attr-defined]
            figure = draw_confusion(confusions["test"], classes, "Test")
            _save(trainer, figure, folder / "confusion_test.png")

    def _draw(self, trainer: pl.Trainer, module: pl.LightningModule, name: str) -> None:
        # All processes of a distributed run have to ask for log_dir.
        folder = Path(trainer.log_dir or trainer.default_root_dir) / "pictures"
        if not trainer.is_global_zero or isinstance(module.network, AnyNetwork):
            return  # of that nobody knows the layers
        network, data = cast(Any, module.network), cast(Any, trainer).datamodule
        suffix = "" if name == "network" else f"_{name}"
        data.setup("test")
        batch = next(iter(data.test_dataloader()))
        index = min(self.sample, batch[0].shape[1] - 1)
        sample = batch[0][:, index : index + 1].to(module.device)  # (T, 1, input)
        if isinstance(network, FeedForward):
            label = int(final_labels(batch[1])[index])
            figures = {name: draw_response(network, sample, label, num_traces=self.num_traces)}
            if after := modulations(network):
                figures[f"modulation{suffix}"] = draw_modulation(self._before, after)
        else:
            length, confusions = int(batch.lengths[index]), cast(Any, module.confusion)
            labels = batch.labels[:length, index]
            figures = {name: draw_sentence(network, sample[:length], labels, data.classes)}
            if "val" in confusions:
                found = draw_confusion(confusions["val"], data.classes, "Validation")
                figures[f"confusion_val{suffix}"] = found
        for file, figure in figures.items():
            _save(trainer, figure, folder / f"{file}.png")


def _save(trainer: pl.Trainer, figure: Any, path: Path) -> None:
    """Into a file, and into TensorBoard."""
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=150))
    show(trainer, f"pictures/{path.stem}", figure)


@torch.no_grad()
def draw_response(network: FeedForward, x: Tensor, label: int, *, num_traces: int = 3) -> Any:
    """Draw the response to one sample.

    Args:
        network: The network.
        x: Input spikes, (T, 1, input).
        label: Class of the sample.
        num_traces: Number of neurons per layer whose membrane is drawn: the most active ones.

    Returns:
        A matplotlib figure.
    """
    outputs, spikes = network(x)
    heights = [1.4, *([1.2, 1.0] * len(spikes)), 1.0]
    figure, axes = column(2.1 * len(heights), heights)
    raster(axes[0], x[:, 0] > 0, f"Input spikes, a sample of class {label}", "input")
    _image(axes[0], x[:, 0])
    layers = zip(spikes, network.membranes(x), network.neurons, strict=True)
    for k, (spiked, membrane, neuron) in enumerate(layers, 1):
        onsets = spiked[:, 0] > 0.5
        if is_graded(neuron):
            onsets[1:] &= ~(spiked[:-1, 0] > 0.5)
        counts = onsets.sum(dim=0).float()
        size, kind = len(counts), type(neuron).__name__
        title = f"Spikes of layer {k} ({size} {kind}): {counts.mean():.1f} per neuron"
        raster(axes[2 * k - 1], onsets, title)
        _traces(axes[2 * k], membrane[:, 0], counts, num_traces)
        title = f"Membrane of the most active neurons of layer {k}"
        caption(axes[2 * k], title, membrane_of(neuron))
    _scores(axes[-1], outputs[:, 0], label)
    axes[-1].set_xlabel("time step")
    return figure


def draw_modulation(before: dict[int, Tensor], after: dict[int, Tensor]) -> Any:
    """Draw the distribution of the modulation in each layer, before and after training.

    Args:
        before: Modulation of each layer, (neuron,), by its number.
        after: The same after training.

    Returns:
        A matplotlib figure.
    """
    figure, panels = column(2.6 * len(after), [1.0] * len(after))
    values = torch.cat([*before.values(), *after.values()])
    low, high = float(values.min()) - 0.05, float(values.max()) + 0.05
    bins = torch.linspace(low, high, 25).tolist()
    for axis, (k, now) in zip(panels, after.items(), strict=True):
        then = before.get(k, now)
        line = {"histtype": "step", "lw": 2, "color": palette.BLACK}
        axis.hist(then.numpy(), bins=bins, color="#BBBBBB", label="before training")
        axis.hist(now.numpy(), bins=bins, label="after training", **line)
        above = {"ha": "center", "va": "bottom", "transform": axis.get_xaxis_transform()}
        for position, type_ in palette.MODULATIONS.items():
            if low <= position <= high:
                colour = palette.TYPES[type_]
                axis.axvline(position, color=colour, ls=":", lw=1.5)
                axis.text(position, 1.0, type_, color=colour, fontsize=8, **above)
        moved = float((now - then).abs().mean())
        title = f"Modulation of layer {k}: moved by {moved:.2f} on average"
        caption(axis, title, "neurons", pad=14)
    panels[0].legend(frameon=False)
    panels[-1].set_xlabel(r"modulation $h_{s0}$")
    return figure


def _image(axis: Any, x: Tensor) -> None:
    """Beside the raster the image that its spikes add up to, where the inputs are the pixels of a square."""
    side = math.isqrt(x.shape[1])
    if side * side == x.shape[1] and side >= 8:
        inset = axis.inset_axes([1.005, 0.0, 0.13, 1.0])
        inset.imshow(array(x).sum(0).reshape(side, side), cmap="Greys")
        inset.set_axis_off()
        inset.set_title("their sum", fontsize=8)


def _traces(axis: Any, membrane: Tensor, counts: Tensor, number: int) -> None:
    # Among equally many spikes, the larger excursion comes first.
    swing = membrane.amax(dim=0) - membrane.amin(dim=0)
    order = counts.to(swing) + swing / (1 + swing.max())
    chosen = order.argsort(descending=True)[:number].tolist()
    for colour, unit in zip(_COLOURS, chosen, strict=False):
        axis.plot(array(membrane[:, unit]), color=colour, lw=1.2, label=f"neuron {unit}")
    axis.legend(ncols=number, **_LEGEND)


def _scores(axis: Any, outputs: Tensor, label: int) -> None:
    first = int(label == 0)  # of the others
    for unit, trace in enumerate(array(outputs).T):
        if unit == label:
            axis.plot(trace, color=_COLOURS[0], lw=2, zorder=3, label=f"class {label}")
        else:
            name = "others" if unit == first else None
            axis.plot(trace, color="#BBBBBB", lw=1, zorder=2, label=name)
    caption(axis, "Outputs of the classes", "output")
    axis.legend(ncols=2, **_LEGEND)
