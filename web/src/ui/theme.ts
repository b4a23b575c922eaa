// Light, dark, or what the system has. Kept in this browser.

import { signal } from '@preact/signals';

export type Theme = 'system' | 'light' | 'dark';

const KEY = 'pe-theme';

function stored(): Theme {
  try {
    const value = localStorage.getItem(KEY);
    return value === 'light' || value === 'dark' ? value : 'system';
  } catch {
    return 'system';
  }
}

export const theme = signal<Theme>(stored());
const prefersDark = window.matchMedia('(prefers-color-scheme: dark)');
export const isDark = (): boolean => (theme.value === 'system' ? prefersDark.matches : theme.value === 'dark');

export function applyTheme(): void {
  document.documentElement.dataset['theme'] = theme.value;
}

export function switchTheme(): void {
  theme.value = isDark() ? 'light' : 'dark';
  try {
    localStorage.setItem(KEY, theme.value);
  } catch {
    // Then it lasts until the page is closed.
  }
  applyTheme();
}
