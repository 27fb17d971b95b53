/** TLS and credentials of the engines, on real servers with certificates made for the test. */
import { natsAdapter, PubSub, redisAdapter } from "simurgh/pubsub";
import { createNode, type RuntimeNode, receive, trapExit } from "simurgh/runtime";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { AppServer, runToEnd } from "../support/app-server.js";
import { type Certificates, makeCertificates } from "../support/certificates.js";
import { type EngineServer, startNats, startRedis } from "../support/engines.js";
import { describeWith } from "../support/requirements.js";
import { waitFor } from "../support/wait.js";

const NAME = "security";
const servers: EngineServer[] = [];
const nodes: RuntimeNode[] = [];
afterEach(async () => {
  for (const node of nodes.splice(0)) await node.stop();
  for (const server of servers.splice(0)) await server.stop();
});

type Served = Pick<Certificates["server"], "cert" | "key">;

const engines = {
  NATS: {
    plain: "nats",
    secure: "tls",
    start: startNats,
    adapter: natsAdapter,
    /**
     * Lines for a server that speaks TLS alone; with an authority it asks for a client's
     * certificate.
     */
    tls:
      ({ cert, key }: Served, authority?: string) =>
      () =>
        `tls { cert_file: "${cert.file}", key_file: "${key.file}"${authority === undefined ? "" : `, ca_file: "${authority}", verify: true`} }`,
  },
  Redis: {
    plain: "redis",
    secure: "rediss",
    start: startRedis,
    adapter: redisAdapter,
    tls:
      ({ cert, key }: Served, authority?: string) =>
      (port: number) =>
        `port 0\ntls-port ${port}\ntls-cert-file ${cert.file}\ntls-key-file ${key.file}\n${
          authority === undefined
            ? `tls-ca-cert-file ${cert.file}\ntls-auth-clients no`
            : `tls-ca-cert-file ${authority}`
        }`,
  },
} as const;

describe.each(["NATS", "Redis"] as const)("%s", (kind) => {
  const { plain, secure, adapter, start, tls } = engines[kind];

  async function serve(config: string | ((port: number) => string), scheme: string): Promise<EngineServer> {
    const server = await start({ config, scheme });
    servers.push(server);
    return server;
  }

  /** A node that is joined; or what a failed start says. */
  async function join(nodeName: string, options: object): Promise<RuntimeNode | string> {
    const node = createNode({ onReport() {} });
    nodes.push(node);
    const result = await node.run(() => {
      trapExit(true);
      return PubSub.startLink({ name: NAME, adapter: adapter({ nodeName, ...options } as never) });
    });
    if (result[0] === "ok") return node;
    return JSON.stringify(result, (_key, value) => (value instanceof Error ? value.message : value));
  }

  /** What one node says the other receives: the connection works, not only the greeting. */
  async function areJoined(options: object): Promise<boolean> {
    const [a, b] = [await join("a", options), await join("b", options)];
    if (typeof a === "string" || typeof b === "string") throw new Error(`${a} ${b}`);
    const received = b.run(async () => {
      await PubSub.subscribe(NAME, "t");
      subscribed();
      return receive((message) => ({ message }));
    });
    let subscribed!: () => void;
    await new Promise<void>((resolve) => {
      subscribed = resolve;
    });
    await a.run(() => PubSub.broadcast(NAME, "t", "hello"));
    return (await received).message === "hello";
  }

  describeWith(kind, "TLS", () => {
    describeWith("OpenSSL", "with certificates of our own", () => {
      let made: Certificates;
      beforeAll(() => {
        made = makeCertificates();
      });
      afterAll(() => made?.remove());

      test("nodes connect over TLS when they know the engine's authority", async () => {
        const { url } = await serve(tls(made.server), secure);
        expect(await areJoined({ url, tls: { ca: made.authority.text } })).toBe(true);
      });

      test("an untrusted or wrong certificate fails the start with advice", async () => {
        const { url } = await serve(tls(made.server), secure);
        for (const options of [{ tls: { ca: made.stranger.text } }, {}])
          expect(await join("a", { url, ...options })).toMatch(
            new RegExp(
              `${kind} at ${secure}://127.0.0.1:\\d+ has a certificate that is not trusted here \\([^)]+\\); give the authority that signed it as tls.ca`,
            ),
          );
        const other = await serve(tls(made.elsewhere), secure);
        expect(await join("a", { url: other.url, tls: { ca: made.authority.text } })).toMatch(
          /has a certificate for another host \(.*127\.0\.0\.1 is not in the cert's list.*check the url/,
        );
      });

      test("an engine that asks for the node's certificate gets it", async () => {
        const { url } = await serve(tls(made.server, made.authority.file), secure);
        const ca = made.authority.text;
        expect(await join("a", { url, tls: { ca } })).toMatch(/certificate.*tls\.cert and tls\.key/);
        const { cert, key } = made.client;
        expect(await areJoined({ url, tls: { ca, cert: cert.text, key: key.text } })).toBe(true);
      });

      test("who asks for TLS is never joined without it", async () => {
        const { port } = await serve("", plain);
        expect(
          await join("a", { url: `${secure}://127.0.0.1:${port}`, tls: { ca: made.authority.text } }),
        ).toMatch(/speaks no TLS|cannot be reached .*speaks TLS/);
      });

      test("PhoenixPair uses CLUSTER_CA_FILE, CLUSTER_CERT_FILE and CLUSTER_KEY_FILE", async () => {
        const { url } = await serve(tls(made.server, made.authority.file), secure);
        const env = {
          CLUSTER_URL: url,
          NODE_NAME: "n1",
          SHARDS: "0",
          JWT_SECRET: "the same on every node of the cluster",
        };
        const pair = { CLUSTER_CERT_FILE: made.client.cert.file, CLUSTER_KEY_FILE: made.client.key.file };
        const refused = await runToEnd({
          ...env,
          ...pair,
          PORT: "0",
          DATA_DIR: "/tmp/pp-never",
          CLUSTER_CA_FILE: made.stranger.file,
        });
        expect(refused.code).toBe(1);
        expect(refused.stderr).toMatch(
          /^this node cannot join the others: .* certificate that is not trusted here .*\(CLUSTER_URL, CLUSTER_CA_FILE\)\n$/,
        );
        const server = await AppServer.start({ ...env, ...pair, CLUSTER_CA_FILE: made.authority.file });
        try {
          await waitFor("it is joined", async () => {
            const { cluster } = (await (await server.request("GET", "/readyz")).json()) as {
              readonly cluster: { readonly status: string };
            };
            return cluster.status === "up";
          });
        } finally {
          await server.stop();
        }
      });
    });
  });

  describeWith(kind, "a secret without a user", () => {
    test("a token or password is used in the url or next to it", async () => {
      const { port } = await serve(
        kind === "NATS" ? 'authorization { token: "t0p/secret" }' : "requirepass t0p/secret",
        plain,
      );
      const at = `127.0.0.1:${port}`;
      const url = (secret: string): string => `${plain}://${kind === "NATS" ? "" : ":"}${secret}@${at}`;
      for (const options of [{ url: `${plain}://${at}` }, { url: url("wrong-one") }]) {
        const refused = await join("a", options);
        expect(refused).toMatch(/refuses these credentials/);
        expect(refused).not.toMatch(/wrong-one/);
      }
      expect(await areJoined({ url: url("t0p%2Fsecret") })).toBe(true);
      const beside = kind === "NATS" ? { token: "t0p/secret" } : { password: "t0p/secret" };
      expect(await areJoined({ url: `${plain}://${at}`, ...beside })).toBe(true);
    });
  });
});

describe("a file that is not there", () => {
  test("fails the start of PhoenixPair in one line", async () => {
    const env = { DATA_DIR: "/tmp/pp-never", PORT: "0", JWT_SECRET: "the same on every node of the cluster" };
    const ended = await runToEnd({ ...env, CLUSTER_URL: "tls://127.0.0.1", CLUSTER_CA_FILE: "/nowhere/ca" });
    expect(ended.code).toBe(1);
    expect(ended.stderr).toMatch(/^CLUSTER_CA_FILE \/nowhere\/ca cannot be read \(ENOENT\)/);
  });
});
