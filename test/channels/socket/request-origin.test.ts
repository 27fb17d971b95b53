import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type CheckOrigin, originAllowed } from "../../../src/channels/socket/check-origin.js";
import {
  type OriginRequest,
  parseForwarded,
  parseHost,
  type RequestOrigin,
  requestOrigin,
} from "../../../src/channels/socket/request-origin.js";

interface Given {
  readonly host?: string | null;
  readonly proxies?: number;
  readonly peer?: string;
  readonly encrypted?: boolean;
  readonly version?: string;
}

/** Headers as Node gives them: lines of one name joined. */
function read(lines: readonly (readonly [string, string])[], given: Given = {}): RequestOrigin | undefined {
  const { host = "app.internal:4000", proxies = 1, peer = "10.0.0.1", encrypted, version = "1.1" } = given;
  const all = host === null ? lines : [["Host", host] as const, ...lines];
  const headers: Record<string, string> = {};
  for (const [name, value] of all) {
    const key = name.toLowerCase();
    headers[key] = key in headers && key !== "host" ? `${headers[key]}, ${value}` : (headers[key] ?? value);
  }
  const socket = { remoteAddress: peer, encrypted };
  return requestOrigin(
    { headers, rawHeaders: all.flat(), httpVersion: version, socket } as unknown as OriginRequest,
    proxies,
  );
}
const address = (lines: readonly (readonly [string, string])[], given?: Given): string => {
  const found = read(lines, given);
  return found === undefined ? "refused" : `${found.scheme}://${found.host}:${found.port}`;
};
const client = (lines: readonly (readonly [string, string])[], given?: Given): string | undefined =>
  read(lines, given)?.clientNetwork;
const https = ["X-Forwarded-Proto", "https"] as const;

describe("the host of a request", () => {
  test.each([
    ["example.com", "http://example.com:80"],
    ["EXAMPLE.Com", "http://example.com:80"],
    ["example.com.", "http://example.com:80"],
    ["example.com:", "http://example.com:80"],
    ["example.com:80", "http://example.com:80"],
    ["example.com.:8080", "http://example.com:8080"],
    ["[2001:DB8::0:1]", "http://[2001:db8::1]:80"],
    ["[::1]:4000", "http://[::1]:4000"],
    ["xn--bcher-kva.example", "http://xn--bcher-kva.example:80"],
    [Buffer.from("Bücher.example").toString("latin1"), "http://xn--bcher-kva.example:80"],
    ["my_host:4000", "http://my_host:4000"],
    ["127.0.0.1:4000", "http://127.0.0.1:4000"],
  ])("%s is %s", (host, expected) => {
    expect(address([], { host, proxies: 0 })).toBe(expected);
  });

  test.each([
    "",
    "a b",
    "a/b",
    "user@example.com",
    "example.com:99999",
    "example.com:0",
    "example.com:1x",
    "a,b",
    "[::1",
    "::1",
    "a%2eb",
    "a\\b",
    ".",
  ])("%j is no host, and the request is malformed", (host) => {
    expect(address([], { host })).toBe("refused");
  });

  test("one is needed, except in HTTP/1.0, and one only", () => {
    expect(address([], { host: null })).toBe("refused");
    expect(address([], { host: null, version: "1.0" })).toBe("http://localhost:80");
    expect(address([["Host", "app.internal:4000"]])).toBe("refused");
  });
});

describe("the address that was asked for, behind a proxy", () => {
  test.each([
    ["a host with the port of https", [https], "example.com:443", "https://example.com:443"],
    ["a host without", [https], "example.com", "https://example.com:443"],
    ["the port of the hop behind TLS", [https], "example.com:80", "https://example.com:443"],
    ["a port of its own", [https], "example.com:8443", "https://example.com:8443"],
    ["a port that says https alone", [], "example.com:443", "https://example.com:443"],
    [
      "a forwarded port that says so",
      [["X-Forwarded-Port", "443"]],
      "example.com",
      "https://example.com:443",
    ],
    ["upper case", [["X-FORWARDED-PROTO", "HTTPS"]], "example.com", "https://example.com:443"],
    ["wss", [["X-Forwarded-Proto", "wss"]], "example.com", "https://example.com:443"],
    ["quotes and spaces", [["X-Forwarded-Proto", ' "https" ']], "example.com", "https://example.com:443"],
    ["no scheme at all", [["X-Forwarded-Proto", "gopher"]], "example.com", "http://example.com:80"],
    [
      "a forwarded host and port",
      [https, ["X-Forwarded-Host", "Pair.Example."], ["X-Forwarded-Port", "8443"]],
      "10.0.0.2:4000",
      "https://pair.example:8443",
    ],
    [
      "a forwarded host with its port",
      [https, ["X-Forwarded-Host", "pair.example:444"], ["X-Forwarded-Port", "8443"]],
      "10.0.0.2:4000",
      "https://pair.example:444",
    ],
    [
      "a forwarded host of the standard port, to a server of another",
      [https, ["X-Forwarded-Host", "pair.example"]],
      "10.0.0.2:4000",
      "https://pair.example:443",
    ],
    [
      "empty members",
      [
        ["X-Forwarded-Proto", "https,"],
        ["X-Forwarded-Host", " , pair.example, "],
      ],
      "10.0.0.2",
      "https://pair.example:443",
    ],
    [
      "several values, the last being the proxy's",
      [
        ["X-Forwarded-Host", "evil.example, pair.example"],
        ["X-Forwarded-Proto", "http, https"],
      ],
      "10.0.0.2",
      "https://pair.example:443",
    ],
    [
      "several lines",
      [
        ["X-Forwarded-Host", "evil.example"],
        ["X-Forwarded-Host", "pair.example"],
        ["X-Forwarded-Proto", "http"],
        https,
      ],
      "10.0.0.2",
      "https://pair.example:443",
    ],
    [
      "a forwarded host that is invalid",
      [https, ["X-Forwarded-Host", "not a host"]],
      "pair.example",
      "https://pair.example:443",
    ],
    [
      "an IPv6 address",
      [https, ["X-Forwarded-Host", "[2001:db8::1]:443"]],
      "10.0.0.2",
      "https://[2001:db8::1]:443",
    ],
    [
      "Forwarded",
      [["Forwarded", 'For="[2001:db8::7]:4711";HOST="pair.example:443"; Proto=HTTPS']],
      "10.0.0.2",
      "https://pair.example:443",
    ],
    [
      "Forwarded beside X-Forwarded-Proto, which wins",
      [["Forwarded", "host=evil.example;proto=http"], https],
      "pair.example",
      "https://pair.example:443",
    ],
  ] as const)("%s", (_, lines, host, expected) => {
    expect(address(lines, { host })).toBe(expected);
  });

  test("TLS of its own is https without any header", () => {
    expect(address([], { host: "pair.example", proxies: 0, encrypted: true })).toBe(
      "https://pair.example:443",
    );
  });

  test("with two proxies the outer one's word counts, or the only one there is", () => {
    const two = (name: string, value: string): string =>
      address([[name, value]], { host: "pair.example", proxies: 2 });
    expect(two("X-Forwarded-Proto", "http, https, http")).toBe("https://pair.example:443");
    expect(two("X-Forwarded-Proto", "https")).toBe("https://pair.example:443");
    expect(two("X-Forwarded-Host", "evil.example, a.example, b.example")).toBe("http://a.example:80");
  });

  test("without trusted proxies no header but Host counts", () => {
    const lines = [
      https,
      ["X-Forwarded-Host", "evil.example"],
      ["X-Forwarded-Port", "1"],
      ["X-Forwarded-For", "192.0.2.7"],
      ["Forwarded", "for=192.0.2.7;host=evil.example;proto=https"],
    ] as const;
    expect(read(lines, { host: "pair.example", proxies: 0 })).toEqual({
      scheme: "http",
      host: "pair.example",
      port: 80,
      clientAddress: "10.0.0.1",
      clientNetwork: "10.0.0.1",
      clientSite: "10.0.0.1",
    });
  });
});

describe("the client of a request, behind a proxy", () => {
  const forFor = (value: string, given?: Given): string | undefined =>
    client([["X-Forwarded-For", value]], given);

  test("is the last entry, without its port, in one spelling", () => {
    for (const value of [
      "192.0.2.7",
      "192.0.2.7:1234",
      "6.6.6.6, 192.0.2.7:5678",
      "::ffff:192.0.2.7",
      '"192.0.2.7"',
      "[::ffff:192.0.2.7]:80",
    ])
      expect([value, forFor(value)]).toEqual([value, "192.0.2.7"]);
    expect(forFor("[2001:db8:1:2::a]:1")).toBe("2001:db8:1:2::/64");
    expect(forFor("2001:db8:1:2:ffff::b")).toBe("2001:db8:1:2::/64");
    expect(
      client([
        ["X-Forwarded-For", "6.6.6.6"],
        ["X-Forwarded-For", "192.0.2.7"],
      ]),
    ).toBe("192.0.2.7");
  });

  test("is never what a client wrote", () => {
    for (const value of [
      "",
      "unknown",
      "6.6.6.6, unknown",
      "6.6.6.6,",
      "6.6.6.6, _hidden",
      "6.6.6.6, 1.2.3.4.5",
    ])
      expect([value, forFor(value)]).toEqual([value, "10.0.0.1"]);
    expect(forFor("6.6.6.6, unknown, 192.0.2.1", { proxies: 2 })).toBe("192.0.2.1");
    expect(forFor("6.6.6.6, 192.0.2.7, 192.0.2.1", { proxies: 2 })).toBe("192.0.2.7");
    expect(forFor("192.0.2.7", { proxies: 2 })).toBe("192.0.2.7");
  });

  test("is taken from Forwarded only where no other header disagrees", () => {
    expect(client([["Forwarded", 'for=6.6.6.6, for="[2001:db8:1:2::a]:4711"']])).toBe("2001:db8:1:2::/64");
    expect(client([["Forwarded", "for=_hidden"]])).toBe("10.0.0.1");
    const both = (plain: string, standard: string): string | undefined =>
      client([
        ["X-Forwarded-For", plain],
        ["Forwarded", standard],
      ]);
    expect(both("192.0.2.7", "for=192.0.2.7")).toBe("192.0.2.7");
    expect(both("192.0.2.7", "proto=https")).toBe("192.0.2.7");
    expect(both("192.0.2.7", "for=6.6.6.6")).toBe("10.0.0.1");
    expect(both("6.6.6.6", "for=192.0.2.7")).toBe("10.0.0.1");
  });

  test("cannot be changed by anything a client sends before the proxy adds its word", () => {
    const rubbish = fc.string({ unit: fc.constantFrom(...'1.:,;"[]=\\ forx%_'), maxLength: 30 });
    fc.assert(
      fc.property(rubbish, (sent) => {
        expect(forFor(`${sent}, 192.0.2.7:99`)).toBe("192.0.2.7");
        expect(client([["Forwarded", `${sent}, for="192.0.2.7:99";proto=https`]])).toBe("192.0.2.7");
      }),
    );
  });
});

test("of long lists only what the proxies have added is read", () => {
  const list = `${"::1,".repeat(3900)}192.0.2.1`;
  const startedAt = performance.now();
  for (let n = 0; n < 200; n += 1) expect(client([["X-Forwarded-For", list]])).toBe("192.0.2.1");
  expect(performance.now() - startedAt).toBeLessThan(1000);
});

test("Forwarded is parsed element by element, and a bad one spoils only itself", () => {
  expect(parseForwarded('for=a;host="b, \\"c\\"";proto=https ,for=d')).toEqual([
    { for: "a", host: 'b, "c"', proto: "https" },
    { for: "d" },
  ]);
  expect(parseForwarded('for="1.2.3.4, for=5.6.7.8')).toEqual([{}, { for: "5.6.7.8" }]);
  expect(parseForwarded("for=a;for=b, ;for=c;")).toEqual([{}, { for: "c" }]);
  expect(parseForwarded("  ")).toEqual([]);
});

test("an origin and a host are compared as URLs are", () => {
  const own = { scheme: "https", host: "example.com", port: 443 } as const;
  const allowed = (option: CheckOrigin, origin: string): boolean => originAllowed(option, origin, own, null);
  for (const origin of ["https://example.com", "https://EXAMPLE.com:443", "https://example.com."])
    expect([origin, allowed("conn", origin)]).toEqual([origin, true]);
  for (const origin of [
    "http://example.com",
    "https://example.com:8443",
    "https://example.com.evil.example",
    "https://example.com@evil.example",
    "https://evil.example#example.com",
    "null",
    "",
  ])
    expect([origin, allowed("conn", origin)]).toEqual([origin, false]);
  expect(allowed(["//B\u00fccher.example"], "https://xn--bcher-kva.example")).toBe(true);
  expect(allowed(["https://*.example.com"], "https://a.EXAMPLE.com.")).toBe(true);
  expect(allowed(["//[2001:DB8::1]:8443"], "https://[2001:db8:0::1]:8443")).toBe(true);
  expect(parseHost("*.example.com")?.host).toBe("*.example.com");
});
