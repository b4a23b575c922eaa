// A command line that people type, and the words it means. It is no shell: quotes keep a word
// together and a backslash keeps one character; nothing else has a meaning. What a shell would
// have done is told, so that nobody is surprised.

export interface Split {
  words: string[];
  /** A quote that was not closed. */
  open: string | null;
}

export function splitWords(line: string): Split {
  const words: string[] = [];
  let word: string | null = null;
  let quote: string | null = null;
  for (let at = 0; at < line.length; at++) {
    const char = line[at]!;
    if (quote === "'") {
      if (char === "'") quote = null;
      else word += char;
    } else if (char === '\\' && at + 1 < line.length && (quote === null || '"\\'.includes(line[at + 1]!))) {
      word = (word ?? '') + line[++at]!;
    } else if (quote === '"') {
      if (char === '"') quote = null;
      else word += char;
    } else if (char === "'" || char === '"') {
      quote = char;
      word ??= '';
    } else if (' \t\r\n'.includes(char)) {
      if (word !== null) words.push(word);
      word = null;
    } else {
      word = (word ?? '') + char;
    }
  }
  if (word !== null) words.push(word);
  return { words, open: quote };
}

/** A line that splits into exactly these words, also in a shell. */
export function joinWords(words: string[]): string {
  return words.map((word) => (/^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(' ');
}

/** The first word that only a shell would have understood, or null. */
export function shellLike(words: string[]): string | null {
  if (/^(?:.*\/)?(?:sh|bash|dash|ash|zsh|busybox)$/.test(words[0] ?? '')) return null;
  return words.find((word) => /^(?:\d*[<>]{1,2}.*|\|\|?|&&?|;)$/.test(word) || /^[A-Za-z0-9_./-]*(?:\$[A-Za-z_({]|[^\\]*;$)/.test(word)) ?? null;
}
