/**
 * How hard a secret is to guess, in bits: an estimate from above by what an attacker tries first,
 * which are repetitions, runs along the alphabet and the keyboard, words, and words with digits in
 * place of letters. Pure.
 *
 * Random secrets of 128 bits and more, in hexadecimal, Base64 or as a UUID, are far over the bound;
 * what people make up is mostly below it. It is no proof of randomness.
 */

/** Fewer bits than these can be guessed by an attacker who has a token to try secrets on. */
export const ENOUGH_BITS = 90;

/** One of so many things that are tried first: a word, a run, a repetition. */
const PATTERN_BITS = 7;
/** A letter of text in some language. */
const TEXT_BITS = 2;

const WORDS =
  `about access account admin administrator and api app apple application auth backend bearer change changed changeit
  changeme cluster code company compose config cookie correct battery staple horse database default demo deploy dev develop
  development docker dont easy edit example foo bar baz for forget generate generated here hidden insert insecure iloveyou jwt key
  keyboard keys letmein local localhost long lorem ipsum master minimum must mysecret need never node nodejs not openssl pair
  pass passphrase password passwort phoenix phoenixpair placeholder please private prod production project public put rand random
  real really replace root safe sample sea secret secretkey secrets secure security server service session sha shared should
  sign signing simurgh some something strong string super system temp temporary test testing text that the this token todo top
  update use user value very web welcome with word world your yoursecret character characters least bytes base64 hello`
    .split(/\s+/)
    .sort((a, b) => b.length - a.length);

const FORWARD = [
  "abcdefghijklmnopqrstuvwxyz",
  "01234567890",
  "0123456789abcdef",
  "qwertyuiop",
  "qwertzuiop",
  "azertyuiop",
  "asdfghjkl",
  "qsdfghjklm",
  "zxcvbnm",
  "yxcvbnm",
  "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
  "1q2w3e4r5t6y7u8i9o0p",
  "qazwsxedcrfvtgbyhnujmikolp",
  "!@#$%^&*()",
  "a1b2c3d4e5f6g7h8i9j0",
];
const RUNS = [...FORWARD, ...FORWARD.map((run) => [...run].reverse().join(""))];

/** Digits and signs that stand for letters. */
const LEET: Readonly<Record<string, string>> = {
  "0": "o",
  "1": "i",
  "3": "e",
  "4": "a",
  "5": "s",
  "7": "t",
  "@": "a",
  $: "s",
  "!": "i",
};

/** The bits of a secret, at most. */
export function bitsOf(secret: string): number {
  const lower = secret.toLowerCase();
  const plain = [...lower].map((letter) => LEET[letter] ?? letter).join("");
  const each = Math.log2(alphabetOf(secret));
  const text = textOf(secret);
  const bitsAt = (at: number): number => (text.has(at) ? Math.min(TEXT_BITS, each) : each);
  let bits = 0;
  for (let at = 0; at < lower.length; ) {
    const length = Math.max(repeated(lower, at), runAt(lower, at), wordAt(lower, at), wordAt(plain, at));
    let letterByLetter = 0;
    for (let n = at; n < at + length; n += 1) letterByLetter += bitsAt(n);
    const asPattern = letterByLetter > PATTERN_BITS;
    bits += asPattern ? PATTERN_BITS : bitsAt(at);
    at += asPattern ? length : 1;
  }
  return bits;
}

/** Whether it can be guessed. */
export const isGuessable = (secret: string): boolean => bitsOf(secret) < ENOUGH_BITS;

/** Of how many characters each is one. */
function alphabetOf(secret: string): number {
  if (/^([0-9a-f]+|[0-9A-F]+)$/.test(secret)) return /[a-f]/i.test(secret) ? 16 : 10;
  const kinds: [kind: RegExp, size: number][] = [
    [/[a-z]/, 26],
    [/[A-Z]/, 26],
    [/[0-9]/, 10],
    [/[^a-zA-Z0-9]/, 8],
  ];
  return kinds.reduce((size, [kind, more]) => (kind.test(secret) ? size + more : size), 0);
}

/** How much of what follows has stood before. */
function repeated(text: string, at: number): number {
  let length = 0;
  while (at + length < text.length) {
    const found = text.indexOf(text.slice(at, at + length + 1));
    if (found === -1 || found >= at) break;
    length += 1;
  }
  return length >= 3 ? length : 0;
}

/** How far a run along the alphabet or the keyboard goes. */
function runAt(text: string, at: number): number {
  let longest = 0;
  for (const run of RUNS) {
    const from = run.indexOf(text[at] as string);
    if (from === -1) continue;
    let length = 1;
    while (
      from + length < run.length &&
      at + length < text.length &&
      run[from + length] === text[at + length]
    )
      length += 1;
    longest = Math.max(longest, length);
  }
  return longest >= 4 ? longest : 0;
}

const wordAt = (text: string, at: number): number =>
  WORDS.find((word) => text.startsWith(word, at))?.length ?? 0;

/** Words with something between them, and nothing else. */
const SENTENCE =
  /^([A-Z]?[a-z]+\d{0,4}|[A-Z]+)([^a-zA-Z\d]{1,3}([A-Z]?[a-z]+\d{0,4}|[A-Z]+|\d{1,4})){3,}[^a-zA-Z\d]*$/;

/** Where letters stand that look like words. */
function textOf(secret: string): ReadonlySet<number> {
  if (SENTENCE.test(secret)) return new Set([...secret].keys());
  const places = new Set<number>();
  for (const { 0: letters, index } of secret.matchAll(/[A-Z]?[a-z]+|[A-Z]+/g)) {
    const vowels = letters.match(/[aeiouy]/gi)?.length ?? 0;
    const speakable = vowels >= letters.length / 5 && !/[^aeiouy]{5}/i.test(letters);
    if (letters.length >= 5 && speakable)
      for (let n = index; n < index + letters.length; n += 1) places.add(n);
  }
  return places;
}
