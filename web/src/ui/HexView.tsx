import { HEX_ROW_BYTES, hexRow, wasmSections } from '../core/hex';
import { sizeInWords } from '../core/bytes';
import { VirtualRows } from './VirtualRows';

/** 512 kB of rows; a browser's scroll bar ends somewhere. */
const ROWS_MAX = 400_000;

export function HexView({ data }: { data: Uint8Array }) {
  const rows = Math.ceil(data.length / HEX_ROW_BYTES);
  const sections = wasmSections(data);
  return (
    <div class="hex">
      {sections && (
        <p class="hex-sections">
          WebAssembly: {sections.map(({ name, bytes }) => `${name} ${sizeInWords(bytes)}`).join(' · ')}
        </p>
      )}
      <VirtualRows count={Math.min(rows, ROWS_MAX)} label="Bytes in hexadecimal" class="mono" row={(n) => hexRow(data, n)} />
      {rows > ROWS_MAX && <p class="hex-sections">There is more; download the file to see all of it.</p>}
    </div>
  );
}
