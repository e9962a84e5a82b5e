"""`python -m lightning_modules`, the same as the command `snn-neuromod`."""

from lightning_modules.cli import main

if __name__ == "__main__":
    main()
