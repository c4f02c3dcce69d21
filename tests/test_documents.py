"""Documents and commands say the same."""

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from bench.cli_reference import PAGE, parameters, reference, verbs
from config.catalogue import load_catalogue
from edge_agent.commands.cli import app as agent
from edge_agent.installer.__main__ import command_line
from edge_agent.provision.answers import answers_from
from edge_agent.provision.settings_file import checked_settings
from sync.platform.commands.cli import app as platform

ROOT = Path(__file__).parents[1]
COMMANDS = {"edge-agent": agent, "edge-platform": platform}
(UsageError,) = typer.BadParameter.__bases__  # of click, or of the click inside typer
TYPED = re.compile(r"^(?:sudo )?((?:edge-agent|edge-platform|make|sh install\.sh) .*)$", flags=re.M)


def commands(app: typer.Typer, before: str = "") -> dict[str, str]:
    """Every command below `app`, such as `models pull`, with its docstring."""
    found = {
        f"{before}{entry.name or entry.callback.__name__}": entry.callback.__doc__ or ""
        for entry in app.registered_commands
        if entry.callback
    }
    for group in app.registered_groups:
        if group.typer_instance:
            found |= commands(group.typer_instance, f"{before}{group.name} ")
    return found


def documents() -> list[Path]:
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(document: Path, kind: str = "") -> list[str]:
    """The fenced blocks of a document."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", document.read_text(encoding="utf-8"), flags=re.M | re.S)
    return [text for name, text in found if name == kind]


def told(document: Path) -> Iterator[list[str]]:
    """The commands of ours that a document tells people to type."""
    for line in TYPED.findall("\n".join(blocks(document)).replace("\\\n", " ")):
        yield shlex.split(line, comments=True)


def parse(words: list[str]) -> None:
    """Parse a command as it would be when typed, without running it. Raises UsageError."""
    command: Any = typer.main.get_command(COMMANDS[words[0]])
    context, rest = None, words[1:]
    while hasattr(command, "resolve_command"):
        context = command.make_context(command.name, rest[:1], parent=context)
        _, command, _ = command.resolve_command(context, rest[:1])
        rest = rest[1:]
    command.make_context(command.name, rest, parent=context)


@pytest.mark.parametrize("document", documents(), ids=lambda path: path.name)
def test_commands_in_documents_are_real(document: Path) -> None:
    for words in told(document):
        if words[0] == "sh":
            command_line().parse_args(words[2:])
        elif words[0] == "make":
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M), words
        else:
            parse(words)


@pytest.mark.parametrize(
    "line", ["edge-agent fly", "edge-agent doctor --quick", "edge-agent drill", "edge-platform boxes token SN-1"]
)
def test_other_commands_are_not(line: str) -> None:
    with pytest.raises(UsageError):
        parse(line.split())


def test_the_installer_s_answers_are_taken() -> None:
    [example] = blocks(ROOT / "docs" / "install.md", "toml")
    answers = answers_from(tomllib.loads(example))
    checked_settings(answers.settings)
    assert set(answers.__struct_fields__) == set(tomllib.loads(example))  # all are shown


def test_the_installer_reads_what_stands_on_the_screen() -> None:
    shown = [
        text.replace("\u200b", "")
        for entries in load_catalogue().sections.values()
        for entry in entries.values()
        for text in entry.texts.values()
    ]
    quoted = re.findall("「(.+?)」", (ROOT / "docs" / "install.md").read_text(encoding="utf-8"))
    assert quoted
    assert [text for text in quoted if not any(text in each for each in shown)] == []


SECURITY = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
ITEMS = re.findall(r"^### (\d+)\. (.+?)\n(.*?)(?=^##)", SECURITY, flags=re.M | re.S)
PROVISIONS = re.findall(r"^\| ((?:5\.\d+|6) [^|]+?) \| ([^|]+) \|$", SECURITY, flags=re.M)


def test_security_items_are_whole_and_numbered() -> None:
    assert [int(number) for number, _, _ in ITEMS] == list(range(1, len(ITEMS) + 1))
    for number, _, text in ITEMS:
        parts = re.findall(r"^- \*\*(\w+)\*\*: \S", text, flags=re.M)
        assert parts == ["Promise", "Attack", "Proof", "ETSI"], number


def test_what_proves_a_security_item_is_there() -> None:
    for number, _, text in ITEMS:
        proofs = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", text)
        assert proofs and text.count("::") == len(proofs), number
        for file, name in proofs:
            assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(encoding="utf-8"), flags=re.M), name


def test_the_provisions_of_security_items_are_those_of_the_table() -> None:
    said = {title: set(re.findall(r"\d+", items.split(":")[0])) for title, items in PROVISIONS}
    found: dict[str, set[str]] = {title: set() for title in said}
    for number, _, text in ITEMS:
        [titles] = re.findall(r"^- \*\*ETSI\*\*: (.+)$", text, flags=re.M)
        for title in titles.split("; "):
            found[title].add(number)
    assert found == said
    assert len(said) == 14


def test_the_commands_of_the_readme_are_real_ones() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(edge-\w+) ([a-z -]+?)(?: [A-Z][A-Z. ]*)?` \|", text, flags=re.M)
    real = {(name, verb) for name, app in COMMANDS.items() for verb in commands(app)}
    assert len(listed) == 10
    assert set(listed) <= real


def test_the_page_of_commands_is_that_of_the_code() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), "run make docs"


def options(app: typer.Typer, name: str) -> dict[str, set[str]]:
    """The options of every verb as the parser of the command line knows them, without --help."""
    found: dict[str, set[str]] = {}

    def visit(command: Any, name: str) -> None:
        for verb, below in getattr(command, "commands", {}).items():
            visit(below, f"{name} {verb}")
        if not hasattr(command, "commands"):
            named = [param for param in command.params if param.param_type_name == "option"]
            found[name] = {option for param in named for option in (*param.opts, *param.secondary_opts)} - {"--help"}

    visit(typer.main.get_command(app), name)
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_of_commands_has_the_options_of_help(name: str) -> None:
    described = {
        verb: {option for each in parameters(callback) if not each.is_argument for option in each.names()}
        for verb, callback in verbs(COMMANDS[name], name)
    }
    assert described == options(COMMANDS[name], name)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    for verb, text in commands(COMMANDS[name]).items():
        assert text.strip().endswith("."), verb


def test_links_in_documents_lead_somewhere() -> None:
    for document in [*documents(), ROOT / "bench" / "README.md"]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_files_named_in_documents_are_there() -> None:
    rooms = ("", "edge_agent", "docs")  # `commands/cli.py` of the agent is written without its room
    for document in documents():
        for name in re.findall(
            r"`([\w./-]+/[\w-]+\.(?:py|toml|yaml|html|md|js))`", document.read_text(encoding="utf-8")
        ):
            made_up = name.startswith("/") or Path(name).stem.isupper()  # NAME.py stands for any
            assert made_up or any((ROOT / room / name).exists() for room in rooms), f"{document}: {name}"


def test_the_code_of_the_glossary_is_there() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", text, flags=re.M)[2:]
    words = [word.lower() for word, _, _ in rows]
    assert words == sorted(words)
    for word, _, place in rows:
        file, *names = re.findall(r"`([^`]+)`", place)
        assert (ROOT / file).exists(), word
        for name in names:
            defined = rf"^\s*(?:class|def|async def) {name}\b|^\s*{name}\b.*[:=]"
            assert re.search(defined, (ROOT / file).read_text(encoding="utf-8"), flags=re.M), f"{word}: {name}"


@pytest.mark.parametrize("module", ["edge_agent.commands.cli", "sync.platform.commands.cli"])
def test_help_loads_neither_vision_nor_network(module: str) -> None:
    code = f"import sys, {module}; print(sorted({{'cv2', 'onnxruntime', 'aiohttp', 'insightface'}} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert shown.stdout.strip() == "[]"


DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))


@pytest.mark.parametrize("page", DECISIONS, ids=lambda path: path.name)
def test_decisions_are_dated_and_short_and_the_newest_is_first(page: Path) -> None:
    head, *entries = re.split(r"^## ", page.read_text(encoding="utf-8"), flags=re.M)
    assert re.match("# Decisions", head)
    assert entries or page.name == "README.md"
    dates = [entry[:11] for entry in entries]
    assert [each for each in dates if not re.fullmatch(r"\d{4}-\d{2}-\d{2} ", each)] == []
    assert dates == sorted(dates, reverse=True), "the newest first"
    for entry in entries:
        title, *lines = entry.strip().splitlines()
        text = [line for line in lines if line]
        assert len(text) <= 10, title
        assert max(map(len, text)) <= 160, title


def test_the_index_has_every_page_of_decisions() -> None:
    index = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \[([\w-]+\.md)\]", index, flags=re.M) == [
        page.name for page in DECISIONS if page.name != "README.md"
    ]
