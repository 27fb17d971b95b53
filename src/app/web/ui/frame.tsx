import type { ComponentChildren } from "preact";
import { follow } from "../router.js";
import { session } from "../session.js";
import type { Signed } from "../types.js";

interface FrameProps {
  readonly signed?: Signed;
  readonly children: ComponentChildren;
}

/** The frame of every page but the room: brand, who is signed in, and the main landmark. */
export function Frame({ signed, children }: FrameProps) {
  return (
    <div class="frame">
      <a class="skip" href="#main">
        Skip to content
      </a>
      <header class="frame-head">
        <Brand />
        {signed && (
          <div class="account">
            <a class="account-name" href="/account" onClick={follow} title="Your account">
              <bdi>{signed.user.first_name}</bdi>
            </a>
            <button type="button" class="button quiet" onClick={() => session.signOut()}>
              Log out
            </button>
          </div>
        )}
      </header>
      <main id="main" tabIndex={-1}>
        {children}
      </main>
    </div>
  );
}

export function Brand() {
  return (
    <a class="brand" href="/" onClick={follow}>
      <svg viewBox="0 0 32 32" width="28" height="28" aria-hidden="true" focusable="false">
        <title>PhoenixPair</title>
        <path class="brand-vane" d="M5 28C7.5 16 13 7 27 4c.8 8-1.6 14.2-6.6 17.6-3.3 2.3-6.9 2.5-10.2 2" />
        <path class="brand-quill" d="M4.5 29c3.3-8.2 8.2-14.3 15.3-18.8" />
      </svg>
      <span>
        Phoenix<b>Pair</b>
      </span>
    </a>
  );
}
