/** A list of ids that is empty is no condition to a database, which would then give every row. */
import { expect, test } from "vitest";
import { chat } from "../../../src/app/storage/chat.js";
import { sharing } from "../../../src/app/storage/sharing.js";
import { users } from "../../../src/app/storage/users.js";
import { statementsOf, value, withDatabase } from "../../support/databases.js";

const onUsers = (statements: readonly string[]) => statements.filter((sql) => /from "users"/i.test(sql));

test("an empty chat, member list or version list reads no users", async () => {
  await withDatabase({ kind: "sqlite", location: ":memory:" }, async (database) => {
    const [messages, access, accounts] = [chat(database), sharing(database), users(database)];
    const { id: ann } = value(
      await accounts.createUser({ firstName: "Ann", email: "ann@example.com", passwordHash: "h" }),
    );
    const { id: bob } = value(
      await accounts.createUser({ firstName: "Bob", email: "bob@example.com", passwordHash: "h" }),
    );
    const empty = await statementsOf(database, async () => {
      expect(value(await messages.chatMessages(1, undefined, 50))).toEqual([]);
      expect(value(await access.sharing(1)).members).toEqual([]);
      expect(value(await accounts.firstNames([]))).toEqual({});
    });
    expect(onUsers(empty)).toEqual([]);

    value(await messages.addChatMessage({ challengeId: 1, userId: ann, clientKey: "k", text: "hi" }));
    value(await access.setMember(1, bob, "view"));
    expect(value(await messages.chatMessages(1, undefined, 50))[0]).toMatchObject({ first_name: "Ann" });
    expect(value(await access.sharing(1)).members).toMatchObject([{ first_name: "Bob" }]);
    expect(value(await accounts.firstNames([ann, bob, ann]))).toEqual({ [ann]: "Ann", [bob]: "Bob" });
  });
});
