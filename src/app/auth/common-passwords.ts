/**
 * Passwords that guessing begins with, of those that are long enough at all. A short list on
 * purpose: it stops the worst, and the limit on attempts has to stop the rest.
 */
const COMMON = new Set(
  `password passw0rd passwort 12345678 123456789 1234567890 87654321 987654321 0987654321 11111111 00000000 88888888
  12341234 11223344 12344321 1q2w3e4r 1qaz2wsx zaq12wsx qwertyui qwertyuiop qwerty123 asdfghjk asdfghjkl zxcvbnm1
  abcd1234 abc12345 a1b2c3d4 iloveyou trustno1 sunshine princess football baseball superman starwars whatever
  computer michelle jennifer letmein1 welcome1 administrator changeme`.split(/\s+/),
);

/** Also whatever is one character over and over again. */
export const isCommonPassword = (password: string): boolean =>
  COMMON.has(password.toLowerCase()) || /^(.)\1*$/u.test(password);
