"""What the ledger is read and written by: roster, checkpoints, proofs, entries, sealed payloads
(docs/protocol.md, sections 2 and 8 to 13). Whatever does not verify raises."""

import base64
import hashlib
import io
import secrets
import time
from dataclasses import dataclass

import blake3
import pysodium as sodium

from oprf import sized

FRESH_SECONDS, AHEAD_SECONDS = 60, 120


def require(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(what)


def number(value: int, size: int) -> bytes:
    return value.to_bytes(size, "big")


def derive(context: str, *parts: bytes) -> bytes:
    """BLAKE3 in its mode `derive_key`, each part behind its length."""
    data = b"".join(number(len(part), 8) + part for part in parts)
    return blake3.blake3(data, derive_key_context=f"vitrail 2026 v1 {context}").digest()


def leaf_hash(data: bytes) -> bytes:
    return blake3.blake3(b"\0" + data).digest()


def pair_hash(left: bytes, right: bytes) -> bytes:
    return blake3.blake3(b"\1" + left + right).digest()


EMPTY = blake3.blake3(b"").digest()


class Reader(io.BytesIO):
    """Takes fields off the front of bytes."""

    def take(self, size: int) -> bytes:
        taken = self.read(size)
        require(len(taken) == size, "the bytes end inside a field")
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")


@dataclass
class Member:
    name: str
    role: str
    payer: str
    is_voting: bool
    key: bytes
    grpc: str


class Roster:
    """Reads `roster.txt`, which is trusted as the operator handed it over."""

    def __init__(self, text: str):
        lines = [line.split(" ") for line in text[: text.index("\n\n")].split("\n")]

        def all_of(word: str) -> list[list[str]]:
            return [fields for first, *fields in lines if first == word]

        decode = base64.b64decode
        self.origin = all_of("origin")[0][0]
        self.threshold = int(all_of("threshold")[0][0])
        self.joint = {kind: decode(all_of(f"{kind}-key")[0][0]) for kind in ("person", "contract")}
        self.members = [
            Member(name, role, payer, standing == "voting", decode(key), grpc)
            for name, role, payer, standing, key, grpc, _ in all_of("member")
        ]
        self.shares = [
            (member, int(index), {"person": decode(person), "contract": decode(contract)})
            for member, index, person, contract in all_of("share")
        ]
        voting = sum(member.is_voting for member in self.members)
        self.quorum = (voting + (voting - 1) // 3) // 2 + 1

    def member(self, name: str) -> Member:
        return next(member for member in self.members if member.name == name)


class Checkpoint:
    """A checkpoint for which a quorum of the roster vouches, at most a minute ago."""

    def __init__(self, note: str, roster: Roster):
        text, signatures = note[: note.index("\n\n") + 1], note[note.index("\n\n") + 2 :]
        origin, size, log_root, map_root, _ = text.split("\n")
        require(origin == roster.origin, "the checkpoint is of another ledger")
        times = {}
        for line in signatures.splitlines():
            _, name, encoded = line.split(" ")
            reader = Reader(base64.b64decode(encoded))
            key_id, signed_at, signature = reader.take(4), reader.number(8), reader.take(64)
            member = roster.member(name)
            expected = hashlib.sha256(name.encode() + b"\n\x04" + member.key).digest()[:4]
            require(key_id == expected, "a cosignature of another key")
            signed = f"cosignature/v1\ntime {signed_at}\n{text}".encode()
            sodium.crypto_sign_verify_detached(signature, signed, member.key)
            if member.is_voting:
                times[name] = signed_at
        require(len(times) >= roster.quorum, "too few members vouch for the checkpoint")
        age = time.time() - sorted(times.values(), reverse=True)[roster.quorum - 1]
        require(-AHEAD_SECONDS <= age <= FRESH_SECONDS, "the checkpoint is not of now")
        self.size = int(size)
        self.log_root = base64.b64decode(log_root)
        self.map_root = base64.b64decode(map_root.removeprefix("map "))


def require_included(entry: bytes, inclusion, checkpoint: Checkpoint) -> None:
    """Checks that these bytes are the leaf at this place of the log (RFC 9162, 2.1.3.2)."""
    at, last, found = inclusion.index, checkpoint.size - 1, leaf_hash(entry)
    require(at <= last, "the entry is beyond the end of the log")
    for sibling in inclusion.hashes:
        require(last > 0, "the audit path is too long")
        if at % 2 == 1 or at == last:
            found = pair_hash(sibling, found)
            while at % 2 == 0 and at != 0:
                at, last = at >> 1, last >> 1
        else:
            found = pair_hash(found, sibling)
        at, last = at >> 1, last >> 1
    require(last == 0 and found == checkpoint.log_root, "the entry is not in the log")


def bits_of(data: bytes) -> list[int]:
    return [byte >> shift & 1 for byte in data for shift in range(7, -1, -1)]


@dataclass
class State:
    tag: int
    time: int
    by: int


def read_state(proof: bytes, index: bytes, checkpoint: Checkpoint) -> State | None:
    """What the map has under an index, by its proof."""
    reader = Reader(proof)
    kind = reader.number(1)
    require(kind <= 2, "a map proof of an unknown form")
    value = reader.take(reader.number(1)) if kind == 1 else None
    other = (reader.take(32), reader.take(32)) if kind == 2 else None
    depth = reader.number(2)
    is_written = bits_of(reader.take((depth + 7) // 8))
    bits = bits_of(index)
    found = EMPTY
    if value is not None:
        found = leaf_hash(index + leaf_hash(value))
    if other is not None:
        is_in_the_way = bits_of(other[0])[:depth] == bits[:depth] and other[0] != index
        require(is_in_the_way, "the map proof is of another place")
        found = leaf_hash(other[0] + other[1])
    for i in range(depth):
        sibling = reader.take(32) if is_written[i] else EMPTY
        is_right = bits[depth - 1 - i] == 1
        found = pair_hash(sibling, found) if is_right else pair_hash(found, sibling)
    require(not reader.read() and found == checkpoint.map_root, "the map proof does not hold")
    if value is None:
        return None
    state = Reader(value)
    return State(state.number(1), state.number(8), state.number(8))


def request_id(at_ms: int) -> bytes:
    """A UUID of version 7 (RFC 9562, 5.7)."""
    rest = bytearray(secrets.token_bytes(10))
    rest[0] = 0x70 | rest[0] & 0x0F
    rest[2] = 0x80 | rest[2] & 0x3F
    return number(at_ms, 6) + bytes(rest)


class TillKey:
    """An Ed25519 key from a PKCS#8 file (RFC 8410)."""

    def __init__(self, pem: str):
        der = base64.b64decode("".join(pem.strip().splitlines()[1:-1]))
        prefix = bytes.fromhex("302e020100300506032b657004220420")
        require(len(der) == 48 and der.startswith(prefix), "not an Ed25519 key")
        self.public, self.secret = sodium.crypto_sign_seed_keypair(der[16:])


def sign_claim(origin: str, key: TillKey, slot_keys, until: int, references, commitment) -> bytes:
    """The bytes of a claim, signed for this ledger (section 11)."""
    now = int(time.time() * 1000)
    entry = bytes([1, 6]) + key.public + request_id(now) + number(now, 8)
    entry += bytes([len(slot_keys)]) + b"".join(slot_keys) + number(until, 4)
    entry += bytes([len(references)]) + b"".join(number(index, 8) for index in references)
    entry += b"\1" + commitment + number(0, 2)
    signed = b"vitrail entry v1\n" + sized(origin.encode()) + entry
    return entry + sodium.crypto_sign_detached(signed, key.secret)


def seal(parts: list[tuple[bytes, bytes]]) -> tuple[bytes, bytes, bytes]:
    """Seals one text for each payer, under the sealing secret of its contract (section 13): parts,
    salt, commitment."""
    salt = secrets.token_bytes(32)
    sealed = []
    for secret, text in parts:
        key = derive("seal key", secret, salt)
        padded = sized(text)
        padded += bytes(next(size for size in (512, 1024, 2048) if size >= len(padded)) - len(padded))
        box = sodium.crypto_aead_chacha20poly1305_ietf_encrypt(padded, None, bytes(12), key)
        sealed.append(derive("seal key check", key) + box)
    commitment = derive("payload commitment", salt, *sealed)
    return bytes([len(sealed)]) + b"".join(map(sized, sealed)), salt, commitment


def open_part(payload, commitment: bytes, secret: bytes) -> bytes:
    """Opens the part of a payload that is for this contract; it must be what the entry committed to."""
    reader = Reader(payload.parts)
    sealed = [reader.take(reader.number(2)) for _ in range(reader.number(1))]
    require(derive("payload commitment", payload.salt, *sealed) == commitment, "another payload")
    key = derive("seal key", secret, payload.salt)
    check = derive("seal key check", key)
    own = next(part[32:] for part in sealed if part[:32] == check)
    padded = Reader(sodium.crypto_aead_chacha20poly1305_ietf_decrypt(own, None, bytes(12), key))
    return padded.take(padded.number(2))


def read_coverage(entry: bytes, origin: str) -> tuple[bytes, bytes, bytes]:
    """Issuer, coverage key and commitment of a coverage that its issuer signed for this ledger."""
    data, signature = entry[:-64], entry[-64:]
    reader = Reader(data)
    require(reader.take(2) == bytes([1, 5]), "not a coverage")
    issuer = reader.take(32)
    signed = b"vitrail entry v1\n" + sized(origin.encode()) + data
    sodium.crypto_sign_verify_detached(signature, signed, issuer)
    reader.take(16 + 8 + 1)
    key = reader.take(32)
    reader.take(4 + 1 + 8)
    require(reader.number(1) == 1, "a coverage without terms")
    return issuer, key, reader.take(32)
