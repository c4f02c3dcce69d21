"""Root acts as the owner of a folder, in a child that cannot become root again."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import signal
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from config.errors import SettingsError
from config.settings import parse_settings
from edge_agent.commands.verb import OwnerVerb, files_handed_over, secrets_handed_over
from edge_agent.privileges.account import Account, UntrustedPath, leads_through, owner_of
from edge_agent.privileges.as_owner import as_account, as_owner_of
from sync.errors import LinkLost, SyncError
from tests.edge_agent.privileges.planted import AGENT, MARK, World, run_verb, state, watched, world
from tests.sync.authority import town

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")

OTHER = AGENT + 1
ACCOUNT = Account(AGENT, AGENT, "", "/")
SERIAL = "SN-1"
INSTALLED = """
[box]
data_dir = "{data}"
[speaker]
output = "null"
[directory]
community_key_file = "credential:community.key"
[privacy]
key_file = "credential:at-rest.key"
[staff]
pin_hash_file = "credential:staff.pin"
"""


@pytest.fixture
def box() -> Iterator[World]:
    with world() as made:
        yield made


def give(path: Path, uid: int, mode: int = 0o700) -> Path:
    os.chown(path, uid, uid, follow_symlinks=False)
    if not path.is_symlink():
        path.chmod(mode)
    return path


def folder(path: Path, uid: int = 0, mode: int = 0o755) -> Path:
    path.mkdir(parents=True)
    return give(path, uid, mode)


def link(path: Path, target: Path | str, uid: int = 0) -> Path:
    path.symlink_to(target)
    return give(path, uid)


def test_the_first_who_can_replace_a_path_is_its_owner(box: World) -> None:
    inside = folder(box.data / "models", AGENT)
    cases: dict[Path, int | None] = {
        box.outside: None,
        box.outside / "absent" / "deeper": None,
        box.data: AGENT,
        inside: AGENT,
        box.data / "absent": AGENT,
        link(box.data / "to-root", "/etc", AGENT): AGENT,
        link(box.home / "of-root", "data"): AGENT,
        link(box.home / "up", box.outside / ".." / "data"): AGENT,
        link(box.home / "harmless", box.outside): None,
        link(box.home / "of-agent", box.outside, AGENT): AGENT,
    }
    found = {path: owner and owner.uid for path, owner in ((path, owner_of(path)) for path in cases)}
    assert found == cases


def test_a_path_that_others_can_replace_unseen_is_refused(box: World) -> None:
    refused = [
        folder(box.home / "for-all", mode=0o777) / "data",
        give(folder(box.home / "for-a-group"), 0, 0o770),
        folder(box.data / "other", OTHER),
        link(box.home / "loop", "loop"),
    ]
    os.chown(refused[1], 0, AGENT)
    for path in refused:
        with pytest.raises(UntrustedPath):
            owner_of(path)
    assert owner_of(folder(box.home / "sticky", mode=0o1777) / "absent") is None


def test_the_child_has_no_way_back_to_root(box: World) -> None:
    def look() -> bytes:
        with contextlib.suppress(PermissionError):
            os.setuid(0)
        status = Path("/proc/self/status").read_text()
        (box.data / "made").touch()
        facts = {name: text.split() for name, _, text in (line.partition(":") for line in status.splitlines())}
        return json.dumps([facts[name] for name in ("Uid", "Gid", "Groups", "NoNewPrivs", "CapPrm", "CapEff")]).encode()

    before = os.getgroups()
    os.setgroups([0, OTHER])
    try:
        uid, gid, groups, no_new, permitted, effective = json.loads(as_owner_of(box.data, look))
    finally:
        os.setgroups(before)
    assert (uid, gid, groups, no_new) == ([str(AGENT)] * 4, [str(AGENT)] * 4, [], ["1"])
    assert int(permitted[0], 16) == int(effective[0], 16) == 0
    assert stat.S_IMODE((box.data / "made").stat().st_mode) == 0o600
    assert (box.data / "made").stat().st_uid == AGENT
    assert os.geteuid() == 0


def raising(error: BaseException) -> Callable[[], NoReturn]:
    def work() -> NoReturn:
        raise error

    return work


def test_results_and_errors_come_back(box: World) -> None:
    assert as_owner_of(box.data, lambda: b"x" * 300_000) == b"x" * 300_000
    with pytest.raises(SettingsError, match="a key"):
        as_owner_of(box.data, raising(SettingsError("a key")))
    with pytest.raises(SyncError, match="no route"):
        as_owner_of(box.data, raising(LinkLost("no route")))
    with pytest.raises(OSError, match="full") as full:
        as_owner_of(box.data, raising(OSError(errno.ENOSPC, "full", "a-file")))
    assert (full.value.errno, full.value.filename) == (errno.ENOSPC, "a-file")
    for error, status in ((SystemExit(7), 7), (KeyboardInterrupt(), 130), (ValueError("a bug"), 1)):
        with pytest.raises(SystemExit) as ended:
            as_owner_of(box.data, raising(error))
        assert ended.value.code == status
    with pytest.raises(SystemExit) as killed:
        as_owner_of(box.data, lambda: os.kill(os.getpid(), signal.SIGKILL))
    assert killed.value.code == 128 + signal.SIGKILL


def test_a_signal_reaches_the_child(box: World) -> None:
    fifo = box.data / "ready"
    os.mkfifo(fifo)
    give(fifo, AGENT)
    parent = os.getpid()

    def ask() -> None:
        fifo.read_bytes()
        os.kill(parent, signal.SIGTERM)

    def work() -> None:
        fifo.write_bytes(b"x")
        signal.pause()

    asker = threading.Thread(target=ask)
    asker.start()
    with pytest.raises(SystemExit) as ended:
        as_account(ACCOUNT, work, {})
    asker.join()
    assert ended.value.code == 128 + signal.SIGTERM


def test_secrets_are_handed_over_to_read_and_gone_afterwards(box: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(box.store))
    with secrets_handed_over(ACCOUNT, parse_settings("")) as given:
        copies = Path(given["CREDENTIALS_DIRECTORY"])

        def look() -> bytes:
            assert not os.access(copies, os.W_OK)
            assert not [each for each in copies.iterdir() if os.access(each, os.W_OK)]
            return json.dumps({each.name: each.read_text() for each in copies.iterdir()}).encode()

        assert json.loads(as_account(ACCOUNT, look, given)) == dict.fromkeys(
            ("at-rest.key", "community.key"), "5a" * 32
        )
        assert stat.S_IMODE(copies.stat().st_mode) == 0o750
    assert not copies.exists()


def test_settings_of_another_user_get_no_secret(box: World) -> None:
    """The owner of a settings file could name any secret in it."""
    theirs = folder(box.home / "theirs", OTHER)
    config = theirs / "sentinel.toml"
    config.write_text(f'[box]\ndata_dir = "{theirs}/data"\n')
    give(config, OTHER, 0o600)
    assert OwnerVerb("doctor").folder({"config": config}) == (theirs, None)
    assert OwnerVerb("doctor").folder({"config": box.config})[0] == box.data


def test_a_named_file_is_copied_unless_the_agent_leads_to_it(box: World) -> None:
    photo, secret = box.work / "photo.png", box.outside / "secret"
    photo.write_bytes(b"photo")
    secret.write_text(MARK)
    through = link(box.work / "through", link(box.data / "hop", secret, AGENT))
    assert leads_through(through, ACCOUNT)
    given: dict[str, object] = {"photo": photo, "picture": [photo, through], "thermal": None, "file": box.work / "none"}
    with watched(box.outside) as events, files_handed_over(ACCOUNT, given):
        picture = given["picture"]
        assert isinstance(picture, list)
        assert picture[1] == through
        assert as_account(ACCOUNT, picture[0].read_bytes, {}) == b"photo"
        assert given["file"] == box.work / "none"
        copy = given["photo"]
    assert events == []
    assert isinstance(copy, Path)
    assert not copy.exists()


def test_imports_work_where_only_root_can_enter_the_interpreter(box: World) -> None:
    hidden = folder(box.outside / "lib")
    (hidden / "seen_only_by_root.py").write_text("VALUE = 'imported'\n")
    sys.path.append(str(hidden))
    try:

        def work() -> bytes:
            import seen_only_by_root  # type: ignore[import-not-found]

            return str(seen_only_by_root.VALUE).encode()

        assert as_owner_of(box.data, work) == b"imported"
    finally:
        sys.path.remove(str(hidden))


async def test_provision_by_root_leaves_the_agent_its_key_and_root_the_settings(box: World, tmp_path: Path) -> None:
    async with town(tmp_path / "platform") as platform:
        invitation = str(await platform.invite(SERIAL, "gate-7"))
        (box.work / "answers.toml").write_text(
            f'checkpoint = "North"\nprobe = false\nserial = "{SERIAL}"\ninvitation = "{invitation}"\n'
            f'staff_pin = "918273"\nplatform_url = "mqtts://localhost:8883"\n'
        )
        box.config.write_text(INSTALLED.format(data=box.data))
        words = ("provision", "--answers", "answers.toml", "-c", str(box.config), "--wait-min", "0")
        status, said = await asyncio.to_thread(run_verb, box, words)
    assert status == 0, said
    made = [box.data / "identity", *(box.data / "identity").rglob("*")]
    assert len(made) >= 5
    assert {path.lstat().st_uid for path in made} == {AGENT}
    assert box.config.stat().st_uid == 0
    assert 'name = "gate-7"' in box.config.read_text()
    assert (box.store / "staff.pin").stat().st_uid == 0
    assert not [name for name, facts in state(box.store).items() if facts[0] != 0]
