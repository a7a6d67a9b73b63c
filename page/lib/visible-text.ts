const [ESCAPE, BELL] = ['\u001b', '\u0007'];
/** Colours and cursor movements of terminals. */
const ANSI = new RegExp(
  `${ESCAPE}(?:\\[[0-?]*[ -/]*[@-~]|\\][^${BELL}${ESCAPE}]*(?:${BELL}|${ESCAPE}\\\\)|[@-Z\\\\-_])`,
  'g',
);
/** What would not be seen, or would turn the text around: control characters but tab and newline, marks of direction, joiners. */
const HIDDEN = /(?![\t\n])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** A text that somebody sent, with nothing in it that hides or reorders other text. */
export function visible(text: string): string {
  return text.replaceAll('\r\n', '\n').replace(ANSI, '').replace(HIDDEN, codeOf);
}

/** On one line. */
export function visibleLine(text: string): string {
  return visible(text).replace(/\s*\n\s*/g, ' ⏎ ');
}

/** `⟨U+202E⟩` */
function codeOf(character: string): string {
  const code = (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0');
  return `\u27e8U+${code}\u27e9`;
}
