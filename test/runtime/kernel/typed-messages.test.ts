/**
 * What must not compile: each `@ts-expect-error` is an error for `npm run types` as soon as the
 * line below it does compile.
 */
import { type Call, GenServer, type GenServerModule, type Pid } from "simurgh/runtime";
import { expect, expectTypeOf, test } from "vitest";
import { inLab } from "../support.js";

type Calls = Call<"get", number> | Call<readonly ["describe", string], string>;
type Casts = readonly ["add", number];

const counter: GenServerModule<number, number, Calls, Casts> = {
  init: (start) => ["ok", start],
  handleCall(request, _from, count) {
    if (request === "get") return ["reply", count, count];
    return ["reply", `${request[1]}: ${count}`, count];
  },
  handleCast: ([, by], count) => ["noreply", count + by],
};

test("calls and casts are typed by the server's messages, answers by their request", () =>
  inLab(async () => {
    const started = await GenServer.startLink(counter, 3);
    if (started[0] !== "ok" || started === "ignore") throw new Error("not started");
    const pid = started[1];
    const count = await GenServer.call(pid, "get");
    const text = await GenServer.call(pid, ["describe", "count"]);
    expectTypeOf(count).toEqualTypeOf<number>();
    expectTypeOf(text).toEqualTypeOf<string>();
    expect([count, text]).toEqual([3, "count: 3"]);
    GenServer.cast(pid, ["add", 4]);
    expect(await GenServer.call(pid, "get")).toBe(7);
    // A typed pid is still a pid.
    expectTypeOf(pid).toExtend<Pid>();
  }));

test("wrong requests, casts, arguments and answers do not compile", () => {
  const never = async (pid: ReturnType<typeof GenServer.as<typeof counter, Pid>>): Promise<void> => {
    // @ts-expect-error: no such request
    await GenServer.call(pid, "got");
    // @ts-expect-error: the number belongs into a cast
    await GenServer.call(pid, ["add", 1]);
    // @ts-expect-error: the answer to "get" is a number
    const text: string = await GenServer.call(pid, "get");
    // @ts-expect-error: a cast takes a number
    GenServer.cast(pid, ["add", "one"]);
    // @ts-expect-error: the module starts with a number
    await GenServer.startLink(counter, "three");
    // @ts-expect-error: named servers are typed the same way
    await GenServer.call(GenServer.as<typeof counter>("counter"), "got");
    void text;
  };
  const wrongAnswer: GenServerModule<number, number, Calls, Casts> = {
    init: (start) => ["ok", start],
    // @ts-expect-error: answers are numbers and strings
    handleCall: (_request, _from, count) => ["reply", new Date(), count],
  };
  expect([typeof never, typeof wrongAnswer]).toEqual(["function", "object"]);
});

test("a server whose messages are open takes anything and answers unknown", () =>
  inLab(async () => {
    const echo: GenServerModule<null> = {
      init: () => ["ok", null],
      handleCall: (request, _from, state) => ["reply", request, state],
    };
    const started = await GenServer.startLink(echo);
    if (started[0] !== "ok" || started === "ignore") throw new Error("not started");
    const answer = await GenServer.call(started[1], { any: "thing" });
    expectTypeOf(answer).toEqualTypeOf<unknown>();
    expect(answer).toEqual({ any: "thing" });
    expectTypeOf(await GenServer.call<string>(started[1], "x")).toEqualTypeOf<string>();
  }));
