/**
 * The product around the editor, in real browsers: sessions, the list, one's own challenges,
 * sharing, chat.
 */
import type { Browser } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { AppServer } from "../support/app-server.js";
import { launchBrowser, Person } from "../support/browser.js";
import { describeWith } from "../support/requirements.js";
import { waitFor } from "../support/wait.js";

describeWith("Chromium", "the product in browsers", () => {
  let browser: Browser;
  let server: AppServer;
  const everyone: Person[] = [];

  beforeAll(async () => {
    browser = await launchBrowser();
    // Short-lived tokens: what takes a quarter of an hour is seen here in seconds.
    server = await AppServer.start({ SHARDS: "1", ACCESS_TOKEN_SECONDS: "20" });
  });
  afterAll(async () => {
    await browser?.close();
    await server?.stop();
  });
  afterEach(async () => {
    for (const person of everyone.splice(0)) await person.page.context().close();
  });

  async function person(name: string, options = {}) {
    const one = await Person.open(browser, options);
    everyone.push(one);
    const account = await one.signUp(server.url, name);
    return Object.assign(one, { account });
  }
  const challenges = (one: Person) => one.page.locator("main li h2");

  /** Writes a challenge and opens its room; its address. */
  async function create(one: Person, title: string): Promise<string> {
    await one.page.goto(`${server.url}/new`);
    await one.page.getByLabel("Title").fill(title);
    await one.page.getByLabel("Prompt").fill("What is to be done?");
    await one.page.getByLabel("Code to start from").fill("begin");
    await one.page.getByRole("button", { name: "Create and open" }).click();
    await one.ready();
    return one.page.url();
  }

  test("a session outlives its tokens and a reload, without tokens in storage", async () => {
    const ann = await person("Ann");
    let renewals = 0;
    let sockets = 0;
    ann.page.on("response", (response) => {
      if (response.url().endsWith("/api/session") && response.status() === 200) renewals += 1;
    });
    ann.page.on("websocket", () => {
      sockets += 1;
    });
    await ann.openRoom("Rate limiter");
    await waitFor("the page has renewed its token twice", () => renewals >= 2, 60_000);
    expect(sockets).toBe(1);
    expect(await ann.banner.isVisible()).toBe(false);
    await ann.write("after two tokens");
    await ann.saved();
    await ann.page.reload();
    await ann.ready();
    await ann.reads("after two tokens");
    const kept = await ann.page.evaluate<string>(
      "JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])",
    );
    expect(kept).not.toMatch(/eyJ|phoenixpair_session/);
    expect(ann.complaints).toEqual([]);
  });

  test("a page that is loaded again and again while it renews keeps its session", async () => {
    const ann = await person("Ann");
    for (let n = 0; n < 6; n += 1) await ann.page.goto(server.url, { waitUntil: "commit" });
    await ann.page.getByRole("heading", { name: "Challenges" }).waitFor();
    await challenges(ann).first().waitFor();
  });

  test("two tabs share a session, and see sign-out and sign-in", async () => {
    const ann = await person("Ann");
    const tab = await ann.tab();
    await tab.page.goto(`${server.url}/c/1`);
    await tab.ready();
    await ann.page.getByRole("button", { name: "Log out" }).click();
    await tab.page.getByLabel("Password").waitFor();
    await ann.page.getByLabel("E-mail").fill(ann.account.email);
    await ann.page.getByLabel("Password").fill(ann.account.password);
    await ann.page.keyboard.press("Enter");
    await ann.page.getByRole("heading", { name: "Challenges" }).waitFor();
    await tab.ready();
    expect(tab.page.url()).toBe(`${server.url}/c/1`);
  });

  test("a changed password keeps this session and ends the others", async () => {
    const ann = await person("Ann");
    const elsewhere = await Person.open(browser);
    everyone.push(elsewhere);
    await elsewhere.page.goto(`${server.url}/c/1`);
    await elsewhere.page.getByLabel("E-mail").fill(ann.account.email);
    await elsewhere.page.getByLabel("Password").fill(ann.account.password);
    await elsewhere.page.keyboard.press("Enter");
    await elsewhere.ready();
    await ann.page.getByRole("link", { name: "Ann" }).click();
    await ann.page.getByLabel("Password now").fill("not it");
    await ann.page.getByLabel("New password").fill("another password");
    await ann.page.keyboard.press("Enter");
    await ann.page.getByText("That is not your password now").waitFor();
    await ann.page.getByLabel("Password now").fill(ann.account.password);
    await ann.page.keyboard.press("Enter");
    await ann.page.getByText("Your password is changed").waitFor();
    await elsewhere.page.getByLabel("Password").waitFor();
    await ann.page.goto(server.url);
    await challenges(ann).first().waitFor();
  });

  test("the list is searched and filtered, and shows when it is empty", async () => {
    const ann = await person("Ann");
    await challenges(ann).first().waitFor();
    await ann.page.getByLabel("Search").fill("LIMIT");
    await waitFor(
      "one is left",
      async () => (await challenges(ann).allTextContents()).join() === "Rate limiter",
    );
    await ann.page.getByLabel("Language").selectOption("python");
    await ann.page.getByRole("heading", { name: "Nothing matches" }).waitFor();
    await ann.page.getByRole("button", { name: "Show all" }).click();
    await waitFor("all are back", async () => (await challenges(ann).count()) >= 5);
    await ann.page.getByLabel("Only mine").click();
    await ann.page.getByRole("heading", { name: "None of yours yet" }).waitFor();
    expect(ann.complaints).toEqual([]);
  });

  test("a challenge is written, changed and deleted by its owner alone", async () => {
    const [ann, bob] = [await person("Ann"), await person("Bob")];
    const room = await create(ann, "Sum it up");
    await ann.reads("begin");
    await ann.page.goto(server.url);
    await ann.page.getByRole("link", { name: "Edit Sum it up" }).click();
    await ann.page.getByLabel("Title").fill("Sum it all up");
    await ann.page.getByLabel("Language").selectOption("python");
    await ann.page.getByRole("button", { name: "Save" }).click();
    await ann.page.getByRole("heading", { name: "Sum it all up" }).waitFor();
    await waitFor("the room is in Python", async () => {
      const language = await ann.page.getByLabel("Language").inputValue();
      return language === "python";
    });
    await bob.page.goto(`${room}/edit`);
    await bob.page.getByRole("heading", { name: "This is not yours to open" }).waitFor();
    await bob.page.goto(server.url);
    await bob.page.getByRole("link", { name: "Sum it all up", exact: true }).waitFor();
    expect(await bob.page.getByRole("link", { name: /^Edit/ }).count()).toBe(0);
    await ann.page.goto(`${room}/edit`);
    await ann.page.getByRole("button", { name: "Delete…" }).click();
    // The dialog begins at what does no harm.
    await ann.page.keyboard.press("Enter");
    await ann.page.getByRole("button", { name: "Delete…" }).click();
    await ann.page.getByRole("dialog").getByRole("button", { name: "Delete", exact: true }).click();
    await ann.page.getByText("is deleted").waitFor();
    await bob.page.goto(room);
    await bob.page
      .getByText(/no such challenge/i)
      .first()
      .waitFor();
  });

  test("an invitation leads into a restricted room, past the sign-in form", async () => {
    const [ann, bob] = [await person("Ann"), await person("Bob")];
    const room = await create(ann, "For the two of us");
    await ann.page.getByRole("tab", { name: /Share/ }).click();
    await ann.page.getByLabel("Only people I invite").click();
    await bob.page.goto(room);
    // The page does not tell whether there is such a room, but what to do about it, and where.
    await bob.page.getByRole("heading", { name: "There is no such challenge" }).waitFor();
    await bob.page.getByText("ask its owner for an invitation link").waitFor();
    await bob.page.getByText(bob.account.email).waitFor();
    expect(await bob.page.getByRole("button", { name: "Log out" }).isVisible()).toBe(true);
    await ann.page.getByRole("button", { name: "Make a link" }).click();
    const link = await ann.page.getByLabel("New link", { exact: true }).inputValue();
    expect(link).toMatch(/\/join#[\w-]{32}$/);
    await bob.page.goto(server.url);
    await bob.page.getByRole("button", { name: "Log out" }).click();
    await bob.page.getByLabel("Password").waitFor();
    await bob.page.goto(link);
    await bob.page.getByLabel("E-mail").fill(bob.account.email);
    await bob.page.getByLabel("Password").fill(bob.account.password);
    await bob.page.keyboard.press("Enter");
    await bob.ready();
    expect(bob.page.url()).toBe(room);
    await ann.sees("Ann", "Bob");
    await ann.page.getByRole("tab", { name: /Chat/ }).click();
    await ann.page.getByRole("tab", { name: /Share/ }).click();
    await ann.page.getByLabel("What Bob may do").selectOption("removed");
    await bob.page.getByText("has closed it for you").waitFor();
    await bob.page.getByRole("heading", { name: "Challenges" }).waitFor();
    await ann.sees("Ann");
    await bob.page.goto(`${server.url}/join#nonsense`);
    await bob.page.getByText(/no longer valid/).waitFor();
  });

  test("the history shows and restores former code for all users", async () => {
    const [ann, bob] = [await person("Ann"), await person("Bob")];
    const room = await create(ann, "Back and forth");
    await bob.page.goto(room);
    await bob.ready();
    await ann.write("what Ann made of it 🦚");
    await bob.reads("what Ann made of it 🦚");
    await ann.saved();
    await bob.page.getByRole("tab", { name: "History" }).click();
    const versions = bob.page.locator("button.version");
    const preview = bob.page.getByRole("region", { name: "The code as it was" });
    await versions.last().click();
    await waitFor("the first state is shown", async () => (await preview.textContent()) === "begin");
    // Looking changes nothing.
    await ann.reads("what Ann made of it 🦚");
    await bob.page.getByRole("button", { name: "Go back to this" }).click();
    await Promise.all([ann.reads("begin"), bob.reads("begin")]);
    await bob.page.getByText("What was there before is in the history").waitFor();
    await waitFor("it is there", async () => (await versions.count()) >= 2);
    const before = bob.page.locator("li", { has: versions, hasText: "Ann" }).first();
    await before.getByRole("button").first().click();
    await waitFor("it is shown", async () => (await preview.textContent()) === "what Ann made of it 🦚");
    await bob.page.getByRole("button", { name: "Go back to this" }).click();
    await Promise.all([ann.reads("what Ann made of it 🦚"), bob.reads("what Ann made of it 🦚")]);
    await ann.write("and on");
    await bob.reads("and on");
    expect([...ann.complaints, ...bob.complaints]).toEqual([]);
  });

  test("users of a room chat, markup is text, and unread messages are counted", async () => {
    const [ann, bob] = [await person("Ann"), await person("Bob")];
    const room = await create(ann, "Talk about it");
    await bob.page.goto(room);
    await bob.ready();
    await ann.page.getByRole("tab", { name: /Chat/ }).click();
    await ann.page.getByRole("textbox", { name: "Message" }).fill("<img src=x onerror=alert(1)> 🦚");
    await ann.page.keyboard.press("Enter");
    await ann.page.locator(".chat-line.mine").getByText("<img src=x onerror=alert(1)> 🦚").waitFor();
    await bob.page.getByRole("tab", { name: /Chat\s*1/ }).click();
    await bob.page.locator(".chat-line").getByText("<img src=x onerror=alert(1)> 🦚").waitFor();
    await bob.page.reload();
    await bob.ready();
    await bob.page.getByRole("tab", { name: /Chat/ }).click();
    await waitFor("it is there once", async () => (await bob.page.locator(".chat-line").count()) === 1);
    expect([...ann.complaints, ...bob.complaints]).toEqual([]);
  });
});
