/** What a newcomer does and sees, in real browsers against the real server. */
import type { Browser } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { AppServer } from "../support/app-server.js";
import { seriousViolations } from "../support/axe.js";
import { launchBrowser, Person } from "../support/browser.js";
import { describeWith } from "../support/requirements.js";
import { waitFor } from "../support/wait.js";

describeWith("Chromium", "PhoenixPair in two browsers", () => {
  let browser: Browser;
  let server: AppServer;
  const everyone: Person[] = [];

  beforeAll(async () => {
    browser = await launchBrowser();
    server = await AppServer.start({ SHARDS: "2" });
  });
  afterAll(async () => {
    await browser?.close();
    await server?.stop();
  });
  afterEach(async () => {
    for (const person of everyone.splice(0)) await person.page.context().close();
  });

  async function person(options = {}): Promise<Person> {
    const one = await Person.open(browser, options);
    everyone.push(one);
    return one;
  }

  test("sign up, open a room, type together, see who is there and who types, come and go", async () => {
    const [ann, bob] = [await person(), await person({ colorScheme: "dark" })];
    await ann.signUp(server.url, "Ann");
    await waitFor(
      "five challenges are listed",
      async () => (await ann.page.locator("main li a").count()) >= 5,
    );
    await ann.openRoom("Balanced brackets");
    await ann.sees("Ann");
    await bob.signUp(server.url, "Bob");
    await bob.openRoom("Balanced brackets");
    await ann.sees("Ann", "Bob");
    await bob.sees("Ann", "Bob");

    await ann.write("const answer = 42;");
    await bob.reads("const answer = 42;");
    await bob.sees("Ann (typing)", "Bob");
    // Leaving the text area ends it, and so does a pause.
    await ann.code.blur();
    await bob.sees("Ann", "Bob");

    await bob.code.click();
    await bob.page.keyboard.press("ControlOrMeta+End");
    await bob.page.keyboard.type(" // yes");
    await ann.reads("const answer = 42; // yes");
    await ann.sees("Ann", "Bob (typing)");
    await ann.sees("Ann", "Bob");

    const url = bob.page.url();
    await bob.page.close();
    await ann.sees("Ann");
    await ann.page.reload();
    await ann.ready();
    await ann.reads("const answer = 42; // yes");

    const again = await bob.tab();
    await again.page.goto(url);
    await again.ready();
    await ann.sees("Ann", "Bob");
    const second = await again.tab();
    await second.page.goto(url);
    await second.ready();
    await ann.sees("Ann", "Bob");
    await second.page.close();
    await ann.sees("Ann", "Bob");
    expect([...ann.complaints, ...bob.complaints, ...again.complaints]).toEqual([]);
  });

  test("the reader's caret and undo survive what the other types", async () => {
    const [ann, bob] = [await person(), await person()];
    await ann.signUp(server.url, "Ann");
    await bob.signUp(server.url, "Bob");
    await ann.openRoom("Rate limiter");
    await bob.openRoom("Rate limiter");
    await ann.write("one two three");
    await bob.reads("one two three");
    // Bob's caret stands after "two".
    await bob.code.click();
    await bob.page.keyboard.press("ControlOrMeta+Home");
    for (let n = 0; n < 7; n += 1) await bob.page.keyboard.press("ArrowRight");
    await bob.page.keyboard.type("!");
    await ann.reads("one two! three");
    await ann.code.click();
    await ann.page.keyboard.press("ControlOrMeta+Home");
    await ann.page.keyboard.type("zero ");
    await bob.reads("zero one two! three");
    await bob.page.keyboard.type("?");
    await ann.reads("zero one two!? three");
    // Bob takes back his own keys, not Ann's.
    await bob.page.keyboard.press("ControlOrMeta+z");
    await waitFor("Bob's keys are gone, Ann's are not", async () =>
      /^zero one two!? three$/.test(await bob.text()),
    );
    await waitFor("both read the same", async () => (await ann.text()) === (await bob.text()));
    expect([...ann.complaints, ...bob.complaints]).toEqual([]);
  });

  test("a page heals after the server was killed, and no acknowledged edit is lost", async () => {
    const [ann, bob] = [await person(), await person()];
    await ann.signUp(server.url, "Ann");
    await bob.signUp(server.url, "Bob");
    await ann.openRoom("Merge the meetings");
    await bob.openRoom("Merge the meetings");
    await ann.write("start\n");
    await bob.reads("start\n");
    for (let round = 0; round < 3; round += 1) {
      await ann.code.click();
      await ann.page.keyboard.press("ControlOrMeta+End");
      await ann.page.keyboard.type(`before ${round} `);
      await ann.saved();
      await server.end("SIGKILL");
      await ann.page.keyboard.type(`during ${round}\n`);
      await ann.banner.waitFor();
      await server.start();
      await waitFor(
        "both pages have healed and read the same",
        async () => {
          const [one, two] = [await ann.text(), await bob.text()];
          if (one === two && one.includes(`before ${round}`) && one.includes(`during ${round}`)) return true;
          throw new Error(`${JSON.stringify(one)} / ${JSON.stringify(two)}`);
        },
        30_000,
      );
      await ann.saved();
      await ann.banner.waitFor({ state: "hidden" });
    }
    const expected = `start\n${[0, 1, 2].map((round) => `before ${round} during ${round}\n`).join("")}`;
    expect(await ann.text()).toBe(expected);
    await bob.sees("Ann", "Bob");
    // A browser logs the refused connections of the time in between; nothing else may be wrong.
    expect(
      [...ann.complaints, ...bob.complaints].filter(
        (text) => !/ERR_CONNECTION|WebSocket connection/.test(text),
      ),
    ).toEqual([]);
  });

  test("log out, a wrong password, log in again, a deep link before log-in", async () => {
    const ann = await person();
    const { email, password } = await ann.signUp(server.url, "Ann");
    await ann.page.getByRole("button", { name: /log out/i }).click();
    await ann.page.goto(`${server.url}/c/4`);
    await ann.page.getByLabel("E-mail").fill(email);
    await ann.page.getByLabel("Password").fill("not the password");
    await ann.page.keyboard.press("Enter");
    await ann.page
      .getByRole("alert")
      .getByText(/not right/)
      .waitFor();
    await ann.page.getByLabel("Password").fill(password);
    await ann.page.keyboard.press("Enter");
    await ann.ready();
    expect(ann.page.url()).toBe(`${server.url}/c/4`);
    await ann.page.goto(`${server.url}/c/999999`);
    await ann.page
      .getByText(/no such challenge/i)
      .first()
      .waitFor();
    await ann.page.goto(`${server.url}/nowhere`);
    await ann.page.getByRole("heading").first().waitFor();
    expect(ann.complaints.filter((text) => !/40[14]/.test(text))).toEqual([]);
  });

  test("a name full of markup is shown as text", async () => {
    const eve = await person();
    const name = "<img/src=x/onerror=alert(1)>";
    let dialogs = 0;
    eve.page.on("dialog", (dialog) => {
      dialogs += 1;
      void dialog.dismiss();
    });
    await eve.signUp(server.url, name);
    await eve.openRoom("Balanced brackets");
    await eve.sees(name);
    expect(dialogs).toBe(0);
    expect(eve.complaints).toEqual([]);
  });

  test.each([
    ["light", { colorScheme: "light" as const }],
    ["dark", { colorScheme: "dark" as const }],
    ["on a phone", { viewport: { width: 320, height: 640 }, hasTouch: true, isMobile: true }],
  ])("axe finds nothing serious in a room, %s", async (_, options) => {
    const [ann, bob] = [await person(options), await person()];
    await ann.signUp(server.url, "Ann");
    await ann.openRoom("Words around the corner");
    await bob.signUp(server.url, "Bob");
    await bob.openRoom("Words around the corner");
    await bob.code.click();
    await bob.page.keyboard.press("ControlOrMeta+Home");
    await bob.page.keyboard.press("Shift+ArrowDown");
    await ann.page.locator(".peer-caret").waitFor();
    expect(await seriousViolations(ann.page)).toEqual([]);
    for (const tab of await ann.page.getByRole("tab").all()) {
      await tab.click();
      expect(await seriousViolations(ann.page)).toEqual([]);
    }
    if ("isMobile" in options) await ann.page.getByRole("tab", { name: "People" }).click();
    await ann.page.getByRole("button", { name: "Follow Bob" }).click();
    await ann.page.getByText("Following Bob").first().waitFor();
    expect(await seriousViolations(ann.page)).toEqual([]);
    expect([...ann.complaints, ...bob.complaints]).toEqual([]);
  });

  test.each([
    ["a phone's width", { viewport: { width: 320, height: 640 }, hasTouch: true, isMobile: true }],
    ["dark mode", { colorScheme: "dark" as const }],
  ])("a room at %s fits and can be used", async (what, options) => {
    const ann = await person(options);
    await ann.signUp(server.url, "Ann");
    await ann.openRoom("Least recently used");
    await ann.sees("Ann");
    const overflow = await ann.page.evaluate<number>(
      "document.documentElement.scrollWidth - document.documentElement.clientWidth",
    );
    expect(overflow).toBeLessThanOrEqual(0);
    await ann.write("print(1)");
    await ann.saved();
    await ann.screenshot(what.replaceAll(/\W+/g, "-"));
    const background = await ann.page.evaluate<string>("getComputedStyle(document.body).backgroundColor");
    const [red] = /\d+/.exec(background) ?? ["255"];
    if ("colorScheme" in options) expect(Number(red)).toBeLessThan(80);
    expect(ann.complaints).toEqual([]);
  });

  test("the room can be used with the keyboard alone", async () => {
    const ann = await person();
    await ann.signUp(server.url, "Ann");
    await ann.page.locator("a", { hasText: "Words around the corner" }).first().focus();
    await ann.page.keyboard.press("Enter");
    await ann.ready();
    await ann.code.focus();
    await ann.page.keyboard.press("ControlOrMeta+a");
    await ann.page.keyboard.type("x");
    await ann.page.keyboard.press("Escape");
    await ann.page.keyboard.press("Tab");
    const inside = await ann.page.evaluate<boolean>("document.activeElement?.closest('.cm-editor') !== null");
    expect(inside).toBe(false);
    expect(await ann.text()).toBe("x");
  });
});
