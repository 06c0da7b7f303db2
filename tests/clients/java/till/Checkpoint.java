package till;

import static till.Bytes.EMPTY;
import static till.Bytes.HASH_BYTES;
import static till.Bytes.concat;
import static till.Bytes.leafHash;
import static till.Bytes.pairHash;
import static till.Bytes.require;
import static till.Bytes.utf8;

import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.Collections;
import java.util.HashMap;
import java.util.Optional;
import till.Bytes.Reader;
import vitrail.v1.ReceiptOuterClass.Inclusion;

/**
 * A checkpoint for which a quorum of the roster vouches, at most a minute ago, and the proofs against it
 * (docs/protocol.md, sections 2, 8 and 9). Whatever does not verify throws.
 */
record Checkpoint(long size, byte[] logRoot, byte[] mapRoot) {
    private static final int FRESH_SECONDS = 60;
    private static final int AHEAD_SECONDS = 120;
    private static final int KEY_ID_BYTES = 4;
    private static final int SIGNATURE_BYTES = 64;

    /** What the map has under an index: kind of state, its time, the entry that made it. */
    record State(int tag, long time, long by) {}

    static Checkpoint verify(String note, Roster roster) throws GeneralSecurityException {
        int end = note.indexOf("\n\n") + 1;
        String text = note.substring(0, end);
        String[] lines = text.split("\n");
        require(lines.length == 4 && lines[3].startsWith("map "), "a checkpoint of an unknown form");
        require(lines[0].equals(roster.origin()), "the checkpoint is of another ledger");
        var times = new HashMap<String, Long>();
        for (String line : note.substring(end + 1).split("\n")) {
            String[] fields = line.split(" ");
            Roster.Member member = roster.member(fields[1]);
            long time = cosigned(text, member, Base64.getDecoder().decode(fields[2]));
            if (member.isVoting()) times.put(member.name(), time);
        }
        require(times.size() >= roster.quorum(), "too few members vouch for the checkpoint");
        var newest = new ArrayList<>(times.values());
        newest.sort(Collections.reverseOrder());
        long age = System.currentTimeMillis() / 1000 - newest.get(roster.quorum() - 1);
        require(-AHEAD_SECONDS <= age && age <= FRESH_SECONDS, "the checkpoint is not of now");
        byte[] mapRoot = Base64.getDecoder().decode(lines[3].substring("map ".length()));
        return new Checkpoint(Long.parseLong(lines[1]), Base64.getDecoder().decode(lines[2]), mapRoot);
    }

    /** When a member cosigned the text (C2SP, cosignature/v1). */
    private static long cosigned(String text, Roster.Member member, byte[] line) throws GeneralSecurityException {
        var reader = new Reader(line);
        byte[] keyId = reader.take(KEY_ID_BYTES);
        long time = reader.number(8);
        byte[] signature = reader.take(SIGNATURE_BYTES);
        byte[] named = concat(utf8(member.name()), new byte[] {'\n', 4}, member.key());
        byte[] expected = Arrays.copyOf(MessageDigest.getInstance("SHA-256").digest(named), KEY_ID_BYTES);
        require(Arrays.equals(keyId, expected), "a cosignature of another key");
        byte[] signed = utf8("cosignature/v1\ntime " + time + "\n" + text);
        Ed25519.requireSigned(signed, signature, member.key());
        return time;
    }

    /** Checks that these bytes are the leaf at this place of the log (RFC 9162, 2.1.3.2). */
    void requireIncluded(byte[] entry, Inclusion inclusion) {
        long at = inclusion.getIndex();
        long last = size - 1;
        require(0 <= at && at <= last, "the entry is beyond the end of the log");
        byte[] found = leafHash(entry);
        for (var hash : inclusion.getHashesList()) {
            byte[] sibling = hash.toByteArray();
            require(last > 0 && sibling.length == HASH_BYTES, "the audit path is too long");
            if (at % 2 == 1 || at == last) {
                found = pairHash(sibling, found);
                for (; at % 2 == 0 && at != 0; at >>= 1) last >>= 1;
            } else {
                found = pairHash(found, sibling);
            }
            at >>= 1;
            last >>= 1;
        }
        require(last == 0 && Arrays.equals(found, logRoot), "the entry is not in the log");
    }

    /** What the map has under an index, by its proof; empty where the proof is one of absence. */
    Optional<State> state(byte[] proof, byte[] index) {
        var reader = new Reader(proof);
        long kind = reader.number(1);
        require(kind <= 2, "a map proof of an unknown form");
        byte[] value = kind == 1 ? reader.take((int) reader.number(1)) : null;
        byte[] other = kind == 2 ? reader.take(HASH_BYTES) : null;
        byte[] otherHash = kind == 2 ? reader.take(HASH_BYTES) : null;
        int depth = (int) reader.number(2);
        require(depth <= 8 * HASH_BYTES, "the map proof is too deep");
        byte[] written = reader.take((depth + 7) / 8);
        byte[] found = EMPTY;
        if (value != null) found = leafHash(concat(index, leafHash(value)));
        if (other != null) {
            require(!Arrays.equals(other, index), "the map proof is of another place");
            for (int i = 0; i < depth; i++) {
                require(bit(other, i) == bit(index, i), "the map proof is of another place");
            }
            found = leafHash(concat(other, otherHash));
        }
        for (int i = 0; i < depth; i++) {
            byte[] sibling = bit(written, i) ? reader.take(HASH_BYTES) : EMPTY;
            found = bit(index, depth - 1 - i) ? pairHash(sibling, found) : pairHash(found, sibling);
        }
        require(reader.isAtEnd() && Arrays.equals(found, mapRoot), "the map proof does not hold");
        if (value == null) return Optional.empty();
        var state = new Reader(value);
        return Optional.of(new State((int) state.number(1), state.number(8), state.number(8)));
    }

    private static boolean bit(byte[] bytes, int place) {
        return (bytes[place / 8] >> (7 - place % 8) & 1) == 1;
    }
}
