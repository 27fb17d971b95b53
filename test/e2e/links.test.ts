/** Browsers on bad links, and on servers that have forgotten them. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { AppServer } from "../support/app-server.js";
import { launchBrowser, Person } from "../support/browser.js";
import { describeWith } from "../support/requirements.js";
import { TcpProxy } from "../support/tcp-proxy.js";
import { waitFor } from "../support/wait.js";

describeWith("Chromium", "PhoenixPair over bad links", () => {
  let browser: Browser;
  let server: AppServer;
  let proxy: TcpProxy;
  let ann: Person;
  let bob: Person;
  let bobsAccount: { email: string; password: string };

  beforeAll(async () => {
    browser = await launchBrowser();
    server = await AppServer.start({ SHARDS: "1" });
  });
  afterAll(async () => {
    await browser?.close();
    await server?.stop();
  });
  // Ann comes over the proxy, Bob directly.
  beforeEach(async () => {
    proxy = await TcpProxy.start(server.port);
    [ann, bob] = [await Person.open(browser), await Person.open(browser)];
    const [, account] = await Promise.all([ann.signUp(proxy.url, "Ann"), bob.signUp(server.url, "Bob")]);
    bobsAccount = account;
  });
  afterEach(async () => {
    await Promise.all([ann.page.context().close(), bob.page.context().close()]);
    await proxy.stop();
  });

  const equal = (what: string, parts: readonly string[]): Promise<unknown> =>
    waitFor(
      what,
      async () => {
        const [one, two] = [await ann.text(), await bob.text()];
        if (one === two && parts.every((part) => one.includes(part))) return true;
        throw new Error(`${JSON.stringify(one)} / ${JSON.stringify(two)}`);
      },
      20_000,
    );

  test("two users type at once, one over a slow link, and keep every letter", async () => {
    await Promise.all([ann.openRoom("Balanced brackets"), bob.openRoom("Balanced brackets")]);
    await ann.write("top: \n\n\n\nbottom: ");
    await bob.reads("top: \n\n\n\nbottom: ");
    await ann.saved();
    proxy.delay(75);
    await ann.code.click();
    await ann.page.keyboard.press("ControlOrMeta+Home");
    await ann.page.keyboard.press("End");
    await bob.code.click();
    await bob.page.keyboard.press("ControlOrMeta+End");
    const [left, right] = ["the quick brown fox jumps", "over the lazy dog, twice"];
    await Promise.all([
      ann.page.keyboard.type(left, { delay: 40 }),
      bob.page.keyboard.type(right, { delay: 35 }),
    ]);
    await equal("both read both", [`top: ${left}\n`, `bottom: ${right}`]);
    expect([...ann.complaints, ...bob.complaints]).toEqual([]);
  });

  test("a cut link is shown on its page only, and both edits are there afterwards", async () => {
    await Promise.all([ann.openRoom("Rate limiter"), bob.openRoom("Rate limiter")]);
    await ann.write("one\n\n\ntwo\n");
    await bob.reads("one\n\n\ntwo\n");
    await ann.saved();
    proxy.refuse(true);
    proxy.cut();
    await ann.banner.waitFor();
    await bob.sees("Bob");
    expect(await bob.banner.isVisible()).toBe(false);
    await ann.code.click();
    await ann.page.keyboard.press("ControlOrMeta+Home");
    await ann.page.keyboard.type("typed offline, ");
    await bob.code.click();
    await bob.page.keyboard.press("ControlOrMeta+End");
    await bob.page.keyboard.type("typed meanwhile");
    await bob.saved();
    proxy.refuse(false);
    await equal("both edits are on both pages", ["typed offline, one", "typed meanwhile"]);
    await ann.banner.waitFor({ state: "hidden" });
    await ann.saved();
    await waitFor("Bob sees Ann", async () => (await bob.people()).some((name) => name.startsWith("Ann")));
  });

  test("a link that goes dead without a word loses nothing once it works again", async () => {
    await Promise.all([ann.openRoom("Merge the meetings"), bob.openRoom("Merge the meetings")]);
    await ann.write("start ");
    await bob.reads("start ");
    proxy.stall();
    await ann.code.click();
    await ann.page.keyboard.press("ControlOrMeta+End");
    await ann.page.keyboard.type("into the void");
    // What is not stored is not shown as stored.
    await waitFor(
      "the page does not claim to have saved",
      async () => (await ann.page.locator('[data-save="saved"]').count()) === 0,
    );
    proxy.resume();
    await equal("it has arrived", ["start into the void"]);
    await ann.saved();
  });

  test("a page that is loaded again in the middle of a word has the whole word", async () => {
    await Promise.all([ann.openRoom("Balanced brackets"), bob.openRoom("Balanced brackets")]);
    await ann.write("word: ");
    await bob.reads("word: ");
    await ann.saved();
    // The link swallows what is typed before the page is loaded again.
    proxy.stall();
    await ann.page.keyboard.type("unsaved 🙂 ");
    await ann.page.keyboard.type("half");
    const reload = ann.page.reload();
    proxy.cut();
    proxy.resume();
    await reload;
    await ann.ready();
    await equal("the word is there", ["word: unsaved 🙂 half"]);
    await ann.saved();
  });

  test("a tab that is closed without a connection leaves its edits to the next one", async () => {
    await Promise.all([ann.openRoom("Rate limiter"), bob.openRoom("Rate limiter")]);
    await ann.write("kept");
    await bob.reads("kept");
    await ann.saved();
    proxy.refuse(true);
    proxy.cut();
    await ann.banner.waitFor();
    await ann.code.click();
    await ann.page.keyboard.press("ControlOrMeta+End");
    await ann.page.keyboard.type(" and more");
    await ann.page.locator('[data-save="unsaved"]').waitFor();
    const url = ann.page.url();
    const next = await ann.tab();
    await ann.page.close();
    await bob.code.click();
    await bob.page.keyboard.press("ControlOrMeta+Home");
    await bob.page.keyboard.type("meanwhile ");
    proxy.refuse(false);
    await next.page.goto(url);
    await next.ready();
    await bob.reads("meanwhile kept and more");
    await next.reads("meanwhile kept and more");
    await next.saved();
  });

  test("who signs out takes what was not saved off this machine", async () => {
    await ann.openRoom("Words around the corner");
    proxy.refuse(true);
    proxy.cut();
    await ann.banner.waitFor();
    await ann.code.click();
    await ann.page.keyboard.type("private");
    const rows = () =>
      ann.page.evaluate<number>(`new Promise((resolve) => {
        const opening = indexedDB.open("phoenixpair");
        opening.onsuccess = () => {
          const counting = opening.result.transaction("unsaved").objectStore("unsaved").count();
          counting.onsuccess = () => resolve(counting.result);
        };
      })`);
    await waitFor("it is kept", async () => (await rows()) > 0);
    await ann.page.goBack();
    await ann.page.getByRole("button", { name: /log out/i }).click();
    await ann.page.getByLabel("Password").waitFor();
    await waitFor("it is gone", async () => (await rows()) === 0);
  });

  test("back and forward between room and list continue where they were", async () => {
    await Promise.all([ann.openRoom("Merge the meetings"), bob.openRoom("Merge the meetings")]);
    await ann.write("one ");
    await bob.reads("one ");
    await ann.saved();
    await ann.page.goBack();
    await ann.page.getByRole("heading", { name: "Challenges" }).waitFor();
    await bob.sees("Bob");
    await bob.code.click();
    await bob.page.keyboard.press("ControlOrMeta+End");
    await bob.page.keyboard.type("two ");
    await bob.saved();
    await ann.page.goForward();
    await ann.ready();
    await ann.reads("one two ");
    await ann.code.click();
    await ann.page.keyboard.press("ControlOrMeta+End");
    await ann.page.keyboard.type("three ");
    await bob.reads("one two three ");
    // Another site and back: a page of its own again, or the one that the browser has kept.
    await ann.page.goto("about:blank");
    await ann.page.goBack();
    await ann.ready();
    await ann.reads("one two three ");
    // What a browser tells a page that it puts away and brings back.
    await ann.page.evaluate(`
      dispatchEvent(new PageTransitionEvent("pagehide", { persisted: true }));
      dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }));
    `);
    await bob.code.click();
    await bob.page.keyboard.press("ControlOrMeta+End");
    await bob.page.keyboard.type("four");
    await ann.reads("one two three four");
    await ann.code.click();
    await ann.page.keyboard.press("ControlOrMeta+Home");
    await ann.page.keyboard.type("zero ");
    await bob.reads("zero one two three four");
    await ann.saved();
  });

  test("after a change of keys the room comes back by the cookie", async () => {
    await bob.openRoom("Least recently used");
    await server.end("SIGKILL");
    await rm(join(server.dataDir, "jwt-secret"));
    await server.start();
    await bob.banner.waitFor();
    await bob.banner.waitFor({ state: "hidden", timeout: 60_000 });
    await bob.write("still Bob");
    await bob.saved();
  });

  test("a session that ended elsewhere leads to the sign-in form", async () => {
    await bob.openRoom("Least recently used");
    const elsewhere = await server.request("POST", "/api/sessions", bobsAccount);
    const { token } = (await elsewhere.json()) as { token: string };
    expect((await server.request("DELETE", "/api/sessions", undefined, token)).status).toBe(204);
    await bob.page.getByLabel("Password").waitFor();
    await bob.page.getByLabel("E-mail").waitFor();
  });

  test("what the policy forbids is refused, and these tests would notice", async () => {
    await bob.page.evaluate(`
      const attempts = [
        () => {
          const script = document.createElement("script");
          script.text = "window.__injected = true";
          document.body.append(script);
        },
        () => {
          document.body.setAttribute("onclick", "window.__injected = true");
          document.body.click();
        },
        () => {
          document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.__injected = true'>");
        },
      ];
      for (const attempt of attempts) {
        try {
          attempt();
        } catch {
          // Refused, which is what the test is about.
        }
      }
    `);
    await waitFor("a complaint", () => bob.complaints.length > 0);
    expect(await bob.page.evaluate("window.__injected")).toBeUndefined();
    expect(bob.complaints.join()).toMatch(/Content Security Policy|TrustedScript/i);
  });

  test("a taken e-mail is shown on the form, next to what was typed", async () => {
    const eve = await Person.open(browser);
    const { email } = await eve.signUp(server.url, "Eve");
    await eve.page.getByRole("button", { name: /log out/i }).click();
    await eve.page.goto(server.url);
    await eve.page.getByRole("link", { name: "Sign up" }).click();
    await eve.page.getByLabel("First name").fill("Eve");
    await eve.page.getByLabel("E-mail").fill(email);
    await eve.page.getByLabel("Password").fill("another password");
    await eve.page.keyboard.press("Enter");
    await eve.page.getByText(/account with this e-mail already/).waitFor();
    await waitFor("the field has the focus", () =>
      eve.page.getByLabel("E-mail").evaluate((field) => field === field.ownerDocument.activeElement),
    );
    expect(await eve.page.getByLabel("E-mail").inputValue()).toBe(email);
    expect(await eve.page.getByRole("heading", { name: "Challenges" }).count()).toBe(0);
    await eve.page.context().close();
  });
});
