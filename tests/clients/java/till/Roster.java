package till;

import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Map;

/** Who the members are, their keys and shares: `roster.txt`, which is trusted as the operator handed it over. */
record Roster(String origin, int threshold, Map<String, byte[]> joint, List<Member> members, List<Share> shares) {
    record Member(String name, String role, String payer, boolean isVoting, byte[] key, String grpc) {}

    /** A member's public shares, one for each kind of token. */
    record Share(Member member, int index, Map<String, byte[]> keys) {}

    static Roster read(String text) {
        List<String[]> lines = Arrays.stream(text.substring(0, text.indexOf("\n\n")).split("\n"))
                .map(line -> line.split(" "))
                .toList();
        List<Member> members = allOf(lines, "member").stream()
                .map(it -> new Member(it[1], it[2], it[3], it[4].equals("voting"), decode(it[5]), it[6]))
                .toList();
        List<Share> shares = allOf(lines, "share").stream()
                .map(it -> new Share(named(members, it[1]), Integer.parseInt(it[2]), keys(it[3], it[4])))
                .toList();
        return new Roster(
                one(lines, "origin"),
                Integer.parseInt(one(lines, "threshold")),
                keys(one(lines, "person-key"), one(lines, "contract-key")),
                members,
                shares);
    }

    Member member(String name) {
        return named(members, name);
    }

    /** How many voting members vouch for a checkpoint: any two quorums share an honest one. */
    int quorum() {
        int voting = (int) members.stream().filter(Member::isVoting).count();
        return (voting + (voting - 1) / 3) / 2 + 1;
    }

    private static Member named(List<Member> members, String name) {
        return members.stream().filter(it -> it.name.equals(name)).findFirst().orElseThrow();
    }

    private static List<String[]> allOf(List<String[]> lines, String word) {
        return lines.stream().filter(line -> line[0].equals(word)).toList();
    }

    private static String one(List<String[]> lines, String word) {
        return allOf(lines, word).get(0)[1];
    }

    private static Map<String, byte[]> keys(String person, String contract) {
        return Map.of("person", decode(person), "contract", decode(contract));
    }

    private static byte[] decode(String base64) {
        return Base64.getDecoder().decode(base64);
    }
}
