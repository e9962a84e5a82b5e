"""e-prop under torch's DistributedDataParallel: two processes with half a batch each give the gradient of the whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import snn_neuromod as nm


class Network(nn.Module):
    """Two recurrent layers and their readout."""

    def __init__(self) -> None:
        super().__init__()
        layers = [nm.Recurrent(nm.ALIF(12, v_th=0.3), n, learning_rule="eprop") for n in (5, 12)]
        self.stack = nm.RecurrentStack(layers)
        self.readout = nm.LeakyReadout(24, 3, tau_out=10.0, feedback="adaptive")

    def forward(self, x: Tensor) -> Tensor:
        spikes, _ = self.stack(x)
        assert 0.01 < spikes.mean() < 0.5
        out: Tensor = self.readout(spikes)[0]
        return out


def gradients(net: nn.Module, x: Tensor, target: Tensor) -> list[Tensor]:
    (net(x) - target).square().mean().backward()
    return [p.grad for p in net.parameters() if p.grad is not None]


def example() -> tuple[Network, Tensor, Tensor]:
    torch.manual_seed(0)
    return Network().double(), torch.rand(20, 4, 5).double(), torch.rand(20, 4, 3).double()


def worker(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    net, x, target = example()
    half = slice(2 * rank, 2 * rank + 2)
    found = gradients(DistributedDataParallel(net), x[:, half], target[:, half])
    if rank == 0:
        torch.save(found, f"{folder}/gradients.pt")
    dist.barrier()
    os._exit(0)  # an ordinary exit at times aborts in the threads of the process group


@pytest.mark.skipif(not dist.is_available(), reason="torch was built without torch.distributed")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_two_processes_give_the_gradient_of_the_whole_batch(tmp_path: Path) -> None:
    mp.start_processes(worker, (str(tmp_path),), nprocs=2, start_method="fork")
    whole = gradients(*example())
    found = torch.load(tmp_path / "gradients.pt")
    assert len(found) == len(whole) == 7
    for one, other in zip(found, whole, strict=True):
        assert other.abs().sum() > 0
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-14)
