/**
 * What the channels of a thread need to know of the application. Set once, when the thread's tree
 * starts.
 */
import type { SigningKeys } from "./auth/tokens.js";

export const ENDPOINT = "phoenixpair";
/** The PubSub of the endpoint. */
export const PUBSUB = `${ENDPOINT}.pubsub`;

export interface AppContext {
  readonly keys: SigningKeys;
  /** Node index of the thread where the repository runs. */
  readonly storageNode: number;
}

let context: AppContext | undefined;

export function setAppContext(given: AppContext): void {
  context = given;
}

export function appContext(): AppContext {
  if (context === undefined) throw new Error("the application has not been started in this thread");
  return context;
}
