"""Tasks, data modules, callbacks and the command line for training with PyTorch Lightning."""

from snn_neuromod._torchvision import ensure_torchvision

# Everything below imports pytorch_lightning, which imports torchmetrics, which imports torchvision.
ensure_torchvision()
