"""Messages for failed TLS handshakes, with cause and remedy."""

from __future__ import annotations

import ssl

# Why the certificate of the peer is rejected, by OpenSSL's X509_V_ERR numbers.
_UNKNOWN_AUTHORITY = (
    "对方证书不是本机信任的机构签发的：请核对 CA 文件。 The peer's certificate is not signed by a trusted authority:"
    " check the CA file"
)
_OTHER_NAME = (
    "证书上的名称与所连地址不符：请核对地址。 The peer's certificate does not match the host name: check the address"
)
_NO_CERTIFICATE = "对方要求出示证书：请先登记本机。 The peer requires a client certificate: enrol this box"
_VERDICTS = {
    9: "对方证书尚未生效：请检查本机时钟。 The peer's certificate is not valid yet: check the clock of this machine",
    10: "对方证书已过期：请检查本机时钟，或更换对方证书。"
    " The peer's certificate has expired: check the clock of this machine, or renew the certificate of the peer",
    18: _UNKNOWN_AUTHORITY,
    19: _UNKNOWN_AUTHORITY,
    20: _UNKNOWN_AUTHORITY,
    21: _UNKNOWN_AUTHORITY,
    23: "对方证书已被吊销。 The peer's certificate was revoked",
    62: _OTHER_NAME,
    64: _OTHER_NAME,
}
# Why the peer rejects our certificate, by the alert that it sent (OpenSSL's names, with the spellings of its versions).
_ALERTS = {
    "UNKNOWN_CA": "对方不认识签发本机证书的机构：请重新登记本机。"
    " The peer does not know the authority that signed our certificate: enrol this box again",
    "CERTIFICATE_EXPIRED": "本机证书已过期：请检查时钟，或更新证书。"
    " Our certificate has expired: check the clock, or renew it",
    "CERTIFICATE_REVOKED": "本机证书已被吊销：请联系平台。 Our certificate was revoked: contact the platform",
    "CERTIFICATE_REQUIRED": _NO_CERTIFICATE,
    "HANDSHAKE_FAILURE": _NO_CERTIFICATE,
    "UNSUPPORTED_CERTIFICATE": "本机证书不是设备证书：请核对证书文件。"
    " Our certificate is not a client certificate: check the certificate files",
    "BAD_CERTIFICATE": "对方不接受本机证书：请检查时钟，或重新登记本机。"
    " The peer does not accept our certificate: check the clock, or enrol this box again",
}
_PLAINTEXT = "对方没有使用 TLS：请核对端口。 The peer does not use TLS: check the port"


def describe(exc: ssl.SSLError) -> str:
    """Describe `exc` in Chinese and English, followed by OpenSSL's message in parentheses."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        message = exc.verify_message or str(exc)
        return f"{_VERDICTS[exc.verify_code]} ({message})" if exc.verify_code in _VERDICTS else message
    reason = exc.reason or ""
    for alert, sentence in _ALERTS.items():
        if reason.endswith(f"ALERT_{alert}"):
            return f"{sentence} ({reason})"
    if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"):
        return f"{_PLAINTEXT} ({reason})"
    return str(exc)


def rejects_our_certificate(exc: ssl.SSLError) -> bool:
    """Whether the peer rejected our certificate (False: we rejected the certificate of the peer)."""
    return any((exc.reason or "").endswith(f"ALERT_{alert}") for alert in _ALERTS)
