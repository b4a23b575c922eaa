import { Modal } from './Modal';
import { isMac } from './keys';

const mod = isMac ? '⌘' : 'Ctrl';
const KEYS: [string, string][] = [
  [`${mod} Enter`, 'Run'],
  [`${mod} Shift Enter`, 'Run even if the result is known'],
  ['Esc', 'Cancel the run; close a dialog'],
  [`${mod} K`, 'Choose an image'],
  [`${mod} F`, 'Find in the editor, or in the output that has the focus'],
  ['← →', 'Move between tabs'],
  ['F2, Delete', 'Rename or delete the file of the tab'],
  ['F6', 'Go on to the next part: command, editor, result'],
  ['Esc, then Tab', 'Leave the editor'],
];

export function Keys() {
  return (
    <Modal title="Keys">
      <dl class="keys">
        {KEYS.map(([keys, what]) => (
          <div key={keys}>
            <dt><kbd>{keys}</kbd></dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <p class="nothing">The same can be had by programs: <a href="/docs/api">the API</a>.</p>
    </Modal>
  );
}
