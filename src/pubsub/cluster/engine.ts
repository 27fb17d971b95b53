/**
 * Engine is the contract between the engine adapter (engine-adapter.ts) and a message broker: it
 * carries bytes on channels, at most once, in order. Everything that differs between NATS, Redis,
 * the hub and the network inside a test is behind it.
 *
 * A channel is a short ASCII text such as `b.17`, chosen by the adapter; the engine puts the
 * cluster's prefix before it.
 */
export interface Engine {
  /** The largest message in bytes. */
  readonly limit: number;
  /**
   * Sends to all subscribers of the channel, except this connection. Keeps order over all channels.
   * Called only while the engine is up; never waits.
   */
  publish(channel: string, bytes: Uint8Array): void;
  /** Resolves when the broker has everything that was published before. */
  flushed(): Promise<void>;
  /**
   * Resolves when messages that others publish from then on arrive, or at once while the engine is
   * down.
   */
  subscribe(channel: string, receive: (bytes: Uint8Array) => void): Promise<void>;
  /** Messages of the channel that still arrive are dropped. */
  unsubscribe(channel: string): void;
  /**
   * Publishes in a way that brings the message back to this connection, too, and resolves once the
   * broker has it: a connection that does not get it back is not receiving. Rejects when the broker
   * did not get it, which says nothing about receiving.
   */
  probe(channel: string, bytes: Uint8Array): Promise<void>;
  /** Subscribes to every channel again, in case the broker has lost the subscriptions. */
  resubscribe(): void;
  /** Drops the connection and makes a new one. */
  reconnect(): void;
  /** Sends what was published and ends. */
  close(): Promise<void>;
}

/** What an engine reports. */
export interface EngineEvents {
  /** It works again, and is subscribed to all channels. */
  up(): void;
  down(why: string): void;
  /** Something an operator has to know, such as a missing permission. */
  warning(text: string): void;
}

/**
 * Connects. Rejects with a `ClusterError` when the broker cannot be used. With `connectLazily` it
 * rejects only when that could never work, such as for a missing package: otherwise it keeps
 * trying, and the engine begins as down.
 */
export type OpenEngine = (
  events: EngineEvents,
  options: { readonly connectLazily: boolean },
) => Promise<Engine>;

/**
 * Thrown when nodes cannot be connected as configured. The message says what to do, and never
 * contains a password.
 */
export class ClusterError extends Error {
  override readonly name = "ClusterError";
}

/** Imports the client of a broker, or throws an error that says what to install. */
export async function importOptional<T>(engine: string, name: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw error;
    throw new ClusterError(`to join nodes by ${engine}, install its client: npm install ${name}`, {
      cause: error,
    });
  }
}

/** An address without user, password and path, for logs. */
export function redactUrl(url: string): string {
  try {
    const { protocol, host } = new URL(url);
    return `${protocol}//${host}`;
  } catch {
    return "the address";
  }
}

/**
 * Explains why TLS failed and what to do; undefined when the error has another cause. `at` names
 * the engine and its address.
 */
export function explainTlsError(at: string, error: unknown): ClusterError | undefined {
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
        `does not accept this node's certificate, or needs one (${message}); give one that it trusts as tls.cert and tls.key`,
      );
    if (/ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH)/.test(code) || /does not support 'tls'/.test(message))
      return because(`speaks no TLS (${message}); turn it on there, or write the url without`);
  }
  return undefined;
}

/** Bytes that the engine itself may add to a message. */
const RESERVE = 64 * 1024;
/** Larger messages would delay all others. */
const MAX_MESSAGE = 1024 * 1024;
/** Presence needs that much for a part of its state. */
const MIN_MESSAGE = 320 * 1024;

/** The largest envelope, when the engine carries `most` bytes. */
export function limitFor(most: number): number {
  if (most < MIN_MESSAGE)
    throw new ClusterError(
      `the engine carries messages of ${most} bytes at most; allow at least ${MIN_MESSAGE} (NATS: max_payload)`,
    );
  return Math.min(most, MAX_MESSAGE) - RESERVE;
}
