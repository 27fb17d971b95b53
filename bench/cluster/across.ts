/**
 * What does a message cost from a client of one node to those of another, and how long does it
 * take? Two servers, joined by an engine of their own; the sender is at the first, all listeners
 * are at the second.
 *
 * Latencies are at a fixed rate that keeps no one busy, CPU is flat out, with so many messages in
 * flight.
 */
import { compareServers, SERVERS } from "../fixtures/compare-servers.js";

for (const [clients, perSecond, inFlight] of [
  [1, 200, 32],
  [200, 50, 8],
] as const) {
  await compareServers({
    name: `cluster-${clients}`,
    question: `From one node to ${clients === 1 ? "a client" : `${clients} clients`} of another`,
    scenario: "across",
    options: { clients, perSecond, inFlight, seconds: 4 },
    servers: [SERVERS.natsPair, SERVERS.redisPair, SERVERS.socketIoRedisPair],
    measure: "CPU µs per delivery across",
    base: SERVERS.socketIoRedisPair,
    rounds: 5,
  });
}
