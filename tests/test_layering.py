"""Imports point down: which room may import which, which file touches which library, and how large a room may be.

Every import is seen: `import a.b`, `from package import module`, and imports inside functions. An exception is named
here with its reason.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ARCHITECTURE = ROOT / "docs" / "architecture.md"
ROOMS = ("config", "drivers", "models", "sync")
PRODUCT = (*ROOMS, "edge_agent")
MOST_FILES, MOST_ROOT_FILES = 16, 8
ROOTS = ("edge_agent", "drivers", "models", "sync", "sync/edge", "sync/platform")

# Folders and files of edge_agent that may import concrete drivers; all others see contracts, values and errors.
CHOOSERS = {
    "edge_agent/box/devices.py": "makes the devices of a box from its settings",
    "edge_agent/calibration/black_body.py": "reads the thermometer alone, without the agent",
    "edge_agent/calibration/view/live.py": "opens camera and thermometer alone, without the agent",
    "edge_agent/calibration/view/sensor.py": "reads recordings of the thermometer",
    "edge_agent/commands/devices.py": "lists, probes, records and simulates devices",
    "edge_agent/commands/prompts.py": "plays prompts without the agent",
    "edge_agent/commands/provision.py": "probes what is plugged in",
    "edge_agent/demo/": "runs the simulated street",
    "edge_agent/doctor/": "examines every device",
    "edge_agent/drill/": "runs a private sentinel in the simulated street",
}
DRIVER_VALUES = {
    "drivers.contract",
    "drivers.errors",
    "drivers.latest",
    "drivers.audio.sound",
    "drivers.audio.sound_file",
    "drivers.readers.errors",
    "drivers.readers.health_code",
}
# The files and folders that may import a library which reaches into the world, or which costs much to load.
LIBRARIES = {
    "aiohttp": {
        "edge_agent/calibration/view/alignment_page.py",
        "edge_agent/demo/supervisor.py",
        "edge_agent/kiosk/",
        "edge_agent/speech/broadcasts/audio_store.py",
        "sync/edge/identity/est_client.py",
        "sync/platform/authority/est.py",
        "sync/platform/fleet/",
        "sync/platform/http_server/",
    },
    "asyncpg": {"sync/platform/records/postgresql_store.py"},
    "cryptography": {
        "edge_agent/doctor/certificates.py",
        "sync/contract/signed.py",
        "sync/edge/identity/",
        "sync/edge/orders/receiver.py",
        "sync/mqtt/peer_certificate.py",
        "sync/platform/authority/",
        "sync/platform/orders/",
        "sync/platform/simulation/",
        "sync/storage/encryption.py",
    },
    "cv2": {
        "drivers/camera/video_capture.py",
        "drivers/simulated/devices/",
        "drivers/simulated/people/",
        "edge_agent/calibration/view/",
        "edge_agent/faces/",
        "models/imaging/",
        "edge_agent/screen/camera_jpeg.py",
        "models/detectors/",
        "models/picture.py",
        "models/recognition/",
    },
    "insightface": {"models/detectors/scrfd.py", "models/recognition/arcface.py"},
    "miniaudio": {"drivers/audio/sound.py", "config/prompts/build.py"},
    "onnxruntime": {"models/session.py"},
    "paho": {"sync/mqtt/paho_client.py"},
    "psutil": {
        "edge_agent/diagnostics/status_report.py",
        "edge_agent/doctor/system.py",
        "sync/platform/simulation/report.py",
    },
    "simplejpeg": {"models/imaging/jpeg.py"},
    "serial": {"drivers/serial_line/open_port.py", "drivers/serial_line/ports.py"},
    "soundfile": {"drivers/audio/sound_file.py"},
    "sqlite3": {
        "edge_agent/doctor/stored.py",
        "edge_agent/faces/register.py",
        "edge_agent/privacy/key_file.py",
        "sync/edge/ledger/",
        "sync/edge/orders/replay_guard.py",
        "sync/storage/",
    },
    "sqlite_utils": {
        "edge_agent/faces/register.py",
        "sync/edge/",
        "sync/platform/authority/registry.py",
        "sync/platform/directory/",
        "sync/platform/orders/",
        "sync/platform/records/",
        "sync/storage/",
    },
    "zxingcpp": {"drivers/readers/qr_camera.py", "sync/platform/authority/sheet.py"},
}
# Every room may import these files and folders: they know no other part of the product.
SHARED = {
    "models.imaging": "a picture is bounded, decoded and examined in the same way for a camera and for a file",
    "sync.id_number": "a number has one check digit at the reader, in an import and in the scan",
    "sync.network_address": "an address is parsed once, in the same way for a camera, a broker and a page",
    "sync.redaction": "a password is hidden in the same way wherever a message is made",
    "sync.storage.text_file": "settings, keys and lists are read in the same way on a box and at the platform",
}
LAZY = {
    "edge_agent/commands/": "one verb loads what it needs alone: --help must not wait for vision or network",
    "sync/platform/commands/": "as above",
    "models/detectors/face.py": "a box loads the detector that it uses",
    "models/detectors/scrfd.py": "insightface takes 1.5 s and 150 MB to load",
    "models/recognition/make_embedders.py": "a box loads the embedding that it uses",
    "sync/platform/records/open_store.py": "asyncpg is an optional extra",
}


@cache
def sources() -> dict[str, Path]:
    """Every Python file of the product by its dotted name; a package has the name of its folder."""
    found = {}
    for path in (each for room in PRODUCT for each in sorted((ROOT / room).rglob("*.py"))):
        if "training" not in path.parts:  # needs torch, is not shipped
            dotted = path.relative_to(ROOT).as_posix().removesuffix(".py").replace("/", ".")
            found[dotted.removesuffix(".__init__")] = path
    return found


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(scope: ast.AST) -> Iterator[str]:
    """The modules that `scope` imports, a `from package import module` as the module."""
    for node in ast.walk(scope):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in sources() else str(node.module)


def is_among(name: str, allowed: dict[str, str] | set[str]) -> bool:
    """Whether `name` is one of the files, or below one of the folders, in `allowed`."""
    return any(name == each or (each.endswith("/") and name.startswith(each)) for each in allowed)


def is_shared(module: str) -> bool:
    return any(module == each or module.startswith(f"{each}.") for each in SHARED)


FILES = [pytest.param(path, id=name_of(path)) for path in sources().values()]


@pytest.mark.parametrize("path", FILES)
def test_rooms_know_nothing_of_each_other(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    known = {module.split(".")[0] for module in imports(tree(path)) if not is_shared(module)} & {*PRODUCT}
    assert room == "edge_agent" or known <= {room}


@pytest.mark.parametrize("path", FILES)
def test_only_the_choosers_see_real_parts(path: Path) -> None:
    seen = {module for module in imports(tree(path)) if module.startswith("drivers.")}
    in_agent = path.relative_to(ROOT).parts[0] == "edge_agent"
    assert not in_agent or is_among(name_of(path), CHOOSERS) or seen <= DRIVER_VALUES


@pytest.mark.parametrize("path", FILES)
def test_foreign_libraries_stay_in_their_place(path: Path) -> None:
    for module in imports(tree(path)):
        library = module.split(".")[0]
        assert library not in LIBRARIES or is_among(name_of(path), LIBRARIES[library]), f"{module} in {name_of(path)}"


@pytest.mark.parametrize("path", FILES)
def test_no_import_hides(path: Path) -> None:
    hidden = [
        module
        for scope in ast.walk(tree(path))
        if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef)
        for module in imports(scope)
    ]
    assert is_among(name_of(path), LAZY) or not hidden
    assert "TYPE_CHECKING" not in path.read_text(encoding="utf-8")


def circle(graph: dict[str, set[str]]) -> list[str]:
    """The nodes of one circle of `graph`, in order; empty where there is none."""
    done: set[str] = set()

    def visit(node: str, trail: list[str]) -> list[str]:
        if node in trail:
            return [*trail[trail.index(node) :], node]
        if node in done:
            return []
        for target in sorted(graph.get(node, ())):
            if found := visit(target, [*trail, node]):
                return found
        done.add(node)
        return []

    return next((found for node in sorted(graph) if (found := visit(node, []))), [])


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_no_circle_of_files() -> None:
    graph = {name: {each for each in imports(tree(path)) if each in sources()} for name, path in sources().items()}
    assert circle(graph) == []


def folders() -> dict[str, set[str]]:
    """Which folder imports which. The folders in a folder are others: the root of a package is not above its rooms."""
    graph: dict[str, set[str]] = defaultdict(set)
    for path in sources().values():
        for module in imports(tree(path)):
            if module in sources() and sources()[module].parent != path.parent:
                graph[name_of(path.parent)].add(name_of(sources()[module].parent))
    return graph


def test_no_circle_of_folders() -> None:
    assert circle(folders()) == []


def rooms_in_the_document() -> dict[str, list[str]]:
    """What each folder may import by docs/architecture.md; a name that ends with `/` includes the folders below."""
    text = ARCHITECTURE.read_text(encoding="utf-8").partition("## Rooms")[2].partition("\n## ")[0]
    rooms = {}
    for row in re.findall(r"^\| (`.*) \|$", text, flags=re.M):
        names, _, allowed = row.split("|")
        for room in re.findall(r"`([\w/]+)`", names):
            listed = re.findall(r"`([\w/]+)`", allowed)
            rooms[room] = [f"edge_agent/{each}" if (ROOT / "edge_agent" / each).is_dir() else each for each in listed]
    return rooms


def test_the_rooms_of_the_document_are_those_of_the_code() -> None:
    rooms = rooms_in_the_document()
    for folder, seen in folders().items():
        room = max((each for each in rooms if f"{folder}/".startswith(each)), key=len)
        allowed = [room, *rooms[room]]
        strange = {
            each
            for each in seen
            if not any(each == name or (name.endswith("/") and f"{each}/".startswith(name)) for name in allowed)
        }
        assert strange == set(), f"{folder} imports what the table of docs/architecture.md does not have"


def test_rooms_can_be_overseen() -> None:
    files = Counter(name_of(path.parent) for path in sources().values())
    assert {folder: count for folder, count in files.items() if count > MOST_FILES} == {}
    assert {folder: files[folder] for folder in ROOTS if files[folder] > MOST_ROOT_FILES} == {}


def figures() -> str:
    """The house in figures: the table of docs/architecture.md."""
    files = Counter(name_of(path.parent) for path in sources().values())
    lines = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in sources().values()}
    functions = {
        f"{node.name}` in `{name_of(path)}": node.end_lineno - node.lineno + 1
        for path in sources().values()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None
    }
    rows = [
        ("Python files of the product", str(len(lines)), ""),
        ("folders", str(len(files)), ""),
        ("most files in a folder", *_largest(files)),
        ("longest file, lines", *_largest(lines)),
        ("longest function, lines", *_largest(functions)),
        ("folder circles", "0" if circle(folders()) == [] else "some", ""),
    ]
    head = "| figure | now | where |\n| --- | --- | --- |\n"
    return head + "".join(f"| {what} | {value} | {where} |\n" for what, value, where in rows)


def _largest(sizes: Mapping[str, int]) -> tuple[str, str]:
    name = min(sizes, key=lambda each: (-sizes[each], each))
    return str(sizes[name]), f"`{name}`"


def test_the_figures_in_the_document_are_those_of_the_code() -> None:
    assert figures() in ARCHITECTURE.read_text(encoding="utf-8"), "run make figures"


def test_one_name_is_one_class() -> None:
    classes = Counter(
        node.name
        for path in sources().values()
        for node in tree(path).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, count in classes.items() if count > 1] == []


@pytest.mark.parametrize("path", FILES)
def test_cancellation_is_not_swallowed(path: Path) -> None:
    """Until Python 3.12 `asyncio.wait_for` forgets a cancellation when what it waits for comes at the same time."""
    if "simulated" not in path.parts:
        assert "asyncio.wait_for(" not in path.read_text(encoding="utf-8"), "use asyncio.timeout"


if __name__ == "__main__":
    text = ARCHITECTURE.read_text(encoding="utf-8")
    before, _, after = re.split(r"(^\| figure \|.*?)(?=^[^|])", text, maxsplit=1, flags=re.M | re.S)
    ARCHITECTURE.write_text(before + figures() + after, encoding="utf-8")
    sys.stdout.write(figures())
