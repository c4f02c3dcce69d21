"""The files that a box writes, opened together: ledger, replica of the directory, orders carried out, faces."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from config.settings import Settings
from edge_agent.box.key_files import make_data_dir
from edge_agent.box.wall_clock import WallClock
from edge_agent.faces.register import FILE as FACES_FILE
from edge_agent.faces.register import FaceRegister
from edge_agent.privacy.key_file import load_or_make_cipher
from edge_agent.records.conversion import clock_record
from sync.contract.records import Clock
from sync.edge.directory.directory import Directory
from sync.edge.ledger.ledger import Ledger
from sync.edge.orders.replay_guard import ReplayGuard


@dataclass(frozen=True, slots=True)
class Stores:
    """The open files of one box."""

    ledger: Ledger
    directory: Directory
    replay_guard: ReplayGuard
    faces: FaceRegister | None = None  # where registered faces do not count


@asynccontextmanager
async def opened_stores(settings: Settings, clock: WallClock) -> AsyncIterator[Stores]:
    """The files of the box, sealed with its key; `clock` resumes from the time that the replica was confirmed.

    Raises SettingsError or SyncError.
    """

    def now() -> Clock:
        return clock_record(clock.now())

    data_dir = make_data_dir(Path(settings.box.data_dir))
    sealer = load_or_make_cipher(settings)
    async with AsyncExitStack() as stack:
        ledger = Ledger.opened(
            data_dir / "ledger.db",
            box=settings.box.name,
            budget_bytes=settings.ledger.budget_mb * 1_000_000,
            clock=now,
            cipher=sealer,
        )
        stores = Stores(
            await stack.enter_async_context(ledger),
            await stack.enter_async_context(Directory.opened(data_dir / "directory.db", clock=now, cipher=sealer)),
            await stack.enter_async_context(ReplayGuard.opened(data_dir / "orders.db")),
            await stack.enter_async_context(FaceRegister.opened(data_dir / FACES_FILE, sealer))
            if settings.recognition.enabled
            else None,
        )
        clock.resume(stores.directory.confirmed)
        await stores.ledger.report_set_aside(data_dir / name for name in ("directory.db", "orders.db", FACES_FILE))
        yield stores
