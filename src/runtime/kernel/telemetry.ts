/**
 * Named events with measurements, for metrics and tests (Elixir: `:telemetry`).
 *
 * Events are published on Node's own `diagnostics_channel`, one channel per event, named
 * `simurgh.<event>`: an event without a listener costs one property read.
 */
import { channel, subscribe, unsubscribe } from "node:diagnostics_channel";

export interface TelemetryEvent {
  readonly measurements: Readonly<Record<string, number>>;
  readonly metadata: Readonly<Record<string, unknown>>;
}

/**
 * Publishes an event. A listener that throws does not reach the caller: Node reports it as an
 * uncaught exception.
 */
export function emit(
  event: string,
  measurements: Record<string, number>,
  metadata: Record<string, unknown> = {},
): void {
  const target = channel(`simurgh.${event}`);
  if (target.hasSubscribers) target.publish({ measurements, metadata } satisfies TelemetryEvent);
}

/** An event looked up once, for hot paths: `observed` is a property read. */
export interface NamedEvent {
  readonly observed: boolean;
  emit(measurements: Record<string, number>, metadata?: Record<string, unknown>): void;
}

export function named(event: string): NamedEvent {
  const target = channel(`simurgh.${event}`);
  return {
    get observed() {
      return target.hasSubscribers;
    },
    emit(measurements, metadata = {}) {
      if (target.hasSubscribers) target.publish({ measurements, metadata } satisfies TelemetryEvent);
    },
  };
}

/** Whether an event has a listener: a hot path can skip collecting its data otherwise. */
export const observed = (event: string): boolean => channel(`simurgh.${event}`).hasSubscribers;

/** Calls `handler` for every such event in this thread until the returned function is called. */
export function attach(event: string, handler: (event: TelemetryEvent) => void): () => void {
  const listener = (message: unknown): void => handler(message as TelemetryEvent);
  subscribe(`simurgh.${event}`, listener);
  return () => unsubscribe(`simurgh.${event}`, listener);
}
