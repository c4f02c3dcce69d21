"""Imports point down: who may know whom, and which file touches which part of the world."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("config", "drivers", "models", "sync")
CHOOSERS = {
    "edge_agent/app.py",
    "edge_agent/box/devices.py",
    "edge_agent/demo/supervisor.py",
    "edge_agent/commands/cli.py",
    "edge_agent/calibration/black_body.py",
    "edge_agent/commands/devices.py",
    "edge_agent/commands/prompts.py",
    "edge_agent/commands/provision.py",
    "edge_agent/calibration/view/live.py",
    "edge_agent/calibration/view/sensor.py",
}
CHOOSING_PACKAGES = ("edge_agent/doctor/", "edge_agent/drill/")
# A library that reaches into the world is imported in these files alone.
WORLD = {
    "serial": {"drivers/serial_line/open_port.py", "drivers/serial_line/ports.py"},
    "asyncpg": {"sync/platform/records/postgresql_store.py"},
    "paho": {"sync/mqtt/paho_client.py"},
    "onnxruntime": {"models/session.py"},
    "insightface": {"models/detectors/scrfd.py"},
    "miniaudio": {"drivers/audio/sound.py", "config/prompts/build.py"},
    "soundfile": {"drivers/audio/opus.py"},
    "zxingcpp": {"drivers/readers/qr_camera.py", "sync/platform/authority/sheet.py"},
}
LAZY = {
    "models/detectors/face.py",
    "models/detectors/scrfd.py",
    "sync/platform/records/open_store.py",
}  # and the command lines, one import a verb


def sources() -> list[Path]:
    return [
        path
        for room in (*ROOMS, "edge_agent")
        for path in sorted((ROOT / room).rglob("*.py"))
        if "training" not in path.parts
    ]


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_rooms_know_nothing_of_each_other(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    if room == "edge_agent":
        return
    known = {module.split(".")[0] for module in imports(ast.parse(path.read_text(encoding="utf-8")))}
    assert not known & ({*ROOMS, "edge_agent"} - {room})


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_only_the_choosers_see_real_parts(path: Path) -> None:
    chooser = name_of(path) in CHOOSERS or name_of(path).startswith(CHOOSING_PACKAGES)
    if path.relative_to(ROOT).parts[0] != "edge_agent" or chooser:
        return
    seen = {module for module in imports(ast.parse(path.read_text(encoding="utf-8"))) if module.startswith("drivers.")}
    values = {"drivers.contract", "drivers.errors", "drivers.latest", "drivers.audio.sound"} | {
        "drivers.readers.errors",
        "drivers.readers.health_code",
        "drivers.readers.id_number",
    }
    assert seen <= values


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_foreign_libraries_stay_in_their_file(path: Path) -> None:
    for module in imports(ast.parse(path.read_text(encoding="utf-8"))):
        library = module.split(".")[0]
        assert library not in WORLD or name_of(path) in WORLD[library], f"{module} in {name_of(path)}"


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_no_import_hides(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    hidden = [
        node.lineno
        for scope in ast.walk(tree)
        if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(scope)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert name_of(path) in LAZY or path.name == "cli.py" or path.parent.name == "commands" or not hidden
    assert "TYPE_CHECKING" not in path.read_text(encoding="utf-8")


def test_no_circles() -> None:
    graph = {}
    for path in sources():
        module = name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        graph[module] = set(imports(ast.parse(path.read_text(encoding="utf-8"))))
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail, module))
        if module in done or module not in graph:
            return
        for target in graph[module]:
            visit(target, (*trail, module))
        done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_nobody_swallows_the_order_to_end(path: Path) -> None:
    """Until Python 3.12 `asyncio.wait_for` forgets that it was cancelled when what it waits for comes just then."""
    if "simulated" not in path.parts:
        assert "asyncio.wait_for(" not in path.read_text(encoding="utf-8"), "use asyncio.timeout"
