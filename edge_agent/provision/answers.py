"""The answers of an installer when a box is set up: typed at the prompts or read from a TOML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from config.errors import SettingsError
from config.settings import Language
from config.toml_file import read_toml
from edge_agent.staff.pin import check_pin
from sync.contract.enrolment import Invitation

BROKER_URL = r"^mqtts?://[^\s/]+\Z"


class Answers(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The answers; an empty one keeps the current value. `settings` has sections of the settings file.

    `invitation` is the text of the code on the enrolment sheet; `serial` is the number on the label of a box whose
    serial number cannot be read. `community_key` and `signing_key` are paths of files from the platform.
    """

    checkpoint: Annotated[str, Meta(min_length=1, max_length=80)]
    lane: Annotated[str, Meta(min_length=1, max_length=20)] = "1"
    direction: Literal["in", "out"] = "in"
    language: Language = "zh-CN"
    platform_url: Annotated[str, Meta(pattern=rf"{BROKER_URL}|^\Z", description="mqtts://HOST:PORT")] = ""
    invitation: str = ""
    serial: str = ""
    community_key: str = ""
    signing_key: str = ""
    staff_pin: str = ""
    probe: bool = True
    settings: dict[str, dict[str, Any]] = {}

    def __post_init__(self) -> None:
        if self.invitation:
            Invitation.parse(self.invitation)
        if self.staff_pin:
            try:
                check_pin(self.staff_pin)
            except SettingsError as exc:
                raise ValueError(f"staff_pin: {exc}") from exc

    def __repr__(self) -> str:
        return f"Answers({self.checkpoint!r})"  # without token and PIN


def load_answers(path: Path) -> Answers:
    """The answers in the TOML file at `path`. Raises SettingsError."""
    values = read_toml(path)
    try:
        return answers_from(values)
    except SettingsError as exc:
        raise SettingsError(f"{path}: {exc}") from exc


def answers_from(values: dict[str, Any]) -> Answers:
    """The answers in `values`. Raises SettingsError without the text of a secret."""
    try:
        return msgspec.convert(values, Answers, strict=True)
    except msgspec.ValidationError as exc:
        raise SettingsError(f"{exc}; 可用 accepted: {', '.join(Answers.__struct_fields__)}") from exc
