import { loadDetail, Problem } from '../api';
import type { ComponentFacts, Action, CallBack, DeliveryFact, Detail, Frame, LevelName, Reclassified, SiteCheck, Supervision, TimelineEntry, WorkOrder } from '../contract';
import { t } from '../i18n';
import { dueIn, exactTime, shortTime } from '../time';
import { clockWords, placeOf, statusLabel } from '../words';
import { ActionForms, sayProblem } from './action-forms';
import { el, setText } from './dom';
import { markerImage } from './marker-image';

/** So long after a newer version was seen, its detail is fetched: a burst of steps costs one request. */
const SETTLE = 250;
const PATIENCE = [1_000, 3_000, 8_000];
/** Receiving and seeing change no version: while a dispatch is under way they are asked for. */
const ASK_AGAIN = 5_000;

export interface PanelCallbacks {
  onClose: () => void;
  onDetail: (detail: Detail) => void;
  onDone: (action: Action) => void;
  /** An event with this number, if it is held. */
  find: (number: string) => Frame | undefined;
  onSelect: (id: string) => void;
}

/** Everything about the selected event. Parts that did not change are left alone. */
export class EventPanel {
  readonly element: HTMLElement;
  private readonly callbacks: PanelCallbacks;
  private readonly title = el('h2', { tabindex: -1 });
  private readonly head = el('div', { class: 'panel-head' });
  private readonly clock = el('span', { class: 'panel-clock' });
  private readonly body = el('div', { class: 'panel-facts' });
  private readonly notice = el('p', { class: 'panel-notice', role: 'status' });
  private readonly actions: ActionForms;
  private frame: Frame | null = null;
  private detail: Detail | null = null;
  private parts = new Map<string, { content: string; node: Node }>();
  private loading: AbortController | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(callbacks: PanelCallbacks) {
    this.callbacks = callbacks;
    this.actions = new ActionForms({
      onDone: (detail, action) => {
        this.take(detail);
        callbacks.onDone(action);
      },
      onStale: () => this.fetchSoon(0),
    });
    this.element = el(
      'aside',
      { class: 'panel', 'data-testid': 'event-panel', 'aria-label': t('panel.title'), hidden: true },
      el(
        'div',
        { class: 'panel-bar' },
        this.title,
        el('button', { class: 'close', type: 'button', 'aria-label': t('panel.close'), 'data-testid': 'panel-close', onclick: () => callbacks.onClose() }, '×'),
      ),
      el('div', { class: 'panel-scroll' }, this.head, this.notice, this.actions.element, this.body),
    );
  }

  get openEvent(): string | null {
    return this.frame?.id ?? null;
  }

  /** Open an event; what its frame tells is shown at once, the rest when it comes. */
  open(id: string, frame: Frame | undefined): void {
    if (this.frame?.id === id) return;
    this.leave();
    this.element.hidden = false;
    this.element.dataset.event = id;
    setText(this.title, frame?.class.name ?? t('panel.loading'));
    setText(this.notice, frame ? '' : t('panel.loading'));
    if (frame) this.showHead(frame);
    this.frame = frame ?? ({ id, version: 0 } as Frame);
    this.element.querySelector('.panel-scroll')?.scrollTo(0, 0);
    this.fetchSoon(0);
  }

  close(): void {
    this.leave();
    this.element.hidden = true;
    delete this.element.dataset.event;
  }

  focus(): void {
    this.title.focus();
  }

  /** A newer frame of the open event came, or its light turned. */
  update(frame: Frame): void {
    if (this.frame?.id !== frame.id) return;
    this.showHead(frame);
    if (frame.version > (this.detail?.version ?? 0)) this.fetchSoon(SETTLE);
  }

  /** The open event left the map: by its view, or for good; the server knows. */
  gone(id: string): void {
    if (this.frame?.id === id) this.fetchSoon(0);
  }

  tick(): void {
    if (this.frame?.due_at) setText(this.clock, clockWords(this.frame));
  }

  private leave(): void {
    clearTimeout(this.timer);
    this.loading?.abort();
    this.frame = null;
    this.detail = null;
    this.parts.clear();
    this.actions.clear();
    this.head.replaceChildren();
    this.body.replaceChildren();
  }

  private fetchSoon(wait: number, attempt = 0): void {
    const id = this.frame?.id;
    if (id === undefined) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.fetch(id, attempt), wait);
  }

  private async fetch(id: string, attempt: number): Promise<void> {
    this.loading?.abort();
    const loading = new AbortController();
    this.loading = loading;
    try {
      this.take(await loadDetail(id, loading.signal));
    } catch (error) {
      if (loading.signal.aborted) return;
      if (!(error instanceof Problem)) throw error;
      if (error.status === 404 || error.status === 403) {
        if (!this.detail) setText(this.title, t('panel.title'));
        this.actions.clear();
        setText(this.notice, t('panel.gone'));
        return;
      }
      setText(this.notice, `${t('panel.failed')} ${sayProblem(error)}`);
      this.fetchSoon(PATIENCE[Math.min(attempt, PATIENCE.length - 1)] ?? 0, attempt + 1);
    }
  }

  private take(detail: Detail): void {
    if (detail.id !== this.frame?.id || detail.version < (this.detail?.version ?? 0)) return;
    this.detail = detail;
    setText(this.notice, '');
    this.showHead(detail);
    this.actions.show(detail);
    this.showBody(detail);
    this.callbacks.onDetail(detail);
    if (detail.work_orders.some((order) => underWay(order))) this.fetchSoon(ASK_AGAIN);
  }

  private showHead(frame: Frame): void {
    if (this.frame && this.frame.id === frame.id && this.frame.version > frame.version) return;
    this.frame = frame;
    setText(this.title, frame.class.name);
    setText(this.clock, clockWords(frame));
    const words = el(
      'div',
      { class: 'head-words' },
      el(
        'p',
        { class: 'head-line' },
        el('span', { class: 'status', 'data-testid': 'panel-status', 'data-status': frame.status }, statusLabel(frame.status)),
        frame.light === 'none' ? null : el('span', { class: `light light-${frame.light}` }, t(`light.${frame.light}`)),
        this.clock,
      ),
      el('p', { class: 'number', 'data-testid': 'event-number' }, frame.number),
      el('p', { class: 'place' }, placeOf(frame)),
    );
    this.head.replaceChildren(markerImage(frame.phase, frame.light), words);
  }

  private showBody(detail: Detail): void {
    const parts: [string, unknown, () => Node | null][] = [
      ['facts', [detail.overdue_multiple, detail.closing_label, detail.returns, detail.description, detail.condition, detail.due_at, detail.received_at, detail.class], () => facts(detail)],
      ['merged', detail.merged_into, () => this.mergedInto(detail)],
      ['component', detail.component, () => (detail.component ? component(detail.component) : null)],
      ['levels', detail.levels, () => section(t('panel.levels'), levelChain(detail.levels))],
      ['doubt', [detail.doubt, detail.cell], () => doubt(detail)],
      ['responsibility', detail.responsibility, () => responsibility(detail)],
      ['request', [detail.request, detail.deferred_until], () => request(detail)],
      ['supervisions', detail.supervisions, () => list(t('panel.supervisions'), detail.supervisions.map(supervision))],
      ['call-backs', detail.call_backs, () => list(t('panel.call_backs'), detail.call_backs.map(callBack))],
      ['checks', detail.checks, () => list(t('panel.checks'), detail.checks.map(siteCheck))],
      ['orders', detail.work_orders, () => list(t('panel.work_orders'), detail.work_orders.map(workOrder))],
      ['photos', detail.photos, () => photos(detail)],
      ['reports', detail.reports, () => list(t('panel.reports'), detail.reports.map(report))],
      ['nearby', detail.nearby, () => this.nearby(detail.nearby)],
      ['timeline', [detail.timeline, detail.delivery], () => section(t('panel.timeline'), timeline(detail.timeline, detail.delivery))],
    ];
    const nodes = parts.map(([name, data, build]) => {
      const content = JSON.stringify(data);
      const old = this.parts.get(name);
      if (old?.content === content) return old.node;
      const node = build() ?? document.createTextNode('');
      this.parts.set(name, { content, node });
      return node;
    });
    const changed = nodes.some((node, index) => this.body.childNodes[index] !== node);
    if (changed) this.body.replaceChildren(...nodes);
  }

  /** Where a case that told of the same problem went. */
  private mergedInto(detail: Detail): Node | null {
    const other = detail.merged_into;
    if (!other) return null;
    const link = el('button', { type: 'button', class: 'link', 'data-testid': 'merged-into', onclick: () => this.callbacks.onSelect(other.id) }, other.number);
    return section(t('panel.merged_into'), link);
  }

  private nearby(numbers: string[]): Node | null {
    const links = numbers.map((number) => {
      const frame = this.callbacks.find(number);
      if (!frame) return el('span', { class: 'number' }, number);
      return el(
        'button',
        { type: 'button', class: 'link', onclick: () => this.callbacks.onSelect(frame.id) },
        `${number} ${frame.class.name}`,
      );
    });
    return list(t('panel.nearby'), links);
  }
}

const section = (title: string, ...content: (Node | string)[]): HTMLElement =>
  el('section', { class: 'panel-part' }, el('h3', {}, title), ...content);

const list = (title: string, items: Node[]): Node | null => (items.length ? section(title, ...items) : null);

const fact = (label: string, value: string | null | undefined): Node[] =>
  value ? [el('dt', {}, label), el('dd', {}, value)] : [];

function facts(detail: Detail): Node {
  const condition = detail.condition;
  return el(
    'section',
    { class: 'panel-part' },
    detail.description ? el('p', { class: 'description' }, detail.description) : null,
    el(
      'dl',
      { class: 'facts' },
      ...fact(t('panel.condition'), condition?.text),
      ...fact(t('panel.limit'), condition?.limit_text),
      ...fact(t('panel.closing'), condition?.closing),
      ...fact(t('panel.due'), detail.due_at && exactTime(detail.due_at)),
      ...fact(t('panel.overdue_multiple'), detail.overdue_multiple?.toFixed(2)),
      ...fact(t('panel.closed_as'), detail.closing_label),
      ...fact(t('panel.returns'), detail.returns ? String(detail.returns) : null),
      ...fact(t('panel.received'), exactTime(detail.received_at)),
    ),
  );
}

/** The component a case is about, and who manages, owns and maintains it. */
const component = (about: ComponentFacts): HTMLElement =>
  section(
    t('panel.component'),
    el(
      'div',
      { 'data-testid': 'component' },
      el('p', {}, [about.name, about.code, about.state_label].filter(Boolean).join(' · ')),
      el('dl', { class: 'facts' }, ...about.departments.flatMap(({ label, name }) => fact(label, name))),
    ),
  );

/** The organisations that answer for a place, from the district down to the cell. */
export const levelChain = (levels: LevelName[]): HTMLElement =>
  el(
    'ol',
    { class: 'chain' },
    ...levels.map(({ level, label, name }) =>
      el('li', { 'data-level': level }, el('span', { class: 'chain-label' }, label), el('span', { class: 'chain-name' }, name)),
    ),
  );

/** Which cells the fix may mean, and how far outside it lies: the dispatcher decides by moving the event. */
function doubt(detail: Detail): Node | null {
  if (!detail.doubt) return null;
  const { accuracy_m, outside_m, candidates } = detail.doubt;
  const metres = (value: number): string => (value < 10 ? value.toFixed(1) : String(Math.round(value)));
  const rows = candidates.map(({ code, community, share }) =>
    el(
      'li',
      { class: code === detail.cell ? 'here' : '', 'data-testid': 'candidate' },
      el('span', {}, `${code} ${community}`),
      el('span', {}, share.toLocaleString(undefined, { style: 'percent', maximumFractionDigits: 1 })),
    ),
  );
  const part = section(
    t('panel.doubt'),
    ...(outside_m === null ? [] : [el('p', { class: 'why' }, t('doubt.outside', { metres: metres(outside_m) }))]),
    ...(rows.length ? [el('p', { class: 'why' }, t('doubt.candidates', { metres: metres(accuracy_m ?? 0) })), el('ol', { class: 'candidates' }, ...rows)] : []),
  );
  part.dataset.testid = 'doubt';
  return part;
}

function responsibility(detail: Detail): Node | null {
  if (!detail.responsibility) return null;
  const { department, why } = detail.responsibility;
  return section(t('panel.responsibility'), el('p', { class: 'strong' }, department), el('p', { class: 'why' }, why));
}

/** What a department asks for and nobody has decided, or until when the work rests. */
function request(detail: Detail): Node | null {
  if (detail.deferred_until) return section(t('panel.deferred_until'), el('p', {}, exactTime(detail.deferred_until)));
  if (!detail.request) return null;
  const { label, reason, until } = detail.request;
  return section(
    t('panel.request'),
    el('p', { class: 'strong' }, until ? `${label} → ${exactTime(until)}` : label),
    el('p', { class: 'why' }, reason),
  );
}

/** A card, and what its post answered. */
function supervision(card: Supervision): Node {
  const { answer } = card;
  const words = answer
    ? [
        answer.received_when ? t('supervision.received', { time: shortTime(answer.received_when) }) : null,
        t('supervision.contacted', { who: answer.contacted }),
        answer.new_deadline ? t('supervision.deadline', { time: shortTime(answer.new_deadline) }) : null,
      ]
    : card.ended_at
      ? [t('supervision.ended', { time: shortTime(card.ended_at) })]
      : [t('supervision.until', { time: shortTime(card.answer_due_at) }), dueIn(card.answer_due_at)];
  return el(
    'div',
    { class: 'order', 'data-testid': 'supervision-card', 'data-card': card.card },
    el(
      'p',
      { class: 'order-who' },
      el('span', { class: `press press-${card.card}` }, card.card_label),
      ' ',
      el('span', { class: 'strong' }, card.post),
      card.level_label ? ` ${card.level_label}` : '',
    ),
    el('p', { class: 'by' }, [card.by ?? t('supervision.by_rule'), shortTime(card.asked_at)].join(' · ')),
    card.reason ? el('p', { class: 'reason' }, card.reason) : null,
    el('p', { class: 'why' }, words.filter(Boolean).join(' · ')),
    answer ? el('p', { class: 'reason' }, answer.measures) : null,
  );
}

/** Who was sent to look, and what they found. */
function siteCheck(one: SiteCheck): Node {
  const said = one.done_at
    ? [one.outcome_label, shortTime(one.done_at), one.metres_away === null ? null : t('check.away', { metres: one.metres_away }), ...one.flags]
    : [one.ended_at ? t('check.ended', { time: shortTime(one.ended_at) }) : t('check.until', { time: shortTime(one.due_at) })];
  return el(
    'div',
    { class: 'order', 'data-testid': 'site-check', 'data-outcome': one.outcome },
    el('p', { class: 'order-who' }, el('span', { class: 'strong' }, one.kind_label), ` ${one.post}`),
    el('p', { class: 'by' }, [one.sent_label, shortTime(one.asked_at)].join(' · ')),
    el('p', { class: 'why' }, said.filter(Boolean).join(' · ')),
    one.note ? el('p', { class: 'reason' }, one.note) : null,
  );
}

function callBack(one: CallBack): Node {
  const said = one.answered_at
    ? [one.rating_label, t(one.resolved ? 'call-back.resolved' : 'call-back.unresolved'), one.reopened ? t('call-back.reopened') : null]
    : [one.timed_out_at ? t('call-back.timed_out') : t('call-back.waiting', { time: shortTime(one.answer_until) })];
  return el(
    'div',
    { class: 'order', 'data-testid': 'call-back-entry' },
    el('p', { class: 'order-who' }, el('span', { class: 'strong' }, one.reporter), ` ${one.way_label}`),
    el('p', { class: 'why' }, said.filter(Boolean).join(' · ')),
    one.reason ? el('p', { class: 'reason' }, one.reason) : null,
  );
}

function workOrder(order: WorkOrder): Node {
  const steps: [string, string | null][] = [
    [t('order.dispatched'), order.dispatched_at],
    [t('order.received'), order.received_at],
    [t('order.seen'), order.seen_at],
    [t('order.taken_on'), order.taken_on_at],
    ...(order.part === 'whistle' ? [[t('order.arrived'), order.arrived_at] as [string, string | null]] : []),
    [t('order.handled'), order.handled_at],
  ];
  return el(
    'div',
    { class: 'order', 'data-testid': 'work-order' },
    el('p', { class: 'order-who' }, el('span', { class: 'strong' }, order.department), ' ', order.post, order.part === 'lead' ? '' : ` · ${order.part_label}`),
    order.open && order.due_at && order.part !== 'lead' ? el('p', { class: 'why' }, t('order.due', { time: shortTime(order.due_at) })) : null,
    el(
      'ol',
      { class: 'delivery' },
      ...steps.map(([label, time]) =>
        el('li', { class: time ? 'done' : 'ahead', title: time ? exactTime(time) : null }, el('span', { class: 'step' }, label), el('time', { datetime: time }, time ? shortTime(time) : '—')),
      ),
    ),
    order.expired_at && underWay(order) ? el('p', { class: 'sent-back' }, `${t('order.expired')} ${shortTime(order.expired_at)}`) : null,
    order.recalled_at ? el('p', { class: 'sent-back' }, `${t('order.recalled')} ${shortTime(order.recalled_at)}`) : null,
    order.released_at ? el('p', { class: 'sent-back' }, `${t('order.released')} ${shortTime(order.released_at)}`) : null,
    order.sent_back_at ? el('p', { class: 'sent-back' }, `${t('order.sent_back')} ${shortTime(order.sent_back_at)}`) : null,
  );
}

function photos(detail: Detail): Node | null {
  const pictures = detail.photos.map((photo) => {
    const step = detail.timeline.find((entry) => entry.kind === photo.step)?.kind_label ?? '';
    const caption = [step, photo.taken_at && shortTime(photo.taken_at)].filter(Boolean).join(' ');
    return el(
      'figure',
      {},
      el(
        'a',
        { href: photo.url, target: '_blank', rel: 'noopener' },
        el('img', { src: photo.thumbnail_url ?? photo.url, alt: t('panel.photo', { step }), loading: 'lazy', width: 96, height: 72 }),
      ),
      caption ? el('figcaption', {}, caption) : null,
    );
  });
  return pictures.length ? section(t('panel.photos'), el('div', { class: 'photos' }, ...pictures)) : null;
}

const report = (one: Detail['reports'][number]): Node =>
  el(
    'p',
    { class: 'report' },
    el('span', { class: 'strong' }, one.channel_label),
    ` ${shortTime(one.reported_at)} ${[one.reporter, one.number, replied(one)].filter(Boolean).join(' · ')}`,
  );

/** Whoever reported through a desk is owed a reply. */
function replied(one: Detail['reports'][number]): string {
  if (one.replied_at) return t('report.replied', { time: shortTime(one.replied_at) });
  return one.reply_due_at ? t('report.reply_due', { time: shortTime(one.reply_due_at) }) : '';
}

/** Newest first: what happened last is what the operator asks about. Steps, and between them the facts of delivery. */
function timeline(entries: TimelineEntry[], facts: DeliveryFact[]): Node {
  const steps = entries.map((entry) => ({ at: entry.occurred_at, order: entry.version, node: step(entry) }));
  // Written in the transaction of its step, a fact of the same moment comes after it.
  const delivered = facts.map((fact) => ({ at: fact.at, order: Infinity, node: deliveryFact(fact) }));
  const items = [...steps, ...delivered].sort((a, b) => Date.parse(b.at) - Date.parse(a.at) || b.order - a.order);
  return el('ol', { class: 'timeline' }, ...items.map((item) => item.node));
}

const underWay = (order: WorkOrder): boolean => order.open && !order.taken_on_at && !order.recalled_at && !order.sent_back_at;

const deliveryFact = (fact: DeliveryFact): Node =>
  el(
    'li',
    { class: 'fact', 'data-testid': 'delivery-fact', 'data-kind': fact.kind },
    el('p', { class: 'what' }, fact.label, el('time', { datetime: fact.at, title: exactTime(fact.at) }, exactTime(fact.at))),
    el('p', { class: 'by' }, fact.post),
  );

const step = (entry: TimelineEntry): Node =>
      el(
        'li',
        { 'data-testid': 'timeline-entry', 'data-kind': entry.kind },
        el('p', { class: 'what' }, el('span', { class: 'strong' }, entry.kind_label), el('time', { datetime: entry.occurred_at, title: exactTime(entry.occurred_at) }, exactTime(entry.occurred_at))),
        el('p', { class: 'by' }, [entry.by ?? t('panel.system'), entry.stood_in_for && t('post.stands_in_for', { name: entry.stood_in_for }), entry.post].filter(Boolean).join(' · ')),
        entry.to && entry.to !== entry.from ? el('p', { class: 'to' }, `→ ${statusLabel(entry.to)}`) : null,
        entry.kind === 'merge' || entry.kind === 'join' ? el('p', { class: 'why' }, String(entry.data.number)) : null,
        ...reclassified(entry),
        entry.reason ? el('p', { class: 'reason' }, entry.reason) : null,
      );

/** Both clocks of a case that is of another class now: what the old one had used of its limit, and the new one. */
function reclassified(entry: TimelineEntry): Node[] {
  const change = entry.data as Partial<Reclassified> | undefined;
  if (!change?.before || !change.after) return [];
  const { before, after } = change;
  const used = t('reclassified.used', { hours: (before.used_seconds / 3600).toFixed(1) });
  const due = (at: string | null): string | null => (at ? t('order.due', { time: shortTime(at) }) : null);
  return [
    el('p', { class: 'why' }, [before.class_name, before.limit_text, due(before.due_at), used].filter(Boolean).join(' · ')),
    el('p', { class: 'why' }, [`→ ${after.class_name}`, after.limit_text, due(after.due_at)].filter(Boolean).join(' · ')),
  ];
}
