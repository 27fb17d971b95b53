import { useEffect, useRef, useState } from "preact/hooks";
import { comingsAndGoings, type Person } from "./presence-list.js";
import type { RoomView } from "./room-link.js";

/** Changes within this time are told together; somebody who reloads the page has not left. */
const GATHER_MS = 1_200;

const CONNECTION = {
  connecting: "",
  online: "",
  reconnecting: "Connection lost. Reconnecting. You can go on typing.",
  back: "Connected again.",
} as const;

/** What a screen reader says by itself: the connection at once, comings and goings gathered, typing never. */
export function useAnnouncements(view: RoomView | undefined): string {
  const [text, setText] = useState("");
  const told = useRef<readonly Person[]>(undefined);
  const connection = view?.connection ?? "connecting";
  const people = view?.people;

  useEffect(() => {
    if (CONNECTION[connection]) setText(CONNECTION[connection]);
  }, [connection]);

  useEffect(() => {
    if (!people || people.length === 0 || connection === "reconnecting") return;
    const timer = setTimeout(() => {
      const news = told.current ? comingsAndGoings(told.current, people) : "";
      told.current = people;
      if (news) setText(news);
    }, GATHER_MS);
    return () => clearTimeout(timer);
  }, [people, connection]);

  return text;
}
