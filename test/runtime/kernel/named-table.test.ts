import { BadArg, exit, monitor, type RuntimeNode, receive, self } from "simurgh/runtime";
import { describe, expect, test } from "vitest";
import { NamedTable } from "#runtime";
import { idle, inLab, lab } from "../support.js";

describe("a named table", () => {
  test("holds one value per name", () =>
    inLab(() => {
      const table = new NamedTable<number>();
      expect(table.get("a")).toBe(undefined);
      table.put("a", 1);
      table.put("b", 2);
      table.put("a", 3);
      expect([table.get("a"), table.get("b")]).toEqual([3, 2]);
    }));

  test("holds values of each node apart", async () => {
    const table = new NamedTable<string>();
    const nodes: readonly RuntimeNode[] = [lab().node, lab().node];
    await nodes[0]?.run(() => table.put("a", "first"));
    await nodes[1]?.run(() => expect(table.get("a")).toBe(undefined));
    await nodes[1]?.run(() => expect(table.get("a", nodes[0])).toBe("first"));
  });

  test("require throws the table's own text for a missing name", () =>
    inLab(() => {
      const table = new NamedTable<number>((name) => `badarg: start ${name} first`);
      expect(() => table.require("a")).toThrow(new BadArg("badarg: start a first"));
      table.put("a", 1);
      expect(table.require("a")).toBe(1);
    }));

  test("require throws a default text for a table without one", () =>
    inLab(() => expect(() => new NamedTable().require("a")).toThrow("badarg: nothing is named a")));

  test("take returns undefined where nothing was put", () =>
    inLab(() => expect(new NamedTable().take("a")).toBe(undefined)));

  test("take returns a value once", () =>
    inLab(() => {
      const table = new NamedTable<number>();
      table.put("a", 1);
      expect([table.take("a"), table.take("a"), table.get("a")]).toEqual([1, undefined, undefined]);
    }));

  test("removes the value of a process before its monitors are notified", () =>
    inLab(async () => {
      const table = new NamedTable<number>();
      const owner = idle();
      table.putFor(owner, "a", 1);
      monitor(owner);
      exit(owner, "kill");
      await receive((message) => message);
      expect(table.get("a")).toBe(undefined);
    }));

  test("keeps the value that has replaced the one of a process that exits", () =>
    inLab(async () => {
      const table = new NamedTable<number>();
      const owner = idle();
      table.putFor(owner, "a", 1);
      table.putFor(self(), "a", 2);
      monitor(owner);
      exit(owner, "kill");
      await receive((message) => message);
      expect(table.get("a")).toBe(2);
    }));

  test("keeps nothing for a process that has exited", () =>
    inLab(async () => {
      const table = new NamedTable<number>();
      const owner = idle();
      monitor(owner);
      exit(owner, "kill");
      await receive((message) => message);
      table.putFor(owner, "a", 1);
      expect(table.get("a")).toBe(undefined);
    }));
});
