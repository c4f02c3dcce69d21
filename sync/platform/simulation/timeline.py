"""Settings of a simulation, and the times measured while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sync.mqtt.tls_files import TlsFiles
from sync.platform.simulation.box import SimulationMetrics


@dataclass(frozen=True, slots=True)
class Simulation:
    """Settings of a simulation. Without `broker` a private mosquitto and platform are started below `folder`."""

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
    backlog: int = 0  # unsent records in each box at the start
    backlog_per_s: float = 5000.0  # records of all boxes together
    outage_s: float = 0.0  # how long the broker is stopped in the middle of the day
    admit_per_s: float = 0.0  # connections per second that the limiter admits; 0: no limiter
    revoke: int = 0  # persons revoked during the day
    seed: int = 1
    stall_limit_s: float = 150.0  # time without progress that ends the run; boxes pause at most 60 s
    refused_limit_s: float = 10.0  # the same if the broker refused every box that is not online


@dataclass(slots=True)
class SimulationTimeline:
    """Times of a run, in monotonic seconds; 0.0 for an event that did not happen."""

    metrics: SimulationMetrics = field(default_factory=SimulationMetrics)
    attempts_s: dict[str, list[float]] = field(default_factory=dict)  # of each box
    opened_s: float = 0.0
    switched_on_s: float = 0.0
    all_connected_s: float = 0.0
    broker_gone_s: float = 0.0
    broker_back_s: float = 0.0
    all_back_s: float = 0.0
    revocations_s: dict[str, float] = field(default_factory=dict)  # when each person was revoked
    revoked_s: list[float] = field(default_factory=list)  # time to each box of each revocation
    traffic_over_s: float = 0.0
    drained_s: float = 0.0
    undrained: int = 0
    lags_s: list[float] = field(
        default_factory=list
    )  # delay of the event loop of the simulation, which limits the accuracy of every latency
    last_seq: dict[str, int] = field(default_factory=dict)
    processes: dict[str, int] = field(default_factory=dict)
