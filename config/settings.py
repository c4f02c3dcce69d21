"""The settings of one box: one TOML file, one frozen value, validated completely before the agent starts."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

import msgspec
from msgspec import Meta

from config.errors import SettingsError
from config.toml_file import parse_toml, read_text
from sync.redaction import redact

Name = Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,40}\Z", description="1-40 of a-z, 0-9 and -")]
Port = Annotated[int, Meta(ge=1, le=65535)]
Days = Annotated[int, Meta(ge=1, le=3650)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Extent = Annotated[float, Meta(gt=0, le=1)]
ThermometerDriver = Literal[
    "gy-mcu90640", "gy-mcu90614", "gy-614v", "cjmcu-90614", "evo-thermal-33", "pyrousb", "optris", "optris-hr"
]
RangerDriver = Literal["none", "tof10120", "evo-mini", "tofsense"]
SkinRegion = Literal["forehead_center", "forehead_max", "canthi_max", "face_max"]
ReaderDriver = Literal["qr-line"]
CardReaderDriver = Literal["none", "sam-v"]
ReaderText = Annotated[str, Meta(min_length=1, max_length=64)]
Provider = Literal["document-number", "simulated"]
GateDriver = Literal["lcus", "modbus-relay", "none"]
_OUTPUTS = "auto, auto:FILE, default, null or wav:FILE"
Output = Annotated[str, Meta(pattern=r"^(auto|default|null|(auto|wav):.+)\Z", description=_OUTPUTS)]
Language = Literal["zh-CN", "yue", "en"]
TimeOfDay = Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]\Z", description="HH:MM")]


class BoxSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Identity and location of this box."""

    district: Name = "demo"
    name: Name = "box-1"
    checkpoint: Annotated[str, Meta(min_length=1, max_length=80)] = "East gate"
    lane: Annotated[str, Meta(min_length=1, max_length=20)] = "1"
    direction: Literal["in", "out"] = "in"
    data_dir: str = "/var/lib/edge-agent"


class CameraSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Source of the pictures (a V4L2 device, an rtsp:// or http:// address, or a file) and how the camera is mounted.

    Pictures are turned clockwise by `rotate` degrees, then mirrored left to right if `flip`.
    """

    source: Annotated[str, Meta(min_length=1)] = "/dev/video0"
    width: Annotated[int, Meta(ge=160, le=4096)] = 640
    height: Annotated[int, Meta(ge=120, le=4096)] = 480
    fps: Annotated[float, Meta(ge=1, le=60)] = 15.0
    rotate: Literal[0, 90, 180, 270] = 0
    flip: bool = False


class VisionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Face detector, its input size and its rate."""

    detector: Literal["sentinel", "yunet", "scrfd"] = "sentinel"
    size: Annotated[int, Meta(ge=160, le=1280, multiple_of=32)] = 320
    threads: Annotated[int, Meta(ge=1, le=8)] = 1
    min_score: Fraction = 0.5
    active_fps: Annotated[float, Meta(ge=1, le=60)] = 15.0
    idle_fps: Annotated[float, Meta(ge=0.5, le=30)] = 4.0
    accept_non_commercial: bool = False


class ThermometerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Thermometer, its port, and its alignment with the camera.

    `baud` 0 is the driver's own; `mirror` and `covers` are about arrays and mean nothing to a spot.
    """

    driver: ThermometerDriver = "gy-mcu90640"
    port: str = "/dev/sentinel-thermometer"
    baud: Annotated[int, Meta(ge=0, le=921600)] = 0
    mirror: bool = True
    covers: tuple[Fraction, Fraction, Extent, Extent] = (0.0, 0.0, 1.0, 1.0)
    offset_c: Annotated[float, Meta(ge=-5, le=5)] = 0.0
    sensor_uncertainty_c: Annotated[float, Meta(ge=0, le=5)] = 0.2
    ambient_offset_c: Annotated[float, Meta(ge=-20, le=20)] = 0.0
    spot_region: SkinRegion = "forehead_center"


class RangerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which distance sensor, where, and at what rate; `baud` 0 is the driver's own."""

    driver: RangerDriver = "none"
    port: str = "/dev/sentinel-ranger"
    baud: Annotated[int, Meta(ge=0, le=921600)] = 0


class ReaderSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Code reader, its port, and the providers that decode codes, tried in order; the camera can also read codes.

    `baud` 0 is the driver's own. `prefixes` and `suffixes` are texts that the reader adds to a code, `ignore` lines
    that it sends without a code.
    """

    driver: ReaderDriver = "qr-line"
    port: str = "/dev/sentinel-reader"
    baud: Annotated[int, Meta(ge=0, le=921600)] = 0
    providers: Annotated[tuple[Provider, ...], Meta(min_length=1)] = ("document-number",)
    camera: bool = True
    prefixes: Annotated[tuple[ReaderText, ...], Meta(max_length=16)] = ()
    suffixes: Annotated[tuple[ReaderText, ...], Meta(max_length=16)] = ()
    ignore: Annotated[tuple[ReaderText, ...], Meta(max_length=16)] = ()


class CardReaderSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Identity card reader and its port."""

    driver: CardReaderDriver = "none"
    port: str = "/dev/sentinel-card-reader"


class GateSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Relay of the gate, its pulse, and other connections of its board; channel or input 0: not connected."""

    driver: GateDriver = "none"
    port: str = "/dev/sentinel-gate"
    channel: Annotated[int, Meta(ge=1, le=8)] = 1
    pulse_ms: Annotated[int, Meta(ge=100, le=10000)] = 700
    lamp_channel: Annotated[int, Meta(ge=0, le=8)] = 0
    passage_input: Annotated[int, Meta(ge=0, le=8)] = 0


class SpeakerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sound output: the sound card (default), a WAV file, nothing (null), or the card if there is one (auto)."""

    output: Output = "auto"
    language: Language = "zh-CN"


class AnnouncerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Volume, hours and languages of announcements; a volume is a share of the full amplitude.

    A time span runs from its first to its second time, across midnight if the second is earlier; equal times mean
    never. The night volume is 10 dB below that of the day: GB 3096 class 1 (homes) allows 55 dB by day, 45 dB by night.
    """

    day_volume: Fraction = 0.8
    night_volume: Fraction = 0.25
    night: tuple[TimeOfDay, TimeOfDay] = ("22:00", "06:00")
    quiet: tuple[TimeOfDay, TimeOfDay] = ("21:00", "07:00")
    also: tuple[Language, ...] = ()
    turn_s: Annotated[float, Meta(ge=3, le=120)] = 8.0
    hint_after_s: Annotated[float, Meta(ge=1, le=60)] = 4.0
    repeat_s: Annotated[float, Meta(ge=0, le=60)] = 5.0
    audio_hosts: tuple[str, ...] = ()
    cache_mb: Annotated[int, Meta(ge=1, le=4096)] = 64


class RecognitionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Face recognition as a credential: required similarity, liveness and number of consecutive frames.

    A threshold of 0 selects that of the pack; `margin` is the required distance to the second best match.
    """

    enabled: bool = False
    pack: Literal["mobilefacenet", "sface", "arcface-mbf"] = "mobilefacenet"
    threshold: Fraction = 0.0
    masked_threshold: Fraction = 0.0
    margin: Fraction = 0.1
    live: Fraction = 0.7
    frames: Annotated[int, Meta(ge=2, le=10)] = 3
    looks_per_s: Annotated[float, Meta(ge=0.5, le=5)] = 3.0
    accept_non_commercial: bool = False


class ArrivalSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a face counts as an arrival, and the time limit of each step."""

    near_height: Fraction = 0.2
    steady_frames: Annotated[int, Meta(ge=2, le=30)] = 3
    steady_shift: Fraction = 0.12
    credential_wait_s: Annotated[float, Meta(ge=1, le=120)] = 20.0
    credential_hold_s: Annotated[float, Meta(ge=1, le=60)] = 10.0
    measure_wait_s: Annotated[float, Meta(ge=0.3, le=10)] = 2.0
    recheck_pause_s: Annotated[float, Meta(ge=0.5, le=30)] = 1.5
    recheck_wait_s: Annotated[float, Meta(ge=1, le=60)] = 8.0
    result_hold_s: Annotated[float, Meta(ge=1, le=30)] = 6.0
    leave_s: Annotated[float, Meta(ge=0.2, le=10)] = 0.6


class DirectorySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Look-up of persons."""

    community_key_file: str = "credential:community.key"
    query_budget_ms: Annotated[int, Meta(ge=50, le=3000)] = 300


class PlatformSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Connection to the platform; unencrypted mqtt:// is accepted on loopback only.

    The key may be encrypted: `key_passphrase_file` has its passphrase, and need not exist for a key that is not.
    Orders of the platform are accepted only if `signing_key_file` names its Ed25519 public key.
    """

    url: Annotated[str, Meta(pattern=r"^mqtts?://[^\s/]+\Z", description="mqtt://HOST:PORT or mqtts://HOST:PORT")] = (
        "mqtts://platform.example:8883"
    )
    ca_file: str = "/etc/edge-agent/ca.pem"
    cert_file: str = "/etc/edge-agent/box.pem"
    key_file: str = "/etc/edge-agent/box.key"
    key_passphrase_file: str = "credential:box.passphrase"  # noqa: S105 - where it is
    signing_key_file: str = ""


class LedgerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Size limit of the ledger."""

    budget_mb: Annotated[int, Meta(ge=4, le=65536)] = 512


class PrivacySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Encryption of personal data on the disk; the key file is created once and must not be stored with the data."""

    key_file: Annotated[str, Meta(min_length=1)] = "credential:at-rest.key"
    algorithm: Literal["aes-256-gcm", "sm4-gcm"] = "aes-256-gcm"


class RetentionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Retention of personal data on this box; only records that the platform has acknowledged are deleted."""

    passages_days: Days = 30
    alarms_days: Days = 180
    directory_days: Days = 30


class KioskSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Address of the residents' page."""

    host: str = "127.0.0.1"
    port: Port = 8080


class StaffSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Access to the staff view: `edge-agent staff set-pin` writes the file; without it the staff view is disabled."""

    pin_hash_file: str = "credential:staff.pin"


class PolicySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Admission policy; empty: the policy that is shipped with the agent."""

    file: str = ""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings of one box."""

    box: BoxSettings = BoxSettings()
    camera: CameraSettings = CameraSettings()
    vision: VisionSettings = VisionSettings()
    thermometer: ThermometerSettings = ThermometerSettings()
    ranger: RangerSettings = RangerSettings()
    reader: ReaderSettings = ReaderSettings()
    card_reader: CardReaderSettings = CardReaderSettings()
    gate: GateSettings = GateSettings()
    speaker: SpeakerSettings = SpeakerSettings()
    announcer: AnnouncerSettings = AnnouncerSettings()
    recognition: RecognitionSettings = RecognitionSettings()
    arrival: ArrivalSettings = ArrivalSettings()
    directory: DirectorySettings = DirectorySettings()
    platform: PlatformSettings = PlatformSettings()
    ledger: LedgerSettings = LedgerSettings()
    privacy: PrivacySettings = PrivacySettings()
    retention: RetentionSettings = RetentionSettings()
    kiosk: KioskSettings = KioskSettings()
    staff: StaffSettings = StaffSettings()
    policy: PolicySettings = PolicySettings()


def load_settings(path: Path) -> Settings:
    """The settings in the TOML file at `path`. Raises SettingsError, which lists the first fault of each section."""
    text = read_text(path)
    try:
        return parse_settings(text)
    except SettingsError as exc:
        raise SettingsError("\n".join(f"{path}: {line}" for line in str(exc).splitlines()), exc.line) from exc


def parse_settings(text: str) -> Settings:
    """The settings in TOML `text`. Raises SettingsError, one line per fault."""
    raw = parse_toml(text)
    sections = get_type_hints(Settings)
    faults: list[tuple[int | None, str]] = []
    parsed: dict[str, Any] = {}
    for name, value in raw.items():
        if name not in sections:
            line = _find_line(text, name) or _find_line(text, "", name)
            faults.append((line, f"[{name}]: no such section{_did_you_mean(name, sections)}"))
        elif not isinstance(value, dict):
            faults.append((_find_line(text, "", name), f"{name} = {redact(repr(value))}: expected a section [{name}]"))
        else:
            try:
                parsed[name] = msgspec.convert(value, sections[name], strict=True)
            except msgspec.ValidationError as exc:
                key, sentence = _fault(name, value, sections[name], str(exc))
                faults.append((_find_line(text, name, key), sentence))
    if faults:
        messages = [sentence if line is None else f"line {line}: {sentence}" for line, sentence in faults]
        raise SettingsError("\n".join(messages), faults[0][0])
    return Settings(**parsed)


def _fault(section: str, value: dict[str, Any], kind: type, message: str) -> tuple[str, str]:
    """The key, and a message with the key, its value and what is accepted."""
    unknown = re.search(r"unknown field `(.+?)`", message)
    if unknown:
        meant = _did_you_mean(unknown[1], kind.__struct_fields__)  # type: ignore[attr-defined]
        return unknown[1], f"[{section}] {unknown[1]}: no such key{meant}"
    place = re.search(r" - at `\$\.(\w+)((?:\[\d+\])*)`\Z", message)
    if not place:
        return "", f"[{section}]: {message}"
    key, reason = place[1], message[: place.start()]
    return key, f"[{section}] {key} = {redact(repr(value[key]))}: {reason[0].lower()}{reason[1:]}{_accepted(kind, key)}"


def _find_line(text: str, section: str, key: str = "") -> int | None:
    """The line of `key` in [section], or of the section header if `key` is empty; None if not found."""
    current = ""
    for number, line in enumerate(text.splitlines(), 1):
        if head := re.match(r"\s*\[\s*([\w-]+)\s*\]", line):
            current = head[1]
        sought = rf"\s*{re.escape(key)}\s*=" if key else r"\s*\["
        if current == section and re.match(sought, line):
            return number
    return None


def _accepted(kind: type, key: str) -> str:
    """The accepted values of `key`, if the message of the type does not name them."""
    hint = get_type_hints(kind, include_extras=True)[key]
    if choices := _choices(hint):
        return f"; accepted: {', '.join(map(str, choices))}"
    described = [part.description for part in get_args(hint) if isinstance(part, Meta) and part.description]
    return f"; accepted: {described[0]}" if described else ""


def _choices(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if getattr(hint, "__origin__", None) is Literal else ()


def _did_you_mean(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else f"; accepted: {', '.join(known)}"
