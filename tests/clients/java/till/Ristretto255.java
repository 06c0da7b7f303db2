package till;

import static till.Bytes.require;

import java.math.BigInteger;
import java.util.Arrays;
import java.util.HexFormat;

/**
 * The group ristretto255 (RFC 9496, section 4), written to be read.
 *
 * <p>BigInteger takes a time that depends on its values, and a blind or a secret share is a value to keep. Till
 * software takes a library in constant time instead: libsodium by the foreign function interface, or a port of
 * one. The rest of this client stays as it is.
 */
record Ristretto255(BigInteger x, BigInteger y, BigInteger z, BigInteger t) {
    static final int ELEMENT_BYTES = 32;
    /** The order of the group. */
    static final BigInteger ORDER = new BigInteger("27742317777372353535851937790883648493").setBit(252);

    private static final BigInteger ZERO = BigInteger.ZERO;
    private static final BigInteger ONE = BigInteger.ONE;
    private static final BigInteger P = ONE.shiftLeft(255).subtract(BigInteger.valueOf(19));
    private static final int FIELD_BITS = 255;
    /** (p - 5) / 8. */
    private static final BigInteger ROOT_EXPONENT = P.subtract(BigInteger.valueOf(5)).shiftRight(3);
    // Section 4.1, in its names.
    private static final BigInteger D =
            new BigInteger("37095705934669439343138083508754565189542113879843219016388785533085940283555");
    private static final BigInteger SQRT_M1 =
            new BigInteger("19681161376707505956807079304988542015446066515923890162744021073123829784752");
    private static final BigInteger SQRT_AD_MINUS_ONE =
            new BigInteger("25063068953384623474111414158702152701244531502492656460079210482610430750235");
    private static final BigInteger INVSQRT_A_MINUS_D =
            new BigInteger("54469307008909316920995813868745141605393597292927456921205312896311721017578");
    private static final BigInteger ONE_MINUS_D_SQ =
            new BigInteger("1159843021668779879193775521855586647937357759715417654439879720876111806838");
    private static final BigInteger D_MINUS_ONE_SQ =
            new BigInteger("40440834346308536858101042469323190826248399146238708352240133220865137265952");

    static final Ristretto255 IDENTITY = new Ristretto255(ZERO, ONE, ONE, ZERO);
    static final Ristretto255 BASE = decode(
            HexFormat.of().parseHex("e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76"));

    /** A number of 32 bytes, least significant byte first. */
    static byte[] littleEndian(BigInteger value) {
        var bytes = new byte[ELEMENT_BYTES];
        for (int i = 0; i < ELEMENT_BYTES; i++) bytes[i] = value.shiftRight(8 * i).byteValue();
        return bytes;
    }

    static BigInteger number(byte[] littleEndian) {
        var bytes = new byte[littleEndian.length];
        for (int i = 0; i < bytes.length; i++) bytes[i] = littleEndian[bytes.length - 1 - i];
        return new BigInteger(1, bytes);
    }

    /** An element from its one encoding (section 4.3.1). */
    static Ristretto255 decode(byte[] bytes) {
        require(bytes.length == ELEMENT_BYTES, "an element has 32 bytes");
        BigInteger s = number(bytes);
        require(s.compareTo(P) < 0 && !isNegative(s), "not the canonical encoding of an element");
        BigInteger ss = mul(s, s);
        BigInteger u1 = sub(ONE, ss);
        BigInteger u2 = add(ONE, ss);
        BigInteger u2Squared = mul(u2, u2);
        BigInteger v = sub(mul(D, u1, u1).negate(), u2Squared);
        Root inverse = inverseRoot(mul(v, u2Squared));
        BigInteger denX = mul(inverse.value, u2);
        BigInteger denY = mul(inverse.value, denX, v);
        BigInteger x = absolute(mul(s, denX, BigInteger.TWO));
        BigInteger y = mul(u1, denY);
        BigInteger t = mul(x, y);
        require(inverse.isOfSquare && !isNegative(t) && y.signum() != 0, "no element has this encoding");
        return new Ristretto255(x, y, ONE, t);
    }

    /** The one encoding of this element (section 4.3.2). */
    byte[] encode() {
        BigInteger u1 = mul(add(z, y), sub(z, y));
        BigInteger u2 = mul(x, y);
        BigInteger inverse = inverseRoot(mul(u1, u2, u2)).value;
        BigInteger den1 = mul(inverse, u1);
        BigInteger den2 = mul(inverse, u2);
        BigInteger zInverse = mul(den1, den2, t);
        boolean isRotated = isNegative(mul(t, zInverse));
        BigInteger rotatedX = isRotated ? mul(y, SQRT_M1) : x;
        BigInteger rotatedY = isRotated ? mul(x, SQRT_M1) : y;
        BigInteger den = isRotated ? mul(den1, INVSQRT_A_MINUS_D) : den2;
        if (isNegative(mul(rotatedX, zInverse))) rotatedY = sub(ZERO, rotatedY);
        return littleEndian(absolute(mul(den, sub(z, rotatedY))));
    }

    /** An element from 64 uniform bytes (section 4.3.4). */
    static Ristretto255 fromUniform(byte[] bytes) {
        require(bytes.length == 2 * ELEMENT_BYTES, "64 bytes make an element");
        return map(Arrays.copyOf(bytes, ELEMENT_BYTES))
                .plus(map(Arrays.copyOfRange(bytes, ELEMENT_BYTES, bytes.length)));
    }

    private static Ristretto255 map(byte[] half) {
        BigInteger t = number(half).clearBit(FIELD_BITS).mod(P);
        BigInteger r = mul(SQRT_M1, t, t);
        BigInteger u = mul(add(r, ONE), ONE_MINUS_D_SQ);
        BigInteger v = mul(sub(ONE.negate(), mul(r, D)), add(r, D));
        Root root = root(u, v);
        BigInteger s = root.isOfSquare ? root.value : sub(ZERO, absolute(mul(root.value, t)));
        BigInteger c = root.isOfSquare ? ONE.negate() : r;
        BigInteger n = sub(mul(c, sub(r, ONE), D_MINUS_ONE_SQ), v);
        BigInteger w0 = mul(s, v, BigInteger.TWO);
        BigInteger w1 = mul(n, SQRT_AD_MINUS_ONE);
        BigInteger w2 = sub(ONE, mul(s, s));
        BigInteger w3 = add(ONE, mul(s, s));
        return new Ristretto255(mul(w0, w3), mul(w2, w1), mul(w1, w3), mul(w0, w2));
    }

    /** The sum, by the formulas of edwards25519 (RFC 8032, section 5.1.4), which have no exceptions. */
    Ristretto255 plus(Ristretto255 other) {
        BigInteger a = mul(sub(y, x), sub(other.y, other.x));
        BigInteger b = mul(add(y, x), add(other.y, other.x));
        BigInteger c = mul(t, other.t, D, BigInteger.TWO);
        BigInteger d = mul(z, other.z, BigInteger.TWO);
        BigInteger e = sub(b, a);
        BigInteger f = sub(d, c);
        BigInteger g = add(d, c);
        BigInteger h = add(b, a);
        return new Ristretto255(mul(e, f), mul(g, h), mul(f, g), mul(e, h));
    }

    Ristretto255 times(BigInteger scalar) {
        BigInteger reduced = scalar.mod(ORDER);
        Ristretto255 product = IDENTITY;
        for (int bit = reduced.bitLength() - 1; bit >= 0; bit--) {
            product = product.plus(product);
            if (reduced.testBit(bit)) product = product.plus(this);
        }
        return product;
    }

    /** A root of u / v, or of its multiple by the root of -1 where u / v has none. */
    private record Root(boolean isOfSquare, BigInteger value) {}

    /** SQRT_RATIO_M1 (section 4.2). */
    private static Root root(BigInteger u, BigInteger v) {
        BigInteger v3 = mul(v, v, v);
        BigInteger v7 = mul(v3, v3, v);
        BigInteger r = mul(u, v3, mul(u, v7).modPow(ROOT_EXPONENT, P));
        BigInteger check = mul(v, r, r);
        BigInteger reduced = u.mod(P);
        BigInteger negated = sub(ZERO, u);
        boolean isCorrect = check.equals(reduced);
        boolean isFlipped = check.equals(negated);
        boolean isFlippedI = check.equals(mul(negated, SQRT_M1));
        if (isFlipped || isFlippedI) r = mul(r, SQRT_M1);
        return new Root(isCorrect || isFlipped, absolute(r));
    }

    private static Root inverseRoot(BigInteger v) {
        return root(ONE, v);
    }

    private static boolean isNegative(BigInteger reduced) {
        return reduced.testBit(0);
    }

    private static BigInteger absolute(BigInteger reduced) {
        return isNegative(reduced) ? sub(ZERO, reduced) : reduced;
    }

    private static BigInteger add(BigInteger a, BigInteger b) {
        return a.add(b).mod(P);
    }

    private static BigInteger sub(BigInteger a, BigInteger b) {
        return a.subtract(b).mod(P);
    }

    private static BigInteger mul(BigInteger first, BigInteger... others) {
        BigInteger product = first;
        for (BigInteger other : others) product = product.multiply(other).mod(P);
        return product;
    }
}
