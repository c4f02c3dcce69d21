"""The five faults: each is injected into the drill sentinel, checked against the policy, and removed."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import timedelta
from pathlib import Path

from config.settings import Settings
from drivers.simulated.devices.camera import CameraMode
from edge_agent.domain.passage import Verdict
from edge_agent.drill.drill_sentinel import KNOWN, DrillSentinel, drill_sentinel
from edge_agent.drill.errors import DrillImpossible
from edge_agent.drill.report import DrillReport
from edge_agent.privileges.account import Account
from edge_agent.screen.view_state import ScreenView
from sync.errors import leaf_exceptions

Action = Callable[[], Awaitable[None]]
Drill = Callable[[DrillSentinel, DrillReport], Awaitable[None]]

_NO_RULE = ("skip", "decide")
_EXPIRED_S = 25 * 3600.0
_MOUNT_LIMIT_S = 10.0
_DISK_BYTES = 4_000_000
_FOR_ITS_GROUP = 0o1770  # sticky: only the owner of an entry replaces it
_BEFORE = "故障之前，一位居民通过。", "Before the fault a resident passes."
_AFTER = "故障排除之后，一位居民通过。", "After the fault a resident passes."


def _declared(rule: str, reason: str, before: ScreenView) -> str:
    """The stricter of `rule` (with `reason`) and the verdict `before` that the other rules give."""
    if rule in _NO_RULE or Verdict(rule).gravity < Verdict(str(before.verdict)).gravity:
        return _verdict(before)
    return f"{rule} ({reason})"


def _verdict(view: ScreenView) -> str:
    return f"{view.verdict} ({view.reasons[0]})"


async def _visit_before(sentinel: DrillSentinel, report: DrillReport) -> ScreenView:
    view = await sentinel.visit()
    report.note(*_BEFORE, declared="a verdict 一个裁决", seen=_verdict(view), passed=True)
    return view


async def _visit_after(sentinel: DrillSentinel, report: DrillReport, before: ScreenView) -> None:
    view = await sentinel.visit()
    report.note(*_AFTER, declared=_verdict(before), seen=_verdict(view), passed=_verdict(view) == _verdict(before))


async def _visit_during(
    sentinel: DrillSentinel, report: DrillReport, title: tuple[str, str], declared: str, number: str = ""
) -> None:
    """A resident comes during the fault; `title` is the step in Chinese and English."""
    view = await sentinel.visit(number, declared.partition("(")[2].rstrip(")"))
    report.note(*title, declared=declared, seen=_verdict(view), passed=_verdict(view) == declared)


async def _part_loss(
    sentinel: DrillSentinel, report: DrillReport, part: str, *, unplug: Action, plug: Action, rule: str
) -> None:
    before = await _visit_before(sentinel, report)
    await unplug()
    took_s = await sentinel.part_is(part, "lost")
    report.note(
        "屏幕显示部件丢失。",
        "The screen shows the device as lost.",
        declared="lost",
        seen=f"lost, {took_s:.1f} s",
        passed=True,
    )
    during = "部件丢失时，一位居民出示健康码。", "Meanwhile a resident shows a code."
    await _visit_during(sentinel, report, during, _declared(rule, f"{part}_lost", before))
    alarms = await sentinel.alarms()
    raised = ("part_lost", part) in alarms
    report.note(
        "平台收到一次报警。",
        "An alarm is raised.",
        declared=f"part_lost {part}",
        seen=str(sorted(alarms)),
        passed=raised,
    )
    await plug()
    took_s = await sentinel.part_is(part, "ok")
    report.note("部件自行恢复。", "The device recovers.", declared="ok", seen=f"ok, {took_s:.1f} s", passed=True)
    await _visit_after(sentinel, report, before)


async def camera_loss(sentinel: DrillSentinel, report: DrillReport) -> None:
    """The camera is unplugged."""
    camera = sentinel.street.camera
    await _part_loss(
        sentinel,
        report,
        "camera",
        unplug=lambda: camera.set_mode(CameraMode.REFUSED),
        plug=lambda: camera.set_mode(CameraMode.LIVE),
        rule=sentinel.policy.parts.camera_lost,
    )


async def thermometer_loss(sentinel: DrillSentinel, report: DrillReport) -> None:
    """The thermometer is unplugged."""

    async def unplug() -> None:
        sentinel.street.thermometer.unplug()

    async def plug() -> None:
        sentinel.street.thermometer.plug()

    rule = sentinel.policy.parts.thermometer_lost
    await _part_loss(sentinel, report, "thermometer", unplug=unplug, plug=plug, rule=rule)


async def platform_loss(sentinel: DrillSentinel, report: DrillReport) -> None:
    """The platform is offline, first briefly and then for more than a day."""
    policy, before = sentinel.policy, await _visit_before(sentinel, report)
    sentinel.platform_answers = False
    stranger = "平台失联，副本中没有的居民。", "The platform is offline; a resident who is not in the replica."
    await _visit_during(sentinel, report, stranger, _declared(policy.lookup.failed, "lookup_failed", before))
    known = "平台失联，副本中的居民。", "The platform is offline; a resident who is in the replica."
    await _visit_during(sentinel, report, known, _declared(policy.freshness.fresh, "data_too_old", before), KNOWN)
    sentinel.clock.slept_s = _EXPIRED_S
    old = "平台失联超过一天，副本中的居民。", "Offline for over a day; a resident who is in the replica."
    await _visit_during(sentinel, report, old, _declared(policy.freshness.expired, "data_too_old", before), KNOWN)
    sentinel.platform_answers = True
    await _visit_after(sentinel, report, before)


async def clock_jump(sentinel: DrillSentinel, report: DrillReport) -> None:
    """The clock loses its NTP server and goes back by more than its error estimate."""
    policy, before = sentinel.policy, await _visit_before(sentinel, report)
    sentinel.clock.in_sync = False
    sentinel.clock.offset = -timedelta(seconds=policy.clock.unknown_error_s) - timedelta(days=1)
    rule = "assist" if policy.test.required else "skip"
    title = "时钟倒退一天以上且无人校准。", "The clock goes back by over a day and is not synchronised."
    await _visit_during(sentinel, report, title, _declared(rule, "clock_unsure", before))
    sentinel.clock.offset, sentinel.clock.in_sync = timedelta(), True
    await _visit_after(sentinel, report, before)


async def disk_full(sentinel: DrillSentinel, report: DrillReport) -> None:
    """Another program fills the disk completely."""
    before = await _visit_before(sentinel, report)
    await sentinel.add_history()
    filler = sentinel.data_dir / "filler"
    _fill(filler)
    await _visit_during(
        sentinel, report, ("磁盘已满，一位居民通过。", "The disk is full; a resident passes."), _verdict(before)
    )
    await sentinel.add_history()
    title = "磁盘已满，又过了一天，一位居民通过。", "The disk is full, one day of records later; a resident passes."
    await _visit_during(sentinel, report, title, _verdict(before))
    alarms = await sentinel.alarms()
    report.note(
        "平台收到磁盘报警。",
        "An alarm about the disk is raised.",
        declared="disk_full ledger",
        seen=str(sorted(alarms)),
        passed=("disk_full", "ledger") in alarms,
    )
    filler.unlink()
    await _visit_after(sentinel, report, before)


DRILLS: dict[str, Drill] = {
    "camera-loss": camera_loss,
    "thermometer-loss": thermometer_loss,
    "platform-loss": platform_loss,
    "clock-jump": clock_jump,
    "disk-full": disk_full,
}


async def play(fault: str, settings: Settings) -> DrillReport:
    """`play_in` a folder of its own."""
    with drill_folder(fault) as folder:
        return await play_in(folder, fault, settings)


@contextmanager
def drill_folder(fault: str, account: Account | None = None) -> Iterator[Path]:
    """A folder for the drill of `fault`, in which `account` can work and not replace what root made in it.

    Raises DrillImpossible.
    """
    with tempfile.TemporaryDirectory(prefix="sentinel-drill-") as temporary:
        folder = Path(temporary)
        if account is not None:
            os.chown(folder, 0, account.gid)
            folder.chmod(_FOR_ITS_GROUP)
        with _small_disk(folder / "data", account) if fault == "disk-full" else nullcontext():
            yield folder


async def play_in(folder: Path, fault: str, settings: Settings) -> DrillReport:
    """Inject one fault into an isolated sentinel in `folder` with the policy of `settings`; takes up to a minute.

    `folder` is a `drill_folder` for this fault.
    """
    report = DrillReport(fault)
    try:
        async with drill_sentinel(settings, folder) as sentinel:
            await _run_drill(DRILLS[fault], sentinel, report)
    except ExceptionGroup as group:
        error = f"{next(leaf_exceptions(group))!r}"
        report.note("哨兵程序中止。", "The agent ended.", declared="it keeps running", seen=error, passed=False)
    return report


async def _run_drill(drill: Drill, sentinel: DrillSentinel, report: DrillReport) -> None:
    report.policy_version = sentinel.policy.version
    try:
        await drill(sentinel, report)
    except TimeoutError:
        shown = sentinel.sentinel.view_state.view.stage.value
        report.note("规定时间内没有结果。", "Timed out.", declared="an answer", seen=shown, passed=False)


@contextmanager
def _small_disk(folder: Path, account: Account | None) -> Iterator[None]:
    """A tmpfs of a few megabytes, of `account`, at `folder` during the block. Raises DrillImpossible."""
    folder.mkdir()
    options = f"size={_DISK_BYTES},mode=0700"
    if account is not None:
        options += f",uid={account.uid},gid={account.gid}"
    try:
        command = ["mount", "-t", "tmpfs", "-o", options, "sentinel-drill", str(folder)]
        subprocess.run(command, check=True, capture_output=True, timeout=_MOUNT_LIMIT_S)
    except (OSError, subprocess.SubprocessError) as exc:
        raise DrillImpossible("this drill mounts a small disk to fill: run it as root (sudo)") from exc
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True, capture_output=True, timeout=_MOUNT_LIMIT_S)


def _fill(path: Path) -> None:
    """Write until the disk is full to the last byte."""
    with path.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            with suppress(OSError):  # no space left
                while file.write(bytes(size)) == size:
                    pass
