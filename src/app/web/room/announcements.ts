import { useEffect, useRef, useState } from "preact/hooks";
import { bannerOf } from "./banner.js";
import { comingsAndGoings, type Person } from "./presence-list.js";
import type { RoomView } from "./room-view.js";

/** Changes within this time are announced together; a user who reloads the page has not left. */
const GATHER_MS = 1_200;

/**
 * What a screen reader says by itself: trouble and its end at once, comings and goings gathered,
 * typing never.
 */
export function useAnnouncements(view: RoomView | undefined): string {
  const [text, setText] = useState("");
  const announced = useRef<readonly Person[]>(undefined);
  const connection = view?.connection ?? "connecting";
  const people = view?.people;
  const banner = view && bannerOf(view);
  const trouble = banner && banner.tone !== "quiet" ? banner.text : undefined;
  const leader = view?.people.find((person) => person.id === view.following)?.name;

  const troubled = useRef(false);
  const well = banner === undefined;
  useEffect(() => {
    if (trouble) setText(trouble);
    else if (troubled.current && well) setText("All works again.");
    troubled.current = trouble !== undefined || (troubled.current && !well);
  }, [trouble, well]);

  useEffect(() => {
    if (leader !== undefined) setText(`Following ${leader}. Escape ends it.`);
  }, [leader]);

  useEffect(() => {
    if (!people || people.length === 0 || connection === "reconnecting") return;
    const timer = setTimeout(() => {
      const news = announced.current ? comingsAndGoings(announced.current, people) : "";
      announced.current = people;
      if (news) setText(news);
    }, GATHER_MS);
    return () => clearTimeout(timer);
  }, [people, connection]);

  return text;
}
