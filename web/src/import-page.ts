import 'ol/ol.css';
import './import-page.css';
import type Feature from 'ol/Feature';
import type { FeatureLike } from 'ol/Feature';
import type { Style } from 'ol/style';
import { language, t } from './i18n';
import { Preview, outlined, read } from './preview';
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
const SHOWN_CHANGES = 200;

/** What becomes of a feature; empty where it stays as it is, or where nothing is known of that yet. */
type Happening = 'added' | 'changed' | 'moved' | 'ended';
type Change = '' | Happening;

const CHANGED = outlined('#0b5a8f', 2.5, 'rgba(11,90,143,0.28)');
const STYLES: Record<Change, Style> = {
  '': outlined('#0b5a8f', 1, 'rgba(11,90,143,0.04)', [7, 4]),
  added: CHANGED,
  changed: CHANGED,
  moved: CHANGED,
  ended: outlined('#8a5a00', 2.5, 'rgba(138,90,0,0.16)', [7, 5]),
};
const changeOf = (feature: FeatureLike): Change => (feature.get('change') as Change | undefined) ?? '';

declare global {
  interface Window {
    /** For tests; read-only. */
    importPage?: { state: string; faultsInView(): number; proposed(): number; altered(): string[] };
  }
}

function begin(root: HTMLElement): void {
  const state = el('strong', { 'data-testid': 'state', role: 'status' });
  const bar = el('progress', { max: 100, value: 0, 'aria-label': t('import.progress') });
  const facts = el('p', { class: 'import-understood' });
  const changes = el('ul', { 'data-testid': 'summary' });
  const touched = el('ul', { class: 'import-changes', 'data-testid': 'changes' });
  const faults = el('ol', { class: 'import-faults', 'data-testid': 'faults' });
  const canvas = el('div', { class: 'import-map', tabindex: 0, role: 'img', 'aria-label': t('import.map') });
  const legend = el(
    'p',
    { class: 'import-legend' },
    el('span', { class: 'key current' }, t('import.current')),
    el('span', { class: 'key proposed' }, t('import.proposed')),
    el('span', { class: 'key begun' }, t('import.altered')),
    el('span', { class: 'key ended' }, t('import.ending')),
    el('span', { class: 'key wrong' }, t('import.wrong')),
  );
  const words = el('div', { class: 'import-words' }, el('p', {}, state), bar, facts, changes, touched, faults);
  root.replaceChildren(words, el('div', {}, canvas, legend));
  const preview = new Preview(canvas, (feature) => STYLES[changeOf(feature)]);
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
      const altered = showChanges();
      if (altered.length && !list.length) preview.showThese(altered);
      else preview.showAll();
    }
    window.importPage = {
      state: run.state,
      faultsInView: () => preview.inView(preview.wrong),
      proposed: () => preview.proposed.getFeatures().length,
      altered: () => preview.proposed.getFeatures().flatMap((feature) => (changeOf(feature) ? [feature.get('code') as string] : [])),
    };
    if (underWay) setTimeout(() => void ask(), ASK_EVERY);
  }

  /** What changes, each a button that brings it into view; what ends is drawn where it is now. */
  function showChanges(): Feature[] {
    const there = new Map(preview.current.getFeatures().map((feature) => [feature.get('code') as string, feature]));
    const altered = preview.proposed.getFeatures().filter((feature) => changeOf(feature));
    for (const feature of altered) {
      const now = there.get(feature.get('code') as string);
      if (changeOf(feature) === 'ended' && now) feature.setGeometry(now.getGeometry()?.clone());
    }
    touched.replaceChildren(
      ...altered.slice(0, SHOWN_CHANGES).map((feature) => {
        const text = `${feature.get('code') as string} · ${t(`import.${changeOf(feature) as Happening}`)}`;
        return el('li', {}, el('button', { type: 'button', onclick: () => preview.showThese([feature]) }, text));
      }),
      ...(altered.length > SHOWN_CHANGES ? [el('li', {}, t('import.more', { count: altered.length - SHOWN_CHANGES }))] : []),
    );
    return altered;
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
