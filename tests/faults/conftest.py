"""Fixtures of the fault suite."""

from tests.sync.conftest import broker

__all__ = ["broker"]
