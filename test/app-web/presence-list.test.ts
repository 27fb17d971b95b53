import { describe, expect, test } from "vitest";
import { COLORS } from "../../src/app/web/room/peers.js";
import { comingsAndGoings, peopleOf } from "../../src/app/web/room/presence-list.js";

const meta = (first_name: string, typing = false) => ({ first_name, typing });

describe("the people in a room", () => {
  test("a user with several tabs is listed once, and types when any tab does", () => {
    expect(peopleOf([["2", [meta("Ada"), meta("Ada", true)]]], "1")).toMatchObject([
      { id: "2", name: "Ada", you: false, typing: true },
    ]);
  });

  test("the server's colour wins over the one derived from the id", () => {
    const present = [
      ["2", [meta("Ada")]],
      ["3", [meta("Ben")]],
    ] as const;
    const [ada, ben] = peopleOf(present, "1", new Map([["2", 11]]));
    expect(ada!.color).toBe(11);
    expect(ben!.color).toBe(peopleOf(present, "3")[0]!.color);
    expect(ben!.color).toBeLessThan(COLORS);
  });

  test("the own user comes first, others by name, equal names in a stable order", () => {
    const people = peopleOf(
      [
        ["9", [meta("Zoe")]],
        ["4", [meta("Ben")]],
        ["3", [meta("Ben")]],
        ["7", [meta("You")]],
      ],
      "7",
    );
    expect(people.map((person) => person.id)).toEqual(["7", "3", "4", "9"]);
    expect(people.map((person) => person.you)).toEqual([true, false, false, false]);
  });

  test("an invalid name is not shown, and a key without tabs is not listed", () => {
    expect(
      peopleOf(
        [
          ["1", [{ first_name: 7, typing: "yes" }]],
          ["2", []],
        ],
        "x",
      ),
    ).toMatchObject([{ id: "1", name: "Someone", you: false, typing: false }]);
  });

  test("comings and goings name others only, and typing is not news", () => {
    const before = peopleOf(
      [
        ["1", [meta("Me")]],
        ["2", [meta("Ada")]],
      ],
      "1",
    );
    const after = peopleOf(
      [
        ["2", [meta("Ada", true)]],
        ["3", [meta("Grace")]],
      ],
      "1",
    );
    expect(comingsAndGoings(before, after)).toBe("Grace joined");
    expect(comingsAndGoings(after, before)).toBe("Grace left");
    expect(comingsAndGoings(after, after)).toBe("");
  });
});
