"""The options of a local cluster: each works, and what cannot work is refused at once."""

from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path
from typing import Any

import pytest
from cassandra import AuthenticationFailed, Unauthorized
from cassandra.cluster import NoHostAvailable
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from flask_cqlalchemy.errors import LocalClusterError
from flask_cqlalchemy.local import LocalCluster, TLSFiles

from .local_helpers import session_of


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nodes": 0}, "nodes=0: a local cluster has 1 to 254 nodes."),
        ({"nodes": 255}, "nodes=255: a local cluster has 1 to 254 nodes."),
        ({"port": 0}, "port=0: a port lies between 1 and 65535."),
        ({"port": 65536}, "port=65536: a port lies between 1 and 65535."),
        (
            {"data_centers": 2},
            "data_centers=2: each data centre needs a node, and there is 1.",
        ),
        ({"tokens": 0}, "tokens=0: a node has at least one token."),
        (
            {"commitlog_sync": "never"},
            "commitlog_sync='never': use 'periodic' or 'batch'.",
        ),
        (
            {"yaml": {"num_tokens": 4}},
            "yaml['num_tokens']: use LocalCluster(tokens=...) instead.",
        ),
        (
            {"yaml": {"listen_address": "127.0.0.1"}},
            "yaml['listen_address']: LocalCluster sets this key itself.",
        ),
        (
            {"yaml": {"a": Path()}},
            (
                "yaml: Object of type PosixPath is not JSON serializable. "
                "Use numbers, text, lists and dicts."
            ),
        ),
        (
            {"tls": "/no/such"},
            "tls: the certificate file /no/such/cert.pem does not exist.",
        ),
    ],
)
def test_an_option_that_cannot_work_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(LocalClusterError) as raised:
        LocalCluster(**options)
    assert str(raised.value) == message


def setting(session: Any, name: str) -> str:
    """A setting of the node that answers."""
    query = "SELECT value FROM system_views.settings WHERE name = %s"
    value: str = session.execute(query, [name]).one().value
    return value


@pytest.mark.slow
def test_tokens_commit_log_and_further_keys_reach_the_node() -> None:
    cluster = LocalCluster(
        tokens=4, commitlog_sync="batch", yaml={"batch_size_warn_threshold": "7KiB"}
    )
    with cluster, session_of(cluster) as session:
        tokens = session.execute("SELECT tokens FROM system.local").one().tokens
        assert len(tokens) == 4
        assert setting(session, "commitlog_sync") == "batch"
        assert setting(session, "batch_size_warn_threshold") == "7KiB"


@pytest.mark.slow
def test_with_auth_only_who_may_gets_in_also_after_the_password_was_changed(
    tmp_path: Path,
) -> None:
    superuser = ("cassandra", "cassandra")
    with LocalCluster(directory=tmp_path, auth=True) as cluster:
        with pytest.raises(NoHostAvailable) as refused, session_of(cluster, user=("eve", "eve")):
            pass
        assert isinstance(next(iter(refused.value.errors.values())), AuthenticationFailed)
        with session_of(cluster, user=superuser) as session:
            session.execute("CREATE ROLE reader WITH PASSWORD = 'r' AND LOGIN = true")
            session.execute(
                "CREATE ROLE boss WITH PASSWORD = 'b' AND LOGIN = true AND SUPERUSER = true"
            )
        with session_of(cluster, user=("reader", "r")) as session, pytest.raises(Unauthorized):
            session.execute("CREATE ROLE other")
        with session_of(cluster, user=("boss", "b")) as session:
            session.execute("ALTER ROLE cassandra WITH PASSWORD = 'changed'")
        cluster.restart(1)
        with session_of(cluster, user=("cassandra", "changed")) as session:
            assert session.execute("SELECT key FROM system.local").one()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a certificate for localhost and the authority that signed it."""
    directory = tmp_path_factory.mktemp("certificates")
    authority_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
    server = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    today = dt.datetime.now(dt.timezone.utc)
    identifier = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())

    def builder(subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(authority)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(today - dt.timedelta(days=1))
            .not_valid_after(today + dt.timedelta(days=1))
        )

    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    ca = (
        builder(authority, authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(identifier, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    certificate = (
        builder(server, server_key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
            critical=False,
        )
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    (directory / "ca.pem").write_bytes(ca.public_bytes(Encoding.PEM))
    (directory / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    # The older format, which Cassandra itself refuses.
    (directory / "key.pem").write_bytes(
        server_key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    )
    return directory


@pytest.mark.slow
def test_with_tls_clients_speak_encrypted_and_only_so(certificates: Path) -> None:
    context = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
    context.check_hostname = False
    with LocalCluster(tls=certificates) as cluster:
        with session_of(cluster, ssl_context=context) as session:
            row = session.execute("SELECT ssl_enabled FROM system_views.clients").one()
            assert row.ssl_enabled
        with pytest.raises(NoHostAvailable), session_of(cluster):
            pass


def test_a_tls_key_that_is_none_is_an_error(certificates: Path, tmp_path: Path) -> None:
    key = certificates / "ca.pem"
    files = TLSFiles(certificates / "cert.pem", key, certificates / "ca.pem")
    with pytest.raises(LocalClusterError) as raised:
        LocalCluster(directory=tmp_path, tls=files).start()
    assert str(raised.value).startswith(f"tls: {key} is not a PEM private key without a password (")


@pytest.mark.slow
def test_a_certificate_that_the_ca_did_not_sign_is_an_error(
    certificates: Path, tmp_path: Path
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Another authority")])
    now = dt.datetime.now(dt.timezone.utc)
    other = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    ca = tmp_path / "other.pem"
    ca.write_bytes(other.public_bytes(Encoding.PEM))
    files = TLSFiles(certificates / "cert.pem", certificates / "key.pem", ca)
    with pytest.raises(LocalClusterError) as raised:
        LocalCluster(directory=tmp_path / "cassandra", tls=files).start()
    message = str(raised.value)
    assert message.startswith("tls: the nodes' certificate was refused: ")
    assert message.endswith("The ca file must have signed the certificate.")
