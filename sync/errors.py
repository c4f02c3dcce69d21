"""Exceptions of the link between a box and the platform. Each class says what the caller may do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar, overload

E = TypeVar("E", bound=BaseException)


class SyncError(Exception):
    """Base class of every exception of this package."""


class LinkError(SyncError):
    """This connection cannot be used; retry with a new connection."""


class LinkLost(LinkError):
    """The connection failed, timed out or was closed; retry later."""


class LinkRefused(LinkError):
    """The broker rejected the connection or a request; retry at a low rate until its configuration is changed."""


class DuplicateDevice(LinkError):
    """Another device is connected under the name of this box (a cloned SD card); wait several minutes, then retry."""


class BrokerUntrusted(LinkError):
    """The certificate of the broker is not trusted; retry at a low rate, never without verification."""


class AuthorityUntrusted(LinkError):
    """The enrolment server and this box do not accept each other's certificates; nothing was sent. Do not retry."""


class EnrolmentRefused(SyncError):
    """The authority refuses a certificate permanently; do not retry until `reason` has been resolved."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}: {remedy}")
        self.reason = reason


class EnrolmentPending(SyncError):
    """An operator must approve the request, or a rate limit applies; retry after `retry_after_s` with the same key."""

    def __init__(self, message: str, retry_after_s: float = 30.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NoAnswer(SyncError):
    """A request was sent and its answer timed out; the caller may ask again."""


class PublishRefused(SyncError):
    """The broker refused one message; retry only for QUOTA_EXCEEDED. `code` is the MQTT 5 reason code (>= 128)."""

    QUOTA_EXCEEDED = 0x97

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{reason} (0x{code:02x})")
        self.code = code
        self.reason = reason


class MessageTooLarge(PublishRefused):
    """The message was not sent, because the broker accepts only smaller packets: divide it, or retry at a low rate."""

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            0x95,
            f"消息有 {size_bytes} 字节，broker 只接受 {limit_bytes} 字节：请调大 broker 的 max_packet_size。"
            f" The message has {size_bytes} bytes and the broker accepts {limit_bytes}: raise its max_packet_size",
        )


class UnsafeLink(SyncError):
    """The settings are unprotected or invalid; no connection was attempted. Do not retry until they are changed."""


class BadMessage(SyncError):
    """A received message violates the contract; count it, drop it and continue. Retrying does not help."""


class OrderRefused(SyncError):
    """The order is rejected; drop it. `version` is the version of the order, None if its signature is invalid."""

    def __init__(self, reason: str, version: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.version = version


class BadSignature(OrderRefused):
    """The signature is not from the platform; ignore the content."""


class OrderForAnother(OrderRefused):
    """The order was signed for another box, district or channel; drop it."""


class OrderEarly(OrderRefused):
    """The order is not valid yet according to the local clock; drop it."""


class OrderExpired(OrderRefused):
    """The order has expired according to the local clock; drop it."""


class OrderTooLong(OrderRefused):
    """The order is valid for longer than its kind allows; drop it."""


class OrderReplayed(OrderRefused):
    """The order was carried out before; do not carry it out again."""


class OrderOlder(OrderRefused):
    """A newer order of this kind was accepted before; keep the newer one."""


class OrderUnfit(OrderRefused):
    """The order is authentic and in time, but this box cannot carry it out; report the reason to the platform."""


class StoreFailed(SyncError):
    """Reading or writing the disk failed; nothing of this call was stored. The caller may retry."""


class StoreFull(StoreFailed):
    """The disk is full; free some space, then retry."""


class DamagedFile(StoreFailed):
    """A file is damaged, emptied or older than it was; the next start sets a database aside."""


class WrongKey(StoreFailed):
    """The file is encrypted with another key and was not changed; restore the key or set the file aside."""


class DecryptionFailed(StoreFailed):
    """One stored value was changed, moved or encrypted with another key; skip it. Other values are not affected."""


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
