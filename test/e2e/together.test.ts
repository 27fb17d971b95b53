/**
 * Several people in one text, in real browsers: nothing is lost, everyone sees where the others
 * are.
 */
import type { Browser } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { AppServer } from "../support/app-server.js";
import { launchBrowser, Person } from "../support/browser.js";
import { Participant } from "../support/phoenix-client.js";
import { describeWith } from "../support/requirements.js";
import { waitFor } from "../support/wait.js";

/** Types letter by letter; what is longer than one code unit as an input method would put it in. */
async function type(person: Person, text: string): Promise<void> {
  for (const letter of text) {
    if (letter.length === 1 && letter < "\x7f") await person.page.keyboard.type(letter);
    else await person.page.keyboard.insertText(letter);
  }
}

/** The letters of `alphabet` in the order in which they stand. */
const only = (text: string, alphabet: string): string =>
  [...text].filter((letter) => alphabet.includes(letter)).join("");

describeWith("Chromium", "PhoenixPair with several people in one text", () => {
  let browser: Browser;
  let server: AppServer;
  const everyone: Person[] = [];

  beforeAll(async () => {
    browser = await launchBrowser();
    server = await AppServer.start({ SHARDS: "1" });
  });
  afterAll(async () => {
    await browser?.close();
    await server?.stop();
  });
  afterEach(async () => {
    for (const person of everyone.splice(0)) await person.page.context().close();
  });

  async function inRoom(title: string, names: readonly string[], options = {}): Promise<Person[]> {
    const people: Person[] = [];
    for (const name of names) {
      const person = await Person.open(browser, options);
      everyone.push(person);
      await person.signUp(server.url, name);
      await person.openRoom(title);
      people.push(person);
    }
    return people;
  }

  /** Waits until all pages show the same text, of which something holds. */
  const agree = (people: readonly Person[], holds: (text: string) => boolean): Promise<string> =>
    waitFor<string>(
      "all pages show the same text",
      async (): Promise<string> => {
        const texts = await Promise.all(people.map((person) => person.text()));
        const [text = ""] = texts;
        if (texts.every((other) => other === text) && holds(text)) return text;
        throw new Error(JSON.stringify(texts));
      },
      60_000,
    );

  const complaints = (people: readonly Person[]): string[] => people.flatMap((person) => person.complaints);

  test("three users type in the same line without losing a letter", async () => {
    const people = await inRoom("Balanced brackets", ["Ann", "Bob"]);
    const [ann, bob] = people as [Person, Person];
    await ann.write("[]");
    await bob.reads("[]");
    for (const person of people) {
      await person.code.click();
      await person.page.keyboard.press("ControlOrMeta+End");
      await person.page.keyboard.press("ArrowLeft");
    }
    const texts = ["abcde😀f\u0301ghi👍🏽j", "klmno🎉pq\u0308rs🇫🇷t", "0123é456789🙃x\u0327"] as const;
    await Promise.all([type(ann, texts[0]), type(bob, texts[1])]);
    const whole = (count: number) => (text: string) =>
      texts.slice(0, count).every((typed) => only(text, typed) === typed) && text.endsWith("]");
    await agree(people, whole(2));

    people.push(...(await inRoom("Balanced brackets", ["Eve"])));
    const eve = people[2]!;
    await eve.code.click();
    await eve.page.keyboard.press("ControlOrMeta+End");
    await eve.page.keyboard.press("ArrowLeft");
    await Promise.all([type(eve, texts[2]), ann.page.keyboard.type("vwz"), bob.page.keyboard.type("VWZ")]);
    const text = await agree(
      people,
      (text) =>
        only(text, texts[2]) === texts[2] && only(text, "vwz") === "vwz" && only(text, "VWZ") === "VWZ",
    );
    expect(text).toHaveLength("[]".length + texts.join("").length + 6);
    expect(text.isWellFormed()).toBe(true);
    for (const person of people) await person.saved();
    expect(complaints(people)).toEqual([]);
  });

  test("each takes back their own edits only, in two tabs as with two people", async () => {
    const [ann] = await inRoom("Rate limiter", ["Ann"]);
    const second = await ann!.tab();
    await second.page.goto(ann!.page.url());
    await second.ready();
    await ann!.write("middle");
    await second.reads("middle");
    await second.code.click();
    await second.page.keyboard.press("ControlOrMeta+Home");
    await second.page.keyboard.type("start ");
    await ann!.reads("start middle");
    await ann!.page.keyboard.press("ControlOrMeta+End");
    await ann!.page.keyboard.type(" end");
    await second.reads("start middle end");
    await second.page.keyboard.press("ControlOrMeta+z");
    await ann!.reads("middle end");
    await second.page.keyboard.press("ControlOrMeta+y");
    await ann!.reads("start middle end");
    // Two tabs are one person.
    await ann!.sees("Ann (typing)");
    expect([...ann!.complaints, ...second.complaints]).toEqual([]);
  });

  test("all users see the others' cursors, names and selections", async () => {
    const [ann, bob] = (await inRoom("Merge the meetings", ["Ann", "Bob"])) as [Person, Person];
    await ann.write("one\ntwo\nthree");
    await bob.reads("one\ntwo\nthree");
    await bob.code.click();
    await bob.page.keyboard.press("ControlOrMeta+Home");
    await bob.page.keyboard.press("ArrowDown");
    await bob.page.keyboard.press("Shift+End");
    const caret = ann.page.locator(".peer-caret");
    await caret.waitFor();
    expect(await caret.textContent()).toBe("Bob");
    await ann.page.locator(".peer-selection").first().waitFor();
    // The cursor stands at the end of the second line, and moves along when a line is put in before
    // it.
    const line = async (n: number) => (await ann.page.locator(".cm-line").nth(n).boundingBox())!.y;
    const at = async (n: number) => {
      const [place, top] = [await caret.boundingBox(), await line(n)];
      return place !== null && Math.abs(place.y - top) < 12;
    };
    await waitFor("Bob's cursor is in the second line", () => at(1));
    await ann.code.click();
    await ann.page.keyboard.press("ControlOrMeta+Home");
    await ann.page.keyboard.type("zero\n");
    await waitFor("Bob's cursor is in the third line", () => at(2));
    const color = (selector: string, property: string): Promise<string> =>
      ann.page
        .locator(selector)
        .evaluate(
          (element, name) =>
            element.ownerDocument.defaultView!.getComputedStyle(element).getPropertyValue(name),
          property,
        );
    expect(await color(".peer-caret", "border-left-color")).toBe(
      await color('.people li:has-text("Bob") .initial', "background-color"),
    );
    // The name fades, and comes back when the cursor is pointed at.
    const shown = async () => (await color(".peer-caret span", "opacity")) === "1";
    await waitFor("the name has faded", async () => !(await shown()));
    const box = (await caret.boundingBox())!;
    await ann.page.mouse.move(box.x + 1, box.y + box.height / 2);
    await waitFor("the name is shown", shown);
    await bob.page.close();
    await caret.waitFor({ state: "detached" });
    expect(complaints([ann, bob])).toEqual([]);
  });

  test("the chosen language applies to all users, and stays", async () => {
    const [ann, bob] = (await inRoom("Balanced brackets", ["Ann", "Bob"])) as [Person, Person];
    const language = (person: Person) => person.page.getByLabel("Language");
    expect(await language(bob).inputValue()).toBe("javascript");
    await language(ann).selectOption("python");
    await waitFor("Bob's page has it", async () => (await language(bob).inputValue()) === "python");
    await bob.page.getByRole("textbox", { name: "Code, Python" }).waitFor();
    await bob.page.reload();
    await bob.ready();
    expect(await language(bob).inputValue()).toBe("python");
    expect(complaints([ann, bob])).toEqual([]);
  });

  test("one can follow another user through a long text", async () => {
    const [ann, bob] = (await inRoom("Least recently used", ["Ann", "Bob"], {
      viewport: { width: 1100, height: 500 },
    })) as [Person, Person];
    await bob.write(Array.from({ length: 300 }, (_, i) => `line ${i}`).join("\n"));
    // The line of one's own cursor is always there, in view or not; so it is not line 0 that tells.
    const [start, end] = ["line 5", "line 295"].map((line) => ann.page.getByText(line, { exact: true }));
    await start!.waitFor();
    await bob.page.keyboard.press("ControlOrMeta+Home");
    await ann.page.getByRole("button", { name: "Follow Bob" }).click();
    await ann.page.getByText("Following Bob").first().waitFor();
    await bob.page.keyboard.press("ControlOrMeta+End");
    await end!.waitFor();
    await bob.page.keyboard.press("ControlOrMeta+Home");
    await start!.waitFor();
    await ann.page.keyboard.press("Escape");
    await ann.page.getByRole("button", { name: "Follow Bob", pressed: false }).waitFor();
    await bob.page.keyboard.press("ControlOrMeta+End");
    await waitFor("Ann has received it", async () => (await ann.page.locator(".peer-caret").count()) === 0);
    expect(await start!.isVisible()).toBe(true);
    // Scrolling by oneself ends it as well.
    await ann.page.getByRole("button", { name: "Follow Bob" }).click();
    await end!.waitFor();
    await ann.code.hover();
    await ann.page.mouse.wheel(0, -400);
    await ann.page.getByRole("button", { name: "Follow Bob", pressed: false }).waitFor();
    expect(complaints([ann, bob])).toEqual([]);
  });

  test("a client of the tutorial and a page share a room", async () => {
    const [ann] = (await inRoom("Words around the corner", ["Ann"])) as [Person];
    await ann.write("first\n\nlast");
    await ann.saved();
    const account = await server.signUp("Tom");
    const tom = new Participant(server, account.token, Number(/\d+$/.exec(ann.page.url())![0]));
    const { challenge } = await tom.join();
    expect(challenge.response).toBe("first\n\nlast");
    await ann.sees("Ann", "Tom");
    // Both at once: Tom writes the whole text with a line of his at the end, Ann types at the
    // start.
    await ann.page.keyboard.press("ControlOrMeta+Home");
    await Promise.all([
      ann.page.keyboard.type("typed by Ann "),
      tom.channel.push("response:update", { response: "first\n\nlast\nwritten by Tom" }),
    ]);
    await ann.reads("typed by Ann first\n\nlast\nwritten by Tom");
    await waitFor(
      "Tom has it all",
      () => tom.updates.at(-1)?.response === "typed by Ann first\n\nlast\nwritten by Tom",
    );
    tom.leave();
    await ann.sees("Ann");
    expect(ann.complaints).toEqual([]);
  });
});
