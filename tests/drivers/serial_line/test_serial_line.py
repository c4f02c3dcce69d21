from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from drivers.contract import PartState
from drivers.errors import BadSetting, DeviceLost
from drivers.serial_line.serial_line import SerialLine
from drivers.simulated.devices.wire import PtyWire
from tests.drivers.driver_bench import eventually, heard
from tests.limits import HANG_S


class Ear:
    """Accepts every byte as a frame and stores it."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.quiet = 0

    def __call__(self, data: bytes, _at_s: float) -> bool:
        self.data += data
        self.quiet += not data
        return bool(data)

    async def hears(self, wanted: bytes) -> None:
        await eventually(lambda: self.data.endswith(wanted))


@asynccontextmanager
async def listening(line: SerialLine, ear: Ear) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(line.run(ear))
        try:
            yield
        finally:
            task.cancel()


def lost(line: SerialLine) -> bool:
    return line.device_health.health.state is PartState.LOST


def well(line: SerialLine) -> bool:
    return line.device_health.health.state is PartState.OK


def line_at(wire: PtyWire, silence_s: float | None = None, **options: object) -> SerialLine:
    return SerialLine("part", str(wire.link), bauds=(115200,), silence_s=silence_s, **options)  # type: ignore[arg-type]


@pytest.fixture
def wire(tmp_path: Path) -> PtyWire:
    return PtyWire(tmp_path / "port")


async def test_reads_writes_and_reports_silence(wire: PtyWire) -> None:
    line, ear = line_at(wire, quiet_s=0.02), Ear()
    with wire:
        async with listening(line, ear):
            await eventually(lambda: well(line))
            wire.write(b"abc")
            await ear.hears(b"abc")
            quiet = ear.quiet
            await eventually(lambda: ear.quiet > quiet)
            await line.write(b"command")
            assert await heard(wire, b"command") == b"command"


async def test_a_delayed_loop_does_not_report_silence(wire: PtyWire) -> None:
    line, ear = line_at(wire, quiet_s=0.3), Ear()
    with wire:
        async with listening(line, ear):
            await eventually(lambda: well(line))
            wire.write(b"first")
            await ear.hears(b"first")
            quiet = ear.quiet
            time.sleep(0.4)  # noqa: ASYNC251  the loop is held up on purpose
            asyncio.get_running_loop().call_later(0.02, wire.write, b"rest")
            await ear.hears(b"rest")
            assert ear.quiet == quiet


async def test_data_read_before_a_query_ends_the_silence(wire: PtyWire) -> None:
    line, ear = line_at(wire, quiet_s=HANG_S), Ear()
    with wire:
        async with listening(line, ear), asyncio.TaskGroup() as tasks:
            await eventually(lambda: well(line))
            asking = tasks.create_task(line.ask((b"?",), 0.0, lambda _question: None))  # at every turn of the loop
            for number in range(20):
                wire.write(b"%d" % number)
                await ear.hears(b"%d" % number)
            asking.cancel()
    assert ear.quiet == 0


async def test_unplugged_is_lost_at_once_and_read_again_under_another_device(
    wire: PtyWire, caplog: pytest.LogCaptureFixture
) -> None:
    line, ear = line_at(wire), Ear()
    async with listening(line, ear):
        await eventually(lambda: lost(line))  # not there yet
        for round_ in range(3):
            wire.plug()
            await eventually(lambda: well(line))
            wire.write(b"%d" % round_)
            await ear.hears(b"%d" % round_)
            wire.unplug()
            await eventually(lambda: lost(line))
            with pytest.raises(DeviceLost):
                await line.write(b"x")
    assert line.device_health.counters["opened"] == 3
    assert [record.levelno for record in caplog.records] == [logging.ERROR] + [logging.WARNING, logging.ERROR] * 3
    assert all("was unplugged" in record.getMessage() for record in caplog.records[2::2])  # it needed no silence


async def test_a_name_that_leads_elsewhere_is_followed(wire: PtyWire, tmp_path: Path) -> None:
    line, ear = line_at(wire, quiet_s=0.05), Ear()
    other = PtyWire(tmp_path / "other")
    with wire, other:
        async with listening(line, ear):
            await eventually(lambda: well(line))
            wire.link.unlink()
            wire.link.symlink_to(other.link)
            await eventually(lambda: lost(line))
            await eventually(lambda: well(line))
            other.write(b"here")
            await ear.hears(b"here")
            assert ear.data == b"here"


async def test_a_name_that_is_gone_is_a_lost_line(wire: PtyWire) -> None:
    line = line_at(wire, quiet_s=0.05)
    with wire:
        async with listening(line, Ear()):
            await eventually(lambda: well(line))
            wire.link.unlink()
            await eventually(lambda: lost(line))


async def test_a_silent_line_is_lost_and_tried_at_the_next_baud_rate(wire: PtyWire) -> None:
    line = SerialLine("part", str(wire.link), bauds=(115200, 9600), silence_s=0.2, quiet_s=0.05)
    ear = Ear()
    with wire:
        async with listening(line, ear):
            await eventually(lambda: "115200 baud" in line.device_health.health.detail)
            await eventually(lambda: "9600 baud" in line.device_health.health.detail)


async def test_start_up_and_shut_down_commands_are_written_on_every_opening(wire: PtyWire) -> None:
    line = line_at(wire, start_up=(b"one", b"two"), shut_down=b"bye")
    with wire:
        async with listening(line, Ear()):
            await heard(wire, b"onetwo")
            wire.unplug()
            await eventually(lambda: lost(line))
            wire.plug()
            await heard(wire, b"onetwo")
            kept = os.open(wire.link, os.O_RDWR | os.O_NOCTTY)  # what is written last stays readable
        assert await heard(wire, b"bye") == b"bye"
        os.close(kept)


async def test_a_line_has_one_reader_and_a_port_one_owner(wire: PtyWire) -> None:
    line, second = line_at(wire), line_at(wire)
    with wire:
        async with listening(line, Ear()):
            await eventually(lambda: well(line))
            with pytest.raises(RuntimeError, match="already has a reader"):
                await line.run(Ear())
            async with listening(second, Ear()):
                await eventually(lambda: "another program" in second.device_health.health.detail)


async def test_a_reader_that_fails_is_not_hidden(wire: PtyWire) -> None:
    def fails(_data: bytes, _at_s: float) -> bool:
        raise ZeroDivisionError

    with wire, pytest.raises(ZeroDivisionError):
        await line_at(wire, quiet_s=0.02).run(fails)


async def test_a_write_that_the_wire_does_not_take_is_lost_not_waited_for(wire: PtyWire) -> None:
    line = line_at(wire)
    with wire:
        async with listening(line, Ear()):
            await eventually(lambda: well(line))
            with pytest.raises(DeviceLost):
                await flood(line)


async def flood(line: SerialLine) -> None:
    for _ in range(100):
        await line.write(bytes(1000))


@pytest.mark.parametrize(("port", "baud"), [("", 9600), ("/dev/ttyUSB0", 12345)])
def test_impossible_settings_are_refused(port: str, baud: int) -> None:
    with pytest.raises(BadSetting):
        SerialLine("part", port, bauds=(baud,), silence_s=None)
