/**
 * What does a second gateway give? A delivery is mostly one write to a socket, which the gateway of
 * that socket makes: the thread that has most to do per delivery is the ceiling of the node,
 * however many cores there are.
 */
import { compareServers, SERVERS } from "../fixtures/compare-servers.js";

const [major = 0] = process.versions.node.split(".").map(Number);
if (major < 24) {
  console.log(
    "Gateways: needs Node 22.12 or later, where threads can share a port: npx -y node@24 scripts/bench.mjs gateways",
  );
} else {
  await compareServers({
    name: "gateways-fan-out",
    question: "One broadcast at a time to 1,000, one and two gateway threads",
    scenario: "fanout",
    options: { clients: 1000, inFlight: 1, seconds: 4 },
    servers: [SERVERS.twoGateways, SERVERS.sharded, SERVERS.ws],
    measure: "CPU µs per delivery in the busiest thread",
  });
}
