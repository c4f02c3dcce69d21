"""Another policy on what the ledger remembers; and which policy is in force when."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from config.errors import SettingsError
from config.settings import BoxSettings, Settings
from edge_agent.box.remote_settings import (
    FILE,
    OLD_FILE,
    apply_remote_settings,
    remote_settings_path,
    save_remote_settings,
    with_remote_settings,
)
from edge_agent.box.wall_clock import WallClock
from edge_agent.commands.cli import app
from edge_agent.commands.policy import parse_since
from edge_agent.domain.passage import (
    AgeGroup,
    Credential,
    CredentialKind,
    CredentialProblem,
    MaskReading,
    Measurement,
    Moment,
    Passage,
    TemperatureReading,
)
from edge_agent.policy.active_policy import ActivePolicy, PolicyRefused
from edge_agent.policy.decide import decide
from edge_agent.policy.rules import Policy, load_policy
from edge_agent.policy.what_if import replay
from edge_agent.readiness.can_run import check_change
from edge_agent.records.conversion import decided_record
from edge_agent.records.recorder import PassageRecorder
from models.detections import MaskState
from sync.contract.health import Colour, Freshness, HealthStatus, Lookup, LookupOutcome, TestResult
from sync.contract.records import PassageDecided
from sync.edge.ledger.ledger import Ledger
from tests.edge_agent.clocks import moment
from tests.sync.storage.test_checked_json import flipped

NOW = datetime(2022, 4, 1, 8, 0, tzinfo=UTC)
POLICY = load_policy(None)
INSTANTS = st.datetimes(NOW.replace(tzinfo=None) - timedelta(days=5), NOW.replace(tzinfo=None), timezones=st.just(UTC))


def passage(
    measurement: Measurement,
    credential: Credential | None,
    lookup: Lookup,
    *,
    policy: Policy = POLICY,
    attempt: int = 1,
    error_s: float | None = 0.1,
) -> Passage:
    moment = Moment(NOW, 100.0, "boot", error_s is not None, error_s)
    return Passage(
        passage_id="p",
        follows=None,
        decided=moment,
        credential=credential,
        measurement=measurement,
        lookup=lookup,
        decision=decide(measurement, credential, lookup, policy, moment, attempt),
        policy_version=policy.version,
        arrived_at_s=99.0,
        attempt=attempt,
    )


def status(**changes: object) -> HealthStatus:
    known = HealthStatus("ab" * 32, Colour.GREEN, NOW, NOW - timedelta(hours=30), NOW, TestResult.NEGATIVE)
    return msgspec.structs.replace(known, **changes)


def found(known: HealthStatus | None) -> Lookup:
    outcome = LookupOutcome.NOT_FOUND if known is None else LookupOutcome.FOUND
    return Lookup(outcome, known, Freshness.FRESH, 3.0, "replica")


WELL = Measurement(TemperatureReading(36.5, 0.2, 33.0, 22.0, 8, "test/1"), MaskReading(MaskState.CORRECT, 0.9, 5))
SOMEBODY = Credential(CredentialKind.CODE, 99.0, "ab" * 32)

MEASUREMENTS = st.builds(
    Measurement,
    st.builds(
        TemperatureReading,
        st.none() | st.floats(34, 40),
        st.none() | st.floats(0.1, 0.6),
        st.just(33.0),
        st.just(22.0),
        st.integers(0, 9),
        st.just("test/1"),
        outside=st.sampled_from([(), ("skin_low",), ("ambient",)]),
    ),
    st.builds(MaskReading, st.none() | st.sampled_from(MaskState), st.floats(0, 1), st.integers(0, 9)),
    st.booleans(),
    st.booleans(),
)
CREDENTIALS = st.none() | st.builds(
    Credential,
    st.sampled_from(CredentialKind),
    st.just(99.0),
    st.just("ab" * 32),
    st.none() | st.sampled_from(CredentialProblem),
    st.none() | st.sampled_from(AgeGroup),
)
STATUSES = st.builds(
    HealthStatus,
    st.just("ab" * 32),
    st.sampled_from(Colour),
    INSTANTS,
    st.none() | INSTANTS,
    st.none() | INSTANTS,
    st.sampled_from(TestResult),
    st.sampled_from([(), ("watch",), ("white:medical",), ("key_worker:port",), ("exempt:dialysis",)]),
    exempt_until=st.none() | INSTANTS,
)
LOOKUPS = st.builds(found, STATUSES) | st.builds(
    Lookup,
    st.sampled_from([each for each in LookupOutcome if each is not LookupOutcome.FOUND]),
    st.none(),
    st.sampled_from(Freshness),
    st.floats(0, 1e6),
    st.just("none"),
)


@settings(max_examples=200)
@given(MEASUREMENTS, CREDENTIALS, LOOKUPS, st.integers(1, 5), st.none() | st.floats(0, 7200))
def test_the_record_holds_all_that_the_verdict_rested_on(
    measurement: Measurement, credential: Credential | None, lookup: Lookup, attempt: int, error_s: float | None
) -> None:
    """The same policy on the record gives the same verdict with the same reasons, whatever happened."""
    error_s = None if error_s is None else round(error_s, 3)
    made = passage(measurement, credential, lookup, attempt=attempt, error_s=error_s)
    record = decided_record(made, BoxSettings())
    wire = msgspec.json.decode(msgspec.json.encode(record), type=PassageDecided)
    assert replay(wire, POLICY) == made.decision


async def write_ledger(folder: Path, count: int) -> None:
    async with Ledger.opened(folder / "ledger.db", box="box-1", budget_bytes=50_000_000) as outbox:
        ledger = PassageRecorder(outbox, BoxSettings(), WallClock().now)
        for index in range(count):
            sampled_at = NOW - timedelta(hours=index % 40)
            made = passage(WELL, SOMEBODY, found(status(sampled_at=sampled_at)))
            await ledger.commit(replace(made, passage_id=f"p-{index}"))


def config_of(folder: Path) -> Path:
    config = folder / "sentinel.toml"
    config.write_text(f'[box]\ndata_dir = "{folder}"\n')
    return config


def test_the_trial_says_who_would_have_fared_otherwise_and_why(tmp_path: Path) -> None:
    asyncio.run(write_ledger(tmp_path, 80))
    (tmp_path / "strict.toml").write_text("version = 2\n[test]\nvalid_h = 24\n[lists]\nkey_worker = 'refuse'\n")
    command = ["policy", "try", str(tmp_path / "strict.toml"), "-c", str(config_of(tmp_path)), "--since", "2000-01-01"]
    told = CliRunner().invoke(app, [*command, "--json"])
    assert told.exit_code == 0
    trial = json.loads(told.stdout)
    # 24 h to the minute is within the error of the clock.
    assert trial["changes"] == {"admit > refuse": 30, "admit > assist": 2}
    assert trial["why"] == {"test_expired": 30, "clock_unsure": 2}
    assert (trial["policy_version"], trial["passages"], trial["too_old"], len(trial["examples"])) == (2, 80, 0, 20)
    assert "ab" * 32 not in told.stdout
    spoken = CliRunner().invoke(app, command)
    assert "policy 2: 32 of 80 passages would differ" in spoken.stdout
    none = CliRunner().invoke(app, [*command[:-1], "2100-01-01", "--json"])
    assert json.loads(none.stdout)["passages"] == 0


@pytest.mark.parametrize(
    ("change", "why"), [(("strict.toml", "none.toml"), "none.toml"), (("2000-01-01", "soon"), "--since")]
)
def test_a_trial_that_cannot_be_had_says_why(tmp_path: Path, change: tuple[str, str], why: str) -> None:
    (tmp_path / "strict.toml").write_text("version = 2\n")
    command = ["policy", "try", str(tmp_path / "strict.toml"), "-c", str(config_of(tmp_path)), "--since", "2000-01-01"]
    told = CliRunner().invoke(app, [part.replace(*change) for part in command])
    assert told.exit_code == 2
    assert why in told.stderr
    told = CliRunner().invoke(app, command)
    assert (told.exit_code, "ledger.db" in told.stderr) == (2, True)


def test_since() -> None:
    now = datetime(2022, 4, 2, 9, 30).astimezone()
    assert parse_since("today", now) == now.replace(hour=0, minute=0)
    assert parse_since("yesterday", now) == now.replace(day=1, hour=0, minute=0)
    assert parse_since("2022-04-01T08:00", now) == now.replace(day=1, hour=8, minute=0)
    assert parse_since("2022-04-01T08:00+00:00", now) == NOW


def test_a_policy_applies_from_its_date_and_stays_in_force(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    book = ActivePolicy(Policy(version=1), path)
    book.apply(Policy(version=2), None, moment(NOW))
    assert book.at(moment(NOW)).version == 2
    tomorrow = NOW + timedelta(days=1)
    later = tomorrow + timedelta(seconds=1)
    for _ in range(2):
        book.apply(Policy(version=3), tomorrow, moment(NOW))
    book = ActivePolicy(Policy(version=1), path)
    assert (book.at(moment(NOW)).version, book.coming and book.coming.policy.version) == (2, 3)
    assert book.at(moment(later)).version == 3
    assert book.at(moment(datetime(1970, 1, 1, tzinfo=UTC))).version == 3  # a clock that jumped back takes nothing away
    book.apply(Policy(version=4), tomorrow, moment(later))
    assert ActivePolicy(Policy(version=1), path).at(moment(NOW)).version == 4
    assert ActivePolicy(Policy(version=5), path).at(moment(NOW)).version == 5  # the box's own file was renewed


def test_versions_never_go_back_by_a_clock_that_was_set_back(tmp_path: Path) -> None:
    """A policy whose date has come stays active after a restart with a clock that goes on from where it stopped."""
    path, later = tmp_path / "policy.json", NOW + timedelta(days=2)
    book = ActivePolicy(Policy(version=2), path)
    book.apply(Policy(version=3), NOW + timedelta(days=1), moment(NOW))
    assert book.at(moment(later)).version == 3
    for wall, error_s in ((NOW, 0.05), (NOW, None), (datetime(1970, 1, 1, tzinfo=UTC), None)):
        again = ActivePolicy(Policy(version=2), path)
        assert again.at(moment(wall, in_sync=error_s is not None, error_s=error_s)).version == 3


@pytest.mark.parametrize("error_s", [None, 86_400.0 * 1000])
def test_no_policy_comes_into_force_by_a_clock_that_is_not_confirmed(tmp_path: Path, error_s: float | None) -> None:
    """A clock of 2031 neither activates a policy that waits nor one that is ordered for a later date."""
    book = ActivePolicy(Policy(version=2), tmp_path / "policy.json")
    ahead = moment(NOW + timedelta(days=900), in_sync=False, error_s=error_s)
    book.apply(Policy(version=3), NOW + timedelta(days=1), ahead)
    assert book.at(ahead).version == 2
    assert book.at(moment(NOW)).version == 2
    assert book.at(moment(NOW + timedelta(days=2), in_sync=False, error_s=60.0)).version == 3


def test_an_active_policy_that_cannot_be_saved_is_saved_later(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    book, later = ActivePolicy(Policy(version=2), folder / "policy.json"), moment(NOW + timedelta(days=2))
    book.apply(Policy(version=3), NOW + timedelta(days=1), moment(NOW))
    folder.rename(tmp_path / "away")
    assert [book.at(later).version for _ in range(3)] == [3, 3, 3]
    assert caplog.text.count("is not saved") == 1
    (tmp_path / "away").rename(folder)
    assert book.at(later).version == 3
    assert ActivePolicy(Policy(version=2), folder / "policy.json").at(moment(NOW)).version == 3


def test_a_policy_that_does_not_follow_is_refused(tmp_path: Path) -> None:
    book = ActivePolicy(Policy(version=5), tmp_path / "policy.json")
    for version in (4, 5):
        with pytest.raises(PolicyRefused, match="older than the active version 5"):
            book.apply(msgspec.structs.replace(POLICY, version=version, mask=None), None, moment(NOW))
    assert not (tmp_path / "policy.json").exists()


def test_a_torn_page_leaves_the_own_policy_in_force(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "policy.json").write_bytes(b'{"accepted":{"vers')
    assert ActivePolicy(Policy(version=1), tmp_path / "policy.json").at(moment(NOW)).version == 1
    assert "using the local policy" in caplog.text


def test_no_flipped_bit_changes_the_policy(tmp_path: Path) -> None:
    """An unnoticed one would raise the limit for fever, or take away the test."""
    path, own = tmp_path / "policy.json", Policy(version=1)
    ActivePolicy(own, path).apply(Policy(version=2), None, moment(NOW))
    intact = path.read_bytes()
    assert ActivePolicy(own, path).at(moment(NOW)).version == 2
    for bit in range(0, 8 * len(intact), 11):
        path.write_bytes(flipped(intact, bit))
        assert ActivePolicy(own, path).at(moment(NOW)) is own


def test_no_flipped_bit_changes_the_remote_settings(tmp_path: Path) -> None:
    own = Settings(box=BoxSettings(data_dir=str(tmp_path)))
    save_remote_settings(own, {"vision": {"min_score": 0.7}}, lambda _before, _after: None)
    path = remote_settings_path(own)
    intact = path.read_bytes()
    assert apply_remote_settings(own).vision.min_score == 0.7
    for bit in range(0, 8 * len(intact), 3):
        path.write_bytes(flipped(intact, bit))
        assert apply_remote_settings(own) is own
    assert save_remote_settings(own, {"vision": {"min_score": 0.7}}, lambda _before, _after: None)  # written again
    assert path.read_bytes() == intact
    assert not save_remote_settings(own, {"vision": {"min_score": 0.7}}, lambda _before, _after: None)


def test_some_settings_may_be_changed_remotely(tmp_path: Path) -> None:
    own = Settings(box=BoxSettings(data_dir=str(tmp_path)))
    assert apply_remote_settings(own) == own
    assert save_remote_settings(own, {}, check_change) is False
    wanted = {"arrival": {"leave_s": 1.5}, "speaker": {"language": "yue"}}
    assert save_remote_settings(own, wanted, check_change) is True
    assert save_remote_settings(own, wanted, check_change) is False
    now = apply_remote_settings(own)
    assert (now.arrival.leave_s, now.speaker.language, now.arrival.near_height) == (1.5, "yue", own.arrival.near_height)
    (tmp_path / FILE).write_text('{"arrival":{"leave_s":-1}}')
    assert apply_remote_settings(own) == own


def test_remote_settings_are_read_under_their_old_name_until_the_next_change(tmp_path: Path) -> None:
    own = Settings(box=BoxSettings(data_dir=str(tmp_path)))
    (tmp_path / OLD_FILE).write_text('{"arrival":{"leave_s":1.5}}')
    assert apply_remote_settings(own).arrival.leave_s == 1.5
    assert save_remote_settings(own, {"arrival": {"leave_s": 1.5}}, check_change) is False
    assert save_remote_settings(own, {"arrival": {"leave_s": 2.5}}, check_change) is True
    assert apply_remote_settings(own).arrival.leave_s == 2.5
    assert not (tmp_path / OLD_FILE).exists()


@pytest.mark.parametrize(
    "wanted",
    [
        {"gate": {"pulse_ms": 9000}},
        {"speaker": {"output": "null"}},
        {"arrival": {"leave_s": 99.0}},
        {"arrival": {"x": 1}},
    ],
)
def test_others_may_not(wanted: dict[str, dict[str, object]]) -> None:
    with pytest.raises(SettingsError):
        with_remote_settings(Settings(), wanted)
