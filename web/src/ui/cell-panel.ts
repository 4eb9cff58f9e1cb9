import type { Frame, Session } from '../contract';
import { t } from '../i18n';
import { shortTime } from '../time';
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

  /** `organisations` are the five names from the district committee down. */
  open(code: string, organisations: string[], levels: Session['levels'], events: Frame[]): void {
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
      el('section', { class: 'panel-part' }, el('h3', {}, t('panel.levels')), levelChain(chain)),
      el(
        'section',
        { class: 'panel-part' },
        el('h3', {}, t('cell.events')),
        ...(rows.length ? rows : [el('p', { class: 'why' }, t('cell.no_events'))]),
      ),
    );
  }

  close(): void {
    this.element.hidden = true;
  }
}
