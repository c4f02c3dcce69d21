"""Train a network: seeded, resumable, on CPU or CUDA, stopping cleanly on SIGTERM or Ctrl-C."""

from __future__ import annotations

import copy
import math
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset
from tqdm import tqdm

Batch = dict[str, Tensor]
Losses = dict[str, Tensor]


@dataclass(frozen=True)
class Settings:
    """How to train. The schedule ends at `steps`, or after `minutes` of work if that is earlier (0: no limit)."""

    steps: int = 20_000
    minutes: float = 0.0
    batch: int = 32
    rate: float = 3e-3
    warm_up: int = 300
    decay: float = 0.02
    ema: float = 0.999
    seed: int = 1
    workers: int = 1
    threads: int = 2
    save_s: float = 120.0
    device: str = "cpu"


#: (settings' seed, batch number, progress 0..1) -> one batch; the same arguments give the same batch
MakeBatch = Callable[[int, int, float], Batch]


class Batches(IterableDataset[Batch]):
    """An endless sequence of batches from `first` on, distributed to the loader's workers in turn."""

    def __init__(self, make: MakeBatch, seed: int, first: int, steps: int) -> None:
        self.make, self.seed, self.first, self.steps = make, seed, first, steps

    def __iter__(self) -> Iterator[Batch]:
        if torch.utils.data.get_worker_info():
            # the trainer decides when to stop, and stops its workers
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        info = torch.utils.data.get_worker_info()
        offset, every = (info.id, info.num_workers) if info else (0, 1)
        for number in range(self.first + offset, 1 << 40, every):
            yield self.make(self.seed, number, min(number / self.steps, 1.0))


@dataclass
class State:
    """The state saved in a checkpoint."""

    net: nn.Module
    ema: nn.Module
    optimiser: torch.optim.Optimizer
    step: int = 0
    worked_s: float = 0.0
    log: list[dict[str, float]] = field(default_factory=list)

    def save(self, path: Path, settings: Settings) -> None:
        """Write the checkpoint atomically."""
        content = {
            "net": self.net.state_dict(),
            "ema": self.ema.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "worked_s": self.worked_s,
            "log": self.log,
            "rng": torch.get_rng_state(),
            "settings": asdict(settings),
        }
        part = path.with_suffix(".part")
        torch.save(content, part)
        part.replace(path)

    def load(self, path: Path) -> None:
        """Resume from a checkpoint: with its optimiser state and step, and the schedule of the new settings."""
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        self.net.load_state_dict(content["net"])
        self.ema.load_state_dict(content["ema"])
        self.optimiser.load_state_dict(content["optimiser"])
        self.step, self.worked_s, self.log = content["step"], content["worked_s"], content["log"]
        torch.set_rng_state(content["rng"])


def rate_at(progress: float, step: int, settings: Settings) -> float:
    """Learning rate: linear warm-up, then cosine to 1 % of the peak."""
    cosine = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    return settings.rate * cosine * min(1.0, (step + 1) / settings.warm_up)


def follow(ema: nn.Module, net: nn.Module, step: int, decay: float) -> None:
    """Update the moving average of the weights, with less averaging in the first steps."""
    keep = min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        for slow, fast in zip(ema.state_dict().values(), net.state_dict().values(), strict=True):
            if slow.dtype.is_floating_point:
                slow.lerp_(fast, 1 - keep)
            else:
                slow.copy_(fast)


def make_optimiser(net: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """AdamW, without weight decay for biases and norms."""
    flat = [p for p in net.parameters() if p.ndim <= 1]
    full = [p for p in net.parameters() if p.ndim > 1]
    groups = [{"params": full, "weight_decay": settings.decay}, {"params": flat, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=settings.rate)


class _Stop:
    """Records a request to stop the process."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True


def train(
    net: nn.Module,
    make: MakeBatch,
    loss_of: Callable[[nn.Module, Batch], Losses],
    out: Path,
    settings: Settings,
    resume: Path | None = None,
) -> State:
    """Train `net` and update the checkpoint `out` regularly; returns the last state."""
    torch.manual_seed(settings.seed)
    torch.set_num_threads(settings.threads)
    device = torch.device(settings.device)
    net = net.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    state = State(net, copy.deepcopy(net).eval(), make_optimiser(net, settings))
    if resume is not None:
        state.load(resume)
    out.parent.mkdir(parents=True, exist_ok=True)
    data = Batches(make, settings.seed, state.step, settings.steps)
    loader = DataLoader(
        data, batch_size=None, num_workers=settings.workers, prefetch_factor=4 if settings.workers else None
    )
    stop = _Stop()
    began, saved = time.monotonic() - state.worked_s, time.monotonic()
    smooth: dict[str, float] = {}
    bar = tqdm(total=settings.steps, initial=state.step, unit="step", mininterval=10, smoothing=0.05)
    net.train()
    for batch in loader:
        state.worked_s = time.monotonic() - began
        done = max(state.step / settings.steps, state.worked_s / (60 * settings.minutes) if settings.minutes else 0)
        if done >= 1 or stop.asked:
            break
        rate = rate_at(done, state.step, settings)
        for part in state.optimiser.param_groups:
            part["lr"] = rate
        losses = _step(state, {k: v.to(device) for k, v in batch.items()}, loss_of, device)
        follow(state.ema, net, state.step, settings.ema)
        state.step += 1
        for name, value in losses.items():
            smooth[name] = value if name not in smooth else 0.98 * smooth[name] + 0.02 * value
        bar.update()
        if state.step % 20 == 0:
            bar.set_postfix({k: f"{v:.3f}" for k, v in smooth.items()} | {"done": f"{done:.3f}"}, refresh=False)
        if time.monotonic() - saved > settings.save_s:
            state.log.append({"step": state.step, "worked_s": state.worked_s, "rate": rate, **smooth})
            state.save(out, settings)
            saved = time.monotonic()
    bar.close()
    state.save(out, settings)
    return state


def _step(
    state: State, batch: Batch, loss_of: Callable[[nn.Module, Batch], Losses], device: torch.device
) -> dict[str, float]:
    with torch.autocast(device.type, torch.bfloat16):
        losses = loss_of(state.net, batch)
    total = torch.stack(list(losses.values())).sum()
    state.optimiser.zero_grad(set_to_none=True)
    if bool(torch.isfinite(total)):
        # a single bad batch must not end a long run
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(state.net.parameters(), 10.0)
        state.optimiser.step()
    return {k: float(v.detach()) for k, v in losses.items()}


def generator(seed: int, number: int) -> np.random.Generator:
    """The random generator of one batch: resuming at batch `number` gives the same pictures."""
    return np.random.default_rng([seed, number])
