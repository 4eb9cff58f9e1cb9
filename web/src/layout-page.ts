import 'ol/ol.css';
import './import-page.css';
import './layout-page.css';
import type Feature from 'ol/Feature';
import type { FeatureLike } from 'ol/Feature';
import type { LineString } from 'ol/geom';
import Draw from 'ol/interaction/Draw';
import Select from 'ol/interaction/Select';
import { toLonLat } from 'ol/proj';
import VectorLayer from 'ol/layer/Vector';
import type { Style } from 'ol/style';
import { t } from './i18n';
import { Preview, outlined, read } from './preview';
import type { Fault } from './preview';
import { el } from './ui/dom';

/** A layout, as the server tells of it. */
interface Told {
  state: string;
  label: string;
  changes: string[];
  more: number;
  effects: string[];
  in_the_way: string[];
  faults: { features: Fault[] };
}

interface Shapes {
  features: { properties: { role: Role; code: string } }[];
  owners: { code: string; name: string }[];
}

type Role = 'there' | 'begun' | 'ended';

declare global {
  interface Window {
    /** For tests; read-only. */
    layoutPage?: {
      state: string;
      begun(): string[];
      ended(): string[];
      selected(): string[];
      faults(): number;
      pixelOf(code: string): number[] | null;
    };
  }
}

const STYLES: Record<Role, Style> = {
  there: outlined('#6b7a88', 1, 'rgba(107,122,136,0.05)'),
  begun: outlined('#0b5a8f', 2, 'rgba(11,90,143,0.16)'),
  ended: outlined('#8a5a00', 2, 'rgba(0,0,0,0)', [7, 5]),
};
const CHOSEN = outlined('#0b5a8f', 3, 'rgba(255,196,0,0.45)');
const roleOf = (feature: FeatureLike): Role => feature.get('role') as Role;

/** The map with its cells, the list of what changes, and the three verbs. */
class LayoutPage {
  private readonly state = el('strong', { 'data-testid': 'state', role: 'status' });
  private readonly refusal = el('ul', { class: 'import-faults', 'data-testid': 'refusal' });
  private readonly faults = el('ol', { class: 'import-faults', 'data-testid': 'faults' });
  private readonly effects = el('ul', { 'data-testid': 'effects' });
  private readonly changes = el('ul', { class: 'layout-changes', 'data-testid': 'changes' });
  private readonly chosen = el('p', { class: 'layout-chosen', 'aria-live': 'polite', 'data-testid': 'chosen' });
  private readonly owner = el('input', { list: 'owners', 'aria-label': t('layout.owner'), placeholder: t('layout.owner'), 'data-testid': 'owner' });
  private readonly owners = el('datalist', { id: 'owners' });
  private readonly preview: Preview;
  private readonly select: Select;
  private readonly root: HTMLElement;
  private draw: Draw | null = null;

  constructor(root: HTMLElement) {
    this.root = root;
    const canvas = el('div', { class: 'import-map', tabindex: 0, role: 'img', 'aria-label': t('layout.map') });
    const legend = el(
      'p',
      { class: 'import-legend' },
      el('span', { class: 'key current' }, t('layout.there')),
      el('span', { class: 'key ended' }, t('layout.ended')),
      el('span', { class: 'key begun' }, t('layout.begun')),
      el('span', { class: 'key wrong' }, t('import.wrong')),
    );
    const words = el(
      'div',
      { class: 'import-words' },
      el('p', {}, this.state),
      ...('changeable' in root.dataset ? [this.verbs()] : []),
      this.refusal,
      this.faults,
      el('h3', {}, t('layout.effects')),
      this.effects,
      el('h3', {}, t('layout.changes')),
      this.changes,
    );
    root.replaceChildren(words, el('div', {}, canvas, legend));
    this.preview = new Preview(canvas, (feature) => STYLES[roleOf(feature)]);
    this.select = new Select({
      filter: (feature) => roleOf(feature) === 'there' || roleOf(feature) === 'begun',
      layers: this.preview.map.getLayers().getArray().filter((layer) => layer instanceof VectorLayer),
      style: CHOSEN,
      toggleCondition: () => true,
    });
    if ('changeable' in root.dataset) this.preview.map.addInteraction(this.select);
    this.select.on('select', () => this.tellChosen());
  }

  private verbs(): HTMLElement {
    const button = (text: string, name: string, does: () => void): HTMLElement =>
      el('button', { type: 'button', class: 'layout-verb', 'data-testid': name, onclick: does }, text);
    return el(
      'fieldset',
      { class: 'layout-verbs' },
      el('legend', {}, t('layout.draw')),
      this.chosen,
      button(t('layout.merge'), 'merge', () => void this.order({ verb: 'merge', codes: this.codes() })),
      button(t('layout.split'), 'split', () => this.drawLine()),
      el(
        'p',
        {},
        this.owner,
        this.owners,
        button(t('layout.hand_over'), 'hand_over', () => void this.order({ verb: 'hand_over', codes: this.codes(), to: this.owner.value.trim() })),
      ),
    );
  }

  async load(fit: boolean): Promise<void> {
    try {
      const [told, shapes] = await Promise.all([read<Told>(this.root.dataset.state), read<Shapes>(this.root.dataset.shapes)]);
      this.show(told, shapes, fit);
    } catch {
      this.state.textContent = t('import.unreachable');
    }
  }

  private show(told: Told, shapes: Shapes, fit: boolean): void {
    this.state.textContent = told.label;
    this.state.dataset.state = told.state;
    const of = (...roles: Role[]): object => ({
      type: 'FeatureCollection',
      features: shapes.features.filter(({ properties }) => roles.includes(properties.role)),
    });
    this.select.getFeatures().clear();
    this.tellChosen();
    this.preview.wrong.clear();
    this.preview.show(of('there'), of('begun', 'ended'));
    this.owners.replaceChildren(...shapes.owners.map(({ code, name }) => el('option', { value: code }, name)));
    this.refusal.replaceChildren(...told.in_the_way.map((line) => el('li', {}, line)));
    this.showFaults(told.faults.features);
    const lines = (list: string[], none: string): HTMLElement[] => (list.length ? list : [none]).map((line) => el('li', {}, line));
    this.effects.replaceChildren(...lines(told.effects, t('layout.nothing')));
    this.changes.replaceChildren(...lines(told.changes, t('layout.nothing')));
    if (told.more) this.changes.append(el('li', {}, t('layout.more', { count: told.more })));
    if (fit) this.preview.showAll();
    const codes = (role: Role): string[] => shapes.features.filter(({ properties }) => properties.role === role).map(({ properties }) => properties.code);
    window.layoutPage = {
      state: told.state,
      begun: () => codes('begun'),
      ended: () => codes('ended'),
      selected: () => this.codes(),
      faults: () => this.preview.wrong.getFeatures().length,
      pixelOf: (code) => this.pixelOf(code),
    };
  }

  private showFaults(faults: Fault[]): void {
    this.faults.replaceChildren(...faults.map((fault) => this.preview.faultLine(fault, fault.properties.message)));
  }

  private codes(): string[] {
    return this.select.getFeatures().getArray().map((feature: Feature) => feature.get('code') as string);
  }

  private tellChosen(): void {
    const lines = this.select.getFeatures().getArray().map((cell: Feature) => `${cell.get('code')} · ${cell.get('owner')} · ${cell.get('regional_group')}`);
    this.chosen.replaceChildren(...(lines.length ? lines.map((line) => el('span', {}, line)) : [t('layout.choose')]));
  }

  /** A line across the one cell that is chosen; a double click ends it. */
  private drawLine(): void {
    const codes = this.codes();
    if (this.draw) this.preview.map.removeInteraction(this.draw);
    this.draw = null;
    if (codes.length !== 1) return this.showFaults([this.said(t('layout.choose_one'))]);
    this.select.setActive(false);
    this.chosen.append(el('span', {}, t('layout.drawing')));
    const draw = new Draw({ type: 'LineString' });
    draw.on('drawend', ({ feature }) => {
      const line = (feature.getGeometry() as LineString).getCoordinates().map((corner) => toLonLat(corner));
      setTimeout(() => {
        this.preview.map.removeInteraction(draw);
        this.select.setActive(true);
      });
      this.draw = null;
      void this.order({ verb: 'split', codes, line, system: 'WGS84' });
    });
    this.draw = draw;
    this.preview.map.addInteraction(draw);
  }

  private async order(asked: object): Promise<void> {
    const token = document.querySelector<HTMLInputElement>('input[name=csrfmiddlewaretoken]')?.value ?? '';
    const answer = await fetch(this.root.dataset.edit ?? '', {
      method: 'POST',
      credentials: 'same-origin',
      headers: { 'Content-Type': 'application/json', 'X-CSRFToken': token },
      body: JSON.stringify(asked),
    }).catch(() => null);
    if (answer?.ok) return this.load(false);
    this.preview.wrong.clear();
    if (answer?.status !== 422) return this.showFaults([this.said(t('import.unreachable'))]);
    this.showFaults(((await answer.json()) as { features: Fault[] }).features);
  }

  private readonly said = (message: string): Fault => ({ type: 'Feature', geometry: null, properties: { code: '', message } });

  private pixelOf(code: string): number[] | null {
    const cells = [...this.preview.current.getFeatures(), ...this.preview.proposed.getFeatures()];
    const cell = cells.find((feature) => feature.get('code') === code && roleOf(feature) !== 'ended');
    const extent = cell?.getGeometry()?.getExtent();
    if (!extent) return null;
    this.preview.fit(extent);
    this.preview.map.renderSync();
    return [0, 1, 2, 3].flatMap((n) => this.preview.map.getPixelFromCoordinate([extent[n < 2 ? 0 : 2] ?? 0, extent[n % 2 ? 3 : 1] ?? 0]));
  }
}

const root = document.getElementById('layout');
if (root) void new LayoutPage(root).load(true);
