"""The protocol of enrolment between a box and the authority: EST (RFC 7030) and the invitation."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import parse_qs, quote, urlencode

from sync.errors import EnrolmentRefused
from sync.network_address import BadAddress, ServerAddress

PATH = "/.well-known/est"
CACERTS = f"{PATH}/cacerts"
SIMPLEENROLL = f"{PATH}/simpleenroll"
SIMPLEREENROLL = f"{PATH}/simplereenroll"

REQUEST_TYPE = "application/pkcs10"
ANSWER_TYPE = "application/pkcs7-mime"
REASON_HEADER = "Sentinel-Reason"
BODY_LIMIT_BYTES = 16_384

SERIAL_PATTERN = "[A-Za-z0-9._-]{1,64}"
_SERIAL = re.compile(SERIAL_PATTERN)
_TOKEN = re.compile("[A-Z2-7]{20}")
_EST_PORTS = {"https": 443}
_FINGERPRINT = re.compile("[0-9a-f]{64}")
_SCHEME = "sentinel"


class RejectionReason(StrEnum):
    """Why the authority refuses a request; `REMEDIES` has one message for each."""

    TOKEN_UNKNOWN = "token_unknown"  # noqa: S105 - a reason, not a secret
    TOKEN_USED = "token_used"  # noqa: S105
    TOKEN_EXPIRED = "token_expired"  # noqa: S105
    TOKEN_OTHER_SERIAL = "token_other_serial"  # noqa: S105
    BAD_REQUEST = "bad_request"
    OTHER_NAME = "other_name"
    NO_CERTIFICATE = "no_certificate"
    CERTIFICATE_TOO_OLD = "certificate_too_old"
    SAME_KEY = "same_key"
    REVOKED = "revoked"
    TOO_MANY = "too_many"


REMEDIES: dict[RejectionReason, str] = {
    RejectionReason.TOKEN_UNKNOWN: "口令不对：请核对口令单。 The token is unknown: check the enrolment sheet.",
    RejectionReason.TOKEN_USED: "口令已被另一台设备用过：请让平台另发一张，并查明是谁用的。"
    " The token was used by another key: ask for a new one, and find out who used it.",
    RejectionReason.TOKEN_EXPIRED: "口令已过期：请让平台另发一张。 The token has expired: ask for a new one.",
    RejectionReason.TOKEN_OTHER_SERIAL: "口令是给另一台设备的：请用与本机序列号相符的口令单。"
    " The token is for another serial number: use the sheet with the serial number of this box.",
    RejectionReason.BAD_REQUEST: "证书请求无效：请升级软件后重试。"
    " The certificate request is not valid: update the software.",
    RejectionReason.OTHER_NAME: "证书请求中的名称与本机不符。 The certificate request names another box.",
    RejectionReason.NO_CERTIFICATE: "没有出示证书：请用口令重新登记。"
    " Renewal needs the certificate of the box: enrol again with a token.",
    RejectionReason.CERTIFICATE_TOO_OLD: "证书过期太久：请用新口令重新登记。"
    " The certificate expired too long ago: enrol again with a new token.",
    RejectionReason.SAME_KEY: "换证须用新密钥：请升级软件。 A renewal needs a new key: update the software.",
    RejectionReason.REVOKED: "本机已被平台吊销：请联系平台。 This box was revoked: contact the platform.",
    RejectionReason.TOO_MANY: "请求过多：稍后自动重试；若持续出现，请告知平台。"
    " Too many requests from this address or for this serial number: retrying automatically; if this persists, contact"
    " the platform.",
}


def refusal(reason: RejectionReason) -> EnrolmentRefused:
    """The exception for `reason`, with its remedy."""
    return EnrolmentRefused(reason, REMEDIES[reason])


def check_serial(serial: str) -> str:
    """Return `serial`; ValueError when it is not valid in a request."""
    if not _SERIAL.fullmatch(serial):
        raise ValueError(f"a serial must match {SERIAL_PATTERN}, not {serial!r}")
    return serial


def read_token(typed: str) -> str:
    """Parse a typed token, which may contain spaces, hyphens and lower case; ValueError when it is not valid."""
    token = re.sub(r"[\s-]", "", typed).upper()
    if not _TOKEN.fullmatch(token):
        raise ValueError("口令应为 20 个字符（A-Z、2-7）。 A token has 20 characters of A-Z and 2-7")
    return token


def to_basic(serial: str, token: str) -> str:
    """Authorization header with serial and token (HTTP Basic, RFC 7617)."""
    return "Basic " + base64.b64encode(f"{serial}:{token}".encode()).decode()


def from_basic(header: str) -> tuple[str, str]:
    """Serial and token from an Authorization header; ValueError when it does not contain them."""
    scheme, _, coded = header.partition(" ")
    serial, colon, token = base64.b64decode(coded, validate=True).decode().partition(":")
    if scheme.lower() != "basic" or not colon:
        raise ValueError("not an HTTP Basic Authorization header")
    return check_serial(serial), read_token(token)


@dataclass(frozen=True, slots=True)
class Invitation:
    """The enrolment sheet of a box: address of the authority, serial, token, and SHA-256 of the root certificate.

    `str()` and `parse()` convert to and from the text of the QR code.
    """

    url: str  # https://host:port of the authority
    serial: str
    token: str = field(repr=False)
    ca_sha256: str  # hex, of the root certificate's DER

    def __post_init__(self) -> None:
        check_serial(self.serial)
        check_est_url(self.url)
        if not _TOKEN.fullmatch(self.token):
            raise ValueError("the token must be 20 characters of A-Z and 2-7")
        if not _FINGERPRINT.fullmatch(self.ca_sha256):
            raise ValueError("the fingerprint of the authority must be 64 hex digits")

    def __str__(self) -> str:
        query = urlencode({"serial": self.serial, "token": self.token, "ca": self.ca_sha256}, quote_via=quote)
        return f"{_SCHEME}://{check_est_url(self.url).partition('://')[2]}/?{query}"

    @classmethod
    def parse(cls, text: str) -> Invitation:
        """The invitation in the text of a QR code; ValueError when the text is not one."""
        scheme, _, rest = text.strip().partition("://")
        authority, _, query = rest.replace("/?", "?", 1).partition("?")
        fields = parse_qs(query)
        if scheme != _SCHEME or not {"serial", "token", "ca"} <= set(fields):
            raise ValueError("这不是登记用的二维码。 This is not the QR code of an enrolment sheet")
        return cls(f"https://{authority}", fields["serial"][0], fields["token"][0], fields["ca"][0])


def check_est_url(url: str) -> str:
    """`url` without a trailing slash; ValueError unless it is https://host or https://host:port."""
    est_host(url)
    return url.removesuffix("/")


def est_host(url: str) -> str:
    """The host of the authority at `url`; ValueError as above."""
    try:
        return ServerAddress.parse(url, _EST_PORTS).at.host
    except BadAddress as exc:
        raise ValueError(f"登记地址 the address of the authority must be https://host:port: {exc}") from exc
