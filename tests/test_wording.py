"""Plain technical English: phrases that need a gloss stay out of code, help, messages and documents."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRODUCT = ("config", "drivers", "models", "sync", "edge_agent", "systemd", "bench", ".ci")
TEXTS = (".md", ".toml", ".yaml", ".html", ".js", ".css", ".sh", ".service", ".rules", ".conf")
# A phrase, and what to write in its place.
PLAIN = {
    r"\btold\b": "reported, described, notified",
    r"\banew\b": "again",
    r"(?<!there )\bis no (?!longer\b|more\b|such\b)\w+": "is not a …",
    r"\b(?:whoever|whomever|nobody|somebody)(?:'s)?\b": "the reader, the caller, no one is needed: name the subject",
    r"\bput(?:s|ting)? down\b": "record",
    r"\blets? go\b|\bletting go\b": "drop, release",
    r"\b(?:hold|holds|held|holding) \S+(?: \S+){0,3} against\b|\bheld against\b": "compare with",
    r"\b(?:wrong|whose|its|their|right|bad) sums?\b|\bof none\b": "checksum",
    r"\bmend(?:s|ed|ing|able)?\b": "repair, fix, recover",
    r"\bbef[ae]ll(?:s|en)?\b": "affected",
    r"\bin earnest\b|\brehears\w+": "apply, dry run",
    r"\bfrom afar\b": "remotely",
    r"\bvouch\w*": "confirm",
    r"\bowe[sd]?\b|\bowing\b": "pending, must",
    r"\bfor ever\b": "until cancelled, without limit",
    r"(?<!FROM )(?<!INTO )(?<!TABLE )\bsalvag\w+": "recover",  # a table of that name is on boxes
    r"\bsacrific\w+": "evict",
    r"\briddle\w*\b|\bhearken\w*\b": "plain words",
}
FORBIDDEN = re.compile("|".join(f"(?:{pattern})" for pattern in PLAIN), flags=re.I)


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Each line of comments, docstrings and strings of a Python file; every line of another text."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield from enumerate(text.splitlines(), 1)
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.STRING, tokenize.COMMENT):
            for offset, line in enumerate(token.string.splitlines()):
                yield token.start[0] + offset, line


def texts() -> list[Path]:
    product = [
        path
        for room in PRODUCT
        for path in sorted((ROOT / room).rglob("*"))
        if path.is_file() and path.suffix in ("", ".py", *TEXTS) and not {"node_modules", "__pycache__"} & {*path.parts}
    ]
    return [
        *product,
        ROOT / "Makefile",
        ROOT / "README.md",
        *sorted(ROOT.glob("CONTRIBUTING.md")),
        *sorted((ROOT / "docs").rglob("*.md")),
    ]


@pytest.mark.parametrize("path", texts(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_plain_technical_english(path: Path) -> None:
    found = [f"{line}: {phrase.group(0)}" for line, text in prose(path) for phrase in FORBIDDEN.finditer(text)]
    assert not found, f"{path.relative_to(ROOT)}: {found}; see PLAIN for what to write"
