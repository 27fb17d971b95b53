/**
 * Which messages a server understands, in types: what lets the compiler refuse a wrong request and
 * know the answer.
 *
 *     type Calls = Call<"get", number> | Call<readonly ["swap", number], number>;
 *     type Casts = readonly ["add", number];
 *     const counter: GenServerModule<number, number, Calls, Casts> = { … };
 *
 *     const [, pid] = await GenServer.startLink(counter, 0);
 *     await GenServer.call(pid, "get");      // number
 *     await GenServer.call(pid, "got");      // does not compile
 *
 * A module that leaves its messages open is called with anything and answers unknown. Types only:
 * nothing here exists at run time.
 */
import type { Dest } from "./bifs.js";
import type { Pid } from "./pid.js";

declare const protocol: unique symbol;

/** One kind of call: its request and the type of its answer. */
export interface Call<Request, Reply> {
  readonly request: Request;
  readonly reply: Reply;
}

/** The requests of a union of calls; a plain union of requests stands for itself. */
export type RequestOf<C> = C extends Call<infer Request, unknown> ? Request : C;

/** The answers of a union of calls. */
export type ReplyOf<C> = C extends Call<unknown, infer Reply> ? Reply : unknown;

/** The answer to one request. */
export type AnswerTo<C, Request> =
  C extends Call<infer Known, infer Reply> ? (Request extends Known ? Reply : never) : unknown;

/** Carried by modules and by references to their servers. Never there at run time. */
export interface Understands<C, M> {
  readonly [protocol]?: (calls: C, casts: M) => void;
}

type IsOpen<T> = 0 extends 1 & T ? true : unknown extends T ? true : false;

/** A destination whose server's messages are known. */
export type ServerRef<C, M, D extends Dest = Dest> = D & {
  readonly [protocol]: (calls: C, casts: M) => void;
};

/** The pid of a server of this module: typed when the module is. */
export type PidOf<Module> =
  Module extends Understands<infer C, infer M> ? (IsOpen<C> extends true ? Pid : ServerRef<C, M, Pid>) : Pid;

/** A destination whose server's messages are open. */
export type OpenDest = Exclude<Dest, Pid> | (Pid & { readonly [protocol]?: never });
