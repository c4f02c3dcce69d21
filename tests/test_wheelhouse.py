"""The script that collects the packages of a box."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.limits import HANG_S

SCRIPT = Path(__file__).parents[1] / ".ci" / "wheelhouse"


@pytest.mark.parametrize(
    ("architecture", "compiler", "hint"),
    [
        ("arm64", "exit 127", "apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross"),
        (
            "arm64",
            "echo 'stdio.h: No such file' >&2; exit 1",
            "apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
        ),
        ("arm64", "exit 0", "no network here"),
        ("amd64", "", "no network here"),
        ("riscv", "", "ARCH is amd64 or arm64, not riscv"),
    ],
    ids=["no compiler", "no headers", "both", "no need", "another"],
)
def test_what_is_missing_is_said_before_anything_is_fetched(
    tmp_path: Path, architecture: str, compiler: str, hint: str
) -> None:
    tools = {"python": "echo 'no network here' >&2; exit 9"} | ({"aarch64-linux-gnu-gcc": compiler} if compiler else {})
    for name, body in tools.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    ended = subprocess.run(
        ["sh", str(SCRIPT), str(tmp_path / "python"), architecture, str(tmp_path / "out")],
        cwd=SCRIPT.parents[1],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert ended.returncode != 0
    assert hint in ended.stderr
