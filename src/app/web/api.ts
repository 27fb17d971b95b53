/**
 * The REST side of the server, for signed-in users. A refused token is renewed and the request
 * made once more; when that is refused as well, the session has ended wherever it is noticed.
 */
import { ApiError, fetchJson, type Request } from "./fetch-json.js";
import { session } from "./session.js";
import type {
  Challenge,
  ChallengeCard,
  ChallengeDetails,
  Invitation,
  Member,
  Sharing,
  Signed,
  Version,
} from "./types.js";

export { ApiError, messageOf } from "./fetch-json.js";

async function request(path: string, options: Request = {}): Promise<unknown> {
  const attempt = (): Promise<unknown> =>
    fetchJson(path, { ...options, headers: { authorization: `Bearer ${session.token()}` } });
  const token = session.token();
  try {
    return await attempt();
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 401 || error.code === "invalid_credentials")
      throw error;
    // Another request may have renewed it meanwhile.
    if (session.token() === token && (await session.renew()) !== "renewed") throw error;
    return attempt();
  }
}

const challengePath = (id: string | number): string => `/api/challenges/${encodeURIComponent(String(id))}`;

interface ChallengeText {
  readonly title: string;
  readonly prompt: string;
  readonly language: string;
}

interface Search {
  readonly text: string;
  readonly language: string;
  readonly mine: boolean;
  readonly limit: number;
}

function searchPath({ text, language, mine, limit }: Search): string {
  const query = new URLSearchParams({ view: "cards", limit: String(Math.min(limit, 100)) });
  if (text) query.set("q", text);
  if (language) query.set("language", language);
  if (mine) query.set("mine", "1");
  return `/api/challenges?${query}`;
}

export const api = {
  signUp: (body: { email: string; password: string; name: string }) =>
    fetchJson("/api/users", { method: "POST", body }) as Promise<Signed>,

  logIn: (body: { email: string; password: string }) =>
    fetchJson("/api/sessions", { method: "POST", body }) as Promise<Signed>,

  changePassword: (body: { current: string; password: string }) =>
    request("/api/account/password", { method: "PUT", body }) as Promise<Signed>,

  logOutEverywhere: () => request("/api/sessions", { method: "DELETE" }),

  searchChallenges: (search: Search, signal?: AbortSignal) =>
    request(searchPath(search), { signal }) as Promise<{
      readonly cards: readonly ChallengeCard[];
      readonly total: number;
    }>,

  challenge: (id: string, signal?: AbortSignal) =>
    request(challengePath(id), { signal }) as Promise<Challenge>,

  challengeDetails: (id: string, signal?: AbortSignal) =>
    request(`${challengePath(id)}?include=details`, { signal }) as Promise<ChallengeDetails>,

  createChallenge: (body: ChallengeText & { readonly response: string }) =>
    request("/api/challenges", { method: "POST", body }) as Promise<Challenge>,

  changeChallenge: (
    id: string | number,
    body: Partial<ChallengeText & { readonly starter: string; readonly access: Sharing["access"] }>,
  ) => request(challengePath(id), { method: "PATCH", body }) as Promise<Challenge>,

  deleteChallenge: (id: string) => request(challengePath(id), { method: "DELETE" }),

  versions: (id: string, signal?: AbortSignal) =>
    request(`${challengePath(id)}/versions`, { signal }) as Promise<readonly Version[]>,

  version: (id: string, seq: number, signal?: AbortSignal) =>
    request(`${challengePath(id)}/versions/${seq}`, { signal }) as Promise<{ readonly text: string }>,

  restoreVersion: (id: string, seq: number) =>
    request(`${challengePath(id)}/versions/${seq}/restore`, { method: "POST" }),

  resetRoom: (id: string) => request(`${challengePath(id)}/reset`, { method: "POST" }),

  sharing: (id: string | number, signal?: AbortSignal) =>
    request(`${challengePath(id)}/sharing`, { signal }) as Promise<Sharing>,

  invite: (id: string | number, body: { readonly role: Invitation["role"]; readonly hours: number }) =>
    request(`${challengePath(id)}/invitations`, { method: "POST", body }) as Promise<{
      readonly invitation: Invitation;
      readonly token: string;
    }>,

  revokeInvitation: (id: string | number, invitation: number) =>
    request(`${challengePath(id)}/invitations/${invitation}`, { method: "DELETE" }),

  setMember: (id: string | number, userId: string | number, role: Member["role"]) =>
    request(`${challengePath(id)}/members/${encodeURIComponent(String(userId))}`, {
      method: "PUT",
      body: { role },
    }),

  acceptInvitation: (token: string) =>
    request("/api/invitations/accept", { method: "POST", body: { token } }) as Promise<{
      readonly challenge_id: number;
    }>,
};
