// Where the time went, what was used, where it ran, and what exactly was run.

import * as store from '../app/store';
import { sizeInWords, timeInWords } from '../core/bytes';
import { PHASES, type Result } from '../core/result';
import { joinWords } from '../core/words';
import { copy } from './dialogs';
import { cacheInWords } from './ResultPane';

export function Details({ result }: { result: Result }) {
  const { answer } = result;
  const ran = answer.ran_on;
  const facts: [string, string][] = [
    ['Wall clock', timeInWords(answer.usage.wall_us)],
    ['Processor', `${timeInWords(answer.usage.user_us + answer.usage.system_us)} (${timeInWords(answer.usage.system_us)} in the kernel)`],
    ['Most memory', sizeInWords(answer.usage.max_rss_bytes)],
    ['Time limit', `${(answer.limits['wall_ms'] ?? 0) / 1000} s`],
    ...(ran ? ([['Ran on', `${ran.worker} (${ran.arch}${ran.vmm ? `, ${ran.vmm}` : ''})`], ['CPU', ran.cpu], ['Kernel', ran.kernel]] as [string, string][]) : []),
  ];
  return (
    <div class="details">
      <p class="lead">{cacheInWords(result)}</p>
      <h3>Where the time went</h3>
      <Waterfall phases={answer.phases} />
      <h3>Usage</h3>
      <dl class="facts">
        {facts.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}
      </dl>
      <h3>What was run</h3>
      <dl class="facts">
        <Digest name="Job" value={answer.job} />
        <Digest name="Image" value={answer.image} />
        <Digest name="Request" value={answer.request_id} />
        <div><dt>Command now</dt><dd><code>{joinWords([...store.entrypoint.value, ...store.command.value])}</code></dd></div>
      </dl>
    </div>
  );
}

function Digest({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd><code class="digest">{value}</code> <button type="button" class="quiet small" aria-label={`Copy: ${name}`} onClick={() => void copy(value, name)}>Copy</button></dd>
    </div>
  );
}

/** One bar a phase, each beginning where the one before ended. */
export function Waterfall({ phases }: { phases: Record<string, number> }) {
  const total = Math.max(1, PHASES.reduce((sum, [key]) => sum + (phases[key] ?? 0), 0));
  let from = 0;
  return (
    <table class="waterfall">
      <thead class="unseen"><tr><th scope="col">Phase</th><th scope="col">Share</th><th scope="col">Time</th></tr></thead>
      <tbody>
        {PHASES.map(([key, name]) => {
          const us = phases[key] ?? 0;
          const left = (from / total) * 100;
          from += us;
          return (
            <tr key={key} data-none={us === 0 ? 'yes' : 'no'}>
              <th scope="row">{name}</th>
              <td class="waterfall-bar" aria-hidden="true">
                <span class={key === 'run_us' ? 'is-run' : ''} style={{ marginLeft: `${Math.min(left, 99.5)}%`, width: `${Math.max((us / total) * 100, us > 0 ? 0.5 : 0)}%` }} />
              </td>
              <td class="waterfall-time">{timeInWords(us)}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
