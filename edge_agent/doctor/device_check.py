"""Checks one device: by the status of the running agent, which has it open; otherwise by running the driver here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from drivers.contract import Part, PartFault, PartState
from edge_agent.doctor.report import CheckResult, Remedy, Site, failed, not_checked, ok
from edge_agent.runtime.background import background

_READY_LIMIT_S = 10.0  # on a busy box a camera opens at the third try
_POLL_S = 0.05

_CABLE = Remedy(
    "请检查 [{0}] port、接线和供电；edge-agent devices list 列出端口名。",
    "Check [{0}] port, the cable and the power supply; edge-agent devices list shows the ports.",
)
_UNUSABLE = {
    "camera": Remedy(
        "请检查摄像头的接线、供电和 [camera] source。", "Check the camera's cable, power supply and [camera] source."
    ),
    "speaker": Remedy(
        "请检查音箱的接线和 [speaker] output；aplay -l 列出声卡。",
        "Check the speaker's cable and [speaker] output; aplay -l lists the sound cards.",
    ),
}
_BROKEN = {
    "camera": Remedy(
        "画面不动或看不清：请擦净镜头并断电重启摄像头；若仍如此请更换。",
        "The picture is frozen or unclear: clean the lens and power-cycle the camera; if it recurs, replace it.",
    ),
    "thermometer": Remedy(
        "测温值不变或坏点过多：请断电重启测温模块；若仍如此请更换，不得用于判定。",
        "The readings do not change, or too many pixels are dead: power-cycle the thermometer; if it recurs, replace"
        " it. It must not be used for screening.",
    ),
}


DAMAGED = Remedy(
    "部分画面已损坏：请检查摄像头的线缆、供电和网络；USB 摄像头请直接插主机。",
    "Some pictures are damaged: check the camera's cable, power supply and network; plug a USB camera into the box.",
)
_TURNED = Remedy(
    "画面中的人脸是倒的或侧的：请按上面所说改 [camera] rotate，或把摄像头装正。",
    "The faces in the picture do not stand upright: change [camera] rotate as said above, or mount the camera upright.",
)
_BY_FAULT: dict[str | None, Remedy] = {PartFault.DAMAGED_PICTURES: DAMAGED, PartFault.NOT_UPRIGHT: _TURNED}


def unusable(name: str, state: str, detail: str, fault: str | None = None) -> CheckResult:
    """The result for a part that cannot be used; `fault` is a PartFault, or one of another version of the agent."""
    remedy = _UNUSABLE.get(name, Remedy(_CABLE.zh.format(name), _CABLE.en.format(name)))
    if state == PartState.BROKEN:
        remedy = _BY_FAULT.get(fault, _BROKEN.get(name, remedy))
    return failed(f"{state} {detail}".strip(), remedy.zh, remedy.en)


def result_from(part: Part) -> CheckResult:
    """The result from the part's own health."""
    health = part.health
    if health.state is PartState.OK:
        return ok(health.detail or "ok")
    return unusable(part.name, health.state.value, health.detail, health.fault)


def result_from_agent(site: Site, name: str) -> CheckResult | None:
    """The result from the running agent's status; None if no agent runs."""
    if site.agent is None:
        return None
    for part in site.agent["view"]["parts"]:
        if part["name"] == name:
            if part["state"] != PartState.OK:
                return unusable(name, part["state"], part["detail"], part.get("fault"))
            return ok(f"{part['detail'] or 'ok'} (by the running agent)")
    return not_checked("not used by the running agent")


@asynccontextmanager
async def running(part: Part) -> AsyncIterator[bool]:
    """Run the part during the block; yields whether it was ready within _READY_LIMIT_S."""
    async with background(part.run()):
        until_s = time.monotonic() + _READY_LIMIT_S
        while part.health.state is not PartState.OK and time.monotonic() < until_s:
            await asyncio.sleep(_POLL_S)
        yield part.health.state is PartState.OK
