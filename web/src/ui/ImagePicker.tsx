// The images there are: by words, by category, and by the files that one has or wants.

import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import * as store from '../app/store';
import { imageMatches, namesOf, type Image } from '../core/catalogue';
import { typeMatches, typeOf } from '../core/types';
import { close } from './dialogs';
import { Modal } from './Modal';

export function ImagePicker() {
  const images = store.catalogue.value?.images ?? [];
  const [query, setQuery] = useState('');
  const [category, setCategory] = useState<string | null>(null);
  const [makes, setMakes] = useState<string | null>(null);
  const [forFiles, setForFiles] = useState(false);
  const [at, setAt] = useState(0);
  const list = useRef<HTMLUListElement>(null);
  const input = useRef<HTMLInputElement>(null);

  const categories = useMemo(() => unique(images.flatMap((image) => image.playground?.categories ?? [])), [images]);
  const made = useMemo(() => unique(images.flatMap((image) => image.playground?.makes ?? [])), [images]);
  const types = unique(store.files.value.map((file) => typeOf(file.path)));
  const takes = (image: Image, type: string) => (image.playground?.takes ?? []).some((pattern) => typeMatches(pattern, type));
  const found = images.filter(
    (image) =>
      (matchesQuery(image, query, takes)) &&
      (!category || image.playground?.categories.includes(category)) &&
      (!makes || image.playground?.makes.includes(makes)) &&
      (!forFiles || types.some((type) => takes(image, type))),
  );
  const chosen = Math.min(at, found.length - 1);
  useEffect(() => {
    list.current?.children[chosen]?.scrollIntoView({ block: 'nearest' });
  }, [chosen]);

  const pick = (image: Image | undefined) => {
    if (!image) return;
    store.pickImage(image);
    close();
  };
  const move = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      setAt(Math.max(0, Math.min(found.length - 1, chosen + step)));
    } else if (event.key === 'Enter' && !event.ctrlKey) {
      event.preventDefault();
      pick(found[chosen]);
    }
  };
  return (
    <Modal title="Choose an image" wide initial={input}>
      <input
        ref={input}
        class="search"
        type="text"
        list={undefined}
        role="combobox"
        aria-expanded="true"
        aria-controls="images"
        aria-activedescendant={found[chosen] ? `image-${chosen}` : undefined}
        aria-label="Search images by name, purpose or file type"
        placeholder="Name, purpose, or a file type such as .py"
        value={query}
        onInput={(event) => {
          setQuery(event.currentTarget.value);
          setAt(0);
        }}
        onKeyDown={move}
      />
      <div class="filters">
        {types.length > 0 && (
          <button type="button" class="chip" aria-pressed={forFiles} onClick={() => setForFiles(!forFiles)}>for my files</button>
        )}
        {categories.map((each) => (
          <button key={each} type="button" class="chip" aria-pressed={category === each} onClick={() => setCategory(category === each ? null : each)}>{each}</button>
        ))}
        {made.map((each) => (
          <button key={each} type="button" class="chip" aria-pressed={makes === each} onClick={() => setMakes(makes === each ? null : each)}>makes {each}</button>
        ))}
      </div>
      <ul class="images" id="images" role="listbox" aria-label="Images" ref={list} tabIndex={-1}>
        {found.map((image, n) => (
          <li
            key={`${image.name}:${image.tags[0]}`}
            id={`image-${n}`}
            role="option"
            aria-selected={n === chosen}
            onClick={() => pick(image)}
            onMouseMove={() => setAt(n)}
          >
            <span class="images-head">
              <strong>{image.title}</strong>
              <code>{namesOf(image)[1] ?? image.name}</code>
              <span class="images-arch">{image.platforms.map((platform) => platform.arch).join(', ')}</span>
            </span>
            {image.description && <span class="images-text">{image.description}</span>}
            {image.playground && (image.playground.takes.length > 0 || image.playground.makes.length > 0) && (
              <span class="images-types">
                {image.playground.takes.join(', ')}
                {image.playground.makes.length > 0 && ` → ${image.playground.makes.join(', ')}`}
              </span>
            )}
          </li>
        ))}
      </ul>
      {found.length === 0 && <p class="nothing">No image fits. Use fewer words or filters.</p>}
    </Modal>
  );
}

/** `.dot` asks for images that take such a file; anything else is words. */
function matchesQuery(image: Image, query: string, takes: (image: Image, type: string) => boolean): boolean {
  const extension = /^\.(\w+)$/.exec(query.trim())?.[1];
  return extension ? takes(image, typeOf(`a.${extension}`)) : imageMatches(image, query.trim());
}

const unique = (values: string[]): string[] => [...new Set(values)].sort();
