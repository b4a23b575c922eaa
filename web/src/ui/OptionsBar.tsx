// The form that an image describes, and what every job has: time, patterns, architecture.

import { useId } from 'preact/hooks';
import * as store from '../app/store';
import type { Field } from '../core/catalogue';
import { conflictOf, defaultOf, refusalOf } from '../core/playground';
import { typeMatches, typeOf } from '../core/types';
import { joinWords, splitWords } from '../core/words';
import { Examples } from './Header';

export function OptionsBar() {
  const playground = store.playground.value;
  const fields = playground?.fields ?? [];
  return (
    <div class="options" role="group" aria-label="Options">
      <div class="fields" data-off={store.byHand.value ? 'yes' : 'no'}>
        {fields.map((field) => <FieldControl key={`${store.imageReference.value} ${field.name}`} field={field} />)}
        {fields.length === 0 && <span class="fields-none">This image has no form: write the command above.</span>}
        {store.formFlaw.value && !store.byHand.value && <span class="fields-flaw" role="alert">{store.formFlaw.value.message}</span>}
        {fields.length > 0 && store.byHand.value && <span class="fields-note">Written by hand: the form has no effect.</span>}
      </div>
      <Limits />
      <Examples />
    </div>
  );
}

function FieldControl({ field }: { field: Field }) {
  const id = useId();
  const playground = store.playground.value!;
  const value = store.values.value[field.name] ?? defaultOf(field);
  const set = (next: string) => {
    store.values.value = { ...store.values.value, [field.name]: next };
  };
  const why = (next: string) => conflictOf(playground, store.values.value, field.name, next);
  const clash = why(value) ?? refusalOf(field, value);
  const described = { title: clash ?? field.help ?? '', 'aria-invalid': clash !== null };
  switch (field.kind) {
    case 'flag': {
      const refusal = value === 'true' ? null : why('true');
      return (
        <label class="field flag" title={refusal ?? described.title} data-clash={clash ? 'yes' : 'no'}>
          <input type="checkbox" checked={value === 'true'} disabled={refusal !== null && value !== 'true'} onChange={(event) => set(String(event.currentTarget.checked))} />
          <span>{field.label}</span>
        </label>
      );
    }
    case 'choice':
      return (
        <span class="field" data-clash={clash ? 'yes' : 'no'}>
          <label for={id}>{field.label}</label>
          <select id={id} value={value} {...described} onChange={(event) => set(event.currentTarget.value)}>
            {field.options.map((option) => {
              const refusal = option.value === value ? null : why(option.value);
              return <option key={option.value} value={option.value} disabled={refusal !== null} title={refusal ?? ''}>{option.label}</option>;
            })}
          </select>
        </span>
      );
    case 'number':
      return (
        <span class="field" data-clash={clash ? 'yes' : 'no'}>
          <label for={id}>{field.label}</label>
          <input
            id={id} type="number" class="number" min={field.min} max={field.max} step={field.step} value={value} {...described}
            onChange={(event) => {
              const it = event.currentTarget;
              if (it.validity.valid) set(it.value === '' ? '' : String(Number(it.value)));
              else it.reportValidity();
            }}
          />
        </span>
      );
    case 'text':
      return (
        <span class="field" data-clash={clash ? 'yes' : 'no'}>
          <label for={id}>{field.label}</label>
          <input id={id} type="text" value={value} spellcheck={false} {...described} onInput={(event) => set(event.currentTarget.value)} />
        </span>
      );
    case 'file': {
      const fitting = store.files.value.filter((file) => field.types.length === 0 || field.types.some((type) => typeMatches(type, typeOf(file.path))));
      const others = store.files.value.filter((file) => !fitting.includes(file));
      const isThere = store.files.value.some((file) => file.path === value);
      return (
        <span class="field" data-clash={isThere || value === '' ? 'no' : 'yes'}>
          <label for={id}>{field.label}</label>
          <select id={id} value={value} {...described} onChange={(event) => set(event.currentTarget.value)}>
            {!isThere && <option value={value}>{value === '' ? 'none' : `${value} (not there)`}</option>}
            {fitting.map((file) => <option key={file.path} value={file.path}>{file.path}</option>)}
            {others.map((file) => <option key={file.path} value={file.path}>{file.path}</option>)}
          </select>
        </span>
      );
    }
  }
}

function Limits() {
  const archs = store.image.value?.platforms.map((platform) => platform.arch) ?? [];
  return (
    <div class="limits">
      <span class="field">
        <label for="wall">Time limit</label>
        <input
          id="wall" type="number" class="number" min={1} max={600} step={1} value={store.wallMs.value / 1000}
          onChange={(event) => {
            const seconds = Number(event.currentTarget.value);
            if (event.currentTarget.validity.valid && seconds > 0) store.limits.value = { ...store.limits.value, wall_ms: seconds * 1000 };
            else event.currentTarget.reportValidity();
          }}
        />
        <span aria-hidden="true">s</span>
      </span>
      <span class="field" title="Everything in /output comes back; also files in the working directory that match, such as *.o">
        <label for="outputs">Also return</label>
        <input
          id="outputs" type="text" class="patterns" placeholder="*.o" spellcheck={false} value={joinWords(store.outputs.value)}
          onChange={(event) => (store.outputs.value = splitWords(event.currentTarget.value).words)}
        />
      </span>
      {archs.length > 1 && (
        <span class="field">
          <label for="arch">Architecture</label>
          <select id="arch" value={store.arch.value ?? archs[0]} onChange={(event) => (store.arch.value = event.currentTarget.value === archs[0] ? null : event.currentTarget.value)}>
            {archs.map((arch) => <option key={arch} value={arch}>{arch}</option>)}
          </select>
        </span>
      )}
    </div>
  );
}
