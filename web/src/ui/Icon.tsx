// Line icons, drawn here so that nothing has to be loaded for them.

const PATHS: Record<string, string> = {
  play: 'M7 4.5v15l12-7.5z',
  stop: 'M7 7h10v10H7z',
  chevron: 'M7 10l5 5 5-5',
  plus: 'M12 5v14M5 12h14',
  upload: 'M12 16V5M7 10l5-5 5 5M5 19h14',
  download: 'M12 5v11M7 11l5 5 5-5M5 19h14',
  close: 'M7 7l10 10M17 7L7 17',
  share: 'M10 14l8-8M13 5h6v6M18 14v5H5V6h5',
  sun: 'M12 8a4 4 0 100 8 4 4 0 000-8zM12 2v3M12 19v3M2 12h3M19 12h3M5 5l2 2M17 17l2 2M19 5l-2 2M7 17l-2 2',
  pin: 'M9 4h6l-1 6 4 4H6l4-4zM12 14v6',
  search: 'M11 5a6 6 0 100 12 6 6 0 000-12zM16 16l4 4',
  edit: 'M5 19l1-4L16 5l3 3L9 18z',
  copy: 'M9 9h10v10H9zM5 15V5h10',
  wrap: 'M4 6h16M4 12h13a3 3 0 010 6h-4M15 15l-3 3 3 3M4 18h4',
  warn: 'M12 4l9 16H3zM12 10v4M12 17v.5',
  keys: 'M3 7h18v10H3zM7 11h.5M11 11h.5M15 11h.5M8 14h8',
  more: 'M4 7h10M18 7h2M4 12h2M10 12h10M4 17h10M18 17h2M16 5v4M8 10v4M16 15v4',
};

export function Icon({ name }: { name: string }) {
  const filled = name === 'play' || name === 'stop';
  return (
    <svg class={filled ? 'icon filled' : 'icon'} viewBox="0 0 24 24" aria-hidden="true">
      <path d={PATHS[name] ?? ''} />
    </svg>
  );
}
