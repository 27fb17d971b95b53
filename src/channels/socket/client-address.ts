/**
 * ClientAddress is the address of a client in canonical form, and the network by which limits count
 * it. Pure.
 *
 * Each IPv4 address is a network. Of IPv6 the first 64 bits are, since a client with one address
 * has its whole /64 and may use another address for each request. IPv6 addresses that contain an
 * IPv4 address (mapped `::ffff:1.2.3.4`, translated `64:ff9b::`, 6to4 `2002::`) become that
 * address, so that no client counts twice.
 */
import { isIP, isIPv4 } from "node:net";

export interface ClientAddress {
  /** Canonical: `1.2.3.4`, or IPv6 as RFC 5952 writes it, without a zone. */
  readonly address: string;
  /** The key of limits: the address, or `2001:db8:1:2::/64`. */
  readonly network: string;
  /**
   * The key of fair queues: the address, or `2001:db8:1::/48`, which may belong to one
   * organisation.
   */
  readonly site: string;
}

/**
 * Parses an address as sockets and proxies write it: `1.2.3.4`, `1.2.3.4:5678`, `2001:db8::1`,
 * `[2001:db8::1]:5678`, `fe80::1%eth0`. Undefined for anything else, such as `unknown` or
 * `_hidden`.
 */
export function parseClientAddress(text: string | undefined): ClientAddress | undefined {
  const bare = text === undefined ? undefined : withoutPort(text.trim());
  if (bare === undefined) return undefined;
  if (isIPv4(bare)) return { address: bare, network: bare, site: bare };
  const plain = bare.replace(/%.*$/, "");
  if (isIP(plain) !== 6) return undefined;
  const groups = groupsOf(plain);
  const inner = innerIPv4(groups);
  if (inner !== undefined) return { address: inner, network: inner, site: inner };
  const network = `${canonical([...groups.slice(0, 4), 0, 0, 0, 0])}/64`;
  const site = `${canonical([...groups.slice(0, 3), 0, 0, 0, 0, 0])}/48`;
  return { address: canonical(groups), network, site };
}

/** The address without its port and brackets. A port may be a number or, in RFC 7239, `_name`. */
function withoutPort(text: string): string | undefined {
  const bracketed = /^\[([^\]]*)\](?::[\w.-]*)?$/.exec(text);
  if (bracketed !== null) return bracketed[1]?.includes(":") ? bracketed[1] : undefined;
  return /^((?:[\da-f:]+:)?\d+\.[\d.]+)(?::[\w.-]*)?$/i.exec(text)?.[1] ?? text;
}

/** The URL parser makes IPv6 addresses canonical. */
const canonical = (groups: readonly number[]): string =>
  new URL(`http://[${groups.map((group) => group.toString(16)).join(":")}]`).hostname.slice(1, -1);

/** The eight groups of an IPv6 address. */
function groupsOf(address: string): readonly number[] {
  // The URL parser has converted an IPv4 tail to hexadecimal.
  const [head = "", tail] = new URL(`http://[${address}]`).hostname.slice(1, -1).split("::");
  const numbers = (part: string): number[] =>
    part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16));
  const [before, after] = [numbers(head), numbers(tail ?? "")];
  return [...before, ...new Array<number>(8 - before.length - after.length).fill(0), ...after];
}

/** The IPv4 address that an IPv6 address contains. */
function innerIPv4(groups: readonly number[]): string | undefined {
  const startsWith = (...prefix: readonly number[]): boolean =>
    prefix.every((group, index) => groups[index] === group);
  const at =
    startsWith(0, 0, 0, 0, 0, 0xffff) ||
    startsWith(0, 0, 0, 0, 0xffff, 0) ||
    startsWith(0x64, 0xff9b, 0, 0, 0, 0)
      ? 6
      : startsWith(0x2002)
        ? 1
        : undefined;
  if (at === undefined) return undefined;
  const [high, low] = [groups[at] as number, groups[at + 1] as number];
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
}
