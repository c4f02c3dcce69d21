"""The catalogue of every text that people at the gate see or hear, in each language."""

from __future__ import annotations

import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, get_args

import msgspec
from msgspec import Meta

from config.errors import SettingsError
from config.settings import Language

PROMPTS_DIR = Path(__file__).parent / "prompts"
LANGUAGES: tuple[str, ...] = get_args(Language)
PRIVATE = "private"

_Columns = Annotated[int, Meta(ge=1)]
_Tables = dict[str, dict[str, dict[str, str | bool]]]


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One text: `texts` by language and `say`, the prompt spoken with it. A private entry has neither."""

    texts: Mapping[str, str]
    say: str | None = None
    private: bool = False


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All entries by section and key; each is complete in every language."""

    languages: Mapping[str, str]
    sections: Mapping[str, Mapping[str, CatalogueEntry]]

    @property
    def prompts(self) -> tuple[str, ...]:
        """Names of all prompts."""
        return tuple(self.sections["prompt"])

    def text(self, section: str, key: str, language: str) -> str:
        """The text to show, which is that of `private` for a private key."""
        return self.sections[section][self.shown(section, key)].texts[language]

    def spoken(self, section: str, key: str) -> str | None:
        """The prompt to speak with a text, None if it is only shown."""
        return self.sections[section][self.shown(section, key)].say

    def shown(self, section: str, key: str) -> str:
        """`key`, or `private` if the key would reveal personal data to bystanders."""
        return PRIVATE if self.sections[section][key].private else key


def prompt_file(prompt: str, language: str, folder: Path = PROMPTS_DIR) -> Path:
    """Path of the sound of a prompt (Ogg Vorbis, mono)."""
    return folder / language / f"{prompt}.ogg"


def load_catalogue(path: Path = PROMPTS_DIR / "catalogue.toml") -> Catalogue:
    """The catalogue in the TOML file at `path`. Raises SettingsError, which lists every fault with its place."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        languages = msgspec.convert(raw.pop("languages", None), dict[str, str])
        limits = msgspec.convert(raw.pop("limits", None), dict[str, _Columns])
        tables = msgspec.convert(raw, _Tables)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as exc:
        raise SettingsError(f"{path}: {exc}") from exc
    sections = {name: {key: _entry(fields) for key, fields in table.items()} for name, table in tables.items()}
    if faults := _faults(sections, languages, limits):
        raise SettingsError("\n".join(f"{path}: {fault}" for fault in faults))
    frozen = {name: MappingProxyType(entries) for name, entries in sections.items()}
    return Catalogue(MappingProxyType(languages), MappingProxyType(frozen))


def columns(text: str) -> int:
    """Width of `text` on a screen: two columns for a Chinese character, one for a Latin character."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _entry(fields: dict[str, str | bool]) -> CatalogueEntry:
    texts = {name: value for name, value in fields.items() if isinstance(value, str) and name != "say"}
    say = fields.get("say")
    return CatalogueEntry(MappingProxyType(texts), say if isinstance(say, str) else None, fields.get(PRIVATE) is True)


def _faults(
    sections: dict[str, dict[str, CatalogueEntry]], languages: dict[str, str], limits: dict[str, int]
) -> list[str]:
    faults = [
        f"{place}: has {', '.join(found)}; expected {', '.join(wanted)}"
        for place, found, wanted in (("languages", languages, LANGUAGES), ("limits", limits, sections))
        if set(found) != set(wanted)
    ]
    prompts = sections.get("prompt", {})
    for section, entries in sections.items():
        for key, entry in entries.items():
            wanted = set() if entry.private else set(LANGUAGES)
            faults += [f"{section}.{key}: {name} is missing" for name in sorted(wanted - entry.texts.keys())]
            faults += [f"{section}.{key}: {name} is not expected" for name in sorted(entry.texts.keys() - wanted)]
            if entry.private and (PRIVATE not in entries or entry.say):
                faults.append(f"{section}.{key}: is private, so {section}.{PRIVATE} is shown and spoken for it")
            if entry.say and entry.say not in prompts:
                faults.append(f"{section}.{key}: say = {entry.say!r}, expected a key of prompt")
            faults += _width_faults(f"{section}.{key}", entry, limits.get(section, 0))
    return faults


def _width_faults(place: str, entry: CatalogueEntry, limit: int) -> list[str]:
    return [
        f"{place}: {language} takes {columns(text)} columns, accepted: 1-{limit}"
        for language, text in entry.texts.items()
        if not 1 <= columns(text) <= limit
    ]
