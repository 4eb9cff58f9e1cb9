import { loadCellElements, loadPlace } from '../api';
import type { CellElement, Frame, Session } from '../contract';
import { t } from '../i18n';
import { shortTime, today } from '../time';
import { statusLabel } from '../words';
import { el, setText } from './dom';
import { levelChain } from './event-panel';
import { markerImage } from './marker-image';

/** A cell with the organisations that answer for it, and the events in it. */
export class CellPanel {
  readonly element: HTMLElement;
  private readonly title = el('h2', { tabindex: -1 });
  private readonly scroll = el('div', { class: 'panel-scroll' });
  private readonly onSelect: (id: string) => void;
  /** Counts the openings: what was asked for an earlier one, of the same cell too, is not shown in this one. */
  private openings = 0;

  constructor(onClose: () => void, onSelect: (id: string) => void) {
    this.onSelect = onSelect;
    this.element = el(
      'aside',
      { class: 'panel', 'data-testid': 'cell-panel', 'aria-label': t('cell.title'), hidden: true },
      el(
        'div',
        { class: 'panel-bar' },
        this.title,
        el('button', { class: 'close', type: 'button', 'aria-label': t('panel.close'), onclick: () => onClose() }, '×'),
      ),
      this.scroll,
    );
  }

  /** `organisations` are the five names from the district committee down; `place` is what other days are asked for. */
  open(code: string, organisations: string[], levels: Session['levels'], events: Frame[], place: [number, number] | null): void {
    this.element.hidden = false;
    setText(this.title, t('cell.title'));
    const names = [...organisations, code];
    const chain = levels.map(({ level, label }) => ({ level, label, name: names[level - 1] ?? '', code: '' }));
    const rows = events.map((frame) =>
      el(
        'button',
        { type: 'button', class: 'cell-event', onclick: () => this.onSelect(frame.id) },
        markerImage(frame.phase, frame.light),
        el('span', {}, frame.class.name),
        el('span', { class: 'row-status' }, statusLabel(frame.status)),
        el('time', { datetime: frame.received_at }, shortTime(frame.received_at)),
      ),
    );
    this.scroll.replaceChildren(
      el('section', { class: 'panel-part' }, el('h3', {}, t('panel.levels')), levelChain(chain), place && onAnotherDay(place)),
      el(
        'section',
        { class: 'panel-part' },
        el('h3', {}, t('cell.events')),
        ...(rows.length ? rows : [el('p', { class: 'why' }, t('cell.no_events'))]),
      ),
    );
    void this.showElements(code, ++this.openings);
  }

  /** What stands in the cell comes after the panel has opened; people are not among it. */
  private async showElements(code: string, opening: number): Promise<void> {
    const found = await loadCellElements(code).catch(() => null);
    if (!found || this.openings !== opening || this.element.hidden) return;
    const groups = new Map<string, CellElement[]>();
    for (const element of found.elements) {
      groups.set(element.kind_label, [...(groups.get(element.kind_label) ?? []), element]);
    }
    this.scroll.append(
      el(
        'section',
        { class: 'panel-part', 'data-testid': 'cell-elements' },
        el('h3', {}, t('cell.elements')),
        ...(groups.size ? [...groups].map(elementGroup) : [el('p', { class: 'why' }, t('cell.no_events'))]),
        found.truncated ? el('p', { class: 'why' }, t('cell.more', { count: found.elements.length })) : null,
      ),
    );
  }

  close(): void {
    this.element.hidden = true;
  }
}

/** Boundaries change: which cell this place lay in on a day, and who answered for it then. */
function onAnotherDay(place: [number, number]): HTMLElement {
  const found = el('div', { 'data-testid': 'cell-then', 'aria-live': 'polite' });
  const day = el('input', { type: 'date', max: today(), 'data-testid': 'cell-day' });
  let asking: AbortController | null = null;
  day.addEventListener('change', () => {
    asking?.abort();
    found.replaceChildren();
    if (!day.value || !day.checkValidity()) return;
    const own = (asking = new AbortController());
    loadPlace(place, own.signal, day.value).then(
      ({ cell, levels }) => found.replaceChildren(cell === null ? el('p', { class: 'why' }, t('cell.none_then')) : levelChain(levels)),
      () => own.signal.aborted || found.replaceChildren(el('p', { class: 'why' }, t('cell.day_unknown'))),
    );
  });
  return el('div', { class: 'another-day' }, el('label', {}, t('cell.on_day'), ' ', day), found);
}

function elementGroup([label, elements]: [string, CellElement[]]): HTMLElement {
  return el(
    'details',
    { class: 'cell-elements' },
    el('summary', {}, `${label} (${elements.length})`),
    el('ul', {}, ...elements.map((element) => el('li', {}, elementWords(element)))),
  );
}

export const elementWords = ({ name, category, state, state_label, component }: CellElement): string =>
  [name, category, component?.code, state && state !== 'intact' ? state_label : ''].filter(Boolean).join(' · ');
