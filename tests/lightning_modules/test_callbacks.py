"""Pictures, progress for log files."""

from __future__ import annotations

import importlib.util
import sys
from functools import partial
from types import SimpleNamespace

import pytest
import torch

if importlib.util.find_spec("pytorch_lightning") is None:
    pytest.skip("pytorch_lightning is not installed", allow_module_level=True)
pytest.importorskip("matplotlib")

# isort: off
from lightning_modules.pictures import Pictures, draw_modulation, draw_response, modulations

# isort: on
from lightning_modules.networks import FeedForward
from snn_neuromod import ALIF, MSRC, Uniform


def network(neuron=MSRC):
    return FeedForward([20, 15, 10], neuron=neuron, gain=3.0)


def x():
    return (torch.rand(40, 1, 20) < 0.3).float()


@pytest.mark.parametrize("neuron", [MSRC, ALIF])
def test_response(neuron):
    net, sample = network(neuron), x()
    figure = draw_response(net, sample, 3, num_traces=2)
    axes = figure.axes
    assert len(axes) == 6
    assert all(axis.get_title(loc="left") and axis.get_ylabel() for axis in axes)
    assert axes[-1].get_xlabel() == "time step"
    points = axes[0].collections[0].get_offsets()
    assert len(points) == sample.sum()
    assert points[:, 0].max() == sample[:, 0].nonzero()[:, 0].max()  # time runs to the right
    assert len(axes[2].lines) == 2
    trace = torch.as_tensor(axes[2].lines[0].get_ydata())
    unit = int(axes[2].lines[0].get_label().removeprefix("neuron "))
    assert torch.equal(trace, net.membranes(sample)[0][:, 0, unit])
    assert len(axes[-1].lines) == 10
    assert "class 3" in [line.get_label() for line in axes[-1].lines]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_pictures_in_other_precisions(dtype, tmp_path):
    net = FeedForward([20, 15, 10], neuron=partial(MSRC, modulation=Uniform(0.4, 1.6)), gain=3.0)
    net.to(dtype)
    draw_response(net, x(), 3).savefig(tmp_path / "a.png")
    after = modulations(net)
    draw_modulation(after, {k: value + 0.5 for k, value in after.items()}).savefig(
        tmp_path / "b.png"
    )


def test_raster_shows_each_spike_once():
    net, sample = network(), x()
    figure = draw_response(net, sample, 0)
    high = net(sample).spikes[0][:, 0] > 0.5
    onsets = (high[1:] & ~high[:-1]).sum() + high[0].sum()
    assert len(figure.axes[1].collections[0].get_offsets()) == onsets > 0
    assert high.sum() > onsets


def test_the_sample_itself_is_shown_where_its_pixels_make_a_square():
    net = FeedForward([64, 15, 10], neuron=MSRC, gain=3.0)
    sample = (torch.rand(40, 1, 64) < 0.3).float()
    figure = draw_response(net, sample, 3)
    (inset,) = figure.axes[0].child_axes
    shown = torch.as_tensor(inset.images[0].get_array())
    assert torch.equal(shown, sample[:, 0].sum(0).reshape(8, 8))
    assert not draw_response(network(), x(), 3).axes[0].child_axes  # 20 inputs are no square


def test_types_have_the_colours_of_the_figures():
    from snn_neuromod.figures import style

    before = {1: torch.tensor([0.4, 1.6])}
    axis = draw_modulation(before, before).axes[0]
    lines = {line.get_xdata()[0]: line.get_color() for line in axis.lines}
    assert lines == {h_s0: style.colour_of(h_s0) for h_s0 in style.MODULATIONS}


def test_modulation():
    net = FeedForward([20, 15, 10], neuron=lambda n: MSRC(n, modulation=Uniform(0.4, 1.6)))
    before = modulations(net)
    assert [len(v) for v in before.values()] == [15, 10]
    after = {k: value + 0.25 for k, value in before.items()}
    figure = draw_modulation(before, after)
    assert "moved by 0.25" in figure.axes[0].get_title(loc="left")
    assert figure.axes[-1].get_xlabel()
    assert sum(patch.get_height() for patch in figure.axes[0].patches[:24]) == 15
    assert modulations(network(ALIF)) == {}


def test_missing_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"Pictures: matplotlib must be installed; run pip"):
        Pictures().on_fit_start(None, None)
    Pictures(enabled=False).on_fit_start(None, None)


@pytest.mark.parametrize("options", [{"every_n_epochs": -1}, {"sample": -1}, {"num_traces": 7}])
def test_wrong_options(options):
    with pytest.raises(ValueError, match=r"Pictures: \w+ must"):
        Pictures(**options)


def test_lost_weights_are_reported_once(tmp_path, recwarn):
    """From the command line: a learning rate that no weight survives."""
    from lightning_modules.cli import main

    args = ["fit", "-c", "smoke/alif_eprop", "--trainer.default_root_dir", str(tmp_path)]
    args += ["--trainer.max_epochs", "3", "--pictures.enabled", "false"]
    main(args)
    assert not any("not finite" in str(warning.message) for warning in recwarn)
    rate = ["--model.init_args.optimizer.init_args.lr", "1e38"]
    with pytest.warns(UserWarning, match=r"after epoch \d weights are not finite: network") as told:
        main([*args, *rate])
    assert sum("not finite" in str(warning.message) for warning in told) == 1


def test_modulation_log(tmp_path):
    """Histograms for TensorBoard, values for the table, neither where nothing is learned."""
    from lightning_modules.callbacks import ModulationLog

    seen = []

    class Table:
        def log_metrics(self, values, step):
            seen.append((step, values))

    class Histograms:
        def __init__(self):
            self.experiment = self

        def add_histogram(self, name, values, step):
            seen.append((step, name, values.tolist()))

    def trainer(step, epoch):
        return SimpleNamespace(
            loggers=[Table(), Histograms()], global_step=step, current_epoch=epoch
        )

    def module(learned):
        made = partial(MSRC, modulation=Uniform(0.4, 1.6), learn_modulation=learned)
        return SimpleNamespace(network=FeedForward([5, 3, 2], neuron=made, num_classes=2))

    net = module(True)
    values = {k: v.tolist() for k, v in modulations(net.network).items()}
    log = ModulationLog()
    log.on_train_start(trainer(0, 0), net)
    table = {f"modulation/{k}/{i}": v for k, layer in values.items() for i, v in enumerate(layer)}
    histograms = [(0, f"modulation/{k}", layer) for k, layer in values.items()]
    assert seen == [(0, table), *histograms]
    log.on_train_epoch_end(trainer(7, 1), net)
    assert seen[3] == (7, {"epoch": 1.0, **table})
    assert len(seen) == 6
    log.on_train_start(trainer(7, 1), net)  # resumed
    log.on_train_epoch_end(trainer(7, 1), module(False))
    assert len(seen) == 6
