import fc from "fast-check";
import { expect, test } from "vitest";
import { parseClientAddress } from "../../../src/channels/socket/client-address.js";

const network = (text: string): string | undefined => parseClientAddress(text)?.network;

test.each([
  ["192.0.2.7", "192.0.2.7"],
  [" 192.0.2.7 ", "192.0.2.7"],
  ["192.0.2.7:4711", "192.0.2.7"],
  ["192.0.2.7:_port", "192.0.2.7"],
  ["::ffff:192.0.2.7", "192.0.2.7"],
  ["::FFFF:c000:0207", "192.0.2.7"],
  ["0:0:0:0:0:ffff:192.0.2.7", "192.0.2.7"],
  ["[::ffff:192.0.2.7]:4711", "192.0.2.7"],
  ["::ffff:192.0.2.7:4711", "192.0.2.7"],
  ["::ffff:0:192.0.2.7", "192.0.2.7"],
  ["64:ff9b::192.0.2.7", "192.0.2.7"],
  ["2002:c000:0207:1::1", "192.0.2.7"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
  ["2001:DB8:1:2::1", "2001:db8:1:2::/64"],
  ["2001:0db8:0001:0002:0000::1", "2001:db8:1:2::/64"],
  ["[2001:db8:1:2::9]", "2001:db8:1:2::/64"],
  ["[2001:db8:1:2::9]:4711", "2001:db8:1:2::/64"],
  ["2001:db8::1:2:3:4:5", "2001:db8:0:1::/64"],
  ["::1", "::/64"],
  ["fe80::1%eth0", "fe80::/64"],
  ["[fe80::1%25eth0]:80", "fe80::/64"],
])("the network of %s is %s", (text, expected) => {
  expect(network(text)).toBe(expected);
});

test.each([
  ["192.0.2.7", "192.0.2.7"],
  ["::ffff:192.0.2.7", "192.0.2.7"],
  ["2001:db8:1:2::9", "2001:db8:1::/48"],
  ["2001:db8:1:ffff::9", "2001:db8:1::/48"],
  ["2001:db8:2:2::9", "2001:db8:2::/48"],
])("the site of %s is %s", (text, expected) => {
  expect(parseClientAddress(text)?.site).toBe(expected);
});

test.each([
  "",
  "unknown",
  "_hidden",
  "1.2.3",
  "1.2.3.4.5",
  "999.1.1.1",
  "01.2.3.4",
  "[1.2.3.4]",
  "[::1",
  "::g",
  "a:80",
])("%j names no address", (text) => {
  expect(network(text)).toBeUndefined();
});

test("a network has one name, whatever the host part and notation", () => {
  const group = fc.integer({ min: 0, max: 0xffff });
  const groups = fc.tuple(group, group, group, group, group, group, group, group);
  fc.assert(
    fc.property(
      groups,
      groups,
      fc.integer({ min: 1, max: 65_535 }),
      fc.boolean(),
      (one, two, port, upper) => {
        // Addresses with an IPv4 address inside have a name of their own.
        fc.pre(one[0] !== 0 && one[0] !== 0x64 && one[0] !== 0x2002);
        const padded = one.map((part) => part.toString(16).padStart(4, "0")).join(":");
        const other = [...one.slice(0, 4), ...two.slice(4)].map((part) => part.toString(16)).join(":");
        const written = upper ? other.toUpperCase() : other;
        expect(network(`[${written}]:${port}`)).toBe(network(padded));
        expect(parseClientAddress(parseClientAddress(padded)?.address)?.address).toBe(
          parseClientAddress(padded)?.address,
        );
      },
    ),
  );
});
