"""Distance sensor, code reader, card reader, gate and speaker."""

from __future__ import annotations

from collections.abc import Callable

from drivers.contract import Gate, Part, Ranger, Speaker
from drivers.errors import DeviceLost, DriverError
from drivers.readers.table import make_card_reader
from edge_agent.box.devices import gate_from, ranger_from, reader_from, speaker_from
from edge_agent.doctor.device_check import result_from, running, seen_by_agent, unusable
from edge_agent.doctor.report import Check, CheckResult, Site, failed, not_checked, ok
from edge_agent.doctor.sound_check import LEAST_DB, hear


async def ranger(site: Site) -> CheckResult:
    """The distance sensor measures; the distance helps to aim it."""
    try:
        part = ranger_from(site.settings)
    except DriverError as exc:
        return unusable("ranger", "broken", str(exc))
    if part is None:
        return not_checked("none is wired")
    if seen := seen_by_agent(site, "ranger"):
        return seen
    async with running(part) as well:
        return await _measured(part) if well else result_from(part)


async def _measured(part: Ranger) -> CheckResult:
    _, reading = await part.readings.after(0)
    return ok(reading.state.value if reading.distance_m is None else f"{reading.distance_m:.2f} m")


async def reader(site: Site) -> CheckResult:
    """The port of the code reader opens; it speaks only when somebody shows a code."""
    return seen_by_agent(site, "reader") or await _opened("reader", lambda: reader_from(site.settings))


async def card_reader(site: Site) -> CheckResult:
    """The reader of identity cards answers."""
    chosen = site.settings.card_reader
    if chosen.driver == "none":
        return not_checked("none is wired")
    return seen_by_agent(site, "card_reader") or await _opened(
        "card_reader", lambda: make_card_reader(driver=chosen.driver, port=chosen.port)
    )


async def gate(site: Site) -> CheckResult:
    """The relay's port opens. It is pulsed only where a person said yes."""
    if seen := seen_by_agent(site, "gate"):
        return seen
    try:
        part = gate_from(site.settings)
    except DriverError as exc:
        return unusable("gate", "broken", str(exc))
    async with running(part) as well:
        return await _pulsed(part, site) if well and site.open_gate else result_from(part)


async def _pulsed(part: Gate, site: Site) -> CheckResult:
    try:
        await part.pulse(site.settings.gate.pulse_ms)
    except DeviceLost as exc:
        return unusable("gate", "lost", str(exc))
    return ok(f"was told to open for {site.settings.gate.pulse_ms} ms: did it?")


async def speaker(site: Site) -> CheckResult:
    """The sound device takes sound, and a microphone, where there is one, hears it."""
    if seen := seen_by_agent(site, "speaker"):
        return seen
    try:
        part = speaker_from(site.settings)
    except DriverError as exc:
        return unusable("speaker", "broken", str(exc))
    async with running(part) as well:
        return await _heard(part) if well else result_from(part)


async def _heard(part: Speaker) -> CheckResult:
    try:
        over_room_db = await hear(part)
    except DeviceLost as exc:
        return ok(f"{part.health.detail or 'ok'}; not checked by ear: {exc}")
    if over_room_db >= LEAST_DB:
        return ok(f"heard by the microphone, {over_room_db:.0f} dB over the room")
    return failed(
        f"the microphone does not hear it ({over_room_db:.0f} dB over the room)",
        "请检查音箱的接线、电源和音量（alsamixer）。",
        "Check the speaker's cable, its power and its volume (alsamixer).",
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
