"""Pictures of a trained network: spike rasters, membrane traces, distribution of the modulation."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from lightning_modules.any_network import AnyNetwork
from lightning_modules.board import show
from lightning_modules.framewise.pictures import draw_confusion, draw_sentence
from lightning_modules.losses import final_labels, spike_counts
from lightning_modules.networks import FeedForward, is_graded, membrane_of, modulations
from lightning_modules.precision import at_least_float32
from snn_neuromod import _palette as palette
from snn_neuromod._storage import write_atomically
from snn_neuromod.errors import ConfigError, KindError
from snn_neuromod.layers import Layer

__all__ = ["Pictures"]

_COLOURS = (
    palette.BLUE, palette.ORANGE, palette.GREEN, palette.PURPLE, palette.SKY, palette.VERMILION,
)  # fmt: skip


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
        if not every_n_epochs >= 0:
            raise ConfigError(f"Pictures: every_n_epochs must be >= 0, got {every_n_epochs}")
        if not sample >= 0:
            raise ConfigError(f"Pictures: sample must be >= 0, got {sample}")
        if not 1 <= num_traces <= len(_COLOURS):
            raise ConfigError(
                f"Pictures: num_traces must lie in [1, {len(_COLOURS)}], got {num_traces}"
            )
        self.enabled, self.every_n_epochs = enabled, every_n_epochs
        self.sample, self.num_traces = sample, num_traces
        self._before: dict[int, Tensor] = {}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self.enabled:
            return
        try:
            import matplotlib  # noqa: F401
        except ImportError as error:
            raise ImportError(
                "Pictures: matplotlib must be installed; run pip install 'snn-neuromod[plot]' "
                "or set --pictures.enabled false"
            ) from error
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
        if not trainer.is_global_zero:
            return
        for file, figure in self._figures(trainer, module, name).items():
            _save(trainer, figure, folder / f"{file}.png")

    def _figures(
        self, trainer: pl.Trainer, module: pl.LightningModule, name: str
    ) -> dict[str, Any]:
        """Figures by the names of their files."""
        suffix = "" if name == "network" else f"_{name}"
        if isinstance(module.network, AnyNetwork):
            return {}  # nobody knows its layers
        sample, target = _sample(trainer, module, self.sample)
        network: Any = module.network
        if isinstance(network, FeedForward):
            figures = {name: draw_response(network, sample, target, num_traces=self.num_traces)}
            after = modulations(network)
            if after:
                figures[f"modulation{suffix}"] = draw_modulation(self._before, after)
            return figures
        classes = trainer.datamodule.classes  # type: ignore[attr-defined]
        figures = {name: draw_sentence(network, sample, target, classes)}
        confusions: Any = module.confusion
        if "val" in confusions:
            found = draw_confusion(confusions["val"], classes, "Validation")
            figures[f"confusion_val{suffix}"] = found
        return figures


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
    from matplotlib.figure import Figure

    outputs, spikes = network(x)
    membranes = network.membranes(x)
    layers = len(spikes)
    figure = Figure(figsize=(9, 2.1 * (2 * layers + 2)), layout="constrained")
    axes = figure.subplots(
        2 * layers + 2, 1, sharex=True, height_ratios=[1.4, *([1.2, 1.0] * layers), 1.0]
    )
    _raster(axes[0], x[:, 0] > 0, "input", f"Input spikes, a sample of class {label}")
    _image(axes[0], x[:, 0])
    for k, (spiked, membrane, neuron) in enumerate(
        zip(spikes, membranes, network.neurons, strict=True), 1
    ):
        graded = is_graded(neuron)
        counts = spike_counts(spiked[:, 0], graded=graded)
        onsets = _onsets(spiked[:, 0], graded=graded)
        size = onsets.shape[1]
        kind = type(neuron).__name__
        title = f"Spikes of layer {k} ({size} {kind}): {counts.mean():.1f} per neuron"
        _raster(axes[2 * k - 1], onsets, "neuron", title)
        _traces(axes[2 * k], membrane[:, 0], counts, num_traces, neuron, k)
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
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 2.6 * len(after)), layout="constrained")
    panels = figure.subplots(len(after), 1, sharex=True, squeeze=False)[:, 0]
    values = torch.cat([*before.values(), *after.values()])
    low, high = float(values.min()) - 0.05, float(values.max()) + 0.05
    bins = torch.linspace(low, high, 25).tolist()
    for axis, (k, now) in zip(panels, after.items(), strict=True):
        then = before.get(k, now)
        axis.hist(then.numpy(), bins=bins, color="#BBBBBB", label="before training")
        axis.hist(
            now.numpy(),
            bins=bins,
            histtype="step",
            lw=2,
            color=palette.BLACK,
            label="after training",
        )
        for position, type_ in palette.MODULATIONS.items():
            if low <= position <= high:
                colour = palette.TYPES[type_]
                axis.axvline(position, color=colour, ls=":", lw=1.5)
                axis.text(
                    position, 1.0, type_, color=colour, ha="center", va="bottom",
                    transform=axis.get_xaxis_transform(), fontsize=8,
                )  # fmt: skip
        moved = float((now - then).abs().mean())
        axis.set_title(
            f"Modulation of layer {k}: moved by {moved:.2f} on average", loc="left", pad=14
        )
        axis.set_ylabel("neurons")
    panels[0].legend(frameon=False)
    panels[-1].set_xlabel(r"modulation $h_{s0}$")
    return figure


def _sample(trainer: pl.Trainer, module: pl.LightningModule, index: int) -> tuple[Tensor, Any]:
    """One sample of the test data on the module's device, (T, 1, input), and its class or its frames' classes."""
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    data.setup("test")
    batch = next(iter(data.test_dataloader()))
    index = min(index, batch[0].shape[1] - 1)
    if isinstance(module.network, FeedForward):
        spikes, labels = batch
        return spikes[:, index : index + 1].to(module.device), int(final_labels(labels)[index])
    length = int(batch.lengths[index])
    features = batch.features[:length, index : index + 1].to(module.device)
    return features, batch.labels[:length, index]


def _onsets(spikes: Tensor, *, graded: bool) -> Tensor:
    high = spikes > 0.5
    if graded:
        high[1:] &= ~(spikes[:-1] > 0.5)
    return high


def _raster(axis: Any, spikes: Tensor, what: str, title: str) -> None:
    steps, units = spikes.nonzero().cpu().T
    marker, size = ("|", 40) if spikes.shape[1] <= 100 else (".", 2)
    axis.scatter(steps, units, s=size, marker=marker, color="black", linewidths=1)
    axis.set_ylim(-1, spikes.shape[1])
    axis.set_ylabel(what)
    axis.set_title(title, loc="left")


def _image(axis: Any, x: Tensor) -> None:
    """Beside the raster the image that its spikes add up to, where the inputs are the pixels of a square."""
    side = math.isqrt(x.shape[1])
    if side * side == x.shape[1] and side >= 8:
        pixels = at_least_float32(x).sum(0).reshape(side, side).cpu()
        inset = axis.inset_axes([1.005, 0.0, 0.13, 1.0])
        inset.imshow(pixels.numpy(), cmap="Greys")
        inset.set_axis_off()
        inset.set_title("their sum", fontsize=8)


def _traces(
    axis: Any, membrane: Tensor, counts: Tensor, number: int, neuron: Layer, k: int
) -> None:
    # Among equally many spikes, the larger excursion comes first.
    swing = membrane.amax(dim=0) - membrane.amin(dim=0)
    order = counts.to(swing) + swing / (1 + swing.max())
    chosen = order.argsort(descending=True)[:number].tolist()
    for colour, unit in zip(_COLOURS, chosen, strict=False):
        axis.plot(
            at_least_float32(membrane[:, unit]).cpu().numpy(),
            color=colour,
            lw=1.2,
            label=f"neuron {unit}",
        )
    axis.set_ylabel(membrane_of(neuron))
    axis.set_title(f"Membrane of the most active neurons of layer {k}", loc="left")
    axis.legend(
        frameon=False, fontsize=8, ncols=number, loc="lower right", bbox_to_anchor=(1, 0.98)
    )


def _scores(axis: Any, outputs: Tensor, label: int) -> None:
    for unit in range(outputs.shape[1]):
        mine = unit == label
        axis.plot(
            at_least_float32(outputs[:, unit]).cpu().numpy(),
            color=_COLOURS[0] if mine else "#BBBBBB",
            lw=2 if mine else 1,
            zorder=2 + mine,
            label=f"class {label}" if mine else ("others" if unit == (label == 0) else None),
        )
    axis.set_ylabel("output")
    axis.set_title("Outputs of the classes", loc="left")
    axis.legend(frameon=False, fontsize=8, ncols=2, loc="lower right", bbox_to_anchor=(1, 0.98))
