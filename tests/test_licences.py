"""Every shipped part is listed with its licence: in the documents, in a wheelhouse and in the Debian packages."""

from __future__ import annotations

import gzip
import io
import re
import shutil
import subprocess
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from bench import licences
from tests.limits import HANG_S

ROOT = Path(__file__).parents[1]
OTHERS = {
    "one-1.0-py3-none-any.whl": ("License-Expression: MIT", {"one-1.0.dist-info/licenses/LICENSE": "text of one"}),
    "two-2.0-py3-none-any.whl": ("License: Apache 2.0", {"two/ThirdPartyNotices.txt": "text of what is inside"}),
    "shellingham-3.0-py3-none-any.whl": ("Classifier: License", {"shellingham/COPYING": "text of three"}),
}


def write_wheel(folder: Path, file: str, licence: str, texts: dict[str, str]) -> None:
    name, version = file.split("-")[:2]
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / file, "w") as wheel:
        wheel.writestr(f"{name}-{version}.dist-info/METADATA", f"Name: {name}\nVersion: {version}\n{licence}\n")
        wheel.writestr(f"{name}/licensing.py", "code")
        for path, text in texts.items():
            wheel.writestr(path, text)


@pytest.fixture
def wheelhouse(tmp_path: Path) -> Path:
    folder = tmp_path / "wheelhouse"
    for file, (licence, texts) in OTHERS.items():
        write_wheel(folder, file, licence, texts)
    write_wheel(folder, "sentinel_gate-0.1.0-py3-none-any.whl", "License: Apache-2.0", {})
    write_wheel(folder / "recognition", "insightface-2.1-py3-none-any.whl", "Summary: no licence", {})
    for part, package in ((folder, "edge-agent"), (folder / "recognition", "edge-agent-recognition")):
        licences.write_for_wheels(part, package, licences.INSTALLED)
    return folder


def test_the_page_lists_every_part() -> None:
    """Run `make licences` after a change of the lock files or the model packs."""
    page = licences.page()
    assert page == licences.PAGE.read_text(encoding="utf-8")
    locked = {
        found[1]
        for lock in ("requirements.lock", "requirements-recognition.lock")
        for found in re.finditer(r"^([a-z0-9._-]+)==", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE)
    } - {"colorama"}  # for Windows alone
    packs = {pack["name"] for pack in tomllib.loads((ROOT / "models" / "manifest.toml").read_text())["pack"]}
    assert locked | packs == set(re.findall(r"^\| ([a-z0-9._-]+) \|", page, re.MULTILINE)) - {"package", "pack", "---"}


def test_a_wheelhouse_has_the_texts_of_its_wheels(wheelhouse: Path) -> None:
    texts = (wheelhouse / licences.TEXTS).read_text(encoding="utf-8")
    for file, (_, inside) in OTHERS.items():
        assert file in texts
        for name, text in inside.items():
            assert f"--- {name}\n\n{text}\n" in texts
    assert "sentinel_gate" not in texts and "code" not in texts
    assert [line for line in texts.splitlines() if line.startswith("License: ")] == [
        "License: MIT",
        "License: ISC",
        "License: Apache-2.0",
    ]
    assert "no licence file" in (wheelhouse / "recognition" / licences.TEXTS).read_text(encoding="utf-8")


@pytest.mark.parametrize("licence", ["Summary: none", "License: see the file", "License: MIT; but not always"])
def test_a_part_without_a_known_licence_is_named(tmp_path: Path, licence: str) -> None:
    write_wheel(tmp_path, "four-1.0-py3-none-any.whl", licence, {"four/LICENSE": "x"})
    with pytest.raises(licences.LicenceUnknown, match="four"):
        licences.write_for_wheels(tmp_path, "edge-agent", licences.INSTALLED)
    assert not (tmp_path / licences.TEXTS).exists()


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb")
def test_a_debian_package_names_each_wheel_of_others(wheelhouse: Path, tmp_path: Path) -> None:
    shutil.copy(ROOT / ".ci" / "install.sh", wheelhouse)
    built = ["sh", ".ci/deb", "amd64", str(wheelhouse), str(tmp_path / "out")]
    subprocess.run(built, cwd=ROOT, check=True, capture_output=True, timeout=HANG_S)
    for package, wheels in (
        ("edge-agent", list(OTHERS)),
        ("edge-agent-recognition", ["insightface-2.1-py3-none-any.whl"]),
    ):
        [deb] = (tmp_path / "out").glob(f"{package}_*.deb")
        tar = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(deb)], check=True, capture_output=True, timeout=HANG_S)
        with tarfile.open(fileobj=io.BytesIO(tar.stdout)) as tree:
            documents = f"./usr/share/doc/{package}"
            copyright_, texts = (
                tree.extractfile(f"{documents}/{name}") for name in ("copyright", f"{licences.TEXTS}.gz")
            )
            assert copyright_ is not None and texts is not None
            stanzas, every = copyright_.read().decode(), gzip.decompress(texts.read()).decode()
        assert stanzas.index("Files: *") == stanzas.index("Files: ")
        for wheel in wheels:
            assert re.search(rf"^Files: \S+/{re.escape(wheel)}\nCopyright: .+\nLicense: .+$", stanzas, re.MULTILINE)
            assert wheel in every
