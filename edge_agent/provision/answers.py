"""What an installer says when a box is set up: typed at the prompts, or in one TOML file."""

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

BROKER_URL = r"^mqtts?://[^\s/]+$"


class Answers(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The answers; an empty one leaves what the box has. `settings` are sections of the settings as they stand there.

    `invitation` is the text of the sheet's code, `serial` what the label says of a box that cannot tell itself.
    `community_key` and `signing_key` are files from the platform.
    """

    checkpoint: Annotated[str, Meta(min_length=1, max_length=80)]
    lane: Annotated[str, Meta(min_length=1, max_length=20)] = "1"
    direction: Literal["in", "out"] = "in"
    language: Language = "zh-CN"
    platform_url: Annotated[str, Meta(pattern=rf"{BROKER_URL}|^$", description="mqtts://HOST:PORT")] = ""
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
        return f"Answers({self.checkpoint!r})"  # a token and a PIN are among them


def load_answers(path: Path) -> Answers:
    """The answers in the TOML file at `path`. Raises SettingsError."""
    said = read_toml(path)
    try:
        return read_answers(said)
    except SettingsError as exc:
        raise SettingsError(f"{path}: {exc}") from exc


def read_answers(said: dict[str, Any]) -> Answers:
    """The answers that `said` holds. Raises SettingsError, which quotes no secret."""
    try:
        return msgspec.convert(said, Answers, strict=True)
    except msgspec.ValidationError as exc:
        raise SettingsError(f"{exc}; 可用 accepted: {', '.join(Answers.__struct_fields__)}") from exc
