/** What a new password must be like, said before the server has to say it. */
const PASSWORD_MIN = 8;

export const PASSWORD_HINT = `At least ${PASSWORD_MIN} characters. A few words make a good one.`;

export function newPasswordError(password: string): string | undefined {
  if (password === "") return "Choose a password.";
  return password.length < PASSWORD_MIN ? `Use at least ${PASSWORD_MIN} characters.` : undefined;
}
