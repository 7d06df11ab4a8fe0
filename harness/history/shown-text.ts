/**
 * Text of a history in sentences for people. Keys and values are kept exact everywhere; where they are shown, a terminal
 * must not obey them: an escape sequence in a key could clear the screen, forge a verdict, or set the window's title.
 */

/** Characters of a key that a sentence has at most. */
const keyCharacters = 80;

/** A key for a sentence: as it is, but for characters that are not shown as themselves (`\u001b`), and shortened. */
export function shownKey(key: string): string {
  return shownText(key, keyCharacters);
}

/**
 * Control characters of either kind (C0 and C1), those that change the direction of text, other invisible ones and halves
 * of pairs as `\u` and four digits (`\u{…}` beyond), and at most so many characters of the text, then `…`.
 */
export function shownText(text: string, characters: number): string {
  const isLong = text.length > characters;
  const kept = isLong ? text.slice(0, characters) : text;
  const harmless = kept.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (one) => {
    const digits = one.codePointAt(0)!.toString(16).padStart(4, "0");
    return digits.length > 4 ? `\\u{${digits}}` : `\\u${digits}`;
  });
  return isLong ? `${harmless}…` : harmless;
}
