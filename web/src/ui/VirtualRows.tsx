// A list of rows of one height of which only those in sight exist.

import type { ComponentChildren, Ref } from 'preact';
import { useEffect, useImperativeHandle, useRef, useState } from 'preact/hooks';

export const ROW_PX = 20;
const BEYOND = 6;

export interface RowsHandle {
  scrollTo: (row: number) => void;
}

interface Props {
  count: number;
  label: string;
  class?: string;
  handle?: Ref<RowsHandle>;
  row: (n: number) => ComponentChildren;
  footer?: ComponentChildren;
}

export function VirtualRows({ count, label, class: className, handle, row, footer }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [range, setRange] = useState<[number, number]>([0, 60]);
  const measure = () => {
    const it = box.current;
    if (!it) return;
    const from = Math.max(0, Math.floor(it.scrollTop / ROW_PX) - BEYOND);
    const to = Math.min(count, Math.ceil((it.scrollTop + it.clientHeight) / ROW_PX) + BEYOND);
    setRange((old) => (old[0] === from && old[1] === to ? old : [from, to]));
  };
  useEffect(() => {
    measure();
    const observer = new ResizeObserver(measure);
    if (box.current) observer.observe(box.current);
    return () => observer.disconnect();
  }, [count]);
  useImperativeHandle(handle ?? null, () => ({
    scrollTo: (n) => {
      const it = box.current;
      if (it) it.scrollTop = Math.max(0, n * ROW_PX - it.clientHeight / 2);
    },
  }));
  const [from, to] = [Math.min(range[0], count), Math.min(range[1], count)];
  const rows = [];
  for (let n = from; n < to; n++) rows.push(<div class="vrow" key={n}>{row(n)}</div>);
  return (
    <div class={`vrows ${className ?? ''}`} ref={box} onScroll={measure} tabIndex={0} role="region" aria-label={label}>
      <div class="vrows-space" style={{ height: `${count * ROW_PX}px` }}>
        <div class="vrows-window" style={{ transform: `translateY(${from * ROW_PX}px)` }}>{rows}</div>
      </div>
      {footer}
    </div>
  );
}
