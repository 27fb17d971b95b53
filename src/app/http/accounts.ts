/**
 * Accounts and sessions over HTTP.
 *
 *     POST   /api/users              signs up           201 {token, user}
 *     POST   /api/sessions           logs in            200 {token, user}
 *     POST   /api/session            renews             200 {token, user}, by the cookie
 *     DELETE /api/session            logs out           204, by the cookie or the access token
 *     DELETE /api/sessions           logs out everywhere
 *     PUT    /api/account/password   changes it, ends every session and begins a new one
 *
 * The access token is for the page's memory; the refresh token is in a cookie that the page's
 * scripts cannot read. What the cookie alone can do needs the header `x-phoenixpair` besides, which
 * no foreign page can make a browser send.
 */
import { type Context, Hono } from "hono";
import { hashPassword, isOutdated, verifyPassword } from "../auth/passwords.js";
import { newRefreshToken, type RefreshToken, successor } from "../auth/refresh-tokens.js";
import { type Claims, issueToken, type SigningKeys, verifyToken } from "../auth/tokens.js";
import { normalEmail } from "../email.js";
import { Overloaded } from "../fair-queue.js";
import { firstName, NewPasswordBody, NewUserBody, SessionBody } from "../input.js";
import { KeyedQueue } from "../keyed-queue.js";
import type { Repository, UserView } from "../storage/repository-client.js";
import type { AttemptCounter } from "./attempt-counter.js";
import { ApiError, orFail, orMissing, refuseFor } from "./errors.js";
import { bearerToken, type RequestReader, readBody } from "./request.js";
import { giveSessionCookie, sessionCookie, takeSessionCookie } from "./session-cookie.js";

export interface AccountOptions {
  readonly repository: Repository;
  readonly keys: SigningKeys;
  readonly accessSeconds: number;
  readonly requests: RequestReader;
  /** Closes the live sockets of a user; those of valid sessions reconnect by themselves. */
  readonly disconnect: (userId: number) => void;
  readonly attempts: AttemptCounter;
}

export interface Caller extends Claims {
  readonly user: UserView;
}

type Account = UserView & { readonly passwordHash: string };

/** Log-ins of one account that may wait for each other. */
const MOST_WAITING = 20;

/**
 * The user, by the access token of a valid session. Throws an `ApiError` without one.
 */
export async function callerOf(
  context: Context,
  { repository, keys }: Pick<AccountOptions, "repository" | "keys">,
): Promise<Caller> {
  const claims = verifyToken(bearerToken(context), keys);
  const user =
    claims === undefined
      ? undefined
      : orMissing(await repository.sessionUser(claims.sessionId, claims.userId));
  if (claims === undefined || user === undefined)
    throw new ApiError(401, "unauthorized", "Log in first: this needs a valid token.", {
      "www-authenticate": "Bearer",
    });
  return { ...claims, user };
}

export function accountRoutes(options: AccountOptions): Hono {
  const { repository, keys, accessSeconds, requests, disconnect, attempts } = options;
  const app = new Hono();
  // One at a time: hashes are dear.
  const inTurn = new KeyedQueue<string>();

  /** The answer to a person who is signed in from now on, with the cookie that renews it. */
  const signed = (context: Context, user: UserView, refresh: RefreshToken, status: 200 | 201) => {
    giveSessionCookie(context, refresh, requests.secure(context));
    const token = issueToken({ userId: user.id, sessionId: refresh.sessionId }, keys, accessSeconds);
    return context.json({ token, user }, status);
  };

  /** Begins a session. Undefined when the password has been replaced since it was checked. */
  const begin = async (
    context: Context,
    { passwordHash, ...user }: Account,
    status: 200 | 201,
  ): Promise<Response | undefined> => {
    const refresh = newRefreshToken();
    const { sessionId: id, hash: tokenHash } = refresh;
    const begun = await repository.createSession({ id, userId: user.id, tokenHash, passwordHash });
    if (begun[0] === "error" && begun[1] === "forbidden") return undefined;
    orFail(begun);
    return signed(context, user, refresh, status);
  };

  app.post("/users", async (context) => {
    const { email, password, name } = await readBody(context, NewUserBody);
    const network = requests.network(context);
    if (network !== undefined)
      refuseFor(await attempts("take", "sign-up", network), "Too many accounts were made from here");
    const passwordHash = await hashPassword(password, requests.site(context));
    const user = orFail(await repository.createUser({ firstName: firstName(name), email, passwordHash }));
    return (await begin(context, { ...user, passwordHash }, 201)) ?? wrongPassword();
  });

  /**
   * The account, if the password is its own. Wrong ones are counted, for the account and for the
   * address.
   */
  const checked = (context: Context, email: string, password: string) => {
    const network = requests.network(context);
    // An account is found by its normal e-mail, so this names one account, however that is spelled.
    const attempt = `${network} ${normalEmail(email)}`;
    if (inTurn.waiting(attempt) >= MOST_WAITING) throw new Overloaded("too many log-ins to one account");
    return inTurn.run(attempt, async () => {
      if (network !== undefined)
        refuseFor(await attempts("waitFor", "guess", network), "Too many failed attempts from here");
      refuseFor(await attempts("take", "log-in", attempt), "Too many failed attempts");
      let account: Account | undefined;
      let right = false;
      try {
        account = orMissing(await repository.userByEmail(email));
        right = await verifyPassword(password, account?.passwordHash, requests.site(context));
      } catch (error) {
        await attempts("forgive", "log-in", attempt);
        throw error;
      }
      if (!right || account === undefined) {
        if (network !== undefined) await attempts("count", "guess", network);
        return wrongPassword();
      }
      await attempts("succeeded", "log-in", attempt);
      return account;
    });
  };

  app.post("/sessions", async (context) => {
    const { email, password } = await readBody(context, SessionBody);
    let account = await checked(context, email, password);
    let answer = await begin(context, account, 200);
    if (answer === undefined) {
      // The hash was replaced meanwhile, with one of the same password maybe.
      account = await checked(context, email, password);
      answer = (await begin(context, account, 200)) ?? wrongPassword();
    }
    const { id, passwordHash } = account;
    if (isOutdated(passwordHash)) {
      const hash = await hashPassword(password, requests.site(context));
      orFail(await repository.rehashPassword(id, passwordHash, hash));
    }
    return answer;
  });

  app.delete("/sessions", async (context) => {
    const { user } = await callerOf(context, options);
    const over = await repository.endSessions(user.id);
    // Also without an answer: it may have been stored. Sockets of valid sessions reconnect.
    disconnect(user.id);
    orFail(over);
    takeSessionCookie(context, requests.secure(context));
    return context.body(null, 204);
  });

  app.post("/session", async (context) => {
    const nonce = ownHeader(context);
    const refresh = sessionCookie(context, requests.secure(context));
    if (refresh === undefined) throw ended();
    const next = successor(refresh, nonce, keys.secret);
    const { sessionId: id, hash: tokenHash } = refresh;
    const renewed = orMissing(await repository.renewSession({ id, tokenHash, nextHash: next.hash }));
    if (renewed === undefined || renewed.over) {
      takeSessionCookie(context, requests.secure(context));
      if (renewed !== undefined) disconnect(renewed.user.id);
      throw ended();
    }
    return signed(context, renewed.user, next, 200);
  });

  app.delete("/session", async (context) => {
    const refresh = sessionCookie(context, requests.secure(context));
    if (refresh !== undefined) ownHeader(context);
    const id = refresh?.sessionId ?? (await callerOf(context, options)).sessionId;
    const over = orMissing(await repository.endSession(id));
    takeSessionCookie(context, requests.secure(context));
    if (over !== undefined) disconnect(over.userId);
    return context.body(null, 204);
  });

  app.put("/account/password", async (context) => {
    const { user } = await callerOf(context, options);
    const { current, password } = await readBody(context, NewPasswordBody);
    const { passwordHash: before } = await checked(context, user.email, current);
    const passwordHash = await hashPassword(password, requests.site(context));
    const refresh = newRefreshToken();
    const { sessionId: id, hash: tokenHash } = refresh;
    const session = { id, userId: user.id, tokenHash, passwordHash };
    const changed = await repository.changePassword({ before, session });
    if (changed[0] === "error" && changed[1] === "forbidden") return wrongPassword();
    // Also without an answer: it may have been stored.
    disconnect(user.id);
    orFail(changed);
    return signed(context, user, refresh, 200);
  });

  return app;
}

function wrongPassword(): never {
  throw new ApiError(401, "invalid_credentials", "The e-mail address or the password is wrong.");
}

const ended = (): ApiError => new ApiError(401, "session_ended", "This session has ended; log in again.");

/** What the page says with its cookie: at a renewal, which attempt this is. */
function ownHeader(context: Context): string {
  const nonce = context.req.header("x-phoenixpair") ?? "";
  if (!/^[\w-]{1,64}$/.test(nonce)) {
    throw new ApiError(
      403,
      "header_missing",
      "Send the header x-phoenixpair with 1 to 64 letters, digits or dashes of your own.",
    );
  }
  return nonce;
}
