/** Who is in which room, and who types there. */
import { definePresence } from "simurgh/presence";

export const ChallengePresence = definePresence({ name: "ChallengePresence" });
