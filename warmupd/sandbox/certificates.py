"""Certificates of the sandbox: an own authority, used once and forgotten, and one leaf for the loopback names."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = timedelta(days=30)
_SKEW = timedelta(days=1)  # valid since yesterday, for clients whose clock is behind


@dataclass(frozen=True, kw_only=True, slots=True)
class Certificates:
    """PEM files in the sandbox's folder. Clients trust `ca_file`; the server shows `chain_file` with `key_file`."""

    ca_file: Path
    chain_file: Path
    key_file: Path


def issue_certificates(folder: Path, domains: Iterable[str], *, now: datetime) -> Certificates:
    """Write a fresh authority and a leaf for localhost, 127.0.0.1 and mail.<domain> of each of `domains`.

    The authority's private key is never written: nothing else can ever be signed with it.
    """
    ca_key, leaf_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = _name("warmupd sandbox authority")
    ca = _authority(ca_name, ca_key, now)
    leaf = _leaf(_host_names(domains), leaf_key, ca, ca_key, now)
    files = Certificates(
        ca_file=folder / "ca.pem", chain_file=folder / "server.pem", key_file=folder / "server.key.pem"
    )
    files.ca_file.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    files.chain_file.write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    _write_private(files.key_file, leaf_key)
    return files


def _authority(name: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    builder = _builder(name, name, key, now)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage(signs_certificates=True), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    return builder.sign(key, hashes.SHA256())


def _leaf(
    names: list[x509.GeneralName],
    key: ec.EllipticCurvePrivateKey,
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
    now: datetime,
) -> x509.Certificate:
    server_only = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    builder = _builder(_name("localhost"), ca.subject, key, now)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(server_only, critical=False)
    builder = builder.add_extension(issuer, critical=False)  # Python 3.13 verifies strictly and demands it
    return builder.sign(ca_key, hashes.SHA256())


def _host_names(domains: Iterable[str]) -> list[x509.GeneralName]:
    hosts = [x509.DNSName(f"mail.{domain.encode('idna').decode()}") for domain in sorted(set(domains))]
    return [x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1")), *hosts]


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime
) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(
        subject_name=subject,
        issuer_name=issuer,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - _SKEW,
        not_valid_after=now + LIFETIME,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write_private(file: Path, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(pem)
