"""What a box does when the platform orders something."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from config.settings import BoxSettings, Settings
from edge_agent.box.remote_settings import apply_remote_settings
from edge_agent.platform_link.order_handlers import OrderExecutor
from edge_agent.policy.active_policy import ActivePolicy
from edge_agent.policy.rules import Policy
from edge_agent.speech.broadcasts.broadcast import OfferResult
from edge_agent.staff.pin import FREE_TRIES, PinLock, write_pin
from sync.contract import orders as wire
from sync.contract.orders import Broadcast
from sync.edge.directory.directory import Directory
from sync.edge.orders.receiver import OrderHandlers
from sync.errors import OrderUnfit
from tests.edge_agent.clocks import ClockInSync, moment


def now() -> datetime:
    """The present, as the box sees it."""
    return datetime.now(UTC)


class List:
    """Takes broadcasts by noting them."""

    def __init__(self) -> None:
        self.offered: list[Broadcast] = []
        self.withdrawn: list[str] = []

    def offer(self, broadcast: Broadcast) -> OfferResult:
        self.offered.append(broadcast)
        return OfferResult.TAKEN

    def withdraw(self, broadcast_id: str) -> bool:
        self.withdrawn.append(broadcast_id)
        return True


class Here:
    """A box that takes orders."""

    def __init__(self, folder: Path, directory: Directory) -> None:
        self.settings = Settings(box=BoxSettings(data_dir=str(folder)))
        self.policies = ActivePolicy(Policy(version=3), folder / "policy.json")
        self.directory = directory
        self.list = List()
        write_pin(folder / "staff.pin", "274913")
        self.pin_lock = PinLock(folder / "staff.pin", lambda: 0.0)
        self.hands: OrderHandlers = OrderExecutor(
            settings=self.settings,
            policy=self.policies,
            directory=directory,
            broadcasts=self.list,
            clock=ClockInSync(),
            report=self.report,
            unlock_staff=self.pin_lock.unlock,
        ).handlers()

    async def report(self) -> dict[str, object]:
        return {"up_s": 7}


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Here]:
    async with Directory.opened(tmp_path / "directory.db") as directory:
        yield Here(tmp_path, directory)


async def test_policy_and_settings_come_together(here: Here) -> None:
    wanted = wire.Desired(policy={"version": 4, "test": {"valid_h": 24}}, settings={"arrival": {"leave_s": 2.0}})
    assert await here.hands.apply(wanted)
    assert not await here.hands.apply(wanted)  # once more is as good as once
    assert here.policies.at(moment(now())).test.valid_h == 24
    assert apply_remote_settings(here.settings).arrival.leave_s == 2.0


async def test_a_policy_may_come_ahead_of_its_date(here: Here) -> None:
    tomorrow = now() + timedelta(days=1)
    await here.hands.apply(wire.Desired(policy={"version": 9}, effective=tomorrow))
    assert (
        here.policies.at(moment(now())).version,
        here.policies.at(moment(tomorrow + timedelta(seconds=1))).version,
    ) == (3, 9)


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (
            wire.Desired(policy={"version": 2}, settings={"arrival": {"leave_s": 2.0}}),
            "older than the active",
        ),
        (wire.Desired(policy={"version": 4, "tset": {}}), "tset"),
        (wire.Desired(policy={"version": 4, "code": {"red": "admit"}}), "admit"),
        (wire.Desired(policy={"version": 4}, settings={"gate": {"pulse_ms": 9000}}), "gate"),
    ],
)
async def test_what_does_not_fit_is_refused_whole_with_the_reason(here: Here, wanted: wire.Desired, why: str) -> None:
    with pytest.raises(OrderUnfit, match=why):
        await here.hands.apply(wanted)
    assert here.policies.at(moment(now())).version == 3
    assert apply_remote_settings(here.settings) == here.settings


async def test_commands(here: Here) -> None:
    assert await here.hands.commands["status"]({}) == {"up_s": 7}
    assert await here.hands.commands["refetch-directory"]({}) == {}
    for _ in range(FREE_TRIES):
        await here.pin_lock.try_pin("000001")
    assert here.pin_lock.locked_s > 0
    assert await here.hands.commands["unlock-staff"]({}) == {}
    assert here.pin_lock.locked_s == 0
    assert here.directory.request().cursor == 0


async def test_broadcasts_reach_the_list_as_they_were_sent(here: Here) -> None:
    sent = wire.Broadcast(
        broadcast_id="b-1",
        texts={"zh-CN": "今晚十点关门", "en": "The gate closes at ten."},
        valid_from=now(),
        valid_until=now() + timedelta(hours=1),
        priority=wire.Priority.EMERGENCY,
        schedule="*/10 * * * *",
        audio=wire.Audio("https://city.example/a.wav", "ab" * 32, 1000),
    )
    here.hands.broadcast(sent)
    here.hands.broadcast(wire.Withdrawal("b-1"))
    [taken] = here.list.offered
    assert (taken.texts, taken.valid_until, taken.priority.value) == (sent.texts, sent.valid_until, "emergency")
    assert (taken.schedule, taken.audio is not None and taken.audio.bytes) == (sent.schedule, 1000)
    assert here.list.withdrawn == ["b-1"]
