import { gauge, MetricsServer, type Source } from "simurgh/observer";
import { createNode, Supervisor } from "simurgh/runtime";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { metricsText, processRegistry } from "../../src/observer/metrics.js";
import { collect } from "../../src/observer/thread-metrics.js";

const rooms: Source = () => [gauge("shop_rooms", "Rooms in use.", 3)];

describe("figures of a thread", () => {
  test("a source that throws or hangs omits only its own metrics", async () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const broken: Source = () => {
      throw new Error("broken");
    };
    const rejected: Source = () => Promise.reject(new Error("rejected"));
    const silent: Source = () => new Promise(() => {});
    const collected = collect([broken, rooms, silent, rejected]);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await collected).toEqual([gauge("shop_rooms", "Rooms in use.", 3)]);
  });
});

describe("the text for Prometheus", () => {
  const process = processRegistry();

  test("a metric of several threads has one header and a line for each thread", async () => {
    const text = await metricsText(
      [
        [1, gauge("shop_rooms", "Rooms in use.", 3)],
        [2, gauge("shop_rooms", "Rooms in use.", 4)],
      ],
      process,
    );
    expect(text.match(/# TYPE shop_rooms gauge/g)).toHaveLength(1);
    expect(text).toContain('shop_rooms{thread="1"} 3\nshop_rooms{thread="2"} 4\n');
    expect(text).toContain("process_cpu_user_seconds_total");
  });

  test("what stands in a label cannot break out of it", async () => {
    const text = await metricsText([[0, gauge("shop_rooms", "Rooms.", 1, { topic: 'a"\n}b 7' })]], process);
    expect(text).toContain('shop_rooms{topic="a\\"\\n}b 7",thread="0"} 1\n');
  });
});

describe("the server of metrics", () => {
  test("answers 503 while its endpoint is down, and 404 on other paths", async () => {
    const node = createNode({ onReport() {} });
    const url = await node.run(async () => {
      await Supervisor.startLink([MetricsServer.childSpec({ endpoint: "away", port: 0, sources: [rooms] })], {
        strategy: "one_for_one",
      });
      const there = `http://127.0.0.1:${(await MetricsServer.address()).port}`;
      const status = async (path: string, method = "GET") => (await fetch(there + path, { method })).status;
      expect([await status("/metrics"), await status("/"), await status("/metrics", "POST")]).toEqual([
        503, 404, 404,
      ]);
      return there;
    });
    await node.stop();
    await expect(fetch(`${url}/metrics`)).rejects.toThrow();
  });
});
