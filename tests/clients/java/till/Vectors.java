package till;

import static till.Bytes.require;

import com.google.gson.Gson;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;

/**
 * Judges the group and the oblivious evaluation by the vectors of their RFCs.
 *
 * <pre>
 *   java @OUT/options till.Vectors rfc9496.json proto/src/oprf/rfc9497_voprf.json
 * </pre>
 */
final class Vectors {
    private Vectors() {}

    public static void main(String[] args) throws IOException {
        group(read(args[0]));
        evaluation(read(args[1]));
        System.out.println("all vectors hold");
    }

    private static JsonObject read(String path) throws IOException {
        return new Gson().fromJson(Files.readString(Path.of(path)), JsonObject.class);
    }

    /** RFC 9496, A.1 to A.3. */
    private static void group(JsonObject rfc) {
        Ristretto255 multiple = Ristretto255.IDENTITY;
        for (var text : rfc.getAsJsonArray("multiples")) {
            byte[] encoded = bytes(text.getAsString());
            requireSame(multiple.encode(), encoded);
            requireSame(Ristretto255.decode(encoded).encode(), encoded);
            multiple = multiple.plus(Ristretto255.BASE);
        }
        for (var text : rfc.getAsJsonArray("invalid")) {
            require(!decodes(bytes(text.getAsString())), "an invalid encoding is taken: " + text);
        }
        for (var each : rfc.getAsJsonArray("uniform")) {
            JsonObject vector = each.getAsJsonObject();
            byte[] uniform = bytes(vector.get("input").getAsString());
            requireSame(Ristretto255.fromUniform(uniform).encode(), bytes(vector.get("element").getAsString()));
        }
    }

    private static boolean decodes(byte[] encoded) {
        try {
            Ristretto255.decode(encoded);
            return true;
        } catch (IllegalArgumentException refused) {
            return false;
        }
    }

    /** RFC 9497, A.1.2: one key is one share of one. */
    private static void evaluation(JsonObject rfc) {
        byte[] key = bytes(rfc.get("pkSm").getAsString());
        for (var each : rfc.getAsJsonArray("vectors")) {
            JsonObject vector = each.getAsJsonObject();
            List<byte[]> inputs = list(vector, "Input");
            List<byte[]> factors = list(vector, "Blind");
            List<byte[]> sent = list(vector, "BlindedElement");
            var blinds = new ArrayList<Oprf.Blinded>();
            for (int i = 0; i < inputs.size(); i++) {
                blinds.add(Oprf.blind(inputs.get(i), Ristretto255.number(factors.get(i))));
                requireSame(blinds.get(i).sent(), sent.get(i));
            }
            byte[] proof = bytes(vector.getAsJsonObject("Proof").get("proof").getAsString());
            var answer = new Oprf.Answer(1, key, list(vector, "EvaluationElement"), proof);
            List<byte[]> outputs = Oprf.combine(blinds, List.of(answer), key);
            for (int i = 0; i < outputs.size(); i++) requireSame(outputs.get(i), list(vector, "Output").get(i));
            proof[0] ^= 1;
            require(!Oprf.isProved(sent, answer), "a wrong proof is believed");
        }
    }

    private static List<byte[]> list(JsonObject vector, String name) {
        return Arrays.stream(vector.get(name).getAsString().split(",")).map(Vectors::bytes).toList();
    }

    private static byte[] bytes(String hexadecimal) {
        return HexFormat.of().parseHex(hexadecimal);
    }

    private static void requireSame(byte[] found, byte[] expected) {
        require(Arrays.equals(found, expected), "other bytes than the RFC's");
    }
}
