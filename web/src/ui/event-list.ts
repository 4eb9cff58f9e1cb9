import { type Frame, type Phase, PHASES } from '../contract';
import { type Filter, matches, phasesOf, type PhaseFilter } from '../filter';
import { t } from '../i18n';
import { lightBetween } from '../live/ledger';
import { dueIn, serverNow, shortTime } from '../time';
import { clockWords, phaseLabel, placeOf, statusLabel } from '../words';
import { el, setText } from './dom';
import { markerImage } from './marker-image';

/** So many rows at once; the rest on request, for the sake of old machines. */
const PAGE = 300;

export interface ListCallbacks {
  onSelect: (id: string) => void;
  onFilter: (matches: ((frame: Frame) => boolean) | null) => void;
  /** The operator wants these phases only, and only what the map shows. */
  onLook: (phases: Phase[] | null, inView: boolean) => void;
}

/** The queue of events, newest first, with a filter; arrow keys walk through it. */
export class EventList {
  readonly element: HTMLElement;
  private readonly callbacks: ListCallbacks;
  private readonly rows = new Map<string, Row>();
  private readonly list = el('ul', { class: 'rows', 'aria-label': t('list.title') });
  private readonly summary = el('p', { class: 'list-summary', 'aria-live': 'off' });
  private readonly more: HTMLButtonElement;
  private readonly search: HTMLInputElement;
  private readonly select: HTMLSelectElement;
  private readonly inView: HTMLInputElement;
  private frames: Frame[] = [];
  private filter: Filter = { phase: 'all', words: '' };
  private room = PAGE;
  private selected: string | null = null;
  private truncated = false;

  constructor(callbacks: ListCallbacks) {
    this.callbacks = callbacks;
    this.search = el('input', {
      type: 'search',
      placeholder: t('list.search'),
      'aria-label': t('list.search'),
      'data-testid': 'search',
      oninput: () => this.refilter(),
    });
    this.select = el(
      'select',
      { 'aria-label': t('list.phase'), 'data-testid': 'phase-filter', onchange: () => this.refilter() },
      el('option', { value: 'all' }, t('list.all')),
      el('option', { value: 'open' }, t('list.open')),
      el('option', { value: 'red' }, t('light.red')),
      ...PHASES.map((phase) => el('option', { value: phase }, phaseLabel(phase))),
    );
    this.inView = el('input', { type: 'checkbox', 'data-testid': 'in-view', onchange: () => this.refilter() });
    this.more = el('button', { class: 'more', hidden: true, onclick: () => this.showMore() });
    this.list.addEventListener('keydown', (event) => this.walk(event));
    this.element = el(
      'section',
      { class: 'queue', 'aria-label': t('list.title') },
      el(
        'div',
        { class: 'queue-head' },
        this.search,
        el('div', { class: 'queue-filter' }, this.select, this.summary),
        el('label', { class: 'in-view' }, this.inView, t('list.in_view')),
      ),
      el('div', { class: 'queue-body' }, this.list, this.more),
    );
  }

  focusSearch(): void {
    this.search.focus();
  }

  /** Show these events; rows that stay are kept, so focus and scrolling do too. */
  show(frames: Iterable<Frame>, truncated: boolean): void {
    this.frames = [...frames].sort((a, b) => Date.parse(b.received_at) - Date.parse(a.received_at) || (a.id < b.id ? 1 : -1));
    this.truncated = truncated;
    this.render();
  }

  markSelected(id: string | null): void {
    if (this.selected !== null) this.rows.get(this.selected)?.choose(false);
    this.selected = id;
    if (id === null) return;
    this.rows.get(id)?.choose(true);
    this.rows.get(id)?.element.scrollIntoView({ block: 'nearest' });
    this.rove();
  }

  private refilter(): void {
    this.filter = { phase: this.select.value as PhaseFilter, words: this.search.value.trim().toLowerCase() };
    this.room = PAGE;
    const all = this.filter.phase === 'all' && this.filter.words === '';
    const filter = this.filter;
    this.callbacks.onLook(phasesOf(filter), this.inView.checked);
    this.element.classList.toggle('filtered', !all);
    this.callbacks.onFilter(all ? null : (frame) => matches(frame, filter));
    this.render();
  }

  private showMore(): void {
    this.room += PAGE;
    this.render();
  }

  private render(): void {
    const found = this.frames.filter((frame) => matches(frame, this.filter));
    const shown = found.slice(0, this.room);
    const wanted = new Set(shown.map((frame) => frame.id));
    for (const [id, row] of this.rows) {
      if (wanted.has(id)) continue;
      row.element.remove();
      this.rows.delete(id);
    }
    let next = this.list.firstElementChild;
    for (const frame of shown) {
      let row = this.rows.get(frame.id);
      if (!row) {
        row = new Row(frame.id, this.callbacks.onSelect);
        row.choose(frame.id === this.selected);
        this.rows.set(frame.id, row);
      }
      row.show(frame);
      if (row.element === next) next = next.nextElementSibling;
      else this.list.insertBefore(row.element, next);
    }
    const rest = found.length - shown.length;
    this.more.hidden = rest === 0;
    setText(this.more, t('list.more', { count: rest }));
    const words = found.length === 0 ? t('list.none') : t('list.count', { count: found.length });
    setText(this.summary, this.truncated ? `${words} ${t('list.truncated')}` : words);
    this.rove();
  }

  /** One row takes part in the tab order: the selected one, else the first. */
  private rove(): void {
    const focused = this.list.contains(document.activeElement) ? document.activeElement : null;
    const selected = this.selected === null ? undefined : this.rows.get(this.selected)?.button;
    const entry = focused ?? selected ?? this.list.querySelector('button');
    for (const { button } of this.rows.values()) button.tabIndex = button === entry ? 0 : -1;
  }

  private walk(event: KeyboardEvent): void {
    const buttons = [...this.list.querySelectorAll('button')];
    const at = buttons.indexOf(document.activeElement as HTMLButtonElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: buttons.length - 1, PageDown: at + 8, PageUp: at - 8 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    buttons[Math.max(0, Math.min(buttons.length - 1, to))]?.focus();
    this.rove();
  }
}

class Row {
  readonly element: HTMLLIElement;
  readonly button: HTMLButtonElement;
  private readonly title = el('span', { class: 'row-title' });
  private readonly time = el('time', { class: 'row-time' });
  private readonly place = el('span', { class: 'row-place' });
  private readonly status = el('span', { class: 'row-status' });
  private readonly who = document.createTextNode('');
  private readonly clock = el('span', { class: 'row-clock' });
  private readonly stage = el('span', { class: 'row-stage', 'data-testid': 'row-stage', hidden: true });
  private image: HTMLImageElement | null = null;
  private look = '';

  constructor(id: string, onSelect: (id: string) => void) {
    this.button = el(
      'button',
      { class: 'row', type: 'button', 'data-testid': 'event-row', 'data-event-id': id, onclick: () => onSelect(id) },
      el('span', { class: 'row-line' }, this.title, this.time),
      el('span', { class: 'row-line' }, this.place),
      el('span', { class: 'row-line' }, el('span', { class: 'row-who' }, this.status, this.who), this.clock),
      el('span', { class: 'row-line' }, this.stage),
    );
    this.element = el('li', {}, this.button);
  }

  show(frame: Frame): void {
    const look = `${frame.phase} ${frame.light}`;
    if (look !== this.look) {
      const image = markerImage(frame.phase, frame.light);
      if (this.image) this.image.replaceWith(image);
      else this.button.prepend(image);
      this.image = image;
      this.look = look;
      this.button.dataset.phase = frame.phase;
      this.button.dataset.light = frame.light;
    }
    this.button.dataset.status = frame.status;
    this.button.dataset.version = String(frame.version);
    setText(this.title, frame.class.name);
    setText(this.time, shortTime(frame.received_at));
    this.time.dateTime = frame.received_at;
    setText(this.place, placeOf(frame));
    setText(this.status, statusLabel(frame.status));
    setText(this.who, frame.department ? ` ${frame.department}` : '');
    setText(this.clock, clockWords(frame));
    this.stage.hidden = !frame.stage;
    if (frame.stage) {
      const { name, warn_at, due_at } = frame.stage;
      this.stage.className = `row-stage light-${lightBetween(warn_at, due_at, serverNow())}`;
      setText(this.stage, t('stage.words', { stage: t(`stage.${name}`), time: dueIn(due_at) }));
    }
  }

  choose(chosen: boolean): void {
    if (chosen) this.button.setAttribute('aria-current', 'true');
    else this.button.removeAttribute('aria-current');
  }
}
