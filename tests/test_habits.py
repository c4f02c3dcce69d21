"""Rules for all code: no clock is read, no number drawn and no port taken at import; every test asserts something."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("config", "drivers", "models", "sync", "edge_agent", "tests", "bench")
Function = ast.FunctionDef | ast.AsyncFunctionDef

# The value of each depends on when or where it is asked for: a run that begins before midnight may end after it.
CLOCKS = {
    *(f"time.{name}{unit}" for name in ("time", "monotonic", "perf_counter", "process_time") for unit in ("", "_ns")),
    *("time.localtime", "time.gmtime", "time.strftime", "time.ctime"),
    *("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today"),
}
CHANCE = {
    *("uuid.uuid1", "uuid.uuid4", "os.urandom", "os.getpid"),
    *(f"secrets.{name}" for name in ("token_bytes", "token_hex", "token_urlsafe", "randbelow", "randbits", "choice")),
    *(f"random.{name}" for name in ("random", "randint", "randrange", "choice", "choices", "uniform", "randbytes")),
    *("tempfile.mkdtemp", "tempfile.mkstemp", "tempfile.gettempdir", "tests.ports.free_port"),
}


@cache
def sources() -> dict[str, str]:
    """The text of every module by its dotted name."""
    paths = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py")) if "training" not in path.parts]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path.read_text(encoding="utf-8") for path in paths}


@cache
def parsed(text: str) -> ast.Module:
    """The tree of a module."""
    return ast.parse(text)


def names_in(module: str, tree: ast.Module) -> dict[str, str]:
    """What the names of a module stand for, as dotted names: its imports and its own functions."""
    known = {node.name: f"{module}.{node.name}" for node in tree.body if isinstance(node, Function)}
    for node in tree.body:
        if isinstance(node, ast.Import):
            known |= {(each.asname or each.name): each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            known |= {(each.asname or each.name): f"{node.module}.{each.name}" for each in node.names}
    return known


def called(node: ast.AST, known: dict[str, str]) -> str | None:
    """The dotted name of what `node` calls."""
    if not isinstance(node, ast.Call):
        return None
    inner, last = node.func, ""
    while isinstance(inner, ast.Attribute):
        inner, last = inner.value, f".{inner.attr}{last}"
    return f"{known.get(inner.id, inner.id)}{last}" if isinstance(inner, ast.Name) else None


def at_import(node: ast.AST) -> Iterator[ast.AST]:
    """`node` and what is below it, as far as it runs when its module is imported: no body of a function."""
    if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
        return
    yield node
    below = ast.iter_child_nodes(node)
    if isinstance(node, Function | ast.Lambda):
        defaults = [*node.args.defaults, *(each for each in node.args.kw_defaults if each is not None)]
        below = iter([*defaults, *(node.decorator_list if isinstance(node, Function) else [])])
    for each in below:
        yield from at_import(each)


def calling(texts: dict[str, str], wanted: set[str]) -> Iterator[tuple[str, ast.Module, dict[str, str]]]:
    """The modules that call something of the last name of one that is wanted."""
    last = "|".join(sorted({name.rpartition(".")[2] for name in wanted}))
    calls = re.compile(rf"\b(?:{last})\(")
    for module, text in texts.items():
        if calls.search(text):
            tree = parsed(text)
            yield module, tree, names_in(module, tree)


def callers(texts: dict[str, str]) -> set[str]:
    """The functions at the top of a module that call one of CLOCKS or CHANCE, or such a function of their module."""
    found: set[str] = set()
    for module, tree, known in calling(texts, CLOCKS | CHANCE):
        calls = {
            f"{module}.{node.name}": {called(each, known) for each in ast.walk(node)}
            for node in tree.body
            if isinstance(node, Function) and not node.name.startswith("test_")
        }
        changing = CLOCKS | CHANCE
        while more := {name for name, names in calls.items() if names & changing} - changing:
            changing |= more
        found |= changing
    return found


def taken_at_import(texts: dict[str, str]) -> list[str]:
    """Where such a value is taken at import, as MODULE:LINE CALL."""
    found = CLOCKS | CHANCE | callers(texts)
    return [
        f"{module}:{node.lineno} {ast.unparse(node)}"
        for module, tree, known in calling(texts, found)
        for node in at_import(tree)
        if isinstance(node, ast.Call) and called(node, known) in found
    ]


def test_nothing_reads_a_clock_or_draws_a_number_at_import() -> None:
    """What is taken at import is used minutes later: a box is silent by then, the day is over, the port is taken."""
    assert taken_at_import(sources()) == []


def test_the_rule_sees_every_way_to_take_a_time_at_import() -> None:
    taken = [
        "from datetime import datetime, UTC\nNOW = datetime.now(UTC)",
        "import datetime as dt\nclass A:\n    today = dt.date.today()",
        "import time\ndef wait(until=time.monotonic() + 5): ...",
        "import time\ndef wait(*, until=time.monotonic() + 5): ...",
        "import time\nlater = lambda at=time.time(): at",
        "import pytest, time\n@pytest.mark.parametrize('at', [time.time()])\ndef test(at): ...",
        "import time\ndef now():\n    return time.time()\ndef soon():\n    return now() + 5\nSOON = [soon()]",
        "from tests.ports import free_port\nPORT = free_port()",
        "import random\nif True:\n    SEED = random.random()",
    ]
    assert [len(taken_at_import({"one": text})) for text in taken] == [1] * len(taken)
    elsewhere = (
        "import time\nNOW = time.time\ndef now():\n    return time.time()\nif __name__ == '__main__':\n    now()"
    )
    assert taken_at_import({"one": elsewhere}) == []


# Helpers that fail unless what they name is so; a test that calls one asserts.
ASSERTING = {
    "eventually": "TimeoutError unless it becomes true",
    "state": "TimeoutError unless the part comes into that state",
    "settled": "asserts that the platform has every record, once",
    "refused": "asserts that the broker refuses what is published",
    "check_routes": "asserts that document and application have the same routes",
    "check_body": "asserts that document and type are the same",
    "expect": "Playwright's assertion",
    "shake_hands": "asserts that each end of a handshake verified the other",
}


def asserts(test: ast.AST) -> bool:
    """Whether a test can fail by more than an exception of what it runs."""
    return any(
        isinstance(node, ast.Assert)
        or (
            isinstance(node, ast.Call)
            and (
                ast.unparse(node.func) in ("pytest.raises", "pytest.fail")
                or (node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)) in ASSERTING
            )
        )
        for node in ast.walk(test)
    )


def without_assertion(texts: dict[str, str]) -> list[str]:
    """The tests that assert nothing, as MODULE:NAME."""
    return [
        f"{module}:{node.name}"
        for module, text in texts.items()
        if module.rpartition(".")[2].startswith("test_")
        for node in ast.walk(parsed(text))
        if isinstance(node, Function) and node.name.startswith("test_") and not asserts(node)
    ]


def test_every_test_asserts_something() -> None:
    """That nothing raises is not looked for: code that does nothing would pass."""
    assert without_assertion(sources()) == []


def test_the_rule_sees_a_test_that_asserts_nothing() -> None:
    none = "async def test_it():\n    await thing.run()\n    thing.stop()"
    some = "def test_it():\n    with pytest.raises(OSError):\n        run()\ndef test_b(page):\n    page.state(run)"
    assert without_assertion({"test_a": none, "helper": none, "test_b": some}) == ["test_a:test_it"]


PRODUCT = ("config", "drivers", "models", "sync", "edge_agent")


def patterns_in(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and text of every string that begins as a pattern of a whole text, and every pattern given to `re`.

    Those with a flag are left out, because `$` has another meaning with MULTILINE; so is `findall`, which cannot take a
    pattern of a whole text.
    """
    flagged = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ("MULTILINE" in ast.unparse(node) or "re.M" in ast.unparse(node))
        for inner in ast.walk(node)
    }
    parts = {id(value) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for value in node.values}
    for node in ast.walk(tree):
        if id(node) in flagged or id(node) in parts:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
        elif isinstance(node, ast.JoinedStr):
            text = "".join(str(each.value) if isinstance(each, ast.Constant) else "x" for each in node.values)
        else:
            continue
        if len(text) > 1 and (text.startswith(("^", r"\A", "(?:^")) or text.endswith("$")):
            yield node.lineno, text


def accepts_line_feed(pattern: str) -> bool:
    """Whether `pattern` has a `$`, which also matches before a line feed at the end."""
    try:
        return re.search(r"(?<!\\)(?:\\\\)*\$(?!\{)", re.sub(r"\[[^\]]*\]", "", pattern)) is not None
    except re.error:
        return False


def test_a_pattern_of_a_whole_text_accepts_no_line_feed_at_its_end() -> None:
    r"""`^…$` accepts "name\n": patterns end with `\Z`, or are used with `fullmatch`."""
    found = [
        f"{module}:{line}: {pattern}"
        for module, text in sources().items()
        if module.split(".")[0] in PRODUCT
        for line, pattern in patterns_in(parsed(text))
        if accepts_line_feed(pattern)
    ]
    assert found == []


def test_patterns_that_accept_a_line_feed_are_found() -> None:
    lines = ("A = '^[a-z]$'", "B = re.compile(r'[0-9]+$')", "C = Meta(pattern=f'^{X}$')", r"D = '^a\\Z'")
    planted = "\n".join((*lines, "E = re.compile('^a$', re.M)"))
    assert [line for line, pattern in patterns_in(ast.parse(planted)) if accepts_line_feed(pattern)] == [1, 2, 3]


def test_commands_print_by_the_function_that_escapes() -> None:
    """Of the platform's commands only `output` writes to a terminal."""
    found = []
    for module, text in sources().items():
        if not module.startswith("sync.") or module in ("sync.platform.commands.output", "sync.terminal.confirmation"):
            continue
        known = names_in(module, parsed(text))
        for node in ast.walk(parsed(text)):
            writes = isinstance(node, ast.Attribute) and ast.unparse(node) in ("sys.stdout.write", "sys.stderr.write")
            if writes or called(node, known) in ("typer.echo", "typer.secho", "click.echo", "print"):
                found.append(f"{module}:{getattr(node, 'lineno', 0)}")
    assert found == []
