import 'ol/ol.css';
import './import-page.css';
import type Feature from 'ol/Feature';
import GeoJSON from 'ol/format/GeoJSON';
import { createEmpty, extend, isEmpty } from 'ol/extent';
import VectorLayer from 'ol/layer/Vector';
import OlMap from 'ol/Map';
import VectorSource from 'ol/source/Vector';
import { Circle, Fill, Stroke, Style } from 'ol/style';
import View from 'ol/View';
import { language, t } from './i18n';
import { el } from './ui/dom';

/** A run of an import, as the server tells of it. */
interface Run {
  state: string;
  label: string;
  progress: number;
  understood: { features?: number; system?: string; encoding?: string; layer?: string };
  summary: string[];
  faults: { type: string; features: Fault[] };
  may_apply: boolean;
}

interface Fault {
  type: string;
  geometry: object | null;
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

const format = new GeoJSON({ dataProjection: 'EPSG:4326', featureProjection: 'EPSG:3857' });

function outlined(colour: string, width: number, fill: string, dash?: number[]): Style {
  const stroke = new Stroke({ color: colour, width, ...(dash ? { lineDash: dash } : {}) });
  return new Style({
    stroke,
    fill: new Fill({ color: fill }),
    image: new Circle({ radius: 5, stroke, fill: new Fill({ color: fill }) }),
  });
}

/** What is in force, what is proposed, and what is wrong with it, one above the other. */
class Preview {
  readonly proposed = new VectorSource();
  readonly wrong = new VectorSource();
  private readonly current = new VectorSource();
  private readonly view = new View({ center: [0, 0], zoom: 2, maxZoom: 20, enableRotation: false });
  private readonly map: OlMap;

  constructor(target: HTMLElement) {
    this.map = new OlMap({
      target,
      view: this.view,
      layers: [
        new VectorLayer({ source: this.current, style: outlined('#6b7a88', 1, 'rgba(107,122,136,0.08)') }),
        new VectorLayer({ source: this.proposed, style: outlined('#0b5a8f', 1.6, 'rgba(11,90,143,0.10)', [7, 4]) }),
        new VectorLayer({ source: this.wrong, style: outlined('#c31515', 3, 'rgba(209,26,26,0.35)') }),
      ],
    });
  }

  async load(root: HTMLElement): Promise<void> {
    const [current, proposed] = await Promise.all([read(root.dataset.current), read(root.dataset.preview)]);
    this.current.clear();
    this.proposed.clear();
    this.current.addFeatures(format.readFeatures(current));
    this.proposed.addFeatures(format.readFeatures(proposed));
    this.showAll();
  }

  /** Bring everything that matters into view: faults before what is proposed, that before what is there. */
  showAll(): void {
    for (const source of [this.wrong, this.proposed, this.current]) {
      const extent = extend(createEmpty(), source.getExtent() ?? createEmpty());
      if (!isEmpty(extent)) return this.fit(extent);
    }
  }

  fit(extent: number[]): void {
    this.map.updateSize();
    this.view.fit(extent, { padding: [40, 40, 40, 40], maxZoom: 18, size: this.map.getSize() ?? [600, 400] });
  }

  inView(source: VectorSource): number {
    return source.getFeaturesInExtent(this.view.calculateExtent()).length;
  }
}

async function read<T>(address: string | undefined): Promise<T> {
  const answer = await fetch(address ?? '', { credentials: 'same-origin', headers: { Accept: 'application/json' } });
  if (!answer.ok) throw new Error(`${answer.status}`);
  return (await answer.json()) as T;
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
      faults.replaceChildren(...list.slice(0, SHOWN_FAULTS).map((fault) => faultLine(fault, preview)));
      await preview.load(root);
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

/** A fault in words; with a place, a button that brings it into view. */
function faultLine(fault: Fault, preview: Preview): HTMLElement {
  const { message, feature, key } = fault.properties;
  const which = feature === null ? '' : t('import.feature', { feature: key ? `${feature} (${key})` : String(feature) });
  const text = which ? `${which}${language === 'en' ? ': ' : '：'}${message}` : message;
  const geometry = fault.geometry ? (format.readFeature(fault) as Feature).getGeometry() : undefined;
  if (!geometry) return el('li', {}, text);
  preview.wrong.addFeature(format.readFeature(fault) as Feature);
  const extent = geometry.getExtent();
  return el('li', {}, el('button', { type: 'button', onclick: () => preview.fit(extent) }, text));
}

const root = document.getElementById('import');
if (root) begin(root);
