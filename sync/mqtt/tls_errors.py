"""What went wrong in a TLS handshake, by cause and remedy, in the words of whoever has to mend it."""

from __future__ import annotations

import ssl

# What we hold against the other end's certificate, by OpenSSL's X509_V_ERR numbers.
_UNKNOWN_AUTHORITY = (
    "对方证书不是本机信任的机构签发的：请核对 CA 文件。 Its certificate is not signed by the authority that we trust:"
    " check the CA file"
)
_OTHER_NAME = (
    "证书上的名称与所连地址不符：请核对地址。 Its certificate is for another name than the address: check the address"
)
_NO_CERTIFICATE = "对方要求出示证书：请先登记本机。 It asks for a certificate and we have none: enrol this box"
_VERDICTS = {
    9: "对方证书尚未生效：请检查本机时钟。 Its certificate is not valid yet: check this machine's clock",
    10: "对方证书已过期：请检查本机时钟，或更换对方证书。"
    " Its certificate has expired: check this machine's clock, or renew it there",
    18: _UNKNOWN_AUTHORITY,
    19: _UNKNOWN_AUTHORITY,
    20: _UNKNOWN_AUTHORITY,
    21: _UNKNOWN_AUTHORITY,
    23: "对方证书已被吊销。 Its certificate was revoked",
    62: _OTHER_NAME,
    64: _OTHER_NAME,
}
# What the other end holds against ours, by the alert that it sent (OpenSSL's names, in the spellings of its versions).
_ALERTS = {
    "UNKNOWN_CA": "对方不认识签发本机证书的机构：请重新登记本机。"
    " It does not know the authority that signed our certificate: enrol this box anew",
    "CERTIFICATE_EXPIRED": "本机证书已过期：请检查时钟，或更新证书。"
    " Our certificate has expired: check the clock, or renew it",
    "CERTIFICATE_REVOKED": "本机证书已被吊销：请联系平台。 Our certificate was revoked: ask the platform",
    "CERTIFICATE_REQUIRED": _NO_CERTIFICATE,
    "HANDSHAKE_FAILURE": _NO_CERTIFICATE,
    "UNSUPPORTED_CERTIFICATE": "本机证书不是设备证书：请核对证书文件。"
    " Our certificate is not one of a client: check the certificate files",
    "BAD_CERTIFICATE": "对方不接受本机证书：请检查时钟，或重新登记本机。"
    " It does not accept our certificate: check the clock, or enrol this box anew",
}
_PLAINTEXT = "对方没有使用 TLS：请核对端口。 It does not speak TLS: check the port"


def describe(exc: ssl.SSLError) -> str:
    """One sentence on `exc`, Chinese and English, with OpenSSL's own words behind it where they say more."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        words = exc.verify_message or str(exc)
        return f"{_VERDICTS[exc.verify_code]} ({words})" if exc.verify_code in _VERDICTS else words
    reason = exc.reason or ""
    for alert, sentence in _ALERTS.items():
        if reason.endswith(f"ALERT_{alert}"):
            return f"{sentence} ({reason})"
    if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"):
        return f"{_PLAINTEXT} ({reason})"
    return str(exc)


def rejects_our_certificate(exc: ssl.SSLError) -> bool:
    """Whether the other end refused our certificate, and not we theirs."""
    return any((exc.reason or "").endswith(f"ALERT_{alert}") for alert in _ALERTS)
