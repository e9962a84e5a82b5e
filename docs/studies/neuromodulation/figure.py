"""The figure of the memory task, drawn from its measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from snn_neuromod.figures import style

__all__ = ["draw"]

_LINES = {
    "modulation": ("modulation of the output neurons", style.BLACK, "-"),
    "current": ("current into the output neurons", style.SKY, "-"),
    "current_hidden": ("current into the hidden neurons", style.ORANGE, "-"),
    "without": ("no context", style.GREY, "--"),
}

Measured = Sequence[Mapping[str, Any]]


def draw(measured: Measured) -> Any:
    """One sequence; how long a digit is kept; what the modulation does when it is moved by hand.

    Args:
        measured: What was found for each run: "name", "seed", "keeping" and, for runs of "modulation", "sweep" and
            "example", as the functions of `measure` return them.

    Returns:
        A matplotlib figure.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7.6), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=[1.25, 1])
    top, bottom = parts
    modulated = [run for run in measured if run["name"] == "modulation"]
    _example(top, modulated[0]["example"])
    axes = bottom.subplots(1, 3, width_ratios=[1.25, 1, 1])
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=8)
    _kept(axes[0], measured)
    sweeps = [run["sweep"] for run in modulated]
    _moved(axes[1], sweeps)
    _rates(axes[2], sweeps)
    return figure


def _example(figure: Any, found: Mapping[str, Any]) -> None:
    images, steps = found["images"], found["steps"]
    length = steps // len(images)
    strip, raster, said = figure.subplots(3, 1, sharex=True, height_ratios=[1.0, 2.6, 1.0])
    for ax in (strip, raster, said):
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=8)
        for start, end in _open(found["hold"]):
            ax.axvspan(start, end, color=style.YELLOW, alpha=0.35, lw=0, zorder=0)
    side = 0.9 * length
    for k, image in enumerate(images):
        middle = (k + 0.5) * length
        dark = [[1.0] * 28] * 28
        ink = [[value / 255 for value in image[28 * row : 28 * row + 28]] for row in range(28)]
        extent = (middle - side / 2, middle + side / 2, 0, 1)
        strip.imshow(dark, alpha=ink, cmap="Greys", vmin=0, vmax=1, aspect="auto", extent=extent)
    strip.set_ylim(0, 1)
    strip.set_yticks([])
    strip.spines["left"].set_visible(False)
    strip.set_title(
        "Digits shown. Yellow: the context lets in (modulation about 1.4); otherwise it holds (about 0.25)",
        loc="left", fontsize=9,
    )  # fmt: skip
    per_class = found["neurons"] // 10
    for step, neuron in found["spikes"]:
        raster.plot([step] * 2, [neuron - 0.4, neuron + 0.4], color=style.BLACK, lw=1.1)
    raster.set_yticks([per_class * (k + 0.5) - 0.5 for k in range(10)], [str(k) for k in range(10)])
    raster.set_ylim(-0.5, found["neurons"] - 0.5)
    for k in range(1, 10):
        raster.axhline(per_class * k - 0.5, color=style.PALE, lw=0.5)
    raster.set_ylabel("output neurons,\nby their class", fontsize=8)
    raster.set_title("Spikes", loc="left", fontsize=9)
    said.step(range(steps), found["reported"], where="post", color=style.BLACK, lw=1.4)
    last = None
    for k, (label, taken) in enumerate(zip(found["labels"], found["taken"], strict=True)):
        last = label if taken else last
        if last is not None:
            span = [(k + 0.5) * length, (k + 1) * length]
            said.plot(
                span, [last] * 2, color=style.VERMILION, lw=5, alpha=0.4, solid_capstyle="butt"
            )
    said.set_ylim(-0.7, 9.7)
    said.set_yticks([0, 3, 6, 9])
    said.set_ylabel("class", fontsize=8)
    said.set_title("Class reported (black) and class to be kept (red)", loc="left", fontsize=9)
    said.set_xlabel("step", fontsize=8)
    said.set_xlim(0, steps)


def _open(hold: Sequence[int]) -> list[tuple[int, int]]:
    """First and last + 1 of each run of steps in which hold is 0."""
    edges = [k for k in range(len(hold) + 1) if [1, *hold, 1][k] != [1, *hold, 1][k + 1]]
    return list(zip(edges[::2], edges[1::2], strict=True))


def _kept(ax: Any, measured: Measured) -> None:
    for name, (label, colour, dashes) in _LINES.items():
        curves = [run["keeping"]["kept"] for run in measured if run["name"] == name]
        if curves:
            _band(ax, range(len(curves[0])), curves, label, colour, dashes)
    ax.axhline(10, color=style.PALE, lw=1, zorder=0)
    ax.set_ylim(0, 100)
    ax.set_xlabel("digits shown since the one let in", fontsize=8)
    ax.set_ylabel("reported (%)", fontsize=8)
    ax.set_title("How long a digit is kept", loc="left", fontsize=9)
    ax.legend(
        fontsize=7, frameon=False, title="the context acts as", title_fontsize=7,
        loc="upper center", bbox_to_anchor=(0.5, -0.2),
    )  # fmt: skip


def _moved(ax: Any, sweeps: Sequence[Mapping[str, Sequence[float]]]) -> None:
    x, shown = sweeps[0]["modulation"], len(sweeps[0]["kept"])
    for name, label, colour in (
        ("kept", "while holding: digit let in before", style.BLACK),
        ("shown", "all the time: digit shown", style.PURPLE),
    ):
        curves = [sweep[name] for sweep in sweeps]
        _band(ax, x[:shown], curves, label, colour, "-")
    _mark(ax)
    ax.set_ylim(0, 100)
    ax.set_ylabel("reported (%)", fontsize=8)
    ax.set_title("Modulation moved by hand", loc="left", fontsize=9, pad=16)
    ax.legend(fontsize=7, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.2))


def _rates(ax: Any, sweeps: Sequence[Mapping[str, Sequence[float]]]) -> None:
    x = sweeps[0]["modulation"]
    _band(ax, x, [s["spikes"] for s in sweeps], "spikes", style.BLACK, "-", scale=1)
    _mark(ax)
    ax.set_ylim(0, None)
    ax.set_ylabel("spikes of an output neuron per digit", fontsize=8)
    other = ax.twinx()
    other.spines["top"].set_visible(False)
    other.tick_params(labelsize=8, colors=style.PURPLE)
    _band(other, x, [s["delay"] for s in sweeps], "delay", style.PURPLE, "-", scale=1)
    other.set_ylim(0, None)
    other.set_ylabel("delay of the first spike (steps)", fontsize=8, color=style.PURPLE)
    ax.set_title("All the time: rate and delay", loc="left", fontsize=9, pad=16)


def _mark(ax: Any) -> None:
    ax.set_xlabel(r"modulation $h_{s0}$ of the output neurons", fontsize=8)
    for h_s0, name in style.MODULATIONS.items():
        colour = style.colour_of(h_s0)
        ax.axvline(h_s0, color=colour, lw=1, ls=":")
        ax.text(
            h_s0, 1.01, name, color=colour, fontsize=7, ha="center", transform=ax.get_xaxis_transform()
        )  # fmt: skip


def _band(
    ax: Any,
    x: Sequence[float],
    curves: Sequence[Sequence[float]],
    label: str,
    colour: str,
    dashes: str,
    *,
    scale: float = 100,
) -> None:
    """Mean over seeds, with the range of the seeds."""
    columns = [[scale * value for value in values] for values in zip(*curves, strict=True)]
    ax.plot(
        x, [sum(v) / len(v) for v in columns], color=colour, ls=dashes, lw=1.6, marker=".", ms=4, label=label
    )  # fmt: skip
    ax.fill_between(
        x, [min(v) for v in columns], [max(v) for v in columns], color=colour, alpha=0.15, lw=0
    )
