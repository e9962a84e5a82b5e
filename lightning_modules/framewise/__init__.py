"""Classification of every frame of a sequence, such as the phones of speech."""

from lightning_modules.framewise.lstm import LstmNetwork
from lightning_modules.framewise.networks import FramewiseNetwork
from lightning_modules.framewise.size import count_parameters
from lightning_modules.framewise.task import FramePrediction, FramewiseClassification

__all__ = [
    "FramePrediction",
    "FramewiseClassification",
    "FramewiseNetwork",
    "LstmNetwork",
    "count_parameters",
]
