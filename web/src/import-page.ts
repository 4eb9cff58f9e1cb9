import 'ol/ol.css';
import './import-page.css';
import { language, t } from './i18n';
import { Preview, read } from './preview';
import type { Fault } from './preview';
import { el } from './ui/dom';

/** A run of an import, as the server tells of it. */
interface Run {
  state: string;
  label: string;
  progress: number;
  understood: { features?: number; system?: string; encoding?: string; layer?: string };
  summary: string[];
  faults: { type: string; features: RunFault[] };
  may_apply: boolean;
}

interface RunFault extends Fault {
  properties: { code: string; message: string; feature: number | null; key: string };
}

const UNDER_WAY = new Set(['waiting', 'checking', 'ordered', 'applying']);
const ASK_EVERY = 800;
const SHOWN_FAULTS = 200;

declare global {
  interface Window {
    /** For tests; read-only. */
    importPage?: { state: string; faultsInView(): number; proposed(): number };
  }
}

function begin(root: HTMLElement): void {
  const state = el('strong', { 'data-testid': 'state', role: 'status' });
  const bar = el('progress', { max: 100, value: 0, 'aria-label': t('import.progress') });
  const facts = el('p', { class: 'import-understood' });
  const changes = el('ul', { 'data-testid': 'summary' });
  const faults = el('ol', { class: 'import-faults', 'data-testid': 'faults' });
  const canvas = el('div', { class: 'import-map', tabindex: 0, role: 'img', 'aria-label': t('import.map') });
  const legend = el(
    'p',
    { class: 'import-legend' },
    el('span', { class: 'key current' }, t('import.current')),
    el('span', { class: 'key proposed' }, t('import.proposed')),
    el('span', { class: 'key wrong' }, t('import.wrong')),
  );
  const words = el('div', { class: 'import-words' }, el('p', {}, state), bar, facts, changes, faults);
  root.replaceChildren(words, el('div', {}, canvas, legend));
  const preview = new Preview(canvas);
  const apply = document.getElementById('apply');
  let shown = '';

  async function ask(): Promise<void> {
    try {
      await show(await read<Run>(root.dataset.state));
    } catch {
      state.textContent = t('import.unreachable');
      setTimeout(() => void ask(), ASK_EVERY * 4);
    }
  }

  async function show(run: Run): Promise<void> {
    state.textContent = run.label;
    state.dataset.state = run.state;
    bar.value = run.progress;
    const underWay = UNDER_WAY.has(run.state);
    bar.hidden = !underWay;
    if (apply) apply.hidden = !run.may_apply;
    if (!underWay && shown !== run.state) {
      shown = run.state;
      const { features, system, encoding } = run.understood;
      facts.textContent = features ? t('import.understood', { features, system: system ?? '', encoding: encoding ?? '' }) : '';
      changes.replaceChildren(...run.summary.map((line) => el('li', {}, line)));
      preview.wrong.clear();
      const list = run.faults.features;
      faults.replaceChildren(...list.slice(0, SHOWN_FAULTS).map((fault) => preview.faultLine(fault, inWords(fault))));
      const [current, proposed] = await Promise.all([read(root.dataset.current), read(root.dataset.preview)]);
      preview.show(current, proposed);
      preview.showAll();
    }
    window.importPage = {
      state: run.state,
      faultsInView: () => preview.inView(preview.wrong),
      proposed: () => preview.proposed.getFeatures().length,
    };
    if (underWay) setTimeout(() => void ask(), ASK_EVERY);
  }

  void ask();
}

function inWords({ properties: { message, feature, key } }: RunFault): string {
  if (feature === null) return message;
  const which = t('import.feature', { feature: key ? `${feature} (${key})` : String(feature) });
  return `${which}${language === 'en' ? ': ' : '：'}${message}`;
}

const root = document.getElementById('import');
if (root) begin(root);
