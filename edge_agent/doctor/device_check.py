"""One device under examination: as the running agent sees it, which holds it open, else run here for some seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from drivers.contract import Part, PartState
from edge_agent.doctor.report import CheckResult, Remedy, Site, failed, not_checked, ok

_WELL_LIMIT_S = 10.0  # a busy box opens a camera at the third try
_POLL_S = 0.05

_CABLE = Remedy(
    "请检查 [{0}] port、接线和供电；edge-agent devices list 列出端口名。",
    "Check [{0}] port, its cable and its power; edge-agent devices list names the ports.",
)
_UNUSABLE = {
    "camera": Remedy(
        "请检查摄像头的接线、供电和 [camera] source。", "Check the camera's cable, its power and [camera] source."
    ),
    "speaker": Remedy(
        "请检查音箱的接线和 [speaker] output；aplay -l 列出声卡。",
        "Check the speaker's cable and [speaker] output; aplay -l lists the sound cards.",
    ),
}
_NOT_ALIVE = {
    "camera": Remedy(
        "画面不动或看不清：请擦净镜头并断电重启摄像头；若仍如此请更换。",
        "Its picture does not live: clean the lens, cut its power for a moment; if it stays so, replace it.",
    ),
    "thermometer": Remedy(
        "测温值不变：请断电重启测温模块；若仍如此请更换，不得用于判定。",
        "Its values do not live: cut its power for a moment; if they stay so, replace it, for it can judge nobody.",
    ),
}


def unusable(name: str, state: str, detail: str) -> CheckResult:
    """A part that cannot be used now."""
    remedy = _UNUSABLE.get(name, Remedy(_CABLE.zh.format(name), _CABLE.en.format(name)))
    if state == PartState.BROKEN:
        remedy = _NOT_ALIVE.get(name, remedy)
    return failed(f"{state} {detail}".strip(), remedy.zh, remedy.en)


def result_from(part: Part) -> CheckResult:
    """The part as it says of itself."""
    health = part.health
    if health.state is PartState.OK:
        return ok(health.detail or "ok")
    return unusable(part.name, health.state.value, health.detail)


def seen_by_agent(site: Site, name: str) -> CheckResult | None:
    """The part as the running agent says; None where no agent runs."""
    if site.agent is None:
        return None
    for part in site.agent["view"]["parts"]:
        if part["name"] == name:
            if part["state"] != PartState.OK:
                return unusable(name, part["state"], part["detail"])
            return ok(f"{part['detail'] or 'ok'} (by the running agent)")
    return not_checked("the running agent has none")


@asynccontextmanager
async def running(part: Part) -> AsyncIterator[bool]:
    """The part while it runs; yields whether it became well in time."""
    task = asyncio.create_task(part.run())
    try:
        until_s = time.monotonic() + _WELL_LIMIT_S
        while part.health.state is not PartState.OK and time.monotonic() < until_s:
            await asyncio.sleep(_POLL_S)
        yield part.health.state is PartState.OK
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
