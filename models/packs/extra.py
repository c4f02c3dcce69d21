"""The optional extra `recognition`: insightface and its dependencies."""

from __future__ import annotations

from importlib.util import find_spec

from models.errors import ExtraMissing

RECOGNITION = "recognition"
_PACKAGES = {RECOGNITION: "insightface"}


def has_extra(extra: str) -> bool:
    """Whether the extra is installed, without importing it."""
    return find_spec(_PACKAGES[extra]) is not None


def check_extra(extra: str, what: str) -> None:
    """Raise ExtraMissing where `what` needs the extra and it is not installed."""
    if not has_extra(extra):
        raise ExtraMissing(
            f"{what}: 需要选装组件 {extra}，本机未安装，请运行 sudo edge-agent install --with {extra} --apply；"
            f" needs the extra {extra}, which is not installed: sudo edge-agent install --with {extra} --apply"
        )
