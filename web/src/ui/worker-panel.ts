import { loadShifts, loadTrack, Problem } from '../api';
import type { ShiftRow, Track } from '../contract';
import { t } from '../i18n';
import { isStale, type Worker } from '../live/workers';
import { duration, exactTime, serverNow, shortTime } from '../time';
import { roleLabel } from '../words';
import { sayProblem } from './action-forms';
import { el, setText } from './dom';

const PLAY_EVERY = 60;
const PLAY_STEPS = 400;

export interface WorkerPanelCallbacks {
  onClose: () => void;
  /** A track was loaded (null: put away), and which of its points the slider stands on. */
  onTrack: (track: Track | null) => void;
  onMoment: (index: number) => void;
}

/** Somebody on duty; and for those who may, the way of a past or present shift, for a stated purpose. */
export class WorkerPanel {
  readonly element: HTMLElement;
  private readonly callbacks: WorkerPanelCallbacks;
  private readonly mayReplay: boolean;
  private readonly title = el('h2', { tabindex: -1 });
  private readonly facts = el('dl', { class: 'facts', 'data-testid': 'worker-facts' });
  private readonly shifts = el('select', { 'data-testid': 'replay-shift', 'aria-label': t('replay.shift') });
  private readonly purpose = el('input', {
    type: 'text',
    maxlength: 200,
    required: true,
    'data-testid': 'replay-purpose',
    'aria-label': t('replay.purpose'),
    placeholder: t('replay.purpose_hint'),
  });
  private readonly trouble = el('p', { class: 'trouble', role: 'alert' });
  private readonly player = el('div', { class: 'player', 'data-testid': 'player', hidden: true });
  private readonly slider = el('input', { type: 'range', min: 0, value: 0, 'data-testid': 'slider', 'aria-label': t('replay.moment') });
  private readonly moment = el('p', { class: 'strong', 'data-testid': 'moment' });
  private readonly crossings = el('ol', { class: 'timeline' });
  private readonly play: HTMLButtonElement;
  private worker: string | null = null;
  private track: Track | null = null;
  private playing: ReturnType<typeof setInterval> | undefined;

  constructor(mayReplay: boolean, callbacks: WorkerPanelCallbacks) {
    this.callbacks = callbacks;
    this.mayReplay = mayReplay;
    this.play = el('button', { type: 'button', class: 'action', 'data-testid': 'play', onclick: () => this.toggle() }, t('replay.play'));
    this.slider.addEventListener('input', () => this.stand(Number(this.slider.value)));
    this.player.append(this.slider, this.moment, this.play, this.crossings);
    const form = el(
      'form',
      {
        class: 'panel-part',
        onsubmit: (event: Event) => {
          event.preventDefault();
          void this.load();
        },
      },
      el('h3', {}, t('replay.title')),
      el('p', { class: 'why' }, t('replay.logged')),
      this.shifts,
      this.purpose,
      el('button', { class: 'action primary', 'data-testid': 'replay-load' }, t('replay.load')),
      this.trouble,
      this.player,
    );
    this.element = el(
      'aside',
      { class: 'panel', 'data-testid': 'worker-panel', 'aria-label': t('worker.title'), hidden: true },
      el(
        'div',
        { class: 'panel-bar' },
        this.title,
        el('button', { class: 'close', type: 'button', 'aria-label': t('panel.close'), 'data-testid': 'worker-close', onclick: () => callbacks.onClose() }, '×'),
      ),
      el('div', { class: 'panel-scroll' }, this.facts, mayReplay ? form : null),
    );
  }

  get openWorker(): string | null {
    return this.worker;
  }

  /** Open somebody on duty, or with null the shifts of everyone. */
  open(worker: Worker | null): void {
    this.close();
    this.element.hidden = false;
    this.worker = worker?.id ?? null;
    setText(this.title, worker?.name ?? t('replay.title'));
    this.facts.hidden = worker === null;
    if (worker) this.update(worker);
    if (this.mayReplay) void this.list(worker?.person ?? null);
  }

  close(): void {
    this.stop();
    this.element.hidden = true;
    this.worker = null;
    this.track = null;
    this.player.hidden = true;
    this.purpose.value = '';
    setText(this.trouble, '');
    this.callbacks.onTrack(null);
  }

  /** They moved, or time passed. */
  update(worker: Worker): void {
    if (worker.id !== this.worker) return;
    const [lon, , accuracy, at, battery, mock, jump, online] = worker.place;
    const state = [t(online ? 'worker.online' : 'worker.offline'), at !== null && isStale(worker, serverNow()) ? t('worker.stale') : ''];
    const row = (label: string, value: string): Node[] => [el('dt', {}, label), el('dd', {}, value)];
    this.facts.replaceChildren(
      ...row(t('worker.post'), `${worker.post} · ${roleLabel(worker.role)}`),
      ...row(t('worker.state'), state.filter(Boolean).join(' · ')),
      ...row(t('worker.since'), shortTime(worker.since)),
      ...row(t('worker.fix'), at === null || lon === null ? t('worker.nowhere') : t('worker.ago', { time: age(serverNow() - at) })),
      ...(accuracy === null ? [] : row(t('worker.accuracy'), `± ${Math.round(accuracy)} m`)),
      ...(battery === null ? [] : row(t('worker.battery'), `${battery} %`)),
      ...(worker.inside === null ? [] : row(t('worker.area'), t(worker.inside ? 'worker.inside' : 'worker.outside'))),
      ...(mock || jump ? row(t('worker.doubt'), [mock ? t('worker.mock') : '', jump ? t('worker.jump') : ''].filter(Boolean).join(' · ')) : []),
    );
  }

  private async list(person: number | null): Promise<void> {
    try {
      const rows = await loadShifts(person);
      this.shifts.replaceChildren(...rows.map((row) => el('option', { value: row.id }, words(row))));
      if (this.worker && rows.some((row) => row.id === this.worker)) this.shifts.value = this.worker;
    } catch (error) {
      this.say(error);
    }
  }

  private async load(): Promise<void> {
    setText(this.trouble, '');
    if (!this.shifts.value) return;
    if (this.purpose.value.trim().length < 2) {
      setText(this.trouble, t('replay.purpose_missing'));
      this.purpose.focus();
      return;
    }
    try {
      const track = await loadTrack(this.shifts.value, this.purpose.value.trim());
      this.track = track;
      this.player.hidden = false;
      this.slider.max = String(Math.max(0, track.points.length - 1));
      this.crossings.replaceChildren(
        ...track.crossings.map((one) => el('li', {}, `${exactTime(one.at)} ${t(one.entered ? 'replay.entered' : 'replay.left')}`)),
      );
      this.callbacks.onTrack(track);
      this.stand(0);
      if (!track.points.length) setText(this.moment, t('replay.empty'));
    } catch (error) {
      this.say(error);
    }
  }

  private stand(index: number): void {
    const point = this.track?.points[index];
    if (!point) return;
    this.slider.value = String(index);
    this.slider.setAttribute('aria-valuetext', exactTime(point.at));
    const parts = [exactTime(point.at), point.accuracy_m === null ? '' : `± ${Math.round(point.accuracy_m)} m`];
    if (point.mock) parts.push(t('worker.mock'));
    if (point.jump) parts.push(t('worker.jump'));
    setText(this.moment, parts.filter(Boolean).join(' · '));
    this.callbacks.onMoment(index);
  }

  private toggle(): void {
    if (this.playing !== undefined) {
      this.stop();
      return;
    }
    const last = (this.track?.points.length ?? 1) - 1;
    const step = Math.max(1, Math.round(last / PLAY_STEPS));
    if (Number(this.slider.value) >= last) this.stand(0);
    setText(this.play, t('replay.pause'));
    this.playing = setInterval(() => {
      const next = Math.min(last, Number(this.slider.value) + step);
      this.stand(next);
      if (next >= last) this.stop();
    }, PLAY_EVERY);
  }

  private stop(): void {
    clearInterval(this.playing);
    this.playing = undefined;
    setText(this.play, t('replay.play'));
  }

  private say(error: unknown): void {
    if (!(error instanceof Problem)) throw error;
    setText(this.trouble, sayProblem(error));
  }
}

const words = (row: ShiftRow): string =>
  `${row.name} · ${row.post} · ${exactTime(row.started_at)} – ${row.ended_at ? shortTime(row.ended_at) : t('replay.running')}`;

function age(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  return seconds < 60 ? t('time.seconds', { seconds }) : duration(milliseconds);
}
