"""The directory publisher sends one page to each box at the same position."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from pathlib import Path

from sync.contract.messages import DirectoryPage, DirectoryRequest
from sync.contract.topics import Channel, every_box
from sync.mqtt.broker_address import BrokerAddress
from sync.mqtt.connection import Connection
from sync.mqtt.events import box_from, decode_event, topic_from
from sync.mqtt.packets import Options, Subscription
from sync.platform.directory.publisher import DirectoryPublisher
from sync.platform.directory.store import DirectoryStore
from tests.limits import HANG_S
from tests.sync.city import Mosquitto, running, status_of

BOXES = [f"box-{number}" for number in range(5)]


async def test_boxes_at_the_same_position_receive_each_change_once(tmp_path: Path, broker: Mosquitto) -> None:
    heard: dict[str, list[tuple[int, int]]] = defaultdict(list)
    async with (
        DirectoryStore.opened(tmp_path / "directory.db") as source,
        Connection.open(Options(BrokerAddress.from_url(broker.url), "platform")) as platform,
        Connection.open(Options(BrokerAddress.from_url(broker.url), "ear")) as ear,
    ):
        await ear.subscribe(Subscription(every_box("demo", Channel.DIRECTORY)))
        publisher = DirectoryPublisher(source, "demo", confirm_s=60)
        async with running(publisher.run(platform)), asyncio.timeout(HANG_S):
            for box in BOXES:
                publisher.follow(box, DirectoryRequest("", 0, packed=True))
            changes = 3
            for change in range(changes + 1):
                for _ in BOXES:
                    [message] = await ear.batch(1)
                    page = decode_event(message).message(DirectoryPage)
                    assert isinstance(page, DirectoryPage)
                    heard[box_from(topic_from(message))].append((page.after, page.ops[-1].op if page.ops else 0))
                if change < changes:
                    await source.put([status_of(change)])
    assert dict(heard) == {box: [(0, 0), (0, 1), (1, 2), (2, 3)] for box in BOXES}
