"""A box whose settings cannot be used is in safe mode: it says which line, takes no part for its own, and heals."""

import asyncio
import re
import sqlite3
import stat
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from config.errors import SettingsError
from config.settings import Settings, load_settings, parse_settings
from edge_agent.box.last_good_settings import (
    FILE,
    InvalidSettings,
    is_service,
    last_good,
    save_good,
    usable_settings,
    well_formed,
)
from edge_agent.diagnostics.status_client import AgentNotResponding, ask_agent
from edge_agent.main import run_sentinel
from edge_agent.safe_mode import SafeMode
from tests.edge_agent.process import started
from tests.edge_agent.town import settings_text
from tests.limits import HANG_S
from tests.sync.city import eventually

NOBODY_THERE = "http://127.0.0.1:9/"
DAMAGES = {
    "cut short by a power cut": lambda text: text[: text.index("[camera]") + 5],
    "a value that is none": lambda text: text.replace("[gate]\n", "[gate]\npulse_ms = 5\n"),
}


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that systemd gives a service."""
    folder = tmp_path / "state"
    folder.mkdir()
    monkeypatch.setenv("STATE_DIRECTORY", str(folder))
    return folder


def written(folder: Path) -> tuple[Path, Settings]:
    """A file of settings, and what it says."""
    path = folder / "sentinel.toml"
    path.write_text(settings_text(folder, NOBODY_THERE), encoding="utf-8")
    return path, load_settings(path)


async def report_of(settings: Settings, *, with_link: bool) -> dict[str, Any]:
    """What the kiosk reports, as soon as it does."""
    async with asyncio.timeout(HANG_S):
        while True:
            try:
                report = await asyncio.to_thread(ask_agent, settings.kiosk.host, settings.kiosk.port)
                if not with_link or report["link"] is not None:
                    return report
            except AgentNotResponding:
                await asyncio.sleep(0.05)


async def has_alarm(ledger: Path) -> bool:
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as connection:
        return connection.execute("SELECT count(*) FROM record WHERE alarm").fetchone() != (0,)


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_service_with_a_damaged_file_is_in_safe_mode_until_it_is_mended(
    tmp_path: Path, state: Path, damage: str
) -> None:
    config, good = written(tmp_path)
    save_good(good)
    whole = config.read_text(encoding="utf-8")
    config.write_text(DAMAGES[damage](whole), encoding="utf-8")
    with pytest.raises(SettingsError) as fault:
        load_settings(config)
    assert fault.value.line is not None
    async with started("run", "--config", config) as process:
        report = await report_of(good, with_link=True)  # at the last good settings' port, with their link
        assert report["view"]["stage"] == "out_of_service"
        assert f"sentinel.toml:{fault.value.line}" in report["view"]["bulletin"]["texts"]["zh-CN"]
        assert report["view"]["parts"] == []
        assert report["safe_mode"] == str(fault.value)
        await eventually(partial(has_alarm, Path(good.box.data_dir) / "ledger.db"))
        config.write_text(whole, encoding="utf-8")
        async with asyncio.timeout(HANG_S):
            _, err = await process.communicate()  # systemd then starts it, whole
        assert process.returncode == 0, err


EMPTIED = {
    "0 bytes": lambda _: "",
    "only comments": lambda text: "".join(f"# {line}\n" for line in text.splitlines()),
    "blank lines": lambda _: "\n \n",
    "empty sections": lambda _: "[box]\n[platform]\n",
    "the name is gone": lambda text: re.sub(r"(?m)^name = .*$", "", text, count=1),
    "the platform is gone": lambda text: re.sub(r"(?m)^url = .*$", "", text),
    "cut after the first section": lambda text: text[: text.index("[platform]")],
}


@pytest.mark.parametrize("damage", EMPTIED)
def test_an_emptied_file_is_not_a_new_box(tmp_path: Path, state: Path, damage: str) -> None:
    config, good = written(tmp_path)
    whole = config.read_text(encoding="utf-8").replace('name = "box-1"', 'name = "gate-7"')
    config.write_text(whole, encoding="utf-8")
    good = usable_settings(config)
    config.write_text(EMPTIED[damage](whole), encoding="utf-8")
    load_settings(config)  # by itself it is valid
    save_good(good)
    with pytest.raises(SettingsError, match=r"sentinel\.toml: .*(provision|missing)"):
        usable_settings(config)
    config.write_text(whole.replace("gate-7", "gate-8"), encoding="utf-8")
    assert usable_settings(config).box.name == "gate-8"  # a change that is written is no damage


@pytest.mark.parametrize("left", [FILE, "ledger.db", "ledger.db-head"])
def test_an_emptied_file_is_not_a_new_box_even_if_nothing_else_is_readable(
    tmp_path: Path, state: Path, left: str
) -> None:
    (state / left).write_bytes(b"")
    config = tmp_path / "sentinel.toml"
    config.write_text("", encoding="utf-8")
    with pytest.raises(SettingsError, match="provision"):
        usable_settings(config)


def cannot_run(config: Path) -> None:
    """Write valid settings with which the agent cannot start."""
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace(NOBODY_THERE, "RTSP://camera/live"), encoding="utf-8")


async def test_settings_that_cannot_run_still_serve_the_link_of_a_box_that_never_started(
    tmp_path: Path, state: Path
) -> None:
    config, _ = written(tmp_path)
    cannot_run(config)
    settings = load_settings(config)
    async with started("run", "--config", config) as process:
        report = await report_of(settings, with_link=True)
        assert "[camera]" in report["safe_mode"]
        process.terminate()
        async with asyncio.timeout(HANG_S):
            await process.communicate()
    assert last_good() is None


@pytest.mark.parametrize("damage", DAMAGES)
def test_only_valid_settings_are_well_formed(tmp_path: Path, damage: str) -> None:
    config, good = written(tmp_path)
    assert well_formed(config) == good
    cannot_run(config)
    assert well_formed(config) == load_settings(config)
    config.write_text(DAMAGES[damage](config.read_text(encoding="utf-8")), encoding="utf-8")
    assert well_formed(config) is None
    config.unlink()
    assert well_formed(config) is None


async def test_without_good_settings_only_the_screen_is_there(tmp_path: Path) -> None:
    config, settings = written(tmp_path)
    config.write_text("[box", encoding="utf-8")
    unusable = InvalidSettings(config, SettingsError("[box] ..."), None)
    mode = asyncio.create_task(SafeMode(settings, unusable.why, unusable).run())
    report = await report_of(settings, with_link=False)
    assert report["view"]["stage"] == "out_of_service"
    assert report["link"] is None
    mode.cancel()
    await asyncio.gather(mode, return_exceptions=True)
    assert not list(tmp_path.rglob("*.db"))


async def test_at_a_terminal_the_fault_is_said_and_that_is_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    config = tmp_path / "sentinel.toml"
    config.write_text("\n[gate]\npulse_ms = 5\n", encoding="utf-8")
    async with started("run", "--config", config) as process:
        _, err = await process.communicate()
    assert process.returncode == 2
    assert f"{config}: line 3: [gate] pulse_ms = 5" in err.decode()


async def test_settings_with_which_a_start_went_well_are_kept(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, settings = written(tmp_path)
    monkeypatch.setattr("edge_agent.main.HEALTHY_S", 0.1)
    running = asyncio.create_task(run_sentinel(config))
    async with asyncio.timeout(HANG_S):
        while not (state / FILE).exists() and not running.done():
            await asyncio.sleep(0.05)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert last_good() == settings
    assert stat.S_IMODE((state / FILE).stat().st_mode) == 0o600


def test_a_copy_that_is_damaged_too_is_none(state: Path) -> None:
    assert last_good() is None
    save_good(parse_settings(""))
    assert last_good() == Settings()
    whole = (state / FILE).read_bytes()
    (state / FILE).write_bytes(whole[:-5])
    assert last_good() is None
    (state / FILE).write_bytes(whole.replace(b"box-1", b"box-3"))
    assert last_good() is None


def test_without_systemd_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.chdir(tmp_path)
    save_good(Settings())
    assert not is_service()
    assert not list(tmp_path.iterdir())
