package till;

import static till.Bytes.concat;
import static till.Bytes.derive;
import static till.Bytes.number;
import static till.Bytes.require;
import static till.Bytes.sizedAll;
import static till.Bytes.utf8;

import com.google.gson.Gson;
import com.google.protobuf.ByteString;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import till.Bytes.Reader;
import till.Checkpoint.State;
import vitrail.v1.Evaluator.EvaluateRequest;
import vitrail.v1.Evaluator.TokenKind;
import vitrail.v1.EvaluatorServiceGrpc;
import vitrail.v1.Ledger;
import vitrail.v1.LedgerServiceGrpc;
import vitrail.v1.Log.GetCatalogueRequest;
import vitrail.v1.LogServiceGrpc;
import vitrail.v1.Payload.SealedPayload;

/**
 * A till in Java: asks what is covered, claims it, and asks again.
 *
 * <pre>
 *   ./build OUT && java @OUT/options till.Claim FOLDER
 * </pre>
 *
 * FOLDER has roster.txt, key.pem and certificate.pem of the till, and sale.json: the card and one frame. The
 * receipt is written beside them; what came of it is printed as JSON.
 */
final class Claim {
    private static final int HELD_DAYS = 60;
    private static final long DAY_MS = 86_400_000;
    private static final Map<Integer, String> STATES = Map.of(1, "reserved", 2, "held");

    private final Path folder;
    private final Roster roster;
    private final Ed25519.Till till;
    private final Sale sale;

    /** The card, and one thing that is sold. */
    private static final class Sale {
        String nir;
        String birth_date;
        String birth_rank;
        List<Contract> contracts;
        String slot;
        String grouped_code;
        String lpp_code;
        long price_cents;
    }

    private static final class Contract {
        String payer;
        String member;
    }

    /** A state that is proved, and the answer that it came with. */
    private record Proved(Optional<State> state, Ledger.State given) {}

    /** What one payer commits to pay at most, and what seals its part of the claim. */
    private record Opened(boolean isAmo, byte[] secret, long mostCents) {}

    private Claim(Path folder) throws IOException, GeneralSecurityException {
        this.folder = folder;
        roster = Roster.read(Files.readString(folder.resolve("roster.txt")));
        till = Ed25519.Till.read(folder);
        sale = new Gson().fromJson(Files.readString(folder.resolve("sale.json")), Sale.class);
    }

    public static void main(String[] args) throws IOException, GeneralSecurityException {
        System.out.println(new Gson().toJson(new Claim(Path.of(args[0])).sell()));
    }

    private Map<String, Object> sell() throws IOException, GeneralSecurityException {
        // The card becomes pseudonyms, without any node having seen it.
        byte[] person = evaluate("person", List.of(List.of(sale.nir))).get(0);
        List<byte[]> tokens =
                evaluate("contract", sale.contracts.stream().map(it -> List.of(it.payer, it.member)).toList());
        byte[] slotKey = derive("slot key", person, utf8(sale.slot));
        List<byte[]> coverageKeys =
                tokens.stream().map(it -> derive("coverage key", it, utf8(sale.grouped_code))).toList();
        var home = roster.members().stream().filter(Roster.Member::isVoting).findFirst().orElseThrow();
        try (Node node = Node.of(home, till)) {
            // The check.
            List<Proved> before = lookup(node, slotKey, coverageKeys);
            List<Proved> covered = before.subList(1, before.size());
            var opened = new ArrayList<Opened>();
            for (int i = 0; i < covered.size(); i++) {
                opened.add(open(covered.get(i), sale.contracts.get(i), coverageKeys.get(i), tokens.get(i)));
            }
            List<Long> paid = paid(opened);
            // The claim.
            var references = new ArrayList<>(List.of(catalogue(node)));
            covered.stream().map(it -> it.state.orElseThrow().by()).sorted().forEach(references::add);
            Entry.Sealed sealed = Entry.seal(lines(opened, paid));
            long until = System.currentTimeMillis() / DAY_MS + HELD_DAYS;
            byte[] entry = Entry.claim(roster.origin(), till, slotKey, until, references, sealed.commitment());
            long claim = append(node, entry, sealed);
            // The slot is not free any more, and the proof says by whose leave.
            Optional<State> after = lookup(node, slotKey, coverageKeys).get(0).state;
            var told = new LinkedHashMap<String, Object>();
            told.put("before", name(before.get(0).state));
            told.put("paid_cents", paid);
            told.put("left_cents", sale.price_cents - paid.stream().mapToLong(it -> it).sum());
            told.put("claim", claim);
            told.put("after", name(after));
            told.put("by", after.map(State::by).orElse(null));
            return told;
        }
    }

    private static String name(Optional<State> state) {
        return state.map(it -> STATES.get(it.tag())).orElse("free");
    }

    /** Tokens of one kind, evaluated by as many nodes as it takes. */
    private List<byte[]> evaluate(String kind, List<List<String>> holders)
            throws IOException, GeneralSecurityException {
        var blinds = new ArrayList<Oprf.Blinded>();
        for (List<String> holder : holders) {
            var fields = new ArrayList<>(List.of("vitrail v1 " + kind));
            fields.addAll(holder);
            fields.addAll(List.of(sale.birth_date, sale.birth_rank));
            blinds.add(Oprf.blind(sizedAll(fields)));
        }
        var request = EvaluateRequest.newBuilder()
                .setRequestId(bytes(Entry.requestId(System.currentTimeMillis())))
                .setKind(kind.equals("person") ? TokenKind.TOKEN_KIND_PERSON : TokenKind.TOKEN_KIND_CONTRACT)
                .addAllBlinded(blinds.stream().map(it -> bytes(it.sent())).toList())
                .build();
        var answers = new ArrayList<Oprf.Answer>();
        for (Roster.Share share : roster.shares()) {
            if (answers.size() == roster.threshold()) break;
            try (Node node = Node.of(share.member(), till)) {
                var answer = node.service(EvaluatorServiceGrpc::newBlockingStub).evaluate(request);
                var evaluated = answer.getEvaluatedList().stream().map(ByteString::toByteArray).toList();
                byte[] proof = answer.getDleqProof().toByteArray();
                answers.add(new Oprf.Answer(share.index(), share.keys().get(kind), evaluated, proof));
            } catch (StatusRuntimeException failed) {
                // Any other nodes will do.
                if (failed.getStatus().getCode() != Status.Code.UNAVAILABLE) throw failed;
            }
        }
        require(answers.size() == roster.threshold(), "too few nodes answer");
        List<byte[]> outputs = Oprf.combine(blinds, answers, roster.joint().get(kind));
        return outputs.stream().map(output -> derive(kind + " token", output)).toList();
    }

    /** The state of the slot, then that of each coverage, every one of them proved. */
    private List<Proved> lookup(Node node, byte[] slotKey, List<byte[]> coverageKeys)
            throws GeneralSecurityException {
        var request = Ledger.LookupRequest.newBuilder()
                .addSlotKeys(bytes(slotKey))
                .addAllCoverageKeys(coverageKeys.stream().map(Claim::bytes).toList());
        var answer = node.service(LedgerServiceGrpc::newBlockingStub).lookup(request.build());
        Checkpoint checkpoint = Checkpoint.verify(answer.getCheckpoint(), roster);
        var states = new ArrayList<>(List.of(proved(answer.getSlots(0), derive("map slot", slotKey), checkpoint)));
        for (int i = 0; i < coverageKeys.size(); i++) {
            byte[] index = derive("map coverage", coverageKeys.get(i));
            states.add(proved(answer.getCoverages(i), index, checkpoint));
        }
        return states;
    }

    private static Proved proved(Ledger.State given, byte[] index, Checkpoint checkpoint) {
        Optional<State> state = checkpoint.state(given.getMapProof().toByteArray(), index);
        if (state.isPresent()) {
            var inclusion = given.getEntry().getInclusion();
            require(state.get().by() == inclusion.getIndex(), "the entry of another state");
            checkpoint.requireIncluded(given.getEntry().getEntry().toByteArray(), inclusion);
        }
        return new Proved(state, given);
    }

    private Opened open(Proved proved, Contract contract, byte[] coverageKey, byte[] token)
            throws GeneralSecurityException {
        require(proved.state.isPresent(), "a payer does not cover this");
        var coverage = Entry.readCoverage(proved.given.getEntry().getEntry().toByteArray(), roster.origin());
        var payer = roster.members().stream().filter(it -> it.payer().equals(contract.payer)).findFirst();
        boolean isPayers = Arrays.equals(coverage.issuer(), payer.orElseThrow().key())
                && Arrays.equals(coverage.key(), coverageKey);
        require(isPayers, "not the payer's coverage");
        byte[] secret = derive("sealing secret", token);
        byte[] terms = Entry.open(proved.given.getPayload(), coverage.commitment(), secret);
        return new Opened(payer.get().role().equals("amo"), secret, most(terms));
    }

    /** What a coverage's terms pay at most. This example knows one form of terms; the agent knows all. */
    private long most(byte[] terms) {
        var reader = new Reader(terms);
        long version = reader.number(1);
        byte[] code = reader.take(3);
        reader.take(4 + 4 + 3 * 2); // Days of the rights, months to the renewal.
        boolean isKnown = version == 2 && Arrays.equals(code, utf8(sale.grouped_code)) && reader.number(1) == 3;
        require(isKnown, "terms of another form");
        return reader.number(8);
    }

    /** What each payer pays, in their order, of what is left of the price. */
    private List<Long> paid(List<Opened> opened) {
        var paid = new ArrayList<Long>();
        long left = sale.price_cents;
        for (Opened payer : opened) {
            paid.add(Math.min(left, payer.mostCents));
            left -= Math.min(left, payer.mostCents);
        }
        return paid;
    }

    /** One line for each payer. The individual code opens for the CNAM alone. */
    private List<Entry.Part> lines(List<Opened> opened, List<Long> paid) {
        byte[] code = utf8(sale.lpp_code);
        byte[] salt = Entry.random(32);
        var parts = new ArrayList<Entry.Part>();
        for (int i = 0; i < opened.size(); i++) {
            byte[] line = concat(
                    new byte[] {1, 1}, // Version, one line.
                    utf8(sale.grouped_code),
                    number(sale.price_cents, 8),
                    number(paid.get(i), 8),
                    derive("lpp code commitment", salt, code),
                    opened.get(i).isAmo ? concat(new byte[] {1}, code, salt) : new byte[] {0});
            parts.add(new Entry.Part(opened.get(i).secret, line));
        }
        return parts;
    }

    /** The place of the entry that names the catalogue in force, by its proof. */
    private long catalogue(Node node) throws GeneralSecurityException {
        var answer = node.service(LogServiceGrpc::newBlockingStub)
                .getCatalogue(GetCatalogueRequest.getDefaultInstance());
        Checkpoint checkpoint = Checkpoint.verify(answer.getCheckpoint(), roster);
        byte[] index = derive("map federation", utf8("catalogue"));
        byte[] proof = answer.getCatalogue().getMapProof().toByteArray();
        return checkpoint.state(proof, index).orElseThrow().by();
    }

    /** Appends the claim, verifies its receipt and writes it down. */
    private long append(Node node, byte[] entry, Entry.Sealed sealed) throws IOException, GeneralSecurityException {
        var payload = SealedPayload.newBuilder().setParts(bytes(sealed.parts())).setSalt(bytes(sealed.salt()));
        var request = Ledger.AppendRequest.newBuilder().setEntry(bytes(entry)).setPayload(payload).build();
        var answer = node.service(LedgerServiceGrpc::newBlockingStub).append(request);
        require(answer.hasReceipt(), "refused: " + answer.getRefusal().getReason());
        var inclusion = answer.getReceipt().getInclusion();
        String checkpoint = answer.getReceipt().getCheckpoint();
        Checkpoint.verify(checkpoint, roster).requireIncluded(entry, inclusion);
        var receipt = new StringBuilder("vitrail receipt v1\n");
        receipt.append("entry ").append(base64(entry)).append("\nindex ").append(inclusion.getIndex()).append('\n');
        for (var hash : inclusion.getHashesList()) {
            receipt.append("path ").append(base64(hash.toByteArray())).append('\n');
        }
        Files.writeString(folder.resolve("receipt.txt"), receipt.append('\n').append(checkpoint));
        return inclusion.getIndex();
    }

    private static String base64(byte[] bytes) {
        return Base64.getEncoder().encodeToString(bytes);
    }

    private static ByteString bytes(byte[] bytes) {
        return ByteString.copyFrom(bytes);
    }
}
