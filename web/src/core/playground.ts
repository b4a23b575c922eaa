// From a form's values to a command: words in, words out, and no shell anywhere (protocol.md 7).
// The same function exists in Rust; both are held to the vectors playground_expansion-v1.

import type { Field, Playground } from './catalogue';

export type Values = Record<string, string>;

/** A field's default, in the spelling of `values`. */
export function defaultOf(field: Field): string {
  return field.default === null || field.default === undefined ? '' : String(field.default);
}

export function defaultValues(playground: Playground): Values {
  return Object.fromEntries(playground.fields.map((field) => [field.name, defaultOf(field)]));
}

/** The words that a field gives. */
export function wordsOf(field: Field, value: string): string[] {
  switch (field.kind) {
    case 'flag':
      return value === 'true' ? field.args : [];
    case 'choice':
      return field.options.find((option) => option.value === value)?.args ?? [];
    case 'number':
    case 'file':
      return fill(field.args, value);
    case 'text': {
      if (!field.is_words) return fill(field.args, value);
      const words = value.split(/[\t\n\f\r ]+/).filter((word) => word !== '');
      return words.flatMap((word) => fill(field.args, word));
    }
  }
}

function fill(args: string[], value: string): string[] {
  return value === '' ? [] : args.map((arg) => arg.split('{}').join(value));
}

/** The command and environment of a form. Values that are not given are the fields' defaults. */
export function expand(playground: Playground, given: Values, command = playground.command): { args: string[]; env: Values } {
  const values = { ...defaultValues(playground), ...given };
  const fields = new Map(playground.fields.map((field) => [field.name, field]));
  const args = command.flatMap((word) => {
    if (word.startsWith('{{') && word.endsWith('}}')) return [word.slice(1, -1)];
    const field = word.startsWith('{') && word.endsWith('}') ? fields.get(word.slice(1, -1)) : undefined;
    return field ? wordsOf(field, values[field.name] ?? '') : [word];
  });
  const env: Values = {};
  for (const { name, field } of playground.env) {
    const value = values[field] ?? '';
    if (value !== '') env[name] = value;
  }
  return { args, env };
}

/** Why a value may not be chosen now, or null: the first conflict with what is chosen. */
export function conflictOf(playground: Playground, given: Values, field: string, value: string): string | null {
  const values = { ...defaultValues(playground), ...given };
  for (const conflict of playground.conflicts) {
    const { if: a, not: b } = conflict;
    if (b.field === field && b.value === value && values[a.field] === a.value) return conflict.why;
    if (a.field === field && a.value === value && values[b.field] === b.value) return conflict.why;
  }
  return null;
}
