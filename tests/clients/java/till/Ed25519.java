package till;

import static till.Bytes.concat;
import static till.Bytes.require;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.Signature;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.security.spec.X509EncodedKeySpec;
import java.util.Arrays;
import java.util.Base64;
import java.util.HexFormat;

/** Signatures, and the files in which a till has its key (docs/protocol.md, section 3). */
final class Ed25519 {
    private static final String ALGORITHM = "Ed25519";
    private static final byte[] KEY_PREFIX = HexFormat.of().parseHex("302a300506032b6570032100");
    private static final int KEY_BYTES = 32;

    private Ed25519() {}

    /** By a key that the roster vouches for; of another one, canonical form and order would be checked as well. */
    static void requireSigned(byte[] signed, byte[] signature, byte[] key) throws GeneralSecurityException {
        var spec = new X509EncodedKeySpec(concat(KEY_PREFIX, key));
        Signature verifier = Signature.getInstance(ALGORITHM);
        verifier.initVerify(KeyFactory.getInstance(ALGORITHM).generatePublic(spec));
        verifier.update(signed);
        require(verifier.verify(signature), "a signature does not verify");
    }

    /** The key that a certificate is around: all that is believed of it. */
    static byte[] keyOf(X509Certificate certificate) {
        byte[] info = certificate.getPublicKey().getEncoded();
        boolean isKey = info.length == KEY_PREFIX.length + KEY_BYTES
                && Arrays.equals(info, 0, KEY_PREFIX.length, KEY_PREFIX, 0, KEY_PREFIX.length);
        require(isKey, "not an Ed25519 certificate");
        return Arrays.copyOfRange(info, KEY_PREFIX.length, info.length);
    }

    /** A till's key and the certificate around it. */
    record Till(PrivateKey secret, X509Certificate certificate) {
        /** Reads `key.pem` (PKCS#8, RFC 8410) and `certificate.pem`. */
        static Till read(Path folder) throws IOException, GeneralSecurityException {
            String pem = Files.readString(folder.resolve("key.pem")).replaceAll("-----[A-Z ]+-----", "");
            var spec = new PKCS8EncodedKeySpec(Base64.getMimeDecoder().decode(pem));
            PrivateKey secret = KeyFactory.getInstance(ALGORITHM).generatePrivate(spec);
            try (var file = Files.newInputStream(folder.resolve("certificate.pem"))) {
                var read = CertificateFactory.getInstance("X.509").generateCertificate(file);
                return new Till(secret, (X509Certificate) read);
            }
        }

        byte[] key() {
            return keyOf(certificate);
        }

        byte[] sign(byte[] bytes) throws GeneralSecurityException {
            Signature signer = Signature.getInstance(ALGORITHM);
            signer.initSign(secret);
            signer.update(bytes);
            return signer.sign();
        }
    }
}
