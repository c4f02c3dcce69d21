"""What can go wrong between a box and the city, by what the caller may do about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar, overload

E = TypeVar("E", bound=BaseException)


class SyncError(Exception):
    """Base of every error of the city link."""


class LinkError(SyncError):
    """The city cannot be reached over this connection; a later one may do."""


class LinkLost(LinkError):
    """The connection ended, fell silent or never came to be: try later."""


class LinkRefused(LinkError):
    """The broker answered that it will not have us; somebody must change something, so try slowly."""


class DuplicateDevice(LinkError):
    """Another device speaks under our name, as a copied card does; taking the line from it at once helps nobody."""


class BrokerUntrusted(LinkError):
    """The broker's certificate is not one we trust; there is no fallback, so try slowly."""


class AuthorityUntrusted(LinkError):
    """The server of the authority is not the one the sheet names, or we are not the box it knows; nothing was sent."""


class EnrolmentRefused(SyncError):
    """The authority gives no certificate, and will not as things are; `reason` says what must change."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}: {remedy}")
        self.reason = reason


class EnrolmentPending(SyncError):
    """No certificate yet, an operator or a limit is in between: ask again `retry_after_s` later, with the same key."""

    def __init__(self, message: str, retry_after_s: float = 30.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


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


class OrderRefused(SyncError):
    """An order that will not be carried out, and never will be as it is; `version` None: it proved nothing."""

    def __init__(self, reason: str, version: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.version = version


class BadSignature(OrderRefused):
    """It is not the platform's: nothing in it is believed."""


class OrderForAnother(OrderRefused):
    """It was signed for another box, district or channel."""


class OrderEarly(OrderRefused):
    """Its time has not come, by this clock."""


class OrderExpired(OrderRefused):
    """Its time is over, by this clock."""


class OrderTooLong(OrderRefused):
    """It would stay valid for longer than its kind may."""


class OrderReplayed(OrderRefused):
    """It was carried out before."""


class OrderOlder(OrderRefused):
    """A newer one of its kind was taken before."""


class OrderUnfit(OrderRefused):
    """It is the platform's and in time, but what it says does not fit this box."""


class StoreFailed(SyncError):
    """The disk did not take or give it; nothing of this call is stored."""


class StoreFull(StoreFailed):
    """There is no room on the disk; room must be made, then it may be tried again."""


class WrongKey(StoreFailed):
    """The file is sealed with another key. It was not changed: bring the key back, or set the file aside."""


class DecryptionFailed(StoreFailed):
    """One stored value is not what was sealed there: it is not believed, and the others are as good as before."""


@overload
def leaf_exceptions(exc: BaseExceptionGroup[E]) -> Iterator[E]: ...


@overload
def leaf_exceptions(exc: BaseException) -> Iterator[BaseException]: ...


def leaf_exceptions(exc: BaseException) -> Iterator[BaseException]:
    """`exc` itself, or every exception inside a group, however deeply groups are nested."""
    if isinstance(exc, BaseExceptionGroup):
        for inner in exc.exceptions:
            yield from leaf_exceptions(inner)
    else:
        yield exc
