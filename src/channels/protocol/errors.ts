/**
 * The errors that clients receive in replies, in `phx_error` and in responses of long-poll.
 *
 * `reason` is Phoenix's own text where Phoenix has one; `code` is for programs and does not change.
 * docs/errors.md lists what each means for a client; a test compares the two. Applications add
 * their own errors in the same form.
 */

export interface ClientError {
  readonly reason: string;
  readonly code: string;
  /** When it is worth trying again. */
  readonly retry_after_ms?: number;
}

/** All errors. Shared objects: they must not be changed. */
export const CLIENT_ERRORS = {
  unmatchedTopic: { reason: "unmatched topic", code: "unmatched_topic" },
  joinCrashed: { reason: "join crashed", code: "join_crashed" },
  joinTimeout: { reason: "join timeout", code: "join_timeout" },
  tooManyChannels: { reason: "too many channels joined", code: "too_many_channels" },
  channelNotStarted: { reason: "unavailable", code: "channel_not_started" },
  shardRestarting: { reason: "unavailable", code: "shard_restarting" },
  topicMoving: { reason: "unavailable", code: "topic_moving" },
  /** With the `issues` of the schema; see `invalidPayload`. */
  invalidPayload: { reason: "invalid_payload", code: "invalid_payload" },
  /** With `retry_after_ms`; see `rateLimited`. */
  rateLimited: { reason: "rate_limited", code: "rate_limited" },
  invalidFrame: { reason: "invalid frame", code: "invalid_frame" },
  channelCrash: { reason: "channel_crash", code: "channel_crash" },
  topicMoved: { reason: "topic_moved", code: "topic_moved" },
  tooManySessions: { reason: "too_many_sessions", code: "too_many_sessions" },
  draining: { reason: "draining", code: "draining" },
} as const satisfies Readonly<Record<string, ClientError>>;

export const rateLimited = (retryAfterMs: number): ClientError => ({
  reason: CLIENT_ERRORS.rateLimited.reason,
  code: CLIENT_ERRORS.rateLimited.code,
  retry_after_ms: retryAfterMs,
});

/** `issues` are those of the schema that refused the payload. */
export const invalidPayload = <Issue>(
  issues: readonly Issue[],
): ClientError & { readonly issues: readonly Issue[] } => ({ ...CLIENT_ERRORS.invalidPayload, issues });
