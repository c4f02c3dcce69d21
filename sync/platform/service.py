"""The platform of one district as one process: ingest, requests, directory and fleet page."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sync.contract.messages import PlatformState
from sync.contract.topics import Channel, Topic, check_name
from sync.errors import StoreFailed
from sync.mqtt.broker_address import BrokerAddress
from sync.mqtt.events import will
from sync.mqtt.packets import Options
from sync.mqtt.reconnect import Retry, stay_connected
from sync.mqtt.tls_files import TlsFiles
from sync.platform.directory.importer import import_file, summary
from sync.platform.directory.publisher import DirectoryPublisher
from sync.platform.directory.store import DirectoryStore
from sync.platform.fleet.box_requests import BoxRequestHandler, platform_event
from sync.platform.fleet.fleet import Fleet
from sync.platform.fleet.page import FleetPage
from sync.platform.fleet.reported_ends import ReportedEnds
from sync.platform.records.gaps import GapRequester
from sync.platform.records.ingest_service import IngestService
from sync.platform.records.open_store import open_store
from sync.platform.records.store_contract import RecordStore
from sync.storage.atomic_files import locked

log = logging.getLogger(__name__)

BACKLOG_PER_S = 5000.0
_REQUEST_PACKET_BYTES = 65_536  # states, health reports, queries and directory requests are smaller
_WILL_DELAY_S = 5
_SESSION_EXPIRY_S = 300


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """What to serve and where. `http_port` 0 lets the system choose. `district` is [a-z0-9-]{1,40}."""

    broker: str
    district: str
    data: Path
    # postgresql://…, or the path of an SQLite file; empty: records.db in `data`. It may contain a password.
    store: str = field(default="", repr=False)
    http_host: str = "127.0.0.1"
    http_port: int = 8090
    http_names: tuple[str, ...] = ()  # further host names of the page, such as that of a proxy
    tls: TlsFiles = field(default_factory=TlsFiles)
    directory: Path | None = None  # CSV or JSONL, imported at start
    community_key: bytes = field(default=b"", repr=False)
    backlog_per_s: float = BACKLOG_PER_S  # records of all boxes together
    gap_interval_s: float = 10.0
    # A short pause: there is one platform, and all boxes wait for it.
    retry: Retry = field(default_factory=lambda: Retry(cap_s=5.0))

    def __post_init__(self) -> None:
        check_name(self.district)

    @property
    def records(self) -> str:
        """Address of the record store."""
        return self.store or str(self.data / "records.db")


class IngestProcess:
    """Receives records beside a running platform and shares its work. Runs until cancelled."""

    def __init__(self, settings: ServiceSettings) -> None:
        """Raises UnsafeLink for unsafe settings."""
        self._settings = settings
        self._broker = BrokerAddress.from_url(settings.broker, settings.tls)

    async def run(self) -> None:
        """Receive records. Raises StoreFailed if the store cannot be used."""
        async with open_store(self._settings.records) as store:
            await _ingest_service(self._settings, self._broker, store).run()


def _ingest_service(settings: ServiceSettings, broker: BrokerAddress, store: RecordStore) -> IngestService:
    gaps = GapRequester(store, settings.district, settings.gap_interval_s)
    return IngestService(store, broker, settings.district, settings.retry, settings.backlog_per_s, gaps)


@contextmanager
def _single_instance(data: Path) -> Iterator[None]:
    """Lock `data`: two processes with the same client id would disconnect each other. Raises StoreFailed."""
    data.mkdir(parents=True, exist_ok=True)
    try:
        with locked(data / "serve.lock"):
            yield
    except BlockingIOError as exc:
        raise StoreFailed(f"{data}: another `serve` runs here; `ingest` may run beside it") from exc


class PlatformService:
    """Runs until cancelled. When the page is served, `http_port` is known and `ready` is set."""

    def __init__(self, settings: ServiceSettings) -> None:
        """Raises UnsafeLink for unsafe settings."""
        self.http_port = settings.http_port
        self.ready = asyncio.Event()
        self._settings = settings
        self._broker = BrokerAddress.from_url(settings.broker, settings.tls)

    async def run(self) -> None:
        """Serve. Raises OSError if the port or a file cannot be used, StoreFailed if a store cannot."""
        settings = self._settings
        async with AsyncExitStack() as stack:
            stack.enter_context(_single_instance(settings.data))
            store = await stack.enter_async_context(open_store(settings.records))
            directory = await stack.enter_async_context(DirectoryStore.opened(settings.data / "directory.db"))
            await self._import(directory)
            fleet = Fleet()
            page = FleetPage(store, fleet, settings.http_names)
            self.http_port = await stack.enter_async_context(page.served(settings.http_host, settings.http_port))
            log.info("fleet page: port %d of %s; broker: %s", self.http_port, settings.http_host, self._broker)
            self.ready.set()
            await self.serve_boxes(store, directory, fleet)

    async def serve_boxes(self, store: RecordStore, directory: DirectoryStore, fleet: Fleet) -> None:
        """Serve the boxes over the broker until cancelled."""
        settings = self._settings
        ingest = _ingest_service(settings, self._broker, store)
        publisher = DirectoryPublisher(directory, settings.district)
        ends = ReportedEnds(store)
        requests = BoxRequestHandler(
            fleet, directory, publisher, settings.district, ingest.ready, settings.backlog_per_s, ends=ends
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(ingest.run(), name="ingest")
            group.create_task(directory.follow(), name="directory")
            group.create_task(ends.run(), name="reported ends")
            group.create_task(
                stay_connected("requests", self._request_options, requests.serve, settings.retry), name="requests"
            )

    async def _import(self, directory: DirectoryStore) -> None:
        if self._settings.directory is None:
            return
        report = await import_file(directory, self._settings.directory, self._settings.community_key)
        log.info("directory: %s", summary(report))
        for line, reason in report.refused:
            log.warning("directory: line %d rejected: %s", line, reason)
        for line, text in report.warnings:
            log.warning("directory: line %d: %s", line, text)

    def _request_options(self) -> Options:
        district = self._settings.district
        away = platform_event(district, PlatformState(online=False))
        return Options(
            broker=self._broker,
            client_id=f"{district}.platform.desk",
            session_expiry_s=_SESSION_EXPIRY_S,
            window=100,
            receive_maximum=1000,
            max_packet_bytes=_REQUEST_PACKET_BYTES,
            will=will(Topic(district, Channel.PLATFORM), away, _WILL_DELAY_S),
        )
