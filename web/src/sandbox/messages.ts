// What the page and the sandbox say to each other.

export interface ToSandbox {
  pe: 'show';
  kind: 'svg' | 'html' | 'pdf' | 'model';
  path: string;
  data: Uint8Array<ArrayBuffer>;
  dark: boolean;
}

export type FromSandbox = { pe: 'ready' } | { pe: 'shown'; note: string } | { pe: 'failed'; why: string };
