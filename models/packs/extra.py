"""The extra `recognition`: insightface and what it brings, which a plain box does not carry."""

from __future__ import annotations

from importlib.util import find_spec

from models.errors import ExtraMissing

RECOGNITION = "recognition"
_PACKAGES = {RECOGNITION: "insightface"}


def has_extra(extra: str) -> bool:
    """Whether that extra is installed; nothing of it is imported."""
    return find_spec(_PACKAGES[extra]) is not None


def check_extra(extra: str, what: str) -> None:
    """Raises ExtraMissing where `what` needs the extra and it is not installed."""
    if not has_extra(extra):
        raise ExtraMissing(
            f"{what}: 需要选装组件 {extra}，本机未安装，请运行 sudo edge-agent install --with {extra} --apply；"
            f" needs the extra {extra}, which is not installed: sudo edge-agent install --with {extra} --apply"
        )
