"""A till in Python: asks what is covered, claims it, and asks again.

    python -m grpc_tools.protoc -I SCHEMA --python_out=OUT --grpclib_python_out=OUT \\
        SCHEMA/vitrail/v1/*.proto
    PYTHONPATH=OUT python claim.py FOLDER

FOLDER has roster.txt, key.pem and certificate.pem of the till, and sale.json: the card and one
frame. The receipt is written beside them; what came of it is printed as JSON."""

import asyncio
import base64
import json
import secrets
import sys
import time
from pathlib import Path

import ledger
import oprf
from ledger import Checkpoint, Reader, Roster, TillKey, derive, number, require
from nodes import connect
from oprf import sized
from vitrail.v1 import evaluator_grpc, evaluator_pb2, ledger_grpc, ledger_pb2, log_grpc, log_pb2
from vitrail.v1 import payload_pb2, refusal_pb2

HELD_DAYS = 60
DAY_S = 86_400
# Every call has a deadline: a node refuses one without.
DEADLINE_S = 10
STATES = {1: "reserved", 2: "held"}


class Till:
    def __init__(self, folder: Path):
        self.folder = folder
        self.roster = Roster((folder / "roster.txt").read_text())
        self.key = TillKey((folder / "key.pem").read_text())
        self.sale = json.loads((folder / "sale.json").read_text())

    async def evaluate(self, kind: str, inputs: list[list[str]]) -> list[bytes]:
        """Inputs of one kind of token, evaluated by as many nodes as it takes."""
        blinds = [oprf.blind(b"".join(sized(it.encode()) for it in fields)) for fields in inputs]
        answers = []
        for name, index, share in self.roster.shares:
            if len(answers) == self.roster.threshold:
                break
            try:
                channel = connect(self.roster.member(name), self.folder)
            except OSError:
                continue  # Any other nodes will do.
            async with channel:
                service = evaluator_grpc.EvaluatorServiceStub(channel)
                request = evaluator_pb2.EvaluateRequest(
                    request_id=ledger.request_id(int(time.time() * 1000)),
                    kind=evaluator_pb2.TokenKind.Value(f"TOKEN_KIND_{kind.upper()}"),
                    blinded=[sent for _, _, sent in blinds],
                )
                answer = await service.Evaluate(request, timeout=DEADLINE_S)
            answers.append((index, share[kind], list(answer.evaluated), answer.dleq_proof))
        require(len(answers) == self.roster.threshold, "too few nodes answer")
        outputs = oprf.combine(blinds, answers, self.roster.joint[kind])
        return [derive(f"{kind} token", output) for output in outputs]

    async def lookup(self, service, slot_key: bytes, coverage_keys: list[bytes]):
        """The state of the slot and of each coverage with its answer, every one of them proved."""
        request = ledger_pb2.LookupRequest(slot_keys=[slot_key], coverage_keys=coverage_keys)
        answer = await service.Lookup(request, timeout=DEADLINE_S)
        checkpoint = Checkpoint(answer.checkpoint, self.roster)

        def proved(given, index: bytes):
            state = ledger.read_state(given.map_proof, index, checkpoint)
            if state is not None:
                require(state.by == given.entry.inclusion.index, "the entry of another state")
                ledger.require_included(given.entry.entry, given.entry.inclusion, checkpoint)
            return state, given

        slot, _ = proved(answer.slots[0], derive("map slot", slot_key))
        indexes = [derive("map coverage", key) for key in coverage_keys]
        return slot, [proved(given, index) for given, index in zip(answer.coverages, indexes)]

    def most(self, text: bytes) -> int:
        """What a coverage's terms pay at most. This example knows one form of terms; the agent
        knows all."""
        reader = Reader(text)
        version, code = reader.number(1), reader.take(3).decode()
        reader.take(4 + 4 + 3 * 2)  # Days of the rights, months to the renewal.
        is_known = version == 2 and code == self.sale["grouped_code"] and reader.number(1) == 3
        require(is_known, "terms of another form")
        return reader.number(8)

    def opened(self, state, given, contract, coverage_key: bytes, token: bytes):
        """What one payer commits to pay at most, and what seals its part of the claim."""
        require(state is not None, "a payer does not cover this")
        issuer, key, commitment = ledger.read_coverage(given.entry.entry, self.roster.origin)
        payer = next(it for it in self.roster.members if it.payer == contract["payer"])
        require(issuer == payer.key and key == coverage_key, "not the payer's coverage")
        secret = derive("sealing secret", token)
        return payer.role == "amo", secret, self.most(ledger.open_part(given.payload, commitment, secret))

    def lines(self, opened) -> tuple[list[tuple[bytes, bytes]], list[int], int]:
        """One line for each payer, what each pays, what is left. The individual code opens for the
        CNAM alone."""
        price = left = self.sale["price_cents"]
        code, salt = self.sale["lpp_code"].encode(), secrets.token_bytes(32)
        parts, paid = [], []
        for is_amo, secret, most in opened:
            paid.append(min(left, most))
            left -= paid[-1]
            line = self.sale["grouped_code"].encode() + number(price, 8) + number(paid[-1], 8)
            line += derive("lpp code commitment", salt, code)
            line += b"\1" + code + salt if is_amo else b"\0"
            parts.append((secret, bytes([1, 1]) + line))
        return parts, paid, left

    async def catalogue(self, channel) -> int:
        """The place of the entry that names the catalogue in force, by its proof."""
        answer = await log_grpc.LogServiceStub(channel).GetCatalogue(
            log_pb2.GetCatalogueRequest(), timeout=DEADLINE_S
        )
        index = derive("map federation", b"catalogue")
        checkpoint = Checkpoint(answer.checkpoint, self.roster)
        return ledger.read_state(answer.catalogue.map_proof, index, checkpoint).by

    async def append(self, service, entry: bytes, parts: bytes, salt: bytes) -> int:
        """Appends the claim, verifies its receipt and writes it down."""
        payload = payload_pb2.SealedPayload(parts=parts, salt=salt)
        request = ledger_pb2.AppendRequest(entry=entry, payload=payload)
        answer = await service.Append(request, timeout=DEADLINE_S)
        if answer.WhichOneof("answer") == "refusal":
            raise ValueError(f"refused: {refusal_pb2.Reason.Name(answer.refusal.reason)}")
        inclusion, checkpoint = answer.receipt.inclusion, answer.receipt.checkpoint
        ledger.require_included(entry, inclusion, Checkpoint(checkpoint, self.roster))
        spell = lambda data: base64.b64encode(data).decode()
        path = "".join(f"path {spell(it)}\n" for it in inclusion.hashes)
        receipt = f"vitrail receipt v1\nentry {spell(entry)}\nindex {inclusion.index}\n{path}\n"
        (self.folder / "receipt.txt").write_text(receipt + checkpoint)
        return inclusion.index

    async def sell(self) -> dict:
        sale = self.sale
        card = [sale["birth_date"], sale["birth_rank"]]
        # The card becomes pseudonyms, without any node having seen it.
        [person] = await self.evaluate("person", [["vitrail v1 person", sale["nir"], *card]])
        contracts = [
            ["vitrail v1 contract", it["payer"], it["member"], *card] for it in sale["contracts"]
        ]
        tokens = await self.evaluate("contract", contracts)
        slot_key = derive("slot key", person, sale["slot"].encode())
        code = sale["grouped_code"].encode()
        coverage_keys = [derive("coverage key", token, code) for token in tokens]

        home = next(member for member in self.roster.members if member.is_voting)
        async with connect(home, self.folder) as channel:
            service = ledger_grpc.LedgerServiceStub(channel)
            # The check.
            before, covered = await self.lookup(service, slot_key, coverage_keys)
            opened = [
                self.opened(*it, contract, key, token)
                for it, contract, key, token in zip(covered, sale["contracts"], coverage_keys, tokens)
            ]
            lines, paid, left = self.lines(opened)
            # The claim.
            parts, salt, commitment = ledger.seal(lines)
            references = [await self.catalogue(channel), *sorted(state.by for state, _ in covered)]
            until = int(time.time()) // DAY_S + HELD_DAYS
            origin = self.roster.origin
            entry = ledger.sign_claim(origin, self.key, [slot_key], until, references, commitment)
            claim = await self.append(service, entry, parts, salt)
            # The slot is not free any more, and the proof says by whose leave.
            after, _ = await self.lookup(service, slot_key, coverage_keys)
        name = lambda state: "free" if state is None else STATES[state.tag]
        return {
            "before": name(before),
            "paid_cents": paid,
            "left_cents": left,
            "claim": claim,
            "after": name(after),
            "by": after and after.by,
        }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(Till(Path(sys.argv[1])).sell())))
