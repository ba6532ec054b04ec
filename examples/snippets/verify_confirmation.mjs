// Take confirmations at notify_url: 204 to a genuine one, 401 to anything else.
import { createPublicKey, verify } from "node:crypto";
import { createServer } from "node:http";

// Here the public key (v1a, Ed25519): nothing on this server could forge a confirmation.
const x = Buffer.from(process.env.MERCHANT_WHPK.replace("whpk_", ""), "base64").toString("base64url");
const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });

createServer(async (request, response) => {
  const body = Buffer.concat(await request.toArray());
  const { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": header = "" } = request.headers;
  const signed = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]);
  const signatures = header.split(" ").filter((one) => one.startsWith("v1a,"));
  const genuine = signatures.some((one) => verify(null, signed, key, Buffer.from(one.slice(4), "base64")));
  if (!genuine || !(Math.abs(Date.now() / 1000 - timestamp) <= 300)) return response.writeHead(401).end();
  const told = JSON.parse(body);
  // Act once per webhook-id, compare amount and reference with your own, commit, and only then answer.
  console.log(id, told.type, told.data.reference, told.data.amount);
  response.writeHead(204).end();
}).listen(process.env.PORT ?? 9000, "127.0.0.1");
