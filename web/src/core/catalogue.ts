// The catalogue as the page reads it (protocol.md 7). Fields that are not known are let be.

export interface Platform {
  arch: string;
  digest: string;
  config: { entrypoint: string[]; cmd: string[]; env: string[]; workdir: string; user: string };
}

export interface Option {
  value: string;
  label: string;
  args: string[];
}

interface FieldBase {
  name: string;
  label: string;
  help?: string;
}

export type Field = FieldBase &
  (
    | { kind: 'flag'; default: boolean; args: string[] }
    | { kind: 'choice'; default: string; options: Option[] }
    | { kind: 'number'; default: number | null; min: number; max: number; step: number; args: string[] }
    | { kind: 'text'; default: string; bytes_max: number; is_words: boolean; args: string[] }
    | { kind: 'file'; default: string; types: string[]; args: string[] }
  );

export interface Condition {
  field: string;
  value: string;
}

export interface Conflict {
  if: Condition;
  not: Condition;
  why: string;
}

export type Content = string | { base64: string } | { text: string };
export type FileContent =
  | string
  | { base64: string; executable?: boolean }
  | { text: string; executable?: boolean }
  | { directory: true };

export interface Example {
  title: string;
  description?: string;
  files: Record<string, FileContent>;
  stdin?: Content;
  values?: Record<string, string>;
  command?: string[] | null;
}

export interface Playground {
  categories: string[];
  takes: string[];
  makes: string[];
  wall_ms?: number | null;
  command: string[];
  env: { name: string; field: string }[];
  fields: Field[];
  conflicts: Conflict[];
  examples: Example[];
}

export interface Image {
  name: string;
  tags: string[];
  title: string;
  description: string;
  platforms: Platform[];
  playground?: Playground | null;
}

export interface Catalogue {
  version: number;
  images: Image[];
}

/** Every name that means this image, the plain one first. */
export const namesOf = (image: Image): string[] => [image.name, ...image.tags.map((tag) => `${image.name}:${tag}`)];

/** The image that a reference means: the first with that name, or whichever has that digest. */
export function findImage(catalogue: Catalogue, reference: string): Image | null {
  const [named, digest] = reference.startsWith('sha256:') ? [null, reference] : reference.split('@');
  return (
    catalogue.images.find(
      (image) =>
        (!named || namesOf(image).includes(named)) &&
        (!digest || image.platforms.some((platform) => platform.digest === digest)),
    ) ?? null
  );
}

/** How the page names an image in links: by its first tag, which says more than `gcc` alone. */
export function referenceTo(catalogue: Catalogue, image: Image): string {
  const tagged = image.tags[0] ? `${image.name}:${image.tags[0]}` : image.name;
  return findImage(catalogue, tagged) === image ? tagged : `${image.name}@${image.platforms[0]?.digest ?? ''}`;
}

/** Whether all words of a query are found in an image's names, texts, categories or file types. */
export function imageMatches(image: Image, query: string): boolean {
  const { playground } = image;
  const hay = [
    ...namesOf(image),
    image.title,
    image.description,
    ...image.platforms.map((platform) => platform.arch),
    ...(playground ? [...playground.categories, ...playground.takes, ...playground.makes] : []),
  ]
    .join('\n')
    .toLowerCase();
  return query.toLowerCase().split(/\s+/).every((word) => hay.includes(word));
}
