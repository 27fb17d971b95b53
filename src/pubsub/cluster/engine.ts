/**
 * What an engine must be able to do for an adapter (see networked.ts): carry bytes on channels, at
 * most once, in order. All that differs between NATS, Redis and a network inside a test is behind
 * this.
 *
 * A channel is a short ASCII text such as `b.17`, made by us; the link puts the cluster's prefix
 * before it.
 */
export interface Link {
  /** Bytes that one message may have. */
  readonly limit: number;
  /**
   * Sends to everybody who listens to the channel, except to this link itself. Keeps order over all
   * channels. Called only while the link is up; never waits.
   */
  publish(channel: string, bytes: Uint8Array): void;
  /** Resolves when the engine has all that was published before. */
  flushed(): Promise<void>;
  /**
   * Resolves when what others publish from now on is received, or at once while the link is down.
   */
  listen(channel: string, receive: (bytes: Uint8Array) => void): Promise<void>;
  /** What still arrives of a channel is dropped. */
  unlisten(channel: string): void;
  /**
   * Publishes so that this link itself hears it too, and resolves once the engine has it: whoever
   * does not hear it then is deaf. Rejects when the engine did not get it, which says nothing about
   * hearing.
   */
  probe(channel: string, bytes: Uint8Array): Promise<void>;
  /** Listens anew to every channel, in case the engine has forgotten. */
  relisten(): void;
  /** Drops the connection and makes a new one. */
  reconnect(): void;
  /** Sends what was published and ends. */
  close(): Promise<void>;
}

/** What a link tells. */
export interface LinkEvents {
  /** It works again, and listens to all channels. */
  up(): void;
  down(why: string): void;
  /** Something an operator must hear of, such as a permission that is missing. */
  trouble(text: string): void;
}

/**
 * Connects. Rejects with a `ClusterError` when the engine cannot be used; with `patient` only when
 * it could never be, such as for a missing package: it then goes on trying, and the link begins as
 * down.
 */
export type OpenLink = (events: LinkEvents, options: { readonly patient: boolean }) => Promise<Link>;

/**
 * Nodes cannot be joined as configured. The message says what to do, and never has a password in
 * it.
 */
export class ClusterError extends Error {
  override readonly name = "ClusterError";
}

/** An address without what must not be shown. */
export function shownUrl(url: string): string {
  try {
    const { protocol, host } = new URL(url);
    return `${protocol}//${host}`;
  } catch {
    return "the address";
  }
}

/**
 * What stands in the way of TLS and what to do about it; undefined when it is something else. `at`
 * says which engine, and where.
 */
export function tlsTrouble(at: string, error: unknown): ClusterError | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const { code = "", message } = cause as NodeJS.ErrnoException;
    const because = (what: string): ClusterError => new ClusterError(`${at} ${what}`, { cause: error });
    if (code === "ERR_TLS_CERT_ALTNAME_INVALID")
      return because(`has a certificate for another host (${message}); check the url`);
    if (/^(CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_)/.test(code))
      return because(
        `has a certificate that is not trusted here (${code}); give the authority that signed it as tls.ca`,
      );
    if (/certificate required|(bad|unknown) certificate|alert (handshake failure|unknown ca)/i.test(message))
      return because(
        `does not take this node's certificate, or misses one (${message}); give one that it trusts as tls.cert and tls.key`,
      );
    if (/ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH)/.test(code) || /does not support 'tls'/.test(message))
      return because(`speaks no TLS (${message}); turn it on there, or write the url without`);
  }
  return undefined;
}

/** Room for what the engine itself adds to a message. */
const RESERVE = 64 * 1024;
/** Engines could carry more, but a message that large holds up all others. */
const MOST = 1024 * 1024;
/** What presence needs for a part of its state. */
const LEAST = 320 * 1024;

/** How large an envelope may be when the engine carries `most` bytes. */
export function limitFor(most: number): number {
  if (most < LEAST)
    throw new ClusterError(
      `the engine carries messages of ${most} bytes at most; allow at least ${LEAST} (NATS: max_payload)`,
    );
  return Math.min(most, MOST) - RESERVE;
}
