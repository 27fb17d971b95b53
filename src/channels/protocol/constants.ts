/**
 * The names and numbers of the wire protocol: Phoenix's reserved events, and the WebSocket close
 * codes. docs/protocol.md explains them. Events are single constants, not members of an object,
 * since they are compared for every frame.
 */

export const PHX_JOIN = "phx_join";
export const PHX_LEAVE = "phx_leave";
export const PHX_REPLY = "phx_reply";
/** The channel has ended normally; the client does not join again. */
export const PHX_CLOSE = "phx_close";
/** The channel has crashed or its topic has moved; the client joins again. */
export const PHX_ERROR = "phx_error";

/** Heartbeats are sent on the topic `phoenix`. */
export const HEARTBEAT = "heartbeat";
export const PHOENIX_TOPIC = "phoenix";

/** Broadcast on the id of a socket: its connections close. */
export const DISCONNECT = "disconnect";

/** WebSocket close codes (RFC 6455, 7.4), and those of the application from 4000 on. */
export const CLOSE = {
  /** The answer to the client's own close. */
  normal: 1000,
  /** `Endpoint.disconnect` with the socket's id. */
  goingAway: 1001,
  /** Silent for too long, or a violation of the WebSocket protocol. */
  protocolError: 1002,
  /** A text frame is not UTF-8; sent by `ws`. */
  invalidUtf8: 1007,
  /** A frame is too large; sent by `ws`. */
  tooLarge: 1009,
  /** A malformed frame, or the connection's process has ended. */
  internalError: 1011,
  /** The server is stopping. */
  serviceRestart: 1012,
  /** The client reads too slowly. */
  tryAgainLater: 1013,
  /** The socket has expired (`expiresAt`). */
  sessionExpired: 4401,
  /** `connect` has refused, on a mount with `refuseByClose`. */
  refused: 4403,
} as const;
