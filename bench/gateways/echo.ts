/** What does a second gateway give to requests, with one shard that answers all of them? */
import { compareServers, SERVERS } from "../fixtures/compare-servers.js";

const [major = 0] = process.versions.node.split(".").map(Number);
if (major < 24) {
  console.log(
    "Gateways: needs Node 22.12 or later, where threads can share a port: npx -y node@24 scripts/bench.mjs gateways",
  );
} else {
  await compareServers({
    name: "gateways-echo",
    question: "Echo, 100 clients, one and two gateway threads",
    scenario: "echo",
    options: { clients: 100, seconds: 4 },
    servers: [SERVERS.twoGateways, SERVERS.sharded, SERVERS.ws],
    measure: "CPU µs per request in the busiest thread",
  });
}
