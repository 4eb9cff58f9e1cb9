import './style.css';
import { goToLogin, loadElement, loadPlace, loadSession, loadSnapshot, Problem } from './api';
import type { Frame, Phase, Session } from './contract';
import { t } from './i18n';
import { type Change, Ledger } from './live/ledger';
import { Link } from './live/link';
import { WorkerBook, type Worker } from './live/workers';
import { palette } from './map/palette';
import { STANDING } from './map/standing';
import { MapView } from './map/view';
import { asServerTime, clockTime, serverNow, setServerTime } from './time';
import { sayProblem } from './ui/action-forms';
import { Announcer } from './ui/announcer';
import { CellPanel, elementWords } from './ui/cell-panel';
import { el, setText } from './ui/dom';
import { ElementSwitch } from './ui/element-switch';
import { EventList } from './ui/event-list';
import { EventPanel } from './ui/event-panel';
import { legend, LevelSwitch } from './ui/map-controls';
import { Queues } from './ui/queues';
import { TopBar } from './ui/top-bar';
import { WorkerPanel } from './ui/worker-panel';
import { learnWords, placeOf, statusLabel } from './words';

/** Changes are gathered for so long before they are drawn: a burst of frames costs one drawing. */
const GATHER = 80;
const LIGHTS_EVERY = 10_000;
/** So long the map must rest before the page asks for what it shows now. */
const LOOK_AFTER = 250;
const NOTICE_FOR = 60_000;

declare global {
  interface Window {
    /** For tests and for a look into a running page; read-only. */
    readonly commandCenter: {
      readonly ready: boolean;
      workers(): { id: string; name: string; online: boolean; pixel: [number, number] | null }[];
      markers(): { id: string; status: string; colour: string; pixel: [number, number] | null }[];
      elementNumbers(): Record<string, number>;
    };
  }
}

const app = document.getElementById('app') ?? document.body.appendChild(el('div', { id: 'app' }));

async function begin(): Promise<void> {
  app.replaceChildren(el('p', { class: 'starting', role: 'status' }, t('start.loading')));
  try {
    run(await loadSession());
  } catch (error) {
    const words = error instanceof Problem ? sayProblem(error) : String(error);
    app.replaceChildren(
      el(
        'div',
        { class: 'starting', role: 'alert' },
        el('p', {}, t('start.failed')),
        el('p', {}, words),
        el('button', { class: 'action primary', onclick: () => void begin() }, t('start.again')),
      ),
    );
  }
}

function run(session: Session): void {
  learnWords(session);
  const ledger = new Ledger();
  const topBar = new TopBar(session);
  const banner = el('div', { class: 'banner', role: 'alert', hidden: true });
  const announcer = new Announcer();
  const list = new EventList({
    onSelect: (id) => select({ event: id }),
    onFilter: (matches) => map.markers.filter(matches),
    onLook: (phases, inView) => {
      wanted = { phases, inView };
      look();
    },
  });
  // Shown once on the map although it is none of those in view.
  let brought: string | null = null;
  const panel = new EventPanel({
    onClose: () => select(null),
    onDetail: (detail) => {
      // Opened by a link, it may be none of those on the map; else the list must not lag behind the panel.
      if (ledger.held.has(detail.id)) gather(ledger.hear({ type: 'events', events: [detail] }, serverNow()));
      else if (brought !== detail.id) map.selectEvent(detail, true);
      brought = detail.id;
    },
    onDone: (action) => announcer.say(t('action.done', { action: action.label })),
    find: (number) => [...ledger.held.values()].find((frame) => frame.number === number),
    onSelect: (id) => select({ event: id }),
  });
  const cellPanel = new CellPanel(
    () => select(null),
    (id) => select({ event: id }),
  );
  const queues = new Queues((id) => select({ event: id }));
  const levels = new LevelSwitch(session.levels, (level) => map.boundaries.toggle(level));
  const workers = new WorkerBook();
  const workerPanel = new WorkerPanel(session.workers.replay, {
    onClose: () => closeWorker(),
    onTrack: (track) => (track ? map.track.show(track) : map.track.clear()),
    onMoment: (index) => map.track.moveTo(index),
  });
  const onDuty = el('span', { class: 'on-duty', 'data-testid': 'on-duty' }, '0');
  if (session.workers.watch) {
    levels.element.append(
      el(
        'label',
        { class: 'level' },
        el('input', {
          type: 'checkbox',
          checked: true,
          'data-testid': 'layer-workers',
          onchange: (event: Event) => (map.workers.visible = (event.currentTarget as HTMLInputElement).checked),
        }),
        el('span', { class: 'worker-mark' }, '▼'),
        el('span', {}, t('worker.layer')),
        onDuty,
      ),
    );
  }
  if (session.workers.replay) {
    levels.element.append(
      el('button', { type: 'button', class: 'quiet replay', 'data-testid': 'tracks', onclick: () => openWorker(null) }, t('replay.title')),
    );
  }
  levels.element.append(
    ...STANDING.map((name) =>
      el(
        'label',
        { class: 'level' },
        el('input', {
          type: 'checkbox',
          'data-testid': `layer-${name}`,
          onchange: (event: Event) => map.standing.show(name, (event.currentTarget as HTMLInputElement).checked),
        }),
        el('span', { class: 'standing-mark' }, name === 'elements' ? '●' : '━'),
        el('span', {}, t(name === 'elements' ? 'map.standing' : 'map.segments')),
      ),
    ),
  );
  const elements = new ElementSwitch((counts, kinds) => void map.numbers.show(counts, kinds));
  const canvas = el('div', { class: 'map', tabindex: 0, 'aria-label': t('map.title') });
  const stage = el(
    'main',
    { class: 'stage' },
    canvas,
    el('div', { class: 'map-corner top' }, levels.element, elements.element),
    el(
      'div',
      { class: 'map-corner bottom' },
      legend(),
      session.district.notice ? el('p', { class: 'notice', 'data-testid': 'synthetic-notice' }, session.district.notice) : null,
    ),
    el('button', { class: 'whole', type: 'button', onclick: () => map.showWholeDistrict() }, t('map.whole')),
    panel.element,
    cellPanel.element,
    workerPanel.element,
    queues.element,
    banner,
  );
  app.replaceChildren(topBar.element, list.element, stage, announcer.element);

  const map = new MapView(canvas, session.district, {
    onEvent: (id) => select({ event: id }, false),
    onPlace: (lonLat) => void selectPlace(lonLat),
    onWorker: (id) => openWorker(id),
    onElement: (id) => void selectElement(id),
    describeWorker: (id) => {
      const worker = workers.held.get(id);
      return worker ? workerTip(worker) : null;
    },
    describe: (id) => {
      const frame = ledger.held.get(id);
      return frame ? tooltip(frame) : null;
    },
    onVisibility: () => queueMicrotask(() => levels.reflect(map.boundaries)),
    onMove: () => {
      if (wanted.inView) look();
    },
  });

  let wanted: { phases: Phase[] | null; inView: boolean } = { phases: null, inView: false };
  let looking: ReturnType<typeof setTimeout> | undefined;
  function look(): void {
    clearTimeout(looking);
    looking = setTimeout(() => link.look({ area: wanted.inView ? map.area() : null, phases: wanted.phases }), LOOK_AFTER);
  }

  // What changed since the last drawing.
  let waiting: { change: Change; fresh: boolean }[] = [];
  let drawing: ReturnType<typeof setTimeout> | undefined;

  function gather(change: Change, fresh = true): void {
    if (!change.added.length && !change.updated.length && !change.removed.length) return;
    waiting.push({ change, fresh });
    drawing ??= setTimeout(draw, GATHER);
  }

  function draw(): void {
    drawing = undefined;
    const batch = waiting;
    waiting = [];
    for (const { change, fresh } of batch) {
      map.apply(change, fresh);
      if (fresh) announcer.sayUrgent([...change.added, ...change.updated].filter(turnedUrgent));
      for (const frame of [...change.added, ...change.updated]) panel.update(frame);
      for (const id of change.removed) panel.gone(id);
    }
    list.show(ledger.held.values(), link.truncated);
  }

  const urgent = new Set<string>();
  function turnedUrgent(frame: Frame): boolean {
    const before = urgent.has(frame.id);
    if (frame.light === 'red') urgent.add(frame.id);
    else urgent.delete(frame.id);
    return frame.light === 'red' && !before;
  }

  let noticed: ReturnType<typeof setTimeout> | undefined;
  let snapshotTaken = false;
  const link = new Link({
    ledger,
    openSocket: () => new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}${session.socket}`),
    loadSnapshot,
    checkSession: loadSession,
    now: serverNow,
    onServerTime: setServerTime,
    onWorkers: session.workers.watch
      ? (message) => {
          workers.hear(message);
          showWorkers();
        }
      : undefined,
    onChange: (change, origin) => {
      if (origin === 'frame') {
        gather(change);
        return;
      }
      for (const frame of ledger.held.values()) turnedUrgent(frame);
      gather(change, false);
      if (!snapshotTaken) {
        snapshotTaken = true;
        draw();
        follow();
        void becomeReady();
      }
    },
    onState: showLink,
    onCounts: (counts) => topBar.showCounts(counts),
    onNotice: (text) => {
      showBanner(text);
      announcer.say(text);
      clearTimeout(noticed);
      noticed = setTimeout(showLink, NOTICE_FOR);
    },
    onRefused: (why) => {
      if (why === 'login') goToLogin();
      else showBanner(t(why === 'windows' ? 'connection.windows' : 'connection.refused'));
    },
  });

  function showWorkers(): void {
    map.workers.show(workers.held.values(), serverNow());
    setText(onDuty, String(workers.held.size));
    const open = workerPanel.openWorker;
    const worker = open === null ? undefined : workers.held.get(open);
    if (worker) workerPanel.update(worker);
  }

  function openWorker(id: string | null): void {
    select(null);
    workerPanel.open(id === null ? null : (workers.held.get(id) ?? null));
    map.setCovered(workerPanel.element.offsetWidth);
  }

  function closeWorker(): void {
    workerPanel.close();
    map.setCovered(0);
  }

  function showLink(): void {
    topBar.showState(link.state);
    if (link.state === 'live') banner.hidden = true;
    else if (link.state === 'stale') showBanner(t('connection.lost', { time: clockTime(asServerTime(link.heardAt)) }));
  }

  function showBanner(words: string): void {
    banner.hidden = false;
    setText(banner, words);
  }

  type Selection = { event: string } | { cell: string } | null;

  let bring = true;

  /**
   * The address names the selection, so a link opens it and “back” returns to it. `approach` moves the map near the
   * event; who clicked it on the map sees it already.
   */
  function select(selection: Selection, approach = true): void {
    bring = approach;
    brought = null;
    const hash = selection === null ? '' : 'event' in selection ? `#event=${selection.event}` : `#cell=${selection.cell}`;
    if (hash === location.hash) follow();
    else if (hash) location.hash = hash;
    else {
      history.pushState(null, '', location.pathname + location.search);
      follow();
    }
  }

  function follow(): void {
    const [, kind, value = ''] = /^#(event|cell)=([\w-]+)$/.exec(location.hash) ?? [];
    const event = kind === 'event' ? value : null;
    const cell = kind === 'cell' ? value : null;
    const known = event === null ? undefined : ledger.held.get(event);

    workerPanel.close();
    if (event === null) panel.close();
    else panel.open(event, known);
    list.markSelected(event);
    if (cell === null) {
      cellPanel.close();
      map.boundaries.mark(undefined);
    } else {
      void showCell(cell);
    }
    map.setCovered(event || cell ? (panel.element.offsetWidth || cellPanel.element.offsetWidth) : 0);
    map.selectEvent(known ?? null, bring);
    bring = true;
  }

  let asking: AbortController | null = null;
  /** Where the selected cell was clicked, if it was. */
  let clicked: { cell: string; at: [number, number] } | null = null;

  /** What lies under a click; the server says so, since only its borders are exact. */
  async function selectPlace(lonLat: [number, number]): Promise<void> {
    asking?.abort();
    const own = (asking = new AbortController());
    const place = await loadPlace(lonLat, own.signal).catch(() => null);
    if (own.signal.aborted || place === null) return;
    clicked = place.cell === null ? null : { cell: place.cell, at: lonLat };
    select(place.cell === null ? null : { cell: place.cell });
  }

  /** What a mark on the map stands for; the server says so, by the viewer's rights of this moment. */
  async function selectElement(id: string): Promise<void> {
    asking?.abort();
    const own = (asking = new AbortController());
    const element = await loadElement(id).catch(() => null);
    if (own.signal.aborted || element === null) return;
    select({ cell: element.cell });
    if (element.point) {
      map.tell(element.point, el('div', {}, el('strong', {}, element.kind_label), el('div', {}, elementWords(element))));
    }
  }

  async function showCell(code: string): Promise<void> {
    const cell = await map.boundaries.cell(code).catch(() => undefined);
    if (location.hash !== `#cell=${code}`) return;
    map.boundaries.mark(cell);
    const names: unknown = cell?.get('levels');
    const events = [...ledger.held.values()].filter((frame) => frame.cell === code);
    const place = clicked?.cell === code ? clicked.at : cell ? map.boundaries.placeIn(cell) : null;
    cellPanel.open(code, Array.isArray(names) ? names.map(String) : [], session.levels, events, place);
    map.setCovered(cellPanel.element.offsetWidth);
  }

  let ready = false;
  async function becomeReady(): Promise<void> {
    await Promise.all([1, 3].map((level) => map.boundaries.load(level).catch(() => undefined)));
    await map.painted();
    ready = true;
  }

  Object.defineProperty(window, 'commandCenter', {
    value: Object.freeze({
      get ready() {
        return ready;
      },
      workers: () =>
        [...workers.held.values()].map(({ id, name, place }) => ({ id, name, online: place[7], pixel: map.pixelOf(id) })),
      markers: () =>
        [...ledger.held.values()].map(({ id, status, phase }) => ({
          id,
          status,
          colour: palette().phase[phase],
          pixel: map.pixelOf(id),
        })),
      elementNumbers: () => map.numbers.sums(),
      pixelAt: (lonLat: [number, number]) => map.pixelAt(lonLat),
    }),
  });

  setInterval(() => {
    topBar.tick();
    panel.tick();
    showWorkers();
  }, 1_000);
  setInterval(() => {
    gather(ledger.turnLights(serverNow()));
    list.show(ledger.held.values(), link.truncated);
  }, LIGHTS_EVERY);
  window.addEventListener('hashchange', follow);
  window.addEventListener('offline', () => link.lose());
  window.addEventListener('online', () => link.hurry());
  document.addEventListener('visibilitychange', () => link.tick());
  document.addEventListener('keydown', (event) => {
    const typing = event.target instanceof HTMLElement && event.target.matches('input, textarea, select');
    if (event.key === 'Escape' && !(typing && (event.target as HTMLInputElement).value)) select(null);
    else if (event.key === '/' && !typing) {
      event.preventDefault();
      list.focusSearch();
    }
  });
  link.start();
  queues.start();
}

function workerTip(worker: Worker): Node {
  const battery = worker.place[4];
  const words = [worker.post, t(worker.place[7] ? 'worker.online' : 'worker.offline'), battery === null ? '' : `${battery} %`];
  return el('div', {}, el('strong', {}, worker.name), el('div', {}, words.filter(Boolean).join(' · ')));
}

function tooltip(frame: Frame): Node {
  return el(
    'div',
    {},
    el('strong', {}, frame.class.name),
    el('div', {}, `${statusLabel(frame.status)} · ${placeOf(frame)}`),
    frame.description ? el('div', { class: 'tip-words' }, frame.description) : null,
  );
}

void begin();
