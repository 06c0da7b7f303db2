"""The oblivious evaluation of an identity (docs/protocol.md, section 5): RFC 9497, mode VOPRF,
ristretto255-SHA512, under a key of which each node has a share. No node sees the identity."""

import hashlib
import secrets

import pysodium as sodium

CONTEXT = b"OPRFV1-\x01-ristretto255-SHA512"
ORDER = 2**252 + 27742317777372353535851937790883648493
# Elements and scalars are 32 bytes; libsodium refuses what is not canonical, and the identity.


def sized(data: bytes) -> bytes:
    """Bytes behind their length of two bytes."""
    return len(data).to_bytes(2, "big") + data


def expand(message: bytes, tag: bytes) -> bytes:
    """64 bytes of expand_message_xmd with SHA-512 (RFC 9380, 5.3.1)."""
    tag += bytes([len(tag)])
    first = hashlib.sha512(bytes(128) + message + (64).to_bytes(2, "big") + b"\0" + tag).digest()
    return hashlib.sha512(first + b"\1" + tag).digest()


def hash_to_scalar(data: bytes) -> bytes:
    return sodium.crypto_core_ristretto255_scalar_reduce(expand(data, b"HashToScalar-" + CONTEXT))


def scalar(number: int) -> bytes:
    return (number % ORDER).to_bytes(32, "little")


def add_all(points: list[bytes]) -> bytes:
    total = points[0]
    for point in points[1:]:
        total = sodium.crypto_core_ristretto255_add(total, point)
    return total


multiply = sodium.crypto_scalarmult_ristretto255


def blind(data: bytes) -> tuple[bytes, bytes, bytes]:
    """Hides an input behind a random factor: the input, the factor, and what is sent."""
    factor = sodium.crypto_core_ristretto255_scalar_reduce(secrets.token_bytes(64))
    hashed = sodium.crypto_core_ristretto255_from_hash(expand(data, b"HashToGroup-" + CONTEXT))
    return data, factor, multiply(factor, hashed)


def is_proved(share: bytes, sent: list[bytes], evaluated: list[bytes], proof: bytes) -> bool:
    """Whether one node multiplied every element by the share that the roster publishes for it."""
    c, s = proof[:32], proof[32:]
    if any(int.from_bytes(number, "little") >= ORDER for number in (c, s)):
        return False
    seed = hashlib.sha512(sized(share) + sized(b"Seed-" + CONTEXT)).digest()
    weights = [
        hash_to_scalar(sized(seed) + i.to_bytes(2, "big") + sized(b) + sized(e) + b"Composite")
        for i, (b, e) in enumerate(zip(sent, evaluated))
    ]
    m = add_all([multiply(weight, point) for weight, point in zip(weights, sent)])
    z = add_all([multiply(weight, point) for weight, point in zip(weights, evaluated)])
    t2 = add_all([sodium.crypto_scalarmult_ristretto255_base(s), multiply(c, share)])
    t3 = add_all([multiply(s, m), multiply(c, z)])
    points = b"".join(sized(point) for point in (m, z, t2, t3))
    return c == hash_to_scalar(sized(share) + points + b"Challenge")


def at_zero(indexes: list[int], points: list[bytes]) -> bytes:
    """The sum of what several shares gave, each with its weight: what the joint key gives."""
    weighted = []
    for x, point in zip(indexes, points):
        weight = 1
        for other in indexes:
            if other != x:
                weight = weight * other * pow(other - x, -1, ORDER) % ORDER
        weighted.append(multiply(scalar(weight), point))
    return add_all(weighted)


def combine(blinds, answers, joint_key: bytes) -> list[bytes]:
    """The outputs for all inputs, from as many answers (index, share, evaluated, proof) as the
    threshold says. Share and joint key are the roster's, never the node's."""
    for index, share, evaluated, proof in answers:
        sent = [it[2] for it in blinds]
        if len(evaluated) != len(sent) or not is_proved(share, sent, evaluated, proof):
            raise ValueError(f"share {index} cheats")
    indexes = [index for index, *_ in answers]
    if at_zero(indexes, [share for _, share, *_ in answers]) != joint_key:
        raise ValueError("the shares do not make the joint key")
    outputs = []
    for i, (data, factor, _) in enumerate(blinds):
        combined = at_zero(indexes, [evaluated[i] for *_, evaluated, _ in answers])
        unblinded = multiply(sodium.crypto_core_ristretto255_scalar_invert(factor), combined)
        outputs.append(hashlib.sha512(sized(data) + sized(unblinded) + b"Finalize").digest())
    return outputs
