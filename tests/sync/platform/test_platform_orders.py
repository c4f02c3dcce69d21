"""Orders of the platform, from its command line to a box."""

from __future__ import annotations

import asyncio
import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from typer.testing import CliRunner, Result

from sync.contract.health import Colour
from sync.contract.orders import Broadcast, Desired, Withdrawal
from sync.contract.records import Clock
from sync.contract.signed import Signed, read_private_key, read_public_key, verify
from sync.contract.topics import Channel, Topic
from sync.edge.ledger.system_clock import system_clock
from sync.edge.orders.receiver import OrderHandlers
from sync.errors import OrderUnfit
from sync.mqtt.broker_address import BrokerAddress
from sync.mqtt.connection import Connection
from sync.mqtt.events import decode_event, topic_from
from sync.mqtt.packets import Options, Subscription
from sync.platform.commands.cli import app
from sync.platform.directory.importer import person_keys
from sync.platform.orders.keys import KeyFiles
from sync.platform.orders.order_log import OrderLog
from tests.limits import HANG_S
from tests.sync.city import (
    COMMUNITY_KEY,
    SIGNING_KEY,
    Box,
    Mosquitto,
    a_box,
    a_platform,
    eventually,
    link_settings,
    number,
    passage,
    status_of,
)

BOX = "box-1"


async def run(arguments: list[str], stdin: str | None = None) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, arguments, stdin)


@pytest.fixture
def keys(tmp_path: Path) -> KeyFiles:
    """Those that the boxes of these tests believe."""
    files = KeyFiles.below(tmp_path / "keys")
    files.create()
    files.orders.write_bytes(SIGNING_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    files.orders_public.write_bytes(
        SIGNING_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    files.community.write_text(COMMUNITY_KEY.hex())
    return files


def test_keys_are_made_once_and_for_their_owner_alone(tmp_path: Path) -> None:
    made = CliRunner().invoke(app, ["keys", "init", "--data", str(tmp_path)])
    assert made.exit_code == 0
    files = KeyFiles.below(tmp_path / "keys")
    for secret in (files.orders, files.community):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        assert secret.read_text() not in made.stdout
    assert read_private_key(files.orders).public_key() == read_public_key(files.orders_public)
    again = CliRunner().invoke(app, ["keys", "init", "--data", str(tmp_path)])
    assert (again.exit_code, "already exists" in again.stderr) == (1, True)


async def test_versions_increase_across_processes(tmp_path: Path, keys: KeyFiles) -> None:
    topic, key = Topic("demo", Channel.DESIRED, BOX), read_private_key(keys.orders)
    path = tmp_path / "orders.db"
    async with OrderLog.opened(path, key) as first, OrderLog.opened(path, key) as second:
        books = [first, second] * 5
        signed = await asyncio.gather(*(book.sign(Desired(), topic, timedelta(hours=1)) for book in books))
    found = [verify(each, key.public_key(), at=str(topic), now=datetime.now(UTC)) for each in signed]
    assert sorted(order.version for order in found) == list(range(1, 11))
    assert len({order.nonce for order in found}) == 10


async def heard(connection: Connection) -> tuple[Topic, Signed]:
    async with asyncio.timeout(HANG_S):
        [message] = await connection.batch(1)
    order = decode_event(message).message(Signed)
    assert isinstance(order, Signed)
    return topic_from(message), order


async def test_a_broadcast_is_signed_and_can_be_withdrawn(tmp_path: Path, broker: Mosquitto, keys: KeyFiles) -> None:
    common = ["--broker", broker.url, "--data", str(tmp_path)]
    async with Connection.open(Options(BrokerAddress.from_url(broker.url), "ear")) as ear:
        await ear.subscribe(Subscription(str(Topic("demo", Channel.BROADCAST))))
        said = await run(["broadcast", "--text", "zh-CN=今晚停水", "--text", "en=No water tonight", *common])
        topic, signed = await heard(ear)
        order = verify(signed, read_public_key(keys.orders_public), at=str(topic), now=datetime.now(UTC))
        told = order.content(Broadcast)
        assert (told.texts["en"], told.broadcast_id) == ("No water tonight", said.stdout.strip())
        await run(["broadcast", "--withdraw", told.broadcast_id, *common])
        topic, signed = await heard(ear)
        order = verify(signed, read_public_key(keys.orders_public), at=str(topic), now=datetime.now(UTC))
        assert order.content(Withdrawal).broadcast_id == told.broadcast_id
    assert (await run(["broadcast", *common])).exit_code == 2


POLICY = "version = 2\n[temperature]\nfever_c = 37.5\n"


@pytest.mark.parametrize(("accepts", "status"), [(True, 0), (False, 1)])
async def test_a_policy_is_published_and_answered(
    tmp_path: Path, broker: Mosquitto, keys: KeyFiles, accepts: bool, status: int
) -> None:
    taken: list[Desired] = []

    async def apply(desired: Desired) -> bool:
        if not accepts:
            raise OrderUnfit("version must be 3")
        taken.append(desired)
        return False

    (tmp_path / "policy.toml").write_text(POLICY)
    async with (
        a_platform(tmp_path, broker.url),
        a_box(tmp_path / "box", link_settings(broker.url), handlers=OrderHandlers(apply)) as box,
    ):
        await box.ledger.append(passage(1))
        await eventually(box.all_acknowledged)
        common = ["--broker", broker.url, "--data", str(tmp_path)]
        told = await run(["policy", "publish", str(tmp_path / "policy.toml"), *common, "--effective", "2030-01-01"])
        assert told.exit_code == status, told.output
        if accepts:
            assert taken == [
                Desired({"version": 2, "temperature": {"fever_c": 37.5}}, datetime(2030, 1, 1, tzinfo=UTC))
            ]
            assert "1 boxes accepted the policy, 0 rejected it" in told.stdout
        else:
            assert "box-1 rejected the policy: version must be 3" in told.stderr
        quiet = await run(
            ["policy", "publish", str(tmp_path / "policy.toml"), *common, "--box", "box-9", "--wait", "0.1"]
        )
        assert (quiet.exit_code, "1 have not answered" in quiet.stdout) == (0, True)


async def test_a_command_is_carried_out_and_answered(tmp_path: Path, broker: Mosquitto, keys: KeyFiles) -> None:
    async def apply(_: Desired) -> bool:
        return False

    async def add(arguments: dict[str, Any]) -> dict[str, Any]:
        return {"sum": arguments["a"] + arguments["b"]}

    handlers = OrderHandlers(apply, {"add": add})
    async with a_box(tmp_path / "box", link_settings(broker.url), handlers=handlers) as box:
        await eventually(lambda: connected(box))
        common = ["--broker", broker.url, "--data", str(tmp_path)]
        done = await run(["command", "box-1", "add", "--arguments", '{"a": 1, "b": 2}', *common])
        assert (done.exit_code, json.loads(done.stdout)["result"]) == (0, {"sum": 3})
        unknown = await run(["command", "box-1", "dance", *common])
        assert (unknown.exit_code, json.loads(unknown.stdout)["done"]) == (1, False)
        silent = await run(["command", "box-9", "add", "--wait", "0.1", *common])
        assert (silent.exit_code, "has not answered" in silent.stderr) == (1, True)


async def test_a_reason_of_a_box_cannot_control_the_terminal(tmp_path: Path, broker: Mosquitto, keys: KeyFiles) -> None:
    forged = "no\n948 boxes accepted the policy, 0 rejected it\r\x1b[2J\x9b1A\u202e"

    async def refuse(_: Any) -> bool:
        raise OrderUnfit(forged)

    (tmp_path / "policy.toml").write_text(POLICY)
    handlers = OrderHandlers(refuse, {"status": refuse})
    common = ["--broker", broker.url, "--data", str(tmp_path)]
    async with a_box(tmp_path / "box", link_settings(broker.url), handlers=handlers) as box:
        await eventually(lambda: connected(box))
        policy = await run(["policy", "publish", str(tmp_path / "policy.toml"), "--box", BOX, *common])
        as_json = await run(["policy", "publish", str(tmp_path / "policy.toml"), "--box", BOX, "--json", *common])
        done = await run(["command", BOX, "status", *common])
    assert [len(each.splitlines()) for each in (policy.stderr, policy.stdout, as_json.stdout, done.stdout)] == [1] * 4
    for told in (policy, as_json, done):
        assert all(line.isprintable() for line in told.output.split("\n"))
    assert json.loads(done.stdout)["reason"] == forged


async def test_the_operator_is_told_of_a_clock_that_rejects_orders(
    tmp_path: Path, broker: Mosquitto, keys: KeyFiles
) -> None:
    async def apply(_: Desired) -> bool:
        return False

    def slow() -> Clock:
        now = system_clock()
        return msgspec.structs.replace(now, wall=now.wall - timedelta(minutes=3))

    (tmp_path / "policy.toml").write_text(POLICY)
    common = ["--broker", broker.url, "--data", str(tmp_path)]
    settings = link_settings(broker.url)
    async with a_box(tmp_path / "box", settings, handlers=OrderHandlers(apply), order_clock=slow) as box:
        await eventually(lambda: connected(box))
        done = await run(["command", BOX, "status", *common])
        policy = await run(["policy", "publish", str(tmp_path / "policy.toml"), "--box", BOX, *common])
        spoken = await run(["broadcast", "--text", "en=No water tonight", "--wait", "0.5", *common])
        revoked = await run(["revoke", "--number-file", "-", "--wait", "0.5", *common], f"{number(1)}\n")
    assert (done.exit_code, json.loads(done.stdout.splitlines()[0])["reason"]) == (1, "early")
    assert (policy.exit_code, spoken.exit_code) == (1, 0)
    for told in (done, policy, spoken, revoked):
        assert f"{BOX}: by its clock" in told.stderr
        assert "s behind) the order is early" in told.stderr
    assert "it was not carried out: send it again" in spoken.stderr
    assert "it was carried out nevertheless" in revoked.stderr
    assert (revoked.exit_code, revoked.stdout.splitlines()[0]) == (1, "0 persons are now red")  # an unknown person


async def test_a_revocation_reaches_the_gate_and_the_directory(
    tmp_path: Path, broker: Mosquitto, keys: KeyFiles, caplog: pytest.LogCaptureFixture
) -> None:
    async def apply(_: Desired) -> bool:
        return False

    people = tmp_path / "people.jsonl"
    green = {"number": number(1), "colour": "green", "as_of": "2022-04-01T08:00:00+08:00", "lists": ["watch"]}
    people.write_text(json.dumps(green))
    directory = {"directory": people, "community_key": COMMUNITY_KEY}
    async with (
        a_platform(tmp_path, broker.url, **directory),
        a_box(tmp_path / "box", link_settings(broker.url), handlers=OrderHandlers(apply)) as box,
    ):
        key = status_of(1).person_key

        async def colour_is(colour: Colour) -> bool:
            found = await box.directory.lookup(key, budget_s=0.5)
            return found.source == "replica" and found.status is not None and found.status.colour is colour

        await eventually(lambda: colour_is(Colour.GREEN))
        common = ["--broker", broker.url, "--data", str(tmp_path)]
        told = await run(["revoke", "--number-file", "-", *common], f"{number(1)}\n{number(2)}\n")
        kept = "1 persons are not in the directory: kept, red when they appear\n"
        assert (told.exit_code, told.stdout) == (1, f"1 persons are now red\n{kept}")
        assert told.stderr == "line 2: this person is not in the directory; check the number\n"
        await eventually(lambda: colour_is(Colour.RED))
        found = await box.directory.lookup(key, budget_s=0.5)
        assert found.status is not None
        assert found.status.lists == ("watch",)
        refused = await run(["revoke", "--number-file", "-", *common], f"{number(3)}\n+86 {number(4)}-1\n")
        assert (refused.exit_code, "line 2" in refused.stderr) == (1, True)
        again = await run(["directory", "import", str(people), *key_and_data(keys, tmp_path)])
        assert (again.exit_code, "0 persons changed" in again.stdout, "1 older than" in again.stdout) == (0, True, True)
        signed_by = ["--by", "District office", "--reason", "wrong person"]
        numbers = f"{number(1)}\n{number(2)}\n{number(3)}\n"
        ended = await run(["reinstate", "--number-file", "-", *signed_by, *common], numbers)
        assert (ended.exit_code, ended.stdout) == (1, "2 persons have their earlier status again\n")
        assert ended.stderr == "line 3: this person is not revoked; unchanged\n"
        await eventually(lambda: colour_is(Colour.GREEN))
        unsigned = await run(["reinstate", "--number-file", "-", "--by", " ", "--reason", "x", *common], number(1))
        assert unsigned.exit_code == 2
    for said in (told.output, refused.output, ended.output, caplog.text):
        assert "99999" not in said


@pytest.mark.parametrize("ending", ["000", "8"], ids=["zeroed", "a slip"])
async def test_a_number_with_wrong_digits_revokes_nobody(
    tmp_path: Path, broker: Mosquitto, keys: KeyFiles, ending: str
) -> None:
    typed = number(5)[: -len(ending)] + ending
    told = await run(
        ["revoke", "--number-file", "-", "--broker", broker.url, "--data", str(tmp_path)], f"{number(6)}\n{typed}\n\n1"
    )
    assert (told.exit_code, told.stdout) == (1, "")
    assert "nothing was done\nline 2: the check digit is wrong" in told.stderr
    assert "line 4: neither" in told.stderr
    assert not (tmp_path / "directory.db").exists()
    assert "99999" not in told.output


def key_and_data(keys: KeyFiles, data: Path) -> list[str]:
    return ["--data", str(data), "--community-key-file", str(keys.community)]


async def connected(box: Box) -> bool:
    return box.link.status().connected


def test_numbers_are_checked_before_they_are_hashed() -> None:
    assert len(person_keys([number(1), "", f" {number(2)} "], COMMUNITY_KEY)) == 2
    with pytest.raises(ValueError, match="line 2"):
        person_keys([number(1), "x"], COMMUNITY_KEY)
