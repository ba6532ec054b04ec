// Runs the npm package "soap" over the WSDL that the server itself serves.
// Verbs come as lines of JSON and are answered by one line each.

const readline = require("node:readline");
const soap = require("soap");

const clients = new Map();

async function clientFor({ wsdl, login, password }) {
  const key = JSON.stringify([wsdl, login, password]);
  if (!clients.has(key)) {
    const client = await soap.createClientAsync(wsdl);
    if (login) client.setSecurity(new soap.BasicAuthSecurity(login, password));
    clients.set(key, client);
  }
  return clients.get(key);
}

async function call(asked) {
  const client = await clientFor(asked);
  const [answer] = await client[`${asked.operation}Async`](asked.arguments);
  return answer;
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    let said;
    try {
      said = { answer: await call(JSON.parse(line)) };
    } catch (error) {
      const fault = error.root?.Envelope?.Body?.Fault ?? null;
      const facts = { fault, status: error.response?.status ?? 0 };
      // What the package rejects with need not be an Error.
      said = { raised: error.name ?? "Error", text: error.message ?? "", facts };
    }
    process.stdout.write(`${JSON.stringify(said)}\n`);
  }
}

main();
