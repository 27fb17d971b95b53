import fc from "fast-check";
import { expect, test } from "vitest";
import { Mailbox } from "../../../src/runtime/kernel/mailbox.js";

const operation = fc.oneof(
  { weight: 5, arbitrary: fc.record({ push: fc.integer({ min: 0, max: 9 }) }) },
  { weight: 3, arbitrary: fc.constant({ shift: true }) },
  { weight: 1, arbitrary: fc.record({ remove: fc.nat(6) }) },
  { weight: 1, arbitrary: fc.record({ removeWhere: fc.integer({ min: 0, max: 9 }) }) },
  { weight: 1, arbitrary: fc.record({ restore: fc.array(fc.nat(9), { maxLength: 4 }) }) },
  { weight: 1, arbitrary: fc.constant({ compact: true }) },
);

test("a mailbox keeps messages in order, whatever is taken from where", () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
      const mailbox = new Mailbox();
      let model: number[] = [];
      let arrivals = 0;
      for (const each of operations) {
        if ("push" in each) {
          mailbox.push(each.push);
          model.push(each.push);
          arrivals += 1;
        } else if ("shift" in each) {
          if (model.length > 0) expect(mailbox.shift()).toBe(model.shift());
        } else if ("remove" in each) {
          if (each.remove < model.length)
            expect(mailbox.remove(each.remove)).toBe(model.splice(each.remove, 1)[0]);
        } else if ("removeWhere" in each) {
          const kept = model.filter((message) => message !== each.removeWhere);
          expect(mailbox.removeWhere((message) => message === each.removeWhere)).toBe(
            model.length - kept.length,
          );
          model = kept;
        } else if ("restore" in each) {
          mailbox.restore(each.restore);
          model = [...each.restore, ...model];
        } else {
          mailbox.compact();
        }
        expect(mailbox.length).toBe(model.length);
        expect(mailbox.arrivals).toBe(arrivals);
        expect(mailbox.toArray()).toEqual(model);
        expect(model.map((_message, index) => mailbox.at(index))).toEqual(model);
      }
    }),
  );
});

test("a long mailbox is emptied in order and keeps nothing behind", () => {
  const mailbox = new Mailbox();
  for (let n = 0; n < 10_000; n += 1) mailbox.push(n);
  for (let n = 0; n < 10_000; n += 1) expect(mailbox.shift()).toBe(n);
  expect(mailbox.length).toBe(0);
  expect(mailbox.toArray()).toEqual([]);
});
