// From a form's values to a command: words in, words out, and no shell anywhere (protocol.md 7.2).
// The same function exists in Rust; both are held to the vectors playground_expansion-v1.

import { toUtf8 } from './bytes';
import type { Field, Playground } from './catalogue';
import { badPath } from './path';

export type Values = Record<string, string>;

export interface Expansion {
  args: string[];
  env: Values;
}

/** What is wrong with values, and which of them. */
export class Flaw extends Error {
  constructor(readonly pointer: string, reason: string) {
    super(reason);
  }
}

const ARGS_MAX = 4096;
const ARG_BYTES_MAX = 131_071;
const ARGS_BYTES_MAX = 262_144;
const TEXT_BYTES_MAX = 16_384;

/** A playground as an author may write it becomes one in which nothing is absent. */
export function withDefaults(raw: Partial<Playground>): Playground {
  const fields = (raw.fields ?? []).map((field) => {
    const each: Record<string, unknown> = { help: '', args: [], ...field, label: field.label ?? field.name };
    if (field.kind === 'choice') {
      const options = field.options.map((option) => ({ ...option, label: option.label ?? option.value, args: option.args ?? [] }));
      return { default: options[0]?.value ?? '', ...each, options };
    }
    const rest = { flag: { default: false }, number: { default: null, step: 1 }, text: { default: '', is_words: false, bytes_max: TEXT_BYTES_MAX }, file: { default: '', types: [] } };
    return { ...rest[field.kind], ...each };
  }) as Field[];
  const conflicts = (raw.conflicts ?? []).map((each) => ({ ...each, why: each.why || `\`${each.not.field}\` cannot be \`${each.not.value}\` while \`${each.if.field}\` is \`${each.if.value}\`.` }));
  const examples = (raw.examples ?? []).map((each) => ({ ...each, description: each.description ?? '', files: each.files ?? {} }));
  return { categories: [], takes: [], makes: [], wall_ms: null, command: [], env: [], ...raw, fields, conflicts, examples };
}

/** A field's default, in the spelling of `values`. */
export function defaultOf(field: Field): string {
  return field.default === null ? '' : String(field.default);
}

export function defaultValues(playground: Playground): Values {
  return Object.fromEntries(playground.fields.map((field) => [field.name, defaultOf(field)]));
}

/** What a field expects in place of a value, or null if it takes it. */
export function refusalOf(field: Field, value: string): string | null {
  switch (field.kind) {
    case 'flag':
      return value === 'true' || value === 'false' ? null : `expected \`true\` or \`false\`, got \`${value}\``;
    case 'choice':
      return field.options.some((option) => option.value === value) ? null : `expected one of the options, got \`${value}\``;
    case 'number': {
      if (value === '') return null;
      const number = /^(?:0|-?[1-9][0-9]*)$/.test(value) ? Number(value) : NaN;
      if (!Number.isSafeInteger(number)) return `expected a whole number, got \`${value}\``;
      if (number < field.min || number > field.max || (number - field.min) % field.step !== 0) {
        return `expected ${field.min} to ${field.max}${field.step === 1 ? '' : ` in steps of ${field.step}`}, got ${value}`;
      }
      return null;
    }
    case 'text': {
      const bytes = toUtf8(value).length;
      if (bytes > field.bytes_max) return `expected at most ${field.bytes_max} bytes, got ${bytes}`;
      return value.includes('\0') ? 'expected a text without NUL' : null;
    }
    case 'file':
      return value === '' ? null : badPath(value);
  }
}

/** The words that a field gives. */
function wordsOf(field: Field, value: string): string[] {
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

/** The command of a form. Values that are not given are the fields' defaults. Throws a `Flaw`. */
export function expand(playground: Playground, given: Values, template = playground.command): Expansion {
  const fields = new Map(playground.fields.map((field) => [field.name, field]));
  for (const name of Object.keys(given).sort()) {
    const field = fields.get(name);
    if (!field) throw new Flaw(pointerTo(name), 'there is no such field');
    const why = refusalOf(field, given[name]!);
    if (why) throw new Flaw(pointerTo(name), why);
  }
  const values = { ...defaultValues(playground), ...given };
  for (const { if: a, not: b, why } of playground.conflicts) {
    if (values[a.field] === a.value && values[b.field] === b.value) throw new Flaw(pointerTo(b.field), why);
  }
  const args: string[] = [];
  let bytes = 0;
  const push = (word: string, at: string) => {
    if (args.length >= ARGS_MAX) throw new Flaw(at, `expected a command of at most ${ARGS_MAX} words`);
    const length = toUtf8(word).length;
    bytes += length;
    if (length > ARG_BYTES_MAX || bytes > ARGS_BYTES_MAX) {
      throw new Flaw(at, `expected words of at most ${ARG_BYTES_MAX} bytes, all at most ${ARGS_BYTES_MAX}`);
    }
    args.push(word);
  };
  for (const word of template) {
    const field = /^\{[a-z][a-z0-9_]*\}$/.test(word) ? fields.get(word.slice(1, -1)) : undefined;
    if (field) for (const each of wordsOf(field, values[field.name] ?? '')) push(each, pointerTo(field.name));
    else push(word.length >= 4 && word.startsWith('{{') && word.endsWith('}}') ? word.slice(1, -1) : word, '/values');
  }
  const env: Values = {};
  for (const { name, field } of playground.env) {
    const value = values[field] ?? '';
    if (value !== '') env[name] = value;
  }
  return { args, env };
}

const pointerTo = (name: string): string => `/values/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;

/** Why a value may not be chosen now, or null: the first conflict with what is chosen. */
export function conflictOf(playground: Playground, given: Values, field: string, value: string): string | null {
  const values = { ...defaultValues(playground), ...given };
  for (const { if: a, not: b, why } of playground.conflicts) {
    if (b.field === field && b.value === value && values[a.field] === a.value) return why;
    if (a.field === field && a.value === value && values[b.field] === b.value) return why;
  }
  return null;
}
