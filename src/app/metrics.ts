/** PhoenixPair's own figures, beside those of the framework. */
import { counter, gauge, type Source } from "simurgh/observer";
import { savingFigures } from "./rooms/persistence.js";
import { Rooms } from "./rooms/rooms.js";
import { repositoryOn } from "./storage/repository-client.js";

/** Of the rooms of a thread. */
export const roomsSource: Source = async () => {
  const { unsavedBytes, stored, failures } = savingFigures();
  return [
    gauge("phoenixpair_rooms", "Rooms that are live.", await Rooms.count()),
    gauge("phoenixpair_unsaved_bytes", "Bytes of edits that are not stored yet.", unsavedBytes),
    counter("phoenixpair_edits_acknowledged_total", "Edits that were stored and acknowledged.", stored),
    counter("phoenixpair_store_failures_total", "Stores of a room that failed and are repeated.", failures),
  ];
};

/** Of the log of edits, asked in the thread of the database. */
export const storageSource =
  (storageNode: number): Source =>
  async () => {
    const [status, figures] = await repositoryOn(storageNode).logFigures();
    if (status !== "ok") return [];
    return [
      gauge("phoenixpair_log_waiting", "Stores that wait for the next commit.", figures.waiting),
      counter("phoenixpair_log_commits_total", "Commits of the log of edits.", figures.commits),
      counter("phoenixpair_log_failures_total", "Commits of it that failed.", figures.failures),
    ];
  };
