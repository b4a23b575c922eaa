// The grid of the same input over images and values, with what differs from the first cell.

import { useState } from 'preact/hooks';
import * as matrix from '../app/matrix';
import * as runner from '../app/runner';
import * as store from '../app/store';
import { timeInWords } from '../core/bytes';
import { referenceTo } from '../core/catalogue';
import { outcomeInWords } from '../core/result';
import { pinned } from './Compare';
import { tab } from './ResultPane';

export function Matrix() {
  const known = store.catalogue.value;
  const fields = (store.playground.value?.fields ?? []).filter((field) => matrix.valuesOf(field).length > 1);
  const chosen = fields.find((field) => field.name === matrix.field.value);
  const columns = matrix.valuesOf(chosen);
  const references = (known?.images ?? []).map((image) => referenceTo(known!, image));
  const rows = matrix.images.value.length > 0 ? matrix.images.value : [store.imageReference.value];
  const count = rows.length * Math.max(1, columns.length);
  return (
    <div class="matrix">
      <p class="lead">Run the same files over several images, or over the values of an option. What differs from the first cell is marked.</p>
      <fieldset class="matrix-images">
        <legend>Images</legend>
        {references.map((reference) => (
          <label key={reference} class="check">
            <input
              type="checkbox"
              checked={rows.includes(reference)}
              onChange={(event) => {
                const rest = rows.filter((each) => each !== reference);
                matrix.images.value = event.currentTarget.checked ? [...rest, reference] : rest;
              }}
            />
            {reference.split('@')[0]}
          </label>
        ))}
      </fieldset>
      <div class="matrix-start">
        {fields.length > 0 && (
          <span class="field">
            <label for="matrix-field">Over</label>
            <select id="matrix-field" value={chosen?.name ?? ''} onChange={(event) => (matrix.field.value = event.currentTarget.value)}>
              <option value="">nothing else</option>
              {fields.map((field) => <option key={field.name} value={field.name}>{field.label}</option>)}
            </select>
          </span>
        )}
        {matrix.isRunning.value
          ? <button type="button" class="primary" onClick={matrix.cancel}>Cancel</button>
          : <button type="button" class="primary" disabled={count > matrix.CELLS_MAX} onClick={() => void matrix.start()}>{count === 1 ? 'Run 1 cell' : `Run ${count} cells`}</button>}
        {count > matrix.CELLS_MAX && <span>At most {matrix.CELLS_MAX} cells.</span>}
      </div>
      {matrix.cells.value.length > 0 && <Grid labels={new Map(columns.map(({ value, label }) => [value, label]))} />}
    </div>
  );
}

function Grid({ labels }: { labels: Map<string, string> }) {
  const cells = matrix.cells.value;
  const [picked, setPicked] = useState<string>('');
  const images = [...new Set(cells.map((cell) => cell.image))];
  const values = [...new Set(cells.map((cell) => cell.value))];
  const firstBad = cells.find((cell) => cell.difference !== '');
  return (
    <div class="grid-scroll" tabIndex={0} role="region" aria-label="Results side by side">
      <table class="grid">
        {(values.length > 1 || values[0] !== null) && (
          <thead><tr><td />{values.map((value) => <th key={value} scope="col">{labels.get(value ?? '') ?? value}</th>)}</tr></thead>
        )}
        <tbody>
          {images.map((image) => (
            <tr key={image}>
              <th scope="row">{image.split('@')[0]}</th>
              {values.map((value) => {
                const cell = cells.find((each) => each.image === image && each.value === value);
                if (!cell) return <td key={value} />;
                const key = `${image} ${value}`;
                return (
                  <td key={value}>
                    <CellView cell={cell} isFirst={cell === cells[0]} isFirstBad={cell === firstBad} isPicked={picked === key} onPick={() => {
                      setPicked(key);
                      if (!cell.result) return;
                      const first = cells[0]?.result;
                      if (first && cell !== cells[0]) pinned.value = { result: first, label: `${cells[0]!.image.split('@')[0]}${cells[0]!.value ? ` ${cells[0]!.value}` : ''}` };
                      runner.result.value = cell.result;
                      runner.generation.value++;
                      tab.value = first && cell !== cells[0] ? 'compare' : 'output';
                    }} />
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface CellProps {
  cell: matrix.Cell;
  isFirst: boolean;
  isFirstBad: boolean;
  isPicked: boolean;
  onPick: () => void;
}

function CellView({ cell, isFirst, isFirstBad, isPicked, onPick }: CellProps) {
  const { result, problem, state } = cell;
  const words = result ? outcomeInWords(result) : null;
  const title = words?.title ?? problem?.title ?? (state === 'running' ? 'Running' : 'Waiting');
  const note = !result ? '' : isFirst ? 'the first' : cell.difference === '' ? 'the same' : cell.difference;
  return (
    <button type="button" class="cell-button" data-tone={words?.tone ?? (problem ? 'bad' : 'busy')} data-differs={cell.difference ? 'yes' : 'no'} data-first-bad={isFirstBad ? 'yes' : 'no'} aria-pressed={isPicked} disabled={!result} title={isFirstBad ? 'The first that differs' : ''} onClick={onPick}>
      <span class="cell-title"><span class="status-dot" aria-hidden="true" />{title}</span>
      <span class="cell-note">{note}{isFirstBad && ' ◂ first'}</span>
      {result && <span class="cell-time">{timeInWords(result.answer.usage.wall_us)}</span>}
    </button>
  );
}
