/**
 * What a server finds in its mailbox besides ordinary messages: calls, casts and system requests
 * (OTP: `$gen_call`, `$gen_cast`, `system`). Classes, so that no message of an application can be
 * taken for one.
 */
import type { From } from "./request.js";

export class CallMessage {
  readonly from: From;
  readonly request: unknown;

  constructor(from: From, request: unknown) {
    this.from = from;
    this.request = request;
  }
}

export class CastMessage {
  readonly request: unknown;

  constructor(request: unknown) {
    this.request = request;
  }
}

/** A request every server understands, whatever its module (OTP: `sys`). */
export class SystemMessage {
  readonly from: From;
  readonly operation: string;
  readonly argument: unknown;

  constructor(from: From, operation: string, argument: unknown) {
    this.from = from;
    this.operation = operation;
    this.argument = argument;
  }
}
