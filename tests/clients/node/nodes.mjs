// Channels to members' nodes: TLS 1.3, both ends show a key, and only the key is believed
// (docs/protocol.md, section 3).

import { X509Certificate } from "node:crypto";
import tls from "node:tls";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";
import { same } from "./bytes.mjs";
import { publicBytes } from "./ledger.mjs";

const DEADLINE_MS = 10_000;
const NAME = "vitrail";
const FILES = ["evaluator", "ledger", "log"].map((concept) => `vitrail/v1/${concept}.proto`);

/** The services, made from the published schema in this folder. */
export function services(schema) {
  const how = { includeDirs: [schema], keepCase: true, longs: String, enums: String, defaults: true, oneofs: true };
  return grpc.loadPackageDefinition(loader.loadSync(FILES, how)).vitrail.v1;
}

/** The certificate that a node shows, if it is around the key that the roster has for it. */
function certificateOf(member, own) {
  const [, host, port] = /^(.*):(\d+)$/.exec(member.grpc);
  return new Promise((resolve, reject) => {
    // There is no authority whom a chain could lead to: the key is compared instead.
    const settings = { host, port, servername: NAME, ALPNProtocols: ["h2"], minVersion: "TLSv1.3" };
    const socket = tls.connect({ ...settings, ...own, rejectUnauthorized: false }, () => {
      const certificate = new X509Certificate(socket.getPeerCertificate().raw);
      socket.end();
      const isMember = same(publicBytes(certificate.publicKey), member.key);
      isMember ? resolve(certificate.toString()) : reject(new Error("another key than the roster's"));
    });
    socket.on("error", reject);
  });
}

/** A client of one service of a member's node; `call(method, request)` gives a promise. */
export async function connect(Service, member, own) {
  const trusted = Buffer.from(await certificateOf(member, own));
  const credentials = grpc.credentials.createSsl(trusted, own.key, own.cert);
  const client = new Service(member.grpc, credentials, {
    "grpc.ssl_target_name_override": NAME,
    "grpc.default_authority": NAME,
  });
  const call = (method, request) =>
    new Promise((resolve, reject) => {
      // Every call has a deadline: a node refuses one without.
      const options = { deadline: Date.now() + DEADLINE_MS };
      client[method](request, options, (error, answer) => (error ? reject(error) : resolve(answer)));
    });
  return { call, close: () => client.close() };
}
