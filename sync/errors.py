"""What can go wrong between a box and the city, by what the caller may do about it."""

from __future__ import annotations


class SyncError(Exception):
    """Base of every error of the city link."""


class LinkError(SyncError):
    """The city cannot be reached over this connection; a later one may do."""


class LinkLost(LinkError):
    """The connection ended, fell silent or never came to be: try later."""


class LinkRefused(LinkError):
    """The broker answered that it will not have us; somebody must change something, so try slowly."""


class BrokerUntrusted(LinkError):
    """The broker's certificate is not one we trust; there is no fallback, so try slowly."""


class NoAnswer(SyncError):
    """The question went out and no answer came within its limit."""


class PublishRefused(SyncError):
    """The broker refused one message; `code` is the MQTT 5 reason code (>= 128)."""

    QUOTA_EXCEEDED = 0x97

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{reason} (0x{code:02x})")
        self.code = code
        self.reason = reason


class UnsafeLink(SyncError):
    """These settings would talk without protection, or cannot be used at all; never tried."""


class BadMessage(SyncError):
    """What came over the wire is no message of the contract: count it and go on, trying again changes nothing."""


class StoreFailed(SyncError):
    """The disk did not take or give it; nothing of this call is stored."""
