"""Explains why the certificate of a broker was not accepted, by reading it without trusting it."""

from __future__ import annotations

import socket
import ssl

from cryptography import x509

from sync.mqtt.broker_address import BrokerAddress
from sync.mqtt.tls_errors import describe

_LIMIT_S = 5.0
_NO_ISSUER = {20, 21}  # X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE
_NAMES = {62, 64}  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH


def explain(exc: ssl.SSLError, broker: BrokerAddress) -> str:
    """As `describe`, and what the certificate lacks: its issuer or its names. Connects once more; blocks up to 10 s."""
    if not isinstance(exc, ssl.SSLCertVerificationError) or broker.tls is None:
        return describe(exc)
    found = ""
    if exc.verify_code in _NO_ISSUER | _NAMES and (chain := _sent_chain(broker.host, broker.port)):
        found = _missing_issuer(chain, broker.tls) if exc.verify_code in _NO_ISSUER else _names(chain[0])
    return f"{found} ({exc.verify_message})" if found else describe(exc)


def _sent_chain(host: str, port: int) -> list[x509.Certificate]:
    """The certificates that the peer sends, its own first; before Python 3.13 only its own; [] where it sends none.

    No client certificate is shown, and nothing is sent over this connection.
    """
    reading = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    reading.check_hostname = False
    reading.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), timeout=_LIMIT_S) as plain,
            reading.wrap_socket(plain, server_hostname=host) as secure,
        ):
            chain = getattr(secure, "get_unverified_chain", lambda: [secure.getpeercert(binary_form=True)])()
            return [x509.load_der_x509_certificate(der) for der in chain if der]
    except (OSError, ValueError):
        return []


def _missing_issuer(chain: list[x509.Certificate], trusting: ssl.SSLContext) -> str:
    """The authority from which on the chain is incomplete; "" if the CA file has one of that name."""
    last = chain[-1]
    trusted = {x509.load_der_x509_certificate(der).subject for der in trusting.get_ca_certs(binary_form=True)}
    if last.issuer in trusted or last.issuer == last.subject:
        return ""
    name = last.issuer.rfc4514_string()
    return (
        f"对方证书不是本机信任的机构签发的：签发者是“{name}”，从它到 CA 文件中的机构，证书链不全。"
        "若它是中间机构，请把它的证书接在 broker 的证书文件后面；否则请核对 CA 文件。"
        f" The peer's certificate is not signed by a trusted authority: it is issued by {name!r}, and the chain"
        " from there to the CA file is incomplete. If that is an intermediate authority, append its certificate to the"
        " broker's certificate file; otherwise check the CA file"
    )


def _names(certificate: x509.Certificate) -> str:
    """That the certificate names no host, or which it names."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return (
            "对方证书没有 subjectAltName，没有写明主机名：请重新签发，写明 DNS 名称或 IP 地址。"
            " The peer's certificate has no subjectAltName, so it names no host: issue it again with its DNS name or IP"
            " address; a common name is not enough"
        )
    listed = ", ".join([*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))])
    return (
        f"证书上的名称是 {listed}，与所连地址不符：请核对地址。"
        f" The peer's certificate is for {listed}, which does not match the host name: check the address"
    )
