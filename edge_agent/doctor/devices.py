"""Checks of distance sensor, code reader, card reader, gate and speaker."""

from __future__ import annotations

from collections.abc import Callable

from drivers.contract import Gate, Part, Ranger, Speaker
from drivers.errors import DeviceLost, DriverError
from drivers.readers.table import make_card_reader
from edge_agent.box.devices import gate_from, ranger_from, reader_from, speaker_from
from edge_agent.doctor.device_check import result_from, result_from_agent, running, unusable
from edge_agent.doctor.report import Check, CheckResult, Site, failed, not_checked, ok
from edge_agent.doctor.sound_check import LEAST_DB, hear


async def ranger(site: Site) -> CheckResult:
    """The distance sensor measures; the distance helps to aim it."""
    try:
        part = ranger_from(site.settings)
    except DriverError as exc:
        return unusable("ranger", "broken", str(exc))
    if part is None:
        return not_checked("not configured")
    if seen := result_from_agent(site, "ranger"):
        return seen
    async with running(part) as well:
        return await _measured(part) if well else result_from(part)


async def _measured(part: Ranger) -> CheckResult:
    _, reading = await part.readings.after(0)
    return ok(reading.state.value if reading.distance_m is None else f"{reading.distance_m:.2f} m")


async def reader(site: Site) -> CheckResult:
    """The port of the code reader opens; the reader sends data only when a code is scanned."""
    return result_from_agent(site, "reader") or await _opened("reader", lambda: reader_from(site.settings))


async def card_reader(site: Site) -> CheckResult:
    """The reader of identity cards answers."""
    wired = site.settings.card_reader
    if wired.driver == "none":
        return not_checked("not configured")
    return result_from_agent(site, "card_reader") or await _opened(
        "card_reader", lambda: make_card_reader(driver=wired.driver, port=wired.port)
    )


async def gate(site: Site) -> CheckResult:
    """The relay's port opens; with `open_gate` the gate is opened once."""
    if reported := result_from_agent(site, "gate"):
        return reported
    try:
        part = gate_from(site.settings)
    except DriverError as exc:
        return unusable("gate", "broken", str(exc))
    async with running(part) as ready:
        return await _pulsed(part, site) if ready and site.open_gate else result_from(part)


async def _pulsed(part: Gate, site: Site) -> CheckResult:
    try:
        await part.pulse(site.settings.gate.pulse_ms)
    except DeviceLost as exc:
        return unusable("gate", "lost", str(exc))
    return ok(f"open command sent ({site.settings.gate.pulse_ms} ms): confirm that the gate opened")


async def speaker(site: Site) -> CheckResult:
    """The sound device plays; a microphone, if there is one, records the test tone."""
    if reported := result_from_agent(site, "speaker"):
        return reported
    try:
        part = speaker_from(site.settings)
    except DriverError as exc:
        return unusable("speaker", "broken", str(exc))
    async with running(part) as ready:
        return await _heard(part) if ready else result_from(part)


async def _heard(part: Speaker) -> CheckResult:
    try:
        over_room_db = await hear(part)
    except DeviceLost as exc:
        return ok(f"{part.health.detail or 'ok'}; not verified with a microphone: {exc}")
    if over_room_db >= LEAST_DB:
        return ok(f"test tone recorded {over_room_db:.0f} dB above the room")
    return failed(
        f"the microphone does not record the test tone ({over_room_db:.0f} dB above the room)",
        "请检查音箱的接线、电源和音量（alsamixer）。",
        "Check the speaker's cable, power supply and volume (alsamixer).",
    )


async def _opened(name: str, make: Callable[[], Part]) -> CheckResult:
    try:
        part = make()
    except DriverError as exc:
        return unusable(name, "broken", str(exc))
    async with running(part):
        return result_from(part)


CHECKS = (
    Check("ranger", ranger),
    Check("reader", reader),
    Check("card_reader", card_reader),
    Check("gate", gate, limit_s=20.0),
    Check("speaker", speaker),
)
