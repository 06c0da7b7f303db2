package till;

import java.io.ByteArrayOutputStream;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.bouncycastle.crypto.digests.Blake3Digest;
import org.bouncycastle.crypto.params.Blake3Parameters;

/** Bytes and hashes (docs/protocol.md, sections 1 and 2). */
final class Bytes {
    static final int HASH_BYTES = 32;
    static final byte[] EMPTY = hash();

    private Bytes() {}

    static void require(boolean holds, String what) {
        if (!holds) throw new IllegalArgumentException(what);
    }

    static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static byte[] concat(byte[]... parts) {
        return concat(Arrays.asList(parts));
    }

    static byte[] concat(List<byte[]> parts) {
        var all = new ByteArrayOutputStream();
        parts.forEach(all::writeBytes);
        return all.toByteArray();
    }

    /** An unsigned number of this many bytes, big-endian. */
    static byte[] number(long value, int size) {
        var bytes = new byte[size];
        for (int i = size - 1; i >= 0; i--, value >>>= 8) bytes[i] = (byte) value;
        require(value == 0, "a number is too large for its field");
        return bytes;
    }

    /** Bytes behind their length of two bytes. */
    static byte[] sized(byte[] bytes) {
        return concat(number(bytes.length, 2), bytes);
    }

    /** A list of texts, each behind its length. */
    static byte[] sizedAll(List<String> texts) {
        return concat(texts.stream().map(text -> sized(utf8(text))).toList());
    }

    /** BLAKE3 in its mode `derive_key`, each part behind its length. */
    static byte[] derive(String context, byte[]... parts) {
        var all = new ArrayList<byte[]>();
        for (byte[] part : parts) all.addAll(List.of(number(part.length, 8), part));
        var digest = new Blake3Digest();
        digest.init(Blake3Parameters.context(utf8("vitrail 2026 v1 " + context)));
        return finish(digest, concat(all));
    }

    static byte[] leafHash(byte[] bytes) {
        return hash(new byte[] {0}, bytes);
    }

    static byte[] pairHash(byte[] left, byte[] right) {
        return hash(new byte[] {1}, left, right);
    }

    private static byte[] hash(byte[]... parts) {
        return finish(new Blake3Digest(), concat(parts));
    }

    private static byte[] finish(Blake3Digest digest, byte[] bytes) {
        digest.update(bytes, 0, bytes.length);
        var hash = new byte[HASH_BYTES];
        digest.doFinal(hash, 0);
        return hash;
    }

    /** Takes fields off the front of bytes. */
    static final class Reader {
        private final byte[] bytes;
        private int at = 0;

        Reader(byte[] bytes) {
            this.bytes = bytes;
        }

        byte[] take(int size) {
            require(size <= bytes.length - at, "the bytes end inside a field");
            at += size;
            return Arrays.copyOfRange(bytes, at - size, at);
        }

        /** A number below 2^63, of at most 8 bytes. */
        long number(int size) {
            return new BigInteger(1, take(size)).longValueExact();
        }

        boolean isAtEnd() {
            return at == bytes.length;
        }
    }
}
