/** Identities on the wire: how a ref from its parts finds its home again. */
import type { RuntimeNode } from "./node.js";
import { Pid, Ref } from "./pid.js";

export { From } from "./request.js";

export const isIdentity = (value: object): boolean => value instanceof Pid || value instanceof Ref;

const NO_HOME = { aliasMessage(): void {} };

/** The ref with these parts, leading to its node when that is known and up. */
export function refFromParts(here: RuntimeNode, node: number, creation: number, id: number): Ref {
  const home = node === here.index ? here : here.connection(node);
  const live = home !== undefined && home.creation === creation;
  return new Ref(node, creation, id, live ? home : NO_HOME);
}
