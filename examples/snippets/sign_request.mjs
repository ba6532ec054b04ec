// Ask for a payment: sign the claims, post them, print where to send the payer.
import { createPrivateKey, randomUUID, sign } from "node:crypto";
import { readFileSync } from "node:fs";

const { GUICHET: guichet, PORTAL: portal, MERCHANT_KEY, MERCHANT_KID: kid } = process.env;
const base64url = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const now = Math.floor(Date.now() / 1000);
const claims = {
  iss: "mairie-demo", aud: guichet, iat: now, exp: now + 300, jti: randomUUID(),
  amount: 4250, reference: process.argv[2], label: "School meals, October", email: "parent@example.org",
  return_url: `${portal}/thanks`, notify_url: `${portal}/confirmations`,
};
const signed = `${base64url({ alg: "EdDSA", kid })}.${base64url(claims)}`;
const signature = sign(null, Buffer.from(signed), createPrivateKey(readFileSync(MERCHANT_KEY)));
const body = `${signed}.${signature.toString("base64url")}`;
const headers = { "Content-Type": "application/jose" };
const answer = await fetch(`${guichet}/v1/payments`, { method: "POST", headers, body });
if (answer.status !== 201) {
  console.error(await answer.text());
  process.exit(1);
}
console.log((await answer.json()).checkout_url);
