/**
 * A hash that is the same in every thread, on every node and in every version: FNV-1a, 32 bits,
 * over UTF-8.
 */
const OFFSET_BASIS = 0x811c9dc5;
const PRIME = 0x01000193;

/**
 * FNV-1a over the UTF-8 bytes of `text`: an unsigned 32-bit number. A lone surrogate counts as
 * U+FFFD.
 */
export function fnv1a(text: string): number {
  let hash = OFFSET_BASIS;
  const mix = (byte: number): void => {
    hash = Math.imul(hash ^ byte, PRIME);
  };
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit < 0x80) {
      mix(unit);
      continue;
    }
    const point = codePointAt(text, index);
    if (point > 0xffff) index += 1;
    if (point < 0x800) {
      mix(0xc0 | (point >> 6));
    } else {
      if (point > 0xffff) {
        mix(0xf0 | (point >> 18));
        mix(0x80 | ((point >> 12) & 0x3f));
      } else {
        mix(0xe0 | (point >> 12));
      }
      mix(0x80 | ((point >> 6) & 0x3f));
    }
    mix(0x80 | (point & 0x3f));
  }
  return hash >>> 0;
}

function codePointAt(text: string, index: number): number {
  const point = text.codePointAt(index) as number;
  return point >= 0xd800 && point <= 0xdfff ? 0xfffd : point;
}
