"""Orders with an Ed25519 signature, so that an attacker who controls the broker cannot issue orders.

The signed bytes are sent unchanged, so that no canonical JSON is needed.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, ClassVar, TypeVar, cast

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from msgspec import Meta

from sync.contract.decoding import decoded
from sync.contract.health import Instant
from sync.contract.messages import Nonce, Version
from sync.contract.orders import ORDER_TYPES, Command, OrderBody
from sync.errors import BadMessage, BadSignature, OrderEarly, OrderExpired, OrderForAnother, OrderTooLong
from sync.storage.text_file import read_pem

_DOMAIN = b"sentinel/v1 order\n"  # domain separation: the signature is not valid for any other purpose
_LEEWAY = timedelta(seconds=60)  # allowed difference between the clocks of a box and the platform
_LONGEST = {Command.TYPE: timedelta(seconds=30)}
OrderKey = Ed25519PublicKey  # verifies orders
T = TypeVar("T", bound=OrderBody)


class Order(msgspec.Struct, frozen=True):
    """The signed content: an order of `kind` for topic `to`; `version` grows with each order of a kind to a topic."""

    kind: str
    to: str
    version: Version
    not_before: Instant
    expires: Instant
    nonce: Nonce
    body: msgspec.Raw

    def content(self, kind: type[T]) -> T:
        """The body, which must be of `kind`. Raises BadMessage, which does not quote it."""
        if self.kind != kind.TYPE:
            raise BadMessage(f"order: {kind.TYPE} is expected here")
        return cast(T, decoded(self.kind, _BODIES[self.kind], self.body))


_ORDER = msgspec.json.Decoder(Order)
_BODIES = {name: msgspec.json.Decoder(kind) for name, kind in ORDER_TYPES.items()}


class Signed(msgspec.Struct, frozen=True):
    """An order on the wire: the JSON of an Order exactly as it was signed, and the signature in hex."""

    TYPE: ClassVar[str] = "sentinel.signed"

    order: msgspec.Raw
    signature: Annotated[str, Meta(pattern=r"^[0-9a-f]{128}\Z")]


def sign(
    body: OrderBody, key: Ed25519PrivateKey, *, to: str, version: int, not_before: datetime, expires: datetime
) -> Signed:
    """Sign `body` as an order for the topic `to`, with a random nonce."""
    content = msgspec.Raw(msgspec.json.encode(body))
    order = msgspec.json.encode(
        Order(body.TYPE, to, version, not_before, expires, secrets.token_hex(16), content),
    )
    return Signed(msgspec.Raw(order), key.sign(_DOMAIN + order).hex())


def verify(signed: Signed, key: Ed25519PublicKey, *, at: str, now: datetime) -> Order:
    """Return the order if it is valid at `now` for the topic `at` on which it was received.

    Replays are not detected here. Raises BadSignature, OrderForAnother, OrderEarly, OrderExpired, OrderTooLong,
    BadMessage.
    """
    order = authenticate(signed, key, at=at)
    check_time(order, now)
    return order


def authenticate(signed: Signed, key: Ed25519PublicKey, *, at: str) -> Order:
    """Return the order if the platform signed it for the topic `at`; `check_time` says whether it is valid now.

    Raises BadSignature, OrderForAnother, OrderTooLong, BadMessage.
    """
    body = bytes(signed.order)
    try:
        key.verify(bytes.fromhex(signed.signature), _DOMAIN + body)
    except InvalidSignature as exc:
        raise BadSignature("invalid signature") from exc
    order = decoded("order", _ORDER, body)
    if order.to != at:
        raise OrderForAnother("signed for another topic", order.version)
    if order.expires - order.not_before > _LONGEST.get(order.kind, timedelta.max):
        raise OrderTooLong("valid for too long", order.version)
    return order


def check_time(order: Order, now: datetime) -> None:
    """Raises OrderEarly, OrderExpired."""
    if now + _LEEWAY < order.not_before:
        raise OrderEarly("early", order.version)
    if now - _LEEWAY > order.expires:
        raise OrderExpired("expired", order.version)


def read_public_key(path: Path) -> Ed25519PublicKey:
    """The platform's Ed25519 public key (PEM). Raises OSError, ValueError."""
    try:
        key = load_pem_public_key(read_pem(path))
    except UnsupportedAlgorithm as exc:
        raise ValueError("not an Ed25519 public key") from exc
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("not an Ed25519 public key")  # noqa: TRY004 - the file's content, not a type of ours
    return key


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """The platform's Ed25519 private key (PEM, not encrypted). Raises OSError, ValueError."""
    try:
        key = load_pem_private_key(read_pem(path), password=None)
    except (UnsupportedAlgorithm, TypeError) as exc:
        raise ValueError("not an unencrypted Ed25519 private key") from exc
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("not an unencrypted Ed25519 private key")  # noqa: TRY004 - the file's content, not a type of ours
    return key
