/**
 * Browsers while the database is away, and while the server stops: what they say, that one can go
 * on, and that nothing is lost.
 */
import type { Browser } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { AppServer } from "../support/app-server.js";
import { launchBrowser, Person } from "../support/browser.js";
import { type MariaDb, startMariaDb } from "../support/mariadb.js";
import { describeWith } from "../support/requirements.js";
import { TcpProxy } from "../support/tcp-proxy.js";
import { waitFor } from "../support/wait.js";
import { WireClient } from "../support/wire-client.js";

describeWith("Chromium", "outages in browsers", () => {
  describeWith("MariaDB", "with MariaDB", () => {
    let browser: Browser;
    let mariadb: MariaDb;
    let server: AppServer;
    let proxy: TcpProxy;
    let ann: Person;
    let bob: Person;

    beforeAll(async () => {
      [browser, mariadb] = await Promise.all([launchBrowser(), startMariaDb()]);
      server = await AppServer.start({ SHARDS: "1", DATABASE_URL: await mariadb.createDatabase() });
    });
    afterAll(async () => {
      await browser?.close();
      await server?.stop();
      await mariadb?.stop();
    });
    beforeEach(async () => {
      proxy = await TcpProxy.start(server.port);
      [ann, bob] = [await Person.open(browser), await Person.open(browser)];
      await Promise.all([ann.signUp(proxy.url, "Ann"), bob.signUp(server.url, "Bob")]);
      await Promise.all([ann.openRoom("Rate limiter"), bob.openRoom("Rate limiter")]);
      await ann.write("start ");
      await bob.reads("start ");
      await ann.saved();
    });
    afterEach(async () => {
      await Promise.all([ann.page.context().close(), bob.page.context().close()]);
      await proxy.stop();
    });

    const away = (person: Person) => person.page.locator(".banner", { hasText: "The database is away" });
    const unsaved = (person: Person) => person.page.locator('[data-save="unsaved"]').waitFor();
    const stored = async (): Promise<string> => {
      const { token } = await server.signUp("Reader");
      const response = await server.request("GET", "/api/challenges/2", undefined, token);
      return ((await response.json()) as { response: string }).response;
    };

    describe.each(["SIGKILL", "SIGSTOP"] as const)("the database gets a %s", (signal) => {
      test("an outage of the database is shown, and everything is saved afterwards", async () => {
        if (signal === "SIGKILL") await mariadb.end(signal);
        else mariadb.signal(signal);
        await ann.page.keyboard.type("in the outage ");
        await bob.reads("start in the outage ");
        await Promise.all([away(ann).waitFor(), away(bob).waitFor(), unsaved(ann)]);
        expect(await ann.page.getByText("Not saved yet").isVisible()).toBe(true);
        // A connection of its own, in the middle of it.
        const { accepted } = proxy;
        proxy.cut();
        await waitFor("it connects again", () => proxy.accepted > accepted);
        await away(ann).waitFor();
        await ann.page.keyboard.type("and on ");
        await bob.reads("start in the outage and on ");
        await bob.code.click();
        await bob.page.keyboard.press("ControlOrMeta+End");
        await bob.page.keyboard.type("by both");
        await ann.reads("start in the outage and on by both");
        await Promise.all([unsaved(ann), unsaved(bob)]);
        if (signal === "SIGKILL") await mariadb.restart();
        else mariadb.signal("SIGCONT");
        await Promise.all([ann.saved(), bob.saved()]);
        await Promise.all([away(ann).waitFor({ state: "hidden" }), away(bob).waitFor({ state: "hidden" })]);
        // Who receives the page is notified of the end, too.
        await ann.page.getByRole("status").getByText("All works again.").waitFor();
        await waitFor("it is stored", async () => (await stored()) === "start in the outage and on by both");
      });
    });

    test("SIGTERM stores what was typed, and all clients come back by themselves", async () => {
      const { token } = await server.signUp("Observer");
      const wire = await WireClient.overWebSocket(server.port, token);
      await wire.join("challenges:2", { proto: "y1" });
      // So that there is something to wait for.
      mariadb.signal("SIGSTOP");
      await ann.page.keyboard.type("typed at the last moment");
      await bob.reads("start typed at the last moment");
      const ended = server.end("SIGTERM");
      const restarts = (person: Person) => person.page.locator(".banner", { hasText: "The server restarts" });
      await Promise.all([restarts(ann).waitFor(), restarts(bob).waitFor()]);
      mariadb.signal("SIGCONT");
      expect((await ended).code).toBe(0);
      await waitFor("sent away with 1012", () => wire.closed === 1012);
      await ann.banner.waitFor();
      await ann.page.keyboard.type(", and while it was away");
      await server.start();
      await ann.banner.waitFor({ state: "hidden" });
      await bob.banner.waitFor({ state: "hidden" });
      await bob.reads("start typed at the last moment, and while it was away");
      await Promise.all([ann.saved(), bob.saved()]);
    });
  });
});
