/** What a real browser puts into the editor, and what the keyboard alone shows of it. */
import type { Browser } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { AppServer } from "../support/app-server.js";
import { launchBrowser, Person } from "../support/browser.js";
import { describeWith } from "../support/requirements.js";
import { waitFor } from "../support/wait.js";

describeWith("Chromium", "the editor in a browser", () => {
  let browser: Browser;
  let server: AppServer;
  let ann: Person;
  let bob: Person;
  beforeAll(async () => {
    browser = await launchBrowser();
    server = await AppServer.start({ SHARDS: "1" });
  });
  afterAll(async () => {
    await browser?.close();
    await server?.stop();
  });
  beforeEach(async () => {
    [ann, bob] = [await Person.open(browser), await Person.open(browser)];
    await Promise.all([ann.signUp(server.url, "Ann"), bob.signUp(server.url, "Bob")]);
  });
  afterEach(async () => {
    expect([...ann.complaints, ...bob.complaints]).toEqual([]);
    await Promise.all([ann.page.context().close(), bob.page.context().close()]);
  });
  const both = (title: string): Promise<unknown> => Promise.all([ann.openRoom(title), bob.openRoom(title)]);

  /** As a paste or a drop has it, made in the page. */
  const transfer = (who: Person, kind: "paste" | "drop", text: string): Promise<unknown> =>
    who.page.evaluate(`
      const data = new DataTransfer();
      // As escapes: half a character does not survive the way here.
      const text = ${JSON.stringify(text)};
      const target = document.querySelector(".cm-content");
      Object.defineProperty(data, "getData", { value: () => text });
      const { left, top } = target.getBoundingClientRect();
      const Event = ${kind === "paste" ? "ClipboardEvent" : "DragEvent"};
      const event = new Event(${JSON.stringify(kind)}, { bubbles: true, cancelable: true, clientX: left + 20, clientY: top + 20 });
      Object.defineProperty(event, ${kind === "paste" ? '"clipboardData"' : '"dataTransfer"'}, { value: data });
      target.dispatchEvent(event);
    `);

  describe("half a character", () => {
    test("characters of an input method that are not text become replacements", async () => {
      await both("Balanced brackets");
      await ann.write("x");
      await ann.page.keyboard.press("End");
      await transfer(ann, "paste", "a\ud83db");
      await bob.reads("xa\ufffdb");
      await transfer(ann, "drop", "\udc00🙂");
      await waitFor("what was dropped", async () => (await bob.text()).includes("\ufffd🙂"));
      await ann.code.click();
      await ann.page.keyboard.press("ControlOrMeta+End");
      await ann.page.evaluate('document.execCommand("insertText", false, "\\udbff!")');
      await waitFor("what was inserted", async () => (await bob.text()).includes("\ufffd!"));
      await ann.saved();
      expect(await ann.text()).toBe(await bob.text());
    });
  });

  test("line ends of any kind are pasted as newlines", async () => {
    await both("Merge the meetings");
    await ann.write("");
    await transfer(ann, "paste", "one\r\ntwo\rthree");
    await bob.reads("one\ntwo\nthree");
    await ann.page.keyboard.type("!");
    await bob.reads("one\ntwo\nthree!");
    await ann.saved();
  });

  test("a long text that the browser itself would write is put in at once", async () => {
    await both("Balanced brackets");
    await ann.write("");
    const long = "0123456789abcde\n".repeat(57_600);
    await ann.page.keyboard.insertText(long);
    await ann.page.keyboard.insertText(long);
    await ann.page.getByText("a text may have 1 MiB").waitFor();
    await ann.saved();
    expect(await bob.copied()).toBe(long);
    await ann.write("");
    await bob.reads("");
  });

  test("a paste over the size limit is refused, and the editor stays in step", async () => {
    await both("Rate limiter");
    await ann.write("");
    const long = "0123456789abcde\n".repeat(57_600);
    await transfer(ann, "paste", long);
    await ann.saved();
    await transfer(ann, "paste", long);
    await ann.page.getByText("a text may have 1 MiB").waitFor();
    await ann.page.keyboard.type("end");
    await ann.saved();
    expect((await ann.copied()).length).toBe(long.length + 3);
    expect(await bob.copied()).toBe(await ann.copied());
    await ann.write("");
    await bob.reads("");
  });

  test("one line of 200,000 characters: both type in it, and see each other's cursors", async () => {
    await both("Least recently used");
    await ann.write("");
    await transfer(ann, "paste", "x = [1, 2];".repeat(18_182));
    await ann.saved();
    await bob.code.click();
    await bob.page.keyboard.press("ControlOrMeta+Home");
    await ann.page.keyboard.press("ControlOrMeta+End");
    for (const key of "abc") await ann.page.keyboard.press(key);
    await bob.page.keyboard.press("ControlOrMeta+End");
    await waitFor(
      "Ann's cursor is where she types",
      async () => (await bob.page.locator(".peer-caret").count()) === 1,
    );
    await ann.page.keyboard.press("ControlOrMeta+Home");
    await ann.page.keyboard.press("d");
    await bob.page.keyboard.press("ControlOrMeta+Home");
    await ann.page.locator(".peer-caret").waitFor();
    await bob.page.locator(".peer-caret").waitFor();
    await ann.saved();
    expect((await bob.copied()).length).toBe(200_002 + 4);
  });

  test("undo and redo touch one's own edits alone", async () => {
    await both("Merge the meetings");
    const starter = await ann.text();
    const press = async (who: Person, keys: string): Promise<void> => {
      await who.code.click();
      await who.page.keyboard.press(keys);
    };
    await press(ann, "ControlOrMeta+Home");
    await ann.page.keyboard.type("by Ann ");
    await bob.reads(`by Ann ${starter}`);
    await press(bob, "ControlOrMeta+End");
    await bob.page.keyboard.type("by Bob");
    await ann.reads(`by Ann ${starter}by Bob`);
    await press(ann, "ControlOrMeta+z");
    await bob.reads(`${starter}by Bob`);
    await press(ann, "ControlOrMeta+y");
    await bob.reads(`by Ann ${starter}by Bob`);
    await press(bob, "ControlOrMeta+z");
    await ann.reads(`by Ann ${starter}`);
    await press(ann, "ControlOrMeta+z");
    await press(bob, "ControlOrMeta+y");
    await ann.reads(`${starter}by Bob`);
    await bob.reads(`${starter}by Bob`);
  });

  test("the editor is reached by keyboard and shows its focus, light and dark", async () => {
    await ann.openRoom("Words around the corner");
    const skip = ann.page.getByRole("link", { name: "Skip to the code" });
    for (const colorScheme of ["light", "dark"] as const) {
      await ann.page.emulateMedia({ colorScheme });
      await skip.focus();
      await ann.page.keyboard.press("Enter");
      const outline = () =>
        ann.page.evaluate<string>(
          'getComputedStyle(document.activeElement.closest(".cm-editor") ?? document.body).outlineStyle',
        );
      await waitFor("the editor has the focus and shows it", async () => (await outline()) === "solid");
      await ann.screenshot(`focus-${colorScheme}`);
      await ann.page.keyboard.press("Escape");
      await ann.page.keyboard.press("Tab");
      expect(await outline()).not.toBe("solid");
    }
  });
});
