// Which lines differ between two texts: Myers' shortest edit, within a bound on its work. Beyond
// the bound the middle is one change, which is true, only less fine.

export interface Change {
  kind: 'same' | 'removed' | 'added';
  line: string;
  /** Numbers from 1; null where the line is not in that text. */
  left: number | null;
  right: number | null;
}

const EDITS_MAX = 1000;

export function diffLines(a: string, b: string): Change[] {
  const left = linesOf(a);
  const right = linesOf(b);
  let head = 0;
  while (head < left.length && head < right.length && left[head] === right[head]) head++;
  let tail = 0;
  while (tail < left.length - head && tail < right.length - head && left.at(-1 - tail) === right.at(-1 - tail)) tail++;
  const changes: Change[] = [];
  let l = 0;
  let r = 0;
  const same = () => changes.push({ kind: 'same', line: left[l]!, left: ++l, right: ++r });
  const removed = () => changes.push({ kind: 'removed', line: left[l]!, left: ++l, right: null });
  const added = () => changes.push({ kind: 'added', line: right[r]!, left: null, right: ++r });
  while (l < head) same();
  const middle = shortestEdit(left.slice(head, left.length - tail), right.slice(head, right.length - tail));
  for (const step of middle) ({ same, removed, added })[step]();
  while (l < left.length) same();
  return changes;
}

const linesOf = (text: string): string[] => {
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines;
};

function shortestEdit(a: string[], b: string[]): Change['kind'][] {
  const all = (): Change['kind'][] => [...a.map(() => 'removed' as const), ...b.map(() => 'added' as const)];
  if (a.length === 0 || b.length === 0) return all();
  const most = Math.min(a.length + b.length, EDITS_MAX);
  // furthest.get(k): the furthest x on diagonal k; one copy a round is kept for the way back.
  let furthest = new Map<number, number>([[1, 0]]);
  const trace: Map<number, number>[] = [];
  for (let d = 0; d <= most; d++) {
    trace.push(new Map(furthest));
    const next = new Map(furthest);
    for (let k = -d; k <= d; k += 2) {
      const down = k === -d || (k !== d && (next.get(k - 1) ?? -1) < (next.get(k + 1) ?? -1));
      let x = down ? (next.get(k + 1) ?? 0) : (next.get(k - 1) ?? 0) + 1;
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x++;
      next.set(k, x);
      if (x >= a.length && x - k >= b.length) return wayBack(trace, a.length, b.length);
    }
    furthest = next;
    // The copies must not become large where everything differs.
    if (d * d > 4_000_000) break;
  }
  return all();
}

function wayBack(trace: Map<number, number>[], aLength: number, bLength: number): Change['kind'][] {
  const steps: Change['kind'][] = [];
  let x = aLength;
  let y = bLength;
  for (let d = trace.length - 1; d >= 0; d--) {
    const before = trace[d]!;
    const k = x - y;
    const down = k === -d || (k !== d && (before.get(k - 1) ?? -1) < (before.get(k + 1) ?? -1));
    const fromK = down ? k + 1 : k - 1;
    const fromX = before.get(fromK) ?? 0;
    const fromY = fromX - fromK;
    while (x > fromX && y > fromY) {
      steps.push('same');
      x--;
      y--;
    }
    if (d > 0) steps.push(down ? 'added' : 'removed');
    x = fromX;
    y = fromY;
  }
  return steps.reverse();
}

/** The first line in which two texts differ, from 1, with both lines; null if they are equal. */
export function firstDifference(a: string, b: string): { line: number; a: string | null; b: string | null } | null {
  if (a === b) return null;
  const left = a.split('\n');
  const right = b.split('\n');
  for (let at = 0; at < Math.max(left.length, right.length); at++) {
    if (left[at] !== right[at]) return { line: at + 1, a: left[at] ?? null, b: right[at] ?? null };
  }
  return null;
}
