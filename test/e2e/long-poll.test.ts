/**
 * A browser whose network lets no WebSocket through: the room works over long-poll, and goes back
 * to a WebSocket when it can.
 */
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AppServer } from "../support/app-server.js";
import { launchBrowser, Person } from "../support/browser.js";
import { HttpProxy } from "../support/http-proxy.js";
import { describeWith } from "../support/requirements.js";
import { waitFor } from "../support/wait.js";

describeWith("Chromium", "a room without WebSocket", () => {
  let browser: Browser;
  let server: AppServer;
  beforeAll(async () => {
    browser = await launchBrowser();
    server = await AppServer.start({ SHARDS: "1" });
  });
  afterAll(async () => {
    await browser?.close();
    await server?.stop();
  });

  describe.each(["refuse", "swallow"] as const)("where a proxy answers WebSockets with: %s", (fate) => {
    test("two users write at once, one over long-poll with a broken link", async () => {
      const proxy = await HttpProxy.start(server.port, fate);
      const [ann, bob] = [await Person.open(browser), await Person.open(browser)];
      try {
        await Promise.all([ann.signUp(proxy.url, "Ann"), bob.signUp(server.url, "Bob")]);
        await Promise.all([ann.openRoom("Rate limiter"), bob.openRoom("Rate limiter")]);
        expect(proxy.polls).toBeGreaterThan(0);
        await ann.sees("Ann", "Bob");
        await ann.write("one 🦚\n\ntwo\n");
        await bob.reads("one 🦚\n\ntwo\n");
        await ann.saved();
        await Promise.all([
          (async () => {
            await ann.code.click();
            await ann.page.keyboard.press("ControlOrMeta+Home");
            await ann.page.keyboard.type("over long-poll 🙂 ", { delay: 20 });
          })(),
          (async () => {
            await bob.code.click();
            await bob.page.keyboard.press("ControlOrMeta+End");
            await bob.page.keyboard.type("over a WebSocket e\u0301", { delay: 20 });
          })(),
        ]);
        await ann.page.locator(".peer-caret").waitFor();
        await bob.page.locator(".peer-caret").waitFor();
        const text = "over long-poll 🙂 one 🦚\n\ntwo\nover a WebSocket e\u0301";
        await Promise.all([ann.reads(text), bob.reads(text), ann.saved(), bob.saved()]);
        // A browser asks again by itself when a link breaks, but not after an answer.
        proxy.failsPolls = true;
        proxy.cut();
        await ann.banner.waitFor();
        await ann.page.keyboard.type("after the cut ");
        proxy.failsPolls = false;
        await bob.reads(text.replace("🙂 ", "🙂 after the cut "));
        await ann.saved();
        // The way is free: at the next connect it is taken.
        proxy.webSockets = "pass";
        const { upgrades } = proxy;
        proxy.failsPolls = true;
        proxy.cut();
        await waitFor("a WebSocket is asked for", () => proxy.upgrades > upgrades, 20_000);
        await waitFor("the other sees them", async () => (await bob.people()).length === 2);
        await ann.page.keyboard.type("by WebSocket ");
        await bob.reads(text.replace("🙂 ", "🙂 after the cut by WebSocket "));
        await ann.saved();
        const { polls } = proxy;
        await ann.page.keyboard.type("again ");
        await bob.reads(text.replace("🙂 ", "🙂 after the cut by WebSocket again "));
        expect(proxy.polls).toBe(polls);
      } finally {
        await Promise.all([ann.page.context().close(), bob.page.context().close()]);
        await proxy.stop();
      }
    });
  });

  test("a server that was away for a moment is come back to by WebSocket", async () => {
    const proxy = await HttpProxy.start(server.port, "pass");
    const ann = await Person.open(browser);
    try {
      await ann.signUp(proxy.url, "Ann");
      await ann.openRoom("Balanced brackets");
      await server.end("SIGKILL");
      await ann.banner.waitFor();
      await server.start();
      await ann.banner.waitFor({ state: "hidden" });
      await ann.write("back");
      await ann.saved();
      expect(proxy.polls).toBe(0);
    } finally {
      await ann.page.context().close();
      await proxy.stop();
    }
  });
});
