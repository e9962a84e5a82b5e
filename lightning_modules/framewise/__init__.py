"""Classification of every frame of a sequence, such as the phones of speech."""

from lightning_modules.framewise.networks import FramewiseNetwork, LstmNetwork, count_parameters
from lightning_modules.framewise.task import FramePrediction, FramewiseClassification

__all__ = [
    "FramePrediction",
    "FramewiseClassification",
    "FramewiseNetwork",
    "LstmNetwork",
    "count_parameters",
]
