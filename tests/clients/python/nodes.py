"""Channels to members' nodes: TLS 1.3, both ends show a key, and only the key is believed
(docs/protocol.md, section 3). The library of gRPC in C offers no Ed25519 to a server, so this uses
grpclib, whose TLS is Python's own."""

import socket
import ssl

from grpclib.client import Channel

from ledger import Member, require

KEY_PREFIX = bytes.fromhex("302a300506032b6570032100")
NAME = "vitrail"
PATIENCE_S = 10


def context(folder) -> ssl.SSLContext:
    """Shows the till's certificate. There is no authority whom a chain could lead to."""
    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    settings.minimum_version = ssl.TLSVersion.TLSv1_3
    settings.set_alpn_protocols(["h2"])
    settings.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    settings.check_hostname = False
    return settings


def connect(member: Member, folder) -> Channel:
    """A channel to a member's node that goes to the holder of the roster's key and nobody else."""
    host, port = member.grpc.rsplit(":", 1)
    looking = context(folder)
    looking.verify_mode = ssl.CERT_NONE
    with socket.create_connection((host, int(port)), PATIENCE_S) as tcp:
        with looking.wrap_socket(tcp, server_hostname=NAME) as tls:
            shown = tls.getpeercert(binary_form=True)
    # The one place of a certificate in which these bytes stand is its key (RFC 8410, 4).
    require(shown.count(KEY_PREFIX) == 1, "not an Ed25519 certificate")
    key = shown.split(KEY_PREFIX)[1][:32]
    require(key == member.key, "another key than the roster's")
    # From here only who holds the key of this very certificate gets through the handshake.
    pinned = context(folder)
    pinned.load_verify_locations(cadata=shown)
    return Channel(host, int(port), ssl=pinned)
