/**
 * Classes of messages that a layer above the runtime sends its own processes, as `CallMessage` is
 * one of the runtime: no message of an application can be taken for an instance. An instance is
 * immutable by convention; it is neither frozen nor copied inside a thread, and arrives in another
 * as an instance of the same class.
 *
 * Not for applications: their processes know the messages they get by what is in them.
 */
import { addExtension } from "msgpackr";

/** The values of a message, in the order of its constructor's parameters. */
export type MessageFields = readonly unknown[];

interface MessageClass<T extends object> {
  /** One byte that stands for the class between threads. */
  readonly type: number;
  readonly fields: (message: T) => MessageFields;
  readonly make: (fields: MessageFields) => T;
}

const byClass = new Map<unknown, MessageClass<object>>();
const byType = new Map<number, MessageClass<object>>();

/** What MessagePack leaves to us, less what the runtime's own classes take. */
const [FIRST, LAST] = [0x30, 0x3f];

/**
 * Makes a class of messages known in this thread; every thread that sends or gets them has to.
 * `type` is a number from 0x30 to 0x3f that no other class has.
 */
export function registerMessageClass<T extends object>(
  Class: new (...fields: never[]) => T,
  type: number,
  fields: (message: T) => MessageFields,
): void {
  if (!Number.isInteger(type) || type < FIRST || type > LAST || byType.has(type))
    throw new RangeError(`the message class ${Class.name} needs a type of its own from 0x30 to 0x3f`);
  const make = (values: MessageFields): T => new Class(...(values as never[]));
  const known = { type, fields, make } as unknown as MessageClass<object>;
  byClass.set(Class, known);
  byType.set(type, known);
  addExtension({ Class, type, write: (message: T) => fields(message), read: make } as never);
}

/** The class of a message that is an instance of a registered one. */
export const messageClassOf = (value: object): MessageClass<object> | undefined =>
  byClass.get(value.constructor);

export const messageClass = (type: number): MessageClass<object> | undefined => byType.get(type);
