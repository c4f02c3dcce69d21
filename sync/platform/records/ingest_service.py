"""Receives records: live records and backlog over separate connections, and requests for missing records."""

from __future__ import annotations

import asyncio
import secrets

from sync.contract.records import RECORD_LIMIT_BYTES
from sync.mqtt.broker_address import BrokerAddress
from sync.mqtt.connection import Connection
from sync.mqtt.packets import Options
from sync.mqtt.reconnect import Retry, stay_connected
from sync.platform.records.fair_rate import FairShareLimiter
from sync.platform.records.gaps import GapRequester
from sync.platform.records.ingest import BACKLOG, LIVE, Ingest
from sync.platform.records.store_contract import RecordStore

_LIVE_BATCH = 200  # messages in one transaction
_BACKLOG_BATCH = 20  # of up to 100 records each
# The broker does not send larger ones here. A larger record arrives a minute later as backlog, and is refused there.
LIVE_PACKET_BYTES = 4 * RECORD_LIMIT_BYTES
_WINDOW = 100  # unconfirmed acknowledgements at once


class IngestService:
    """One of the ingest processes of a district; `backlog_per_s` limits the backlog of this one, in records."""

    def __init__(
        self,
        store: RecordStore,
        broker: BrokerAddress,
        district: str,
        retry: Retry,
        backlog_per_s: float,
        gaps: GapRequester,
    ) -> None:
        self._live = Ingest(store, district, LIVE, _LIVE_BATCH)
        self._backlog = Ingest(store, district, BACKLOG, _BACKLOG_BATCH, FairShareLimiter(backlog_per_s))
        self._gaps = gaps
        self._broker = broker
        self._retry = retry
        self._name = f"{district}.platform.{secrets.token_hex(4)}"
        self.ready = self._live.ready

    async def run(self) -> None:
        """Receive records until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(
                stay_connected("ingest", self._live_options, self._live.serve, self._retry), name="ingest"
            )
            group.create_task(
                stay_connected("ingest of backlog", self._backlog_options, self._serve_backlog, self._retry),
                name="ingest of backlog",
            )

    async def _serve_backlog(self, connection: Connection) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._backlog.serve(connection), name="backlog")
            group.create_task(self._gaps.serve(connection), name="gaps")

    def _live_options(self) -> Options:
        return self._options("live", receive_maximum=2 * _LIVE_BATCH, max_packet_bytes=LIVE_PACKET_BYTES)

    def _backlog_options(self) -> Options:
        return self._options("backlog", receive_maximum=2 * _BACKLOG_BATCH)

    def _options(self, channel: str, receive_maximum: int, max_packet_bytes: int | None = None) -> Options:
        # Sessions end with their process: otherwise the broker keeps a share of the records for a session without a
        # client. What is lost with a connection was not acknowledged, so the boxes send it again.
        return Options(
            broker=self._broker,
            client_id=f"{self._name}.{channel}",
            clean_start=True,
            session_expiry_s=0,
            window=_WINDOW,
            receive_maximum=receive_maximum,
            max_packet_bytes=max_packet_bytes,
            manual_ack=True,
        )
