package till;

import static till.Bytes.concat;
import static till.Bytes.number;
import static till.Bytes.require;
import static till.Bytes.sized;
import static till.Bytes.utf8;

import java.math.BigInteger;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * The oblivious evaluation of an identity (docs/protocol.md, section 5): RFC 9497, mode VOPRF,
 * ristretto255-SHA512, under a key of which each node has a share. No node sees the identity.
 */
final class Oprf {
    private static final byte[] CONTEXT = concat(utf8("OPRFV1-"), new byte[] {1}, utf8("-ristretto255-SHA512"));
    private static final int SCALAR_BYTES = 32;
    private static final int BLOCK_BYTES = 128; // Of SHA-512.
    private static final int UNIFORM_BYTES = 64;

    private Oprf() {}

    /** An input, the factor that hides it, and what is sent. */
    record Blinded(byte[] input, BigInteger factor, byte[] sent) {}

    /** What the holder of one share answered. The share's public key is the roster's, never the node's. */
    record Answer(int index, byte[] share, List<byte[]> evaluated, byte[] proof) {}

    private static byte[] sha512(byte[]... parts) {
        try {
            return MessageDigest.getInstance("SHA-512").digest(concat(parts));
        } catch (GeneralSecurityException missing) {
            throw new IllegalStateException(missing);
        }
    }

    /** 64 bytes of expand_message_xmd with SHA-512 (RFC 9380, 5.3.1). */
    private static byte[] expand(byte[] message, String purpose) {
        byte[] tag = concat(utf8(purpose), CONTEXT);
        tag = concat(tag, number(tag.length, 1));
        byte[] first = sha512(new byte[BLOCK_BYTES], message, number(UNIFORM_BYTES, 2), new byte[] {0}, tag);
        return sha512(first, new byte[] {1}, tag);
    }

    private static BigInteger hashToScalar(byte[]... parts) {
        return Ristretto255.number(expand(concat(parts), "HashToScalar-")).mod(Ristretto255.ORDER);
    }

    /** An element of a node or of the roster: canonical, and not the identity (RFC 9497, 4.1). */
    private static Ristretto255 element(byte[] bytes) {
        require(!Arrays.equals(bytes, Ristretto255.IDENTITY.encode()), "the identity is no answer");
        return Ristretto255.decode(bytes);
    }

    /** Hides an input behind a random factor. */
    static Blinded blind(byte[] input) {
        var uniform = new byte[UNIFORM_BYTES];
        new SecureRandom().nextBytes(uniform);
        return blind(input, Ristretto255.number(uniform).mod(Ristretto255.ORDER));
    }

    static Blinded blind(byte[] input, BigInteger factor) {
        Ristretto255 hashed = Ristretto255.fromUniform(expand(input, "HashToGroup-"));
        return new Blinded(input, factor, hashed.times(factor).encode());
    }

    /** Whether one node multiplied every element by the share that the roster publishes for it. */
    static boolean isProved(List<byte[]> sent, Answer answer) {
        if (answer.proof.length != 2 * SCALAR_BYTES || answer.evaluated.size() != sent.size()) return false;
        BigInteger c = Ristretto255.number(Arrays.copyOf(answer.proof, SCALAR_BYTES));
        BigInteger s = Ristretto255.number(Arrays.copyOfRange(answer.proof, SCALAR_BYTES, answer.proof.length));
        if (c.compareTo(Ristretto255.ORDER) >= 0 || s.compareTo(Ristretto255.ORDER) >= 0) return false;
        byte[] seed = sha512(sized(answer.share), sized(concat(utf8("Seed-"), CONTEXT)));
        Ristretto255 m = Ristretto255.IDENTITY;
        Ristretto255 z = Ristretto255.IDENTITY;
        for (int i = 0; i < sent.size(); i++) {
            byte[] given = sent.get(i);
            byte[] got = answer.evaluated.get(i);
            BigInteger weight =
                    hashToScalar(sized(seed), number(i, 2), sized(given), sized(got), utf8("Composite"));
            m = m.plus(element(given).times(weight));
            z = z.plus(element(got).times(weight));
        }
        Ristretto255 t2 = Ristretto255.BASE.times(s).plus(element(answer.share).times(c));
        Ristretto255 t3 = m.times(s).plus(z.times(c));
        var transcript = new ArrayList<>(List.of(sized(answer.share)));
        for (Ristretto255 point : List.of(m, z, t2, t3)) transcript.add(sized(point.encode()));
        transcript.add(utf8("Challenge"));
        return c.equals(hashToScalar(concat(transcript)));
    }

    /** The sum of what several shares gave, each with its weight: what the joint key gives. */
    private static Ristretto255 atZero(List<Answer> answers, List<byte[]> points) {
        Ristretto255 sum = Ristretto255.IDENTITY;
        for (int i = 0; i < answers.size(); i++) {
            BigInteger x = BigInteger.valueOf(answers.get(i).index);
            BigInteger weight = BigInteger.ONE;
            for (Answer each : answers) {
                BigInteger other = BigInteger.valueOf(each.index);
                if (other.equals(x)) continue;
                BigInteger inverse = other.subtract(x).modInverse(Ristretto255.ORDER);
                weight = weight.multiply(other).multiply(inverse).mod(Ristretto255.ORDER);
            }
            sum = sum.plus(element(points.get(i)).times(weight));
        }
        return sum;
    }

    /** The outputs for all inputs, from answers of as many different shares as the threshold says. */
    static List<byte[]> combine(List<Blinded> blinds, List<Answer> answers, byte[] jointKey) {
        List<byte[]> sent = blinds.stream().map(Blinded::sent).toList();
        for (Answer answer : answers) {
            require(isProved(sent, answer), "share " + answer.index + " cheats");
        }
        byte[] joint = atZero(answers, answers.stream().map(Answer::share).toList()).encode();
        require(Arrays.equals(joint, jointKey), "the shares do not make the joint key");
        var outputs = new ArrayList<byte[]>();
        for (int i = 0; i < blinds.size(); i++) {
            int place = i;
            Blinded blind = blinds.get(i);
            Ristretto255 combined = atZero(answers, answers.stream().map(it -> it.evaluated.get(place)).toList());
            byte[] unblinded = combined.times(blind.factor.modInverse(Ristretto255.ORDER)).encode();
            outputs.add(sha512(sized(blind.input), sized(unblinded), utf8("Finalize")));
        }
        return outputs;
    }
}
