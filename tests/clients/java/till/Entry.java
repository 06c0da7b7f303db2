package till;

import static till.Bytes.concat;
import static till.Bytes.derive;
import static till.Bytes.number;
import static till.Bytes.require;
import static till.Bytes.sized;
import static till.Bytes.utf8;

import java.security.GeneralSecurityException;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import javax.crypto.Cipher;
import javax.crypto.spec.IvParameterSpec;
import javax.crypto.spec.SecretKeySpec;
import till.Bytes.Reader;
import vitrail.v1.Payload.SealedPayload;

/** Entries and what they seal (docs/protocol.md, sections 11 to 13). */
final class Entry {
    private static final int VERSION = 1;
    private static final int COVERAGE = 5;
    private static final int CLAIM = 6;
    private static final int REQUEST_ID_BYTES = 16;
    private static final int SIGNATURE_BYTES = 64;
    private static final int SALT_BYTES = 32;
    private static final int CHECK_BYTES = 32;
    private static final int NONCE_BYTES = 12;
    /** Sealed texts have one of three lengths. */
    private static final int[] PADDED_BYTES = {512, 1024, 2048};

    private Entry() {}

    /** Issuer, coverage key and payload commitment of a coverage. */
    record Coverage(byte[] issuer, byte[] key, byte[] commitment) {}

    /** What lies beside the log, and what the entry has of it. */
    record Sealed(byte[] parts, byte[] salt, byte[] commitment) {}

    /** One payer's part: its sealing secret, and what is sealed under it. */
    record Part(byte[] secret, byte[] text) {}

    /** A UUID of version 7 (RFC 9562, 5.7). */
    static byte[] requestId(long atMs) {
        byte[] rest = random(REQUEST_ID_BYTES - 6);
        rest[0] = (byte) (0x70 | rest[0] & 0x0f);
        rest[2] = (byte) (0x80 | rest[2] & 0x3f);
        return concat(number(atMs, 6), rest);
    }

    static byte[] random(int size) {
        var bytes = new byte[size];
        new SecureRandom().nextBytes(bytes);
        return bytes;
    }

    private static byte[] signed(String origin, byte[] entry) {
        return concat(utf8("vitrail entry v1\n"), sized(utf8(origin)), entry);
    }

    /** The bytes of a claim, signed for this ledger. */
    static byte[] claim(
            String origin, Ed25519.Till till, byte[] slotKey, long untilDay, List<Long> references, byte[] commitment)
            throws GeneralSecurityException {
        long now = System.currentTimeMillis();
        var fields = new ArrayList<>(List.of(new byte[] {VERSION, CLAIM}, till.key(), requestId(now), number(now, 8)));
        fields.addAll(List.of(number(1, 1), slotKey, number(untilDay, 4), number(references.size(), 1)));
        for (long index : references) fields.add(number(index, 8));
        fields.addAll(List.of(number(1, 1), commitment, number(0, 2)));
        byte[] entry = concat(fields);
        return concat(entry, till.sign(signed(origin, entry)));
    }

    /** A coverage that its issuer signed for this ledger. */
    static Coverage readCoverage(byte[] entry, String origin) throws GeneralSecurityException {
        require(entry.length > SIGNATURE_BYTES, "the bytes end inside a field");
        int end = entry.length - SIGNATURE_BYTES;
        byte[] header = Arrays.copyOf(entry, end);
        var reader = new Reader(header);
        boolean isCoverage = reader.number(1) == VERSION && reader.number(1) == COVERAGE;
        require(isCoverage, "not a coverage");
        byte[] issuer = reader.take(32);
        Ed25519.requireSigned(signed(origin, header), Arrays.copyOfRange(entry, end, entry.length), issuer);
        reader.take(REQUEST_ID_BYTES + 8 + 1); // Request, time, number of keys.
        byte[] key = reader.take(32);
        reader.take(4 + 1 + 8); // Day, one reference: the catalogue.
        require(reader.number(1) == 1, "a coverage without terms");
        return new Coverage(issuer, key, reader.take(32));
    }

    /** Seals one text for each payer, under the sealing secret of its contract. */
    static Sealed seal(List<Part> parts) throws GeneralSecurityException {
        byte[] salt = random(SALT_BYTES);
        var sealed = new ArrayList<byte[]>();
        for (Part part : parts) {
            byte[] key = derive("seal key", part.secret, salt);
            byte[] text = sized(part.text);
            int padded = Arrays.stream(PADDED_BYTES).filter(size -> size >= text.length).findFirst().orElseThrow();
            byte[] box = cipher(Cipher.ENCRYPT_MODE, key, Arrays.copyOf(text, padded));
            sealed.add(concat(derive("seal key check", key), box));
        }
        byte[] together = concat(sealed.stream().map(Bytes::sized).toList());
        return new Sealed(concat(number(sealed.size(), 1), together), salt, commitment(salt, sealed));
    }

    /** Opens the part of a payload that is for this contract; it must be what the entry committed to. */
    static byte[] open(SealedPayload payload, byte[] commitment, byte[] secret) throws GeneralSecurityException {
        var reader = new Reader(payload.getParts().toByteArray());
        byte[] salt = payload.getSalt().toByteArray();
        var sealed = new ArrayList<byte[]>();
        for (long left = reader.number(1); left > 0; left--) sealed.add(reader.take((int) reader.number(2)));
        require(reader.isAtEnd() && Arrays.equals(commitment(salt, sealed), commitment), "another payload");
        byte[] key = derive("seal key", secret, salt);
        byte[] check = derive("seal key check", key);
        byte[] own = sealed.stream()
                .filter(part -> Arrays.equals(Arrays.copyOf(part, CHECK_BYTES), check))
                .findFirst()
                .orElseThrow();
        byte[] box = Arrays.copyOfRange(own, CHECK_BYTES, own.length);
        var padded = new Reader(cipher(Cipher.DECRYPT_MODE, key, box));
        return padded.take((int) padded.number(2));
    }

    private static byte[] commitment(byte[] salt, List<byte[]> sealed) {
        var parts = new ArrayList<>(List.of(salt));
        parts.addAll(sealed);
        return derive("payload commitment", parts.toArray(byte[][]::new));
    }

    /** ChaCha20-Poly1305 (RFC 8439). A key seals one text, so that the nonce may be zero. */
    private static byte[] cipher(int mode, byte[] key, byte[] bytes) throws GeneralSecurityException {
        Cipher cipher = Cipher.getInstance("ChaCha20-Poly1305");
        cipher.init(mode, new SecretKeySpec(key, "ChaCha20"), new IvParameterSpec(new byte[NONCE_BYTES]));
        return cipher.doFinal(bytes);
    }
}
