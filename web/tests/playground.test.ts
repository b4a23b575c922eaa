import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { conflictOf, expand, Flaw, withDefaults } from '../src/core/playground';

const vectors = new URL('../../crates/proto/vectors/', import.meta.url);
const names = readdirSync(vectors).filter((name) => /^playground_expansion-v1-.*\.json$/.test(name));

test('the vectors that Rust is held to are here', () => {
  expect(names.length).toBeGreaterThanOrEqual(3);
});

for (const name of names) {
  const { playground: raw, cases } = JSON.parse(readFileSync(new URL(name, vectors), 'utf8'));
  const playground = withDefaults(raw);
  for (const { name: title, values, command, args, env, error } of cases) {
    test(`${name}: ${title}`, () => {
      const made = () => expand(playground, values, command ?? playground.command);
      if (error === undefined) return expect(made()).toEqual({ args, env });
      expect(made).toThrow(Flaw);
      try {
        made();
      } catch (flaw) {
        expect((flaw as Flaw).pointer).toBe(error);
      }
    });
  }
}

test('a value that does not go with what is chosen is told before it is chosen', () => {
  const playground = withDefaults({
    fields: [
      { name: 'a', label: 'A', kind: 'flag', default: true, args: [] },
      { name: 'b', label: 'B', kind: 'flag', default: false, args: [] },
    ],
    conflicts: [{ if: { field: 'a', value: 'true' }, not: { field: 'b', value: 'true' }, why: 'Not both.' }],
  });
  expect(conflictOf(playground, {}, 'b', 'true')).toBe('Not both.');
  expect(conflictOf(playground, { a: 'false' }, 'b', 'true')).toBeNull();
  expect(conflictOf(playground, { a: 'false', b: 'true' }, 'a', 'true')).toBe('Not both.');
});
