"""What to simulate, and how it went."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sync.mqtt.broker_address import TlsFiles
from sync.platform.simulation.box import SimulationMetrics


@dataclass(frozen=True, slots=True)
class Simulation:
    """What to simulate. Without `broker` a mosquitto and a platform of its own are started below `folder`."""

    folder: Path
    boxes: int
    minutes: float
    per_hour: float  # passages of one box in an hour, mean of the day
    broker: str | None = None
    district: str = "simulation"
    tls: bool = False
    files: TlsFiles = field(default_factory=TlsFiles)  # with `broker`
    store: str = ""
    ingest: int = 0  # processes beside the platform
    backlog: int = 0  # records that wait in each box at the start
    backlog_per_s: float = 5000.0  # pace of all boxes together
    outage_s: float = 0.0  # how long the broker is away, in the middle
    admit_per_s: float = 0.0  # connections a second that the front door lets in; 0: no door
    revoke: int = 0  # persons revoked during the day
    seed: int = 1
    stall_limit_s: float = 150.0  # given up without any progress; the longest pause between two tries of a box is 60 s
    refused_limit_s: float = 10.0  # the same while every box that is not online was refused


@dataclass(slots=True)
class SimulationTimeline:
    """How a run went; times are monotonic seconds, 0.0 for what did not happen."""

    figures: SimulationMetrics = field(default_factory=SimulationMetrics)
    attempts_s: dict[str, list[float]] = field(default_factory=dict)  # of each box
    opened_s: float = 0.0
    switched_on_s: float = 0.0
    all_connected_s: float = 0.0
    broker_gone_s: float = 0.0
    broker_back_s: float = 0.0
    all_back_s: float = 0.0
    revocations_s: dict[str, float] = field(default_factory=dict)  # when each person was revoked
    revoked_s: list[float] = field(default_factory=list)  # how long each took to each box
    traffic_over_s: float = 0.0
    drained_s: float = 0.0
    undrained: int = 0
    lags_s: list[float] = field(default_factory=list)  # how late the simulation itself was: it bounds every latency
    last_seq: dict[str, int] = field(default_factory=dict)
    processes: dict[str, int] = field(default_factory=dict)
