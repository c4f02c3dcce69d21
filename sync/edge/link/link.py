"""The link of one box to the platform: reconnects until cancelled and never blocks the rest of the agent."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NoReturn

from sync.contract.messages import BoxState, QueryAnswer
from sync.contract.topics import Channel, check_name
from sync.edge.directory.directory import Directory
from sync.edge.identity.box_identity import CertificateExpiry
from sync.edge.ledger.ledger import Ledger
from sync.edge.link.box_context import BoxContext
from sync.edge.link.clone_detector import CloneDetector
from sync.edge.link.sender import SenderSettings
from sync.edge.link.session import Session
from sync.edge.orders.receiver import OrderReceiver
from sync.errors import BrokerUntrusted, LinkLost, LinkRefused, SyncError, UnsafeLink
from sync.mqtt.broker_address import BrokerAddress
from sync.mqtt.connection import Connection
from sync.mqtt.events import will
from sync.mqtt.packets import Options
from sync.mqtt.reconnect import Retry, stay_connected
from sync.mqtt.tls_files import TlsFiles

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """Address of the broker and identity of the box. `url` is mqtts://host:port, or mqtt:// on loopback.

    `district` and `box` must match [a-z0-9-]{1,40}; ValueError otherwise.
    """

    url: str
    district: str
    box: str
    tls: TlsFiles = field(default_factory=TlsFiles)
    session_expiry_s: int = 3600  # how long the broker keeps messages for a disconnected box
    keepalive_s: int = 20
    connect_timeout_s: float = 5.0
    reply_timeout_s: float = 10.0
    will_delay_s: int = 5
    health_s: float = 30.0
    sender: SenderSettings = field(default_factory=SenderSettings)
    retry: Retry = field(default_factory=Retry)

    def __post_init__(self) -> None:
        check_name(self.district)
        check_name(self.box)


@dataclass(frozen=True, slots=True)
class LinkStatus:
    """State of the link. `platform_online`: the platform itself commits records, not only the broker is reachable.

    Ages refer to this connection; None: not yet.
    """

    connected: bool
    since_s: float  # monotonic time of the last change of `connected`
    platform_online: bool
    last_ack_age_s: float | None  # since the platform last acknowledged records
    last_puback_age_s: float | None  # since the broker last sent PUBACK or SUBACK
    reconnects: int
    detail: str  # why there is no connection; empty when connected


class PlatformLink:
    """Sends the records of `ledger`, updates `directory` and answers its `ask`. Raises UnsafeLink for unsafe settings.

    Without `orders` the box does not subscribe to signed channels. `parts` returns the state of each part for the
    health report; `versions` and `boot_id` are sent in the birth message. `on_platform_time` gets the time of each
    directory page, which is at most half a minute old.
    """

    def __init__(
        self,
        settings: LinkSettings,
        ledger: Ledger,
        directory: Directory,
        *,
        versions: Mapping[str, str],
        boot_id: str,
        parts: Callable[[], Mapping[str, str]] = dict,
        orders: OrderReceiver | None = None,
        on_platform_time: Callable[[datetime], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._files_modified_ns = settings.tls.modified_ns()
        self._broker = BrokerAddress.from_url(settings.url, settings.tls)
        expiry = CertificateExpiry(settings.tls.certificate)
        self._context = BoxContext(
            settings.district,
            settings.box,
            ledger,
            directory,
            orders,
            parts,
            expiry.days,
            time.monotonic(),
            on_platform_time,
        )
        self._birth = BoxState(online=True, epoch=ledger.epoch, boot_id=boot_id, versions=dict(versions))
        self._will = BoxState(online=False, epoch=ledger.epoch, boot_id=boot_id, versions=dict(versions))
        self._session: Session | None = None
        self._since_s = time.monotonic()
        self._connections = 0
        self._detail = "not connected yet"
        self._refusal = ""
        self._spread_s = 1.0
        self._clone_detector = CloneDetector(ledger, boot_id)
        directory.ask = self.query

    def listen_to(self, orders: OrderReceiver) -> None:
        """Subscribe to the signed channels from the next connection on."""
        self._context = replace(self._context, orders=orders)

    async def run(self) -> NoReturn:
        """Stay connected until cancelled."""
        name = f"platform link to {self._broker}"
        await stay_connected(name, self._options, self._serve, self._settings.retry, self._lost, lambda: self._spread_s)

    def status(self) -> LinkStatus:
        """The current state of the link."""
        session = self._session
        last_ack_s = session.last_ack_s if session else None
        return LinkStatus(
            connected=session is not None,
            since_s=self._since_s,
            platform_online=session is not None and session.platform_online,
            last_ack_age_s=None if last_ack_s is None else time.monotonic() - last_ack_s,
            last_puback_age_s=session.puback_age_s if session else None,
            reconnects=max(0, self._connections - 1),
            detail=self._detail,
        )

    @property
    def refusal(self) -> str:
        """Why the broker or its certificate was rejected, if retrying does not help; otherwise empty."""
        return self._refusal

    async def query(self, person_key: str, budget_s: float) -> QueryAnswer:
        """Ask the platform for one person. Raises LinkLost (at once without a link), NoAnswer, BadMessage."""
        if self._session is None:
            raise LinkLost("no link to the platform")
        return await self._session.query(person_key, budget_s)

    def _options(self) -> Options:
        settings = self._settings
        self._reload_certificates()
        return Options(
            broker=self._broker,
            client_id=f"{settings.district}.{settings.box}",
            will=will(self._context.topic(Channel.STATE), self._context.event(self._will), settings.will_delay_s),
            session_expiry_s=settings.session_expiry_s,
            keepalive_s=settings.keepalive_s,
            connect_timeout_s=settings.connect_timeout_s,
            reply_timeout_s=settings.reply_timeout_s,
        )

    def _reload_certificates(self) -> None:
        """Use a renewed certificate from the next connection on; if it is unusable keep the old one."""
        modified_ns = self._settings.tls.modified_ns()
        if modified_ns == self._files_modified_ns:
            return
        self._files_modified_ns = modified_ns
        try:
            self._broker = BrokerAddress.from_url(self._settings.url, self._settings.tls)
        except UnsafeLink as exc:
            log.warning("%s: ignoring the changed certificates: %s", self._broker, exc)

    async def _serve(self, connection: Connection) -> None:
        self._session = Session(
            connection, self._context, self._clone_detector, self._settings.sender, self._settings.health_s
        )
        self._since_s = time.monotonic()
        self._connections += 1
        self._detail = self._refusal = ""
        try:
            await self._session.run(self._birth, self._will)
        finally:
            self._spread_s = max(1.0, self._session.reconnect_spread_s or self._spread_s)
            self._session = None
            self._since_s = time.monotonic()

    def _lost(self, why: SyncError) -> None:
        self._detail = str(why)
        self._refusal = self._detail if isinstance(why, (LinkRefused, BrokerUntrusted)) else ""
