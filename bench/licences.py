"""Lists every part that is shipped, with its licence.

    python -m bench.licences                      writes docs/licences.md from the lock files and the installed packages
    python -m bench.licences --wheelhouse FOLDER  writes LICENCES.txt with all texts, and `copyright` with the stanzas
                                                  for debian/copyright, beside the wheels

The wheels' own metadata is read; .ci/licences.toml has what it does not say.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import re
import sys
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from email.parser import Parser
from functools import cache
from pathlib import Path, PurePosixPath

from packaging.markers import Marker
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "licences.md"
TEXTS, STANZAS = "LICENCES.txt", "copyright"
OURS = "sentinel-gate"
INSTALLED = "usr/share/edge-agent/wheelhouse"
_LOCKED = re.compile(r"([a-z0-9._-]+)==(\S+)(?: ; ([^\\]+?))? *\\?$")
_BOX = {
    "python_version": "3.11",
    "python_full_version": "3.11.0",
    "sys_platform": "linux",
    "implementation_name": "cpython",
}
_TEXT = re.compile(r"licen[cs]e|copying|notice|third.?party", re.IGNORECASE)
_NO_TEXT = (".py", ".pyc", ".pyi", ".pem", ".so")
# How packages write a licence in free text, as an SPDX expression.
_SPDX = {
    "apache 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "bsd 3-clause license": "BSD-3-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "mit license": "MIT",
}
_EXPRESSION = re.compile(r"[A-Za-z0-9.+-]+(?: (?:AND|OR|WITH) [A-Za-z0-9.+-]+)*")


class LicenceUnknown(Exception):
    """Neither the metadata of a part nor .ci/licences.toml says its licence."""


@dataclass(frozen=True)
class Part:
    """A package: its licence as an SPDX expression, what it bundles, and its licence texts by file name."""

    name: str
    version: str
    licence: str
    bundled: str
    file: str = ""
    texts: Mapping[str, str] = field(default_factory=dict)


@cache
def additions() -> Mapping[str, Mapping[str, str]]:
    """The tables of .ci/licences.toml."""
    return tomllib.loads((ROOT / ".ci" / "licences.toml").read_text(encoding="utf-8"))


def licence_from(name: str, metadata: Message) -> str:
    """The licence of the package `name` as an SPDX expression. Raises LicenceUnknown."""
    if known := additions()["licence"].get(name):
        return known
    text = str(metadata.get("License-Expression") or metadata.get("License") or "").strip()
    found = _SPDX.get(text.lower(), text)
    if not _EXPRESSION.fullmatch(found):
        raise LicenceUnknown(f"{name}: add its licence to .ci/licences.toml; its metadata says {text[:60]!r}")
    return found


def part_of_wheel(wheel: Path) -> Part:
    """The package in a wheel. Raises LicenceUnknown."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        [place] = [name for name in names if re.fullmatch(r"[^/]+[.]dist-info/METADATA", name)]
        metadata = Parser().parsestr(archive.read(place).decode("utf-8"))
        texts: dict[str, str] = {}
        for name in sorted(names):
            path = PurePosixPath(name)
            if _TEXT.search(path.name) and path.suffix not in _NO_TEXT and not name.endswith("/"):
                text = archive.read(name).decode("utf-8", "replace")
                if text not in texts.values():
                    texts[name] = text
    name = canonicalize_name(metadata["Name"])
    licence, bundled = licence_from(name, metadata), additions()["bundled"].get(name, "")
    return Part(name, metadata["Version"], licence, bundled, wheel.name, texts)


def locked_parts(lock: Path) -> Iterator[Part]:
    """The packages that `lock` puts on a box (Python 3.11 of Debian 12). Raises LicenceUnknown."""
    for line in lock.read_text(encoding="utf-8").splitlines():
        found = _LOCKED.fullmatch(line)
        if found and (found[3] is None or Marker(found[3]).evaluate(_BOX)):
            metadata = importlib.metadata.metadata(found[1])
            bundled = additions()["bundled"].get(found[1], "")
            yield Part(found[1], found[2], licence_from(found[1], metadata), bundled)


def page() -> str:
    """docs/licences.md."""
    own = list(locked_parts(ROOT / "requirements.lock"))
    names = {part.name for part in own}
    more = [part for part in locked_parts(ROOT / "requirements-recognition.lock") if part.name not in names]
    packs = tomllib.loads((ROOT / "models" / "manifest.toml").read_text(encoding="utf-8"))["pack"]
    lines = [
        "# Licences",
        "",
        "Every part that is shipped, with its licence; `make licences` writes this page, a test compares it."
        " The product is Apache-2.0 ([LICENSE](../LICENSE)).",
        f"A wheelhouse has the texts of its wheels in `{TEXTS}`, a Debian package in"
        f" `/usr/share/doc/edge-agent/{TEXTS}.gz`; `copyright` beside it names each wheel.",
        "",
        "本页列出随产品交付的全部部件及其许可。",
        "",
        "## Packages of the agent",
        "",
        *_table(own),
        "",
        "## Packages of the extra `recognition`",
        "",
        *_table(more),
        "",
        "## Model packs",
        "",
        "`in the package`: shipped; any other pack is downloaded or added by the operator, who accepts its terms.",
        "",
        "| pack | shipped | licence | commercial use |",
        "| --- | --- | --- | --- |",
    ]
    for pack in packs:
        shipped = "in the package" if "address" not in pack else "no"
        lines.append(f"| {pack['name']} | {shipped} | {pack['licence']} | {'yes' if pack['commercial'] else 'no'} |")
    return "\n".join(lines) + "\n"


def _table(parts: list[Part]) -> Iterator[str]:
    yield from ("| package | version | licence | inside of its wheel |", "| --- | --- | --- | --- |")
    for part in sorted(parts, key=lambda each: each.name):
        yield f"| {part.name} | {part.version} | {part.licence} | {part.bundled} |"


def texts_of(parts: list[Part]) -> str:
    """All licence texts of `parts`, each under the name of its wheel."""
    blocks = []
    for part in parts:
        heading = [f"{part.file}", f"License: {part.licence}"]
        heading += [f"Inside of the wheel: {part.bundled}"] if part.bundled else []
        heading += [] if part.texts else ["The wheel has no licence file."]
        body = "".join(f"\n--- {name}\n\n{text.rstrip()}\n" for name, text in part.texts.items())
        blocks.append(f"{'=' * 79}\n" + "\n".join(heading) + f"\n{body}\n")
    return "".join(blocks)


def stanzas_of(parts: list[Part], package: str, folder: str) -> str:
    """The stanzas of debian/copyright for wheels in `folder` of `package`."""
    blocks = []
    for part in parts:
        bundled = f" Inside of the wheel: {part.bundled}.\n" if part.bundled else ""
        blocks.append(
            f"\nFiles: {folder}/{part.file}\nCopyright: the authors of {part.name}, named in its licence texts\n"
            f"License: {part.licence}\n{bundled} The full texts are in /usr/share/doc/{package}/{TEXTS}.gz.\n"
        )
    return "".join(blocks)


def write_for_wheels(folder: Path, package: str, installed: str) -> None:
    """Write texts and stanzas for the wheels of others in `folder`. Raises LicenceUnknown, OSError."""
    parts = [part for part in map(part_of_wheel, sorted(folder.glob("*.whl"))) if part.name != OURS]
    (folder / TEXTS).write_text(texts_of(parts), encoding="utf-8")
    (folder / STANZAS).write_text(stanzas_of(parts, package, installed), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheelhouse", type=Path, help="folder of wheels, with those of the extra in `recognition`")
    wheelhouse: Path | None = parser.parse_args().wheelhouse
    try:
        if wheelhouse is None:
            PAGE.write_text(page(), encoding="utf-8")
            print(PAGE)
        else:
            write_for_wheels(wheelhouse, "edge-agent", INSTALLED)
            write_for_wheels(wheelhouse / "recognition", "edge-agent-recognition", f"{INSTALLED}/recognition")
    except LicenceUnknown as exc:
        sys.exit(f"licences: {exc}")


if __name__ == "__main__":
    main()
