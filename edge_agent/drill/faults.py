"""The five faults: each is played on the stage, held against the policy's rule, and taken away again."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import timedelta
from pathlib import Path

from config.settings import Settings
from drivers.simulated.devices.camera import CameraMode
from edge_agent.domain.passage import Verdict
from edge_agent.drill.drill_sentinel import KNOWN, DrillSentinel, staged
from edge_agent.drill.errors import DrillImpossible
from edge_agent.drill.report import DrillReport
from edge_agent.screen.view_state import ScreenView
from sync.errors import leaf_exceptions

Cut = Callable[[], Awaitable[None]]
Drill = Callable[[DrillSentinel, DrillReport], Awaitable[None]]

_NO_RULE = ("skip", "decide")
_EXPIRED_S = 25 * 3600.0
_MOUNT_LIMIT_S = 10.0
_DISK_BYTES = 4_000_000
_BEFORE = "故障之前，一位居民通过。", "Before the fault a resident comes."
_AFTER = "故障排除之后，一位居民通过。", "After it a resident comes."


def _declared(rule: str, reason: str, before: ScreenView) -> str:
    """The verdict that a rule gives whom all other rules judge as `before`: the graver one, and why."""
    if rule in _NO_RULE or Verdict(rule).gravity < Verdict(str(before.verdict)).gravity:
        return _verdict(before)
    return f"{rule} ({reason})"


def _verdict(view: ScreenView) -> str:
    return f"{view.verdict} ({view.reasons[0]})"


async def _before(stage: DrillSentinel, report: DrillReport) -> ScreenView:
    view = await stage.visit()
    report.note(*_BEFORE, declared="a verdict 一个裁决", seen=_verdict(view), passed=True)
    return view


async def _after(stage: DrillSentinel, report: DrillReport, before: ScreenView) -> None:
    view = await stage.visit()
    report.note(*_AFTER, declared=_verdict(before), seen=_verdict(view), passed=_verdict(view) == _verdict(before))


async def _comes(
    stage: DrillSentinel, report: DrillReport, told: tuple[str, str], declared: str, number: str = ""
) -> None:
    """A resident comes during the fault."""
    view = await stage.visit(number, declared.partition("(")[2].rstrip(")"))
    report.note(*told, declared=declared, seen=_verdict(view), passed=_verdict(view) == declared)


async def _part_loss(stage: DrillSentinel, report: DrillReport, part: str, *, pull: Cut, mend: Cut, rule: str) -> None:
    before = await _before(stage, report)
    await pull()
    took_s = await stage.part_is(part, "lost")
    report.note(
        "屏幕显示部件丢失。", "The screen shows it lost.", declared="lost", seen=f"lost, {took_s:.1f} s", passed=True
    )
    during = "部件丢失时，一位居民出示健康码。", "A resident shows a code meanwhile."
    await _comes(stage, report, during, _declared(rule, f"{part}_lost", before))
    alarms = await stage.alarms()
    told = ("part_lost", part) in alarms
    report.note(
        "平台收到一次报警。",
        "Staff are told by an alarm.",
        declared=f"part_lost {part}",
        seen=str(sorted(alarms)),
        passed=told,
    )
    await mend()
    took_s = await stage.part_is(part, "ok")
    report.note("部件自行恢复。", "The part heals by itself.", declared="ok", seen=f"ok, {took_s:.1f} s", passed=True)
    await _after(stage, report, before)


async def camera_loss(stage: DrillSentinel, report: DrillReport) -> None:
    """The camera is unplugged."""
    camera = stage.street.camera
    await _part_loss(
        stage,
        report,
        "camera",
        pull=lambda: camera.set_mode(CameraMode.REFUSED),
        mend=lambda: camera.set_mode(CameraMode.LIVE),
        rule=stage.policy.parts.camera_lost,
    )


async def thermometer_loss(stage: DrillSentinel, report: DrillReport) -> None:
    """The thermometer is unplugged."""

    async def pull() -> None:
        stage.street.thermometer.unplug()

    async def mend() -> None:
        stage.street.thermometer.plug()

    rule = stage.policy.parts.thermometer_lost
    await _part_loss(stage, report, "thermometer", pull=pull, mend=mend, rule=rule)


async def platform_loss(stage: DrillSentinel, report: DrillReport) -> None:
    """The platform does not answer, for a while and then for more than a day."""
    policy, before = stage.policy, await _before(stage, report)
    stage.platform_answers = False
    stranger = "平台失联，副本中没有的居民。", "The platform is away; a resident whom the replica does not know."
    await _comes(stage, report, stranger, _declared(policy.lookup.failed, "lookup_failed", before))
    known = "平台失联，副本中的居民。", "The platform is away; a resident of the replica."
    await _comes(stage, report, known, _declared(policy.freshness.fresh, "data_too_old", before), KNOWN)
    stage.clock.slept_s = _EXPIRED_S
    old = "平台失联超过一天，副本中的居民。", "It is away for over a day; a resident of the replica."
    await _comes(stage, report, old, _declared(policy.freshness.expired, "data_too_old", before), KNOWN)
    stage.platform_answers = True
    await _after(stage, report, before)


async def clock_jump(stage: DrillSentinel, report: DrillReport) -> None:
    """The clock loses its NTP server and goes back by more than its own doubt."""
    policy, before = stage.policy, await _before(stage, report)
    stage.clock.in_sync = False
    stage.clock.off = -timedelta(seconds=policy.clock.unknown_error_s) - timedelta(days=1)
    rule = "assist" if policy.test.required else "skip"
    told = "时钟倒退一天以上且无人校准。", "The clock went back by over a day, and nothing confirms it."
    await _comes(stage, report, told, _declared(rule, "clock_unsure", before))
    stage.clock.off, stage.clock.in_sync = timedelta(), True
    await _after(stage, report, before)


async def disk_full(stage: DrillSentinel, report: DrillReport) -> None:
    """Something else fills the disk to the last byte."""
    before = await _before(stage, report)
    await stage.have_a_past()
    filler = stage.data_dir / "filler"
    _fill(filler)
    await _comes(stage, report, ("磁盘已满，一位居民通过。", "The disk is full; a resident comes."), _verdict(before))
    await stage.have_a_past()
    told = "磁盘已满，又过了一天，一位居民通过。", "The disk is full, and a day's records on; a resident comes."
    await _comes(stage, report, told, _verdict(before))
    alarms = await stage.alarms()
    report.note(
        "平台收到磁盘报警。",
        "Staff are told by an alarm.",
        declared="disk_full ledger",
        seen=str(sorted(alarms)),
        passed=("disk_full", "ledger") in alarms,
    )
    filler.unlink()
    await _after(stage, report, before)


DRILLS: dict[str, Drill] = {
    "camera-loss": camera_loss,
    "thermometer-loss": thermometer_loss,
    "platform-loss": platform_loss,
    "clock-jump": clock_jump,
    "disk-full": disk_full,
}


async def play(fault: str, settings: Settings) -> DrillReport:
    """Play one fault on a private sentinel with the policy of `settings`, within a minute. Raises DrillImpossible."""
    report = DrillReport(fault)
    with tempfile.TemporaryDirectory(prefix="sentinel-drill-") as temporary:
        folder = Path(temporary)
        try:
            with _small_disk(folder / "data") if fault == "disk-full" else nullcontext():
                async with staged(settings, folder) as stage:
                    await _played(DRILLS[fault], stage, report)
        except ExceptionGroup as group:
            ended = f"{next(leaf_exceptions(group))!r}"
            report.note("哨兵程序中止。", "The agent ended.", declared="it goes on", seen=ended, passed=False)
    return report


async def _played(drill: Drill, stage: DrillSentinel, report: DrillReport) -> None:
    report.policy_version = stage.policy.version
    try:
        await drill(stage, report)
    except TimeoutError:
        shown = stage.sentinel.view_state.view.stage.value
        report.note("规定时间内没有结果。", "Nothing came in time.", declared="an answer", seen=shown, passed=False)


@contextmanager
def _small_disk(folder: Path) -> Iterator[None]:
    """A disk of a few megabytes at `folder`, for this drill alone. Raises DrillImpossible."""
    folder.mkdir()
    options = f"size={_DISK_BYTES},mode=0700"
    try:
        command = ["mount", "-t", "tmpfs", "-o", options, "sentinel-drill", str(folder)]
        subprocess.run(command, check=True, capture_output=True, timeout=_MOUNT_LIMIT_S)
    except (OSError, subprocess.SubprocessError) as exc:
        raise DrillImpossible("a full disk needs a small disk to fill: run this drill as root (sudo)") from exc
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True, capture_output=True, timeout=_MOUNT_LIMIT_S)


def _fill(path: Path) -> None:
    """Write until not another byte goes."""
    with path.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            with suppress(OSError):  # no space left
                while file.write(bytes(size)) == size:
                    pass
