import type { Counts, Message, Snapshot, View, WorkersMessage } from '../contract';
import type { Change, Ledger } from './ledger';

export type LinkState = 'connecting' | 'live' | 'stale';

const PING_EVERY = 10_000;
const SILENCE = 25_000;
const ANSWER_WITHIN = 5_000;
const HELLO_WITHIN = 10_000;
const FIRST_WAIT = 500;
const LONGEST_WAIT = 10_000;
const SNAPSHOT_EVERY = 300_000;
const NOT_LOGGED_IN = 4401;
const NOT_PERMITTED = 4403;
const TOO_MANY = 4429;
const REFUSALS = new Map<number, Refusal>([
  [NOT_LOGGED_IN, 'login'],
  [NOT_PERMITTED, 'permission'],
  [TOO_MANY, 'windows'],
]);

export type Refusal = 'login' | 'permission' | 'windows';

/** The part of a WebSocket that is used here. */
export type Socket = Pick<WebSocket, 'send' | 'close' | 'onmessage' | 'onclose'>;

export interface LinkOptions {
  ledger: Ledger;
  openSocket: () => Socket;
  loadSnapshot: (view: View, signal: AbortSignal) => Promise<Snapshot>;
  /** Asked after repeated refusals of the socket: does the server still know us? It rejects if not. */
  checkSession: () => Promise<unknown>;
  onChange: (change: Change, origin: 'snapshot' | 'frame') => void;
  onState: (state: LinkState) => void;
  onServerTime: (time: number) => void;
  /** Who is on duty and where; only asked for when given. */
  onWorkers?: ((message: WorkersMessage) => void) | undefined;
  onCounts: (counts: Counts) => void;
  onNotice: (text: string) => void;
  onRefused: (why: Refusal) => void;
  now?: () => number;
}

/**
 * Keeps the ledger true: connects, takes a snapshot after each hello, applies frames, notices a network that went
 * silent, and starts again with growing waits.
 */
export class Link {
  state: LinkState = 'connecting';
  /** When the server was last heard (milliseconds, this machine's clock). */
  heardAt: number;
  truncated = false;

  private readonly options: LinkOptions;
  private socket: Socket | null = null;
  private greeted = false;
  private connectedAt = 0;
  private pingedAt = 0;
  private refusals = 0;
  private attempts = 0;
  private snapshotAt = 0;
  private snapshotAgain = false;
  private view: View = { area: null, phases: null };
  private subscription = 0;
  private loading: AbortController | null = null;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private ticking: ReturnType<typeof setInterval> | undefined;

  constructor(options: LinkOptions) {
    this.options = options;
    this.heardAt = Date.now();
  }

  start(): void {
    this.ticking = setInterval(() => this.tick(), 1_000);
    this.connect();
  }

  /** Stop for good. */
  stop(): void {
    clearInterval(this.ticking);
    this.letGo();
  }

  /** Try again at once, after a hint that the network is back. */
  hurry(): void {
    if (this.socket || this.ticking === undefined) return;
    clearTimeout(this.retry);
    this.connect();
  }

  /** The network is known to be gone: do not wait for the silence to grow long. */
  lose(): void {
    if (this.socket) this.reconnectLater();
  }

  /** Ping, and give up on a connection from which nothing came. Also worth a call when the page wakes up. */
  tick(): void {
    if (!this.socket) return;
    const now = Date.now();
    if (!this.greeted) {
      if (now - this.connectedAt >= HELLO_WITHIN) this.reconnectLater();
      return;
    }
    // A sleeping page sends no pings, so silence counts only once a ping has stayed unanswered.
    const unanswered = this.pingedAt > this.heardAt && now - this.pingedAt >= ANSWER_WITHIN;
    if (now - this.heardAt >= SILENCE && unanswered) {
      this.reconnectLater();
    } else if (now - this.pingedAt >= PING_EVERY) {
      this.pingedAt = now;
      this.socket.send('{"type":"ping"}');
    }
    if (this.state === 'live' && now - this.snapshotAt >= SNAPSHOT_EVERY) this.takeSnapshot();
  }

  /** From now on show what is in this view: subscribe first, then fetch, so that nothing falls between. */
  look(view: View): void {
    if (JSON.stringify(view) === JSON.stringify(this.view)) return;
    this.view = view;
    if (this.greeted) this.subscribe();
  }

  private subscribe(): void {
    this.subscription += 1;
    this.socket?.send(JSON.stringify({ type: 'subscribe', id: this.subscription, ...this.view }));
  }

  private connect(): void {
    this.greeted = false;
    this.connectedAt = Date.now();
    const socket = this.options.openSocket();
    this.socket = socket;
    socket.onmessage = (event) => this.hear(JSON.parse(String(event.data)) as Message);
    socket.onclose = (event) => this.closed(event.code);
  }

  private hear(message: Message): void {
    this.heardAt = Date.now();
    if (message.type === 'hello') {
      this.greeted = true;
      this.pingedAt = this.heardAt;
      this.refusals = 0;
      this.options.onServerTime(Date.parse(message.server_time));
      if (this.options.onWorkers) this.socket?.send('{"type":"watch_workers"}');
      if (this.view.area || this.view.phases) this.subscribe();
      else this.takeSnapshot();
    } else if (message.type === 'refetch' || (message.type === 'subscribed' && message.id === this.subscription)) {
      this.takeSnapshot();
    } else if (message.type === 'counts') {
      this.options.onCounts(message);
    } else if (message.type === 'notice') {
      this.options.onNotice(message.text);
    } else if (message.type === 'workers') {
      this.options.onWorkers?.(message);
    } else if (message.type === 'events' || message.type === 'gone') {
      this.options.onChange(this.options.ledger.hear(message, this.now()), 'frame');
    }
  }

  private takeSnapshot(): void {
    if (this.loading) {
      // What is on its way may be older than the reason for this call.
      this.snapshotAgain = true;
      return;
    }
    const loading = new AbortController();
    this.loading = loading;
    this.snapshotAgain = false;
    this.snapshotAt = Date.now();
    this.options.ledger.expectSnapshot();
    this.options.loadSnapshot(this.view, loading.signal).then(
      (snapshot) => {
        if (loading.signal.aborted) return;
        this.loading = null;
        this.attempts = 0;
        this.truncated = snapshot.truncated;
        this.options.onChange(this.options.ledger.replace(snapshot.events, this.now()), 'snapshot');
        this.become('live');
        if (this.snapshotAgain) this.takeSnapshot();
      },
      () => {
        if (loading.signal.aborted) return;
        this.reconnectLater();
      },
    );
  }

  private closed(code: number): void {
    const refusal = REFUSALS.get(code);
    if (refusal) {
      this.stop();
      this.ticking = undefined;
      this.become('stale');
      this.options.onRefused(refusal);
      return;
    }
    if (!this.greeted && ++this.refusals % 2 === 0) void this.options.checkSession().catch(() => undefined);
    this.reconnectLater();
  }

  private reconnectLater(): void {
    this.letGo();
    if (this.state === 'live') this.become('stale');
    const longest = Math.min(FIRST_WAIT * 2 ** this.attempts++, LONGEST_WAIT);
    // Half of it by chance, so that a restarted server is not met by every desk at once.
    this.retry = setTimeout(() => this.connect(), longest * (0.5 + Math.random() / 2));
  }

  private letGo(): void {
    clearTimeout(this.retry);
    this.loading?.abort();
    this.loading = null;
    if (!this.socket) return;
    this.socket.onmessage = null;
    this.socket.onclose = null;
    this.socket.close();
    this.socket = null;
  }

  private become(state: LinkState): void {
    if (state === this.state) return;
    this.state = state;
    this.options.onState(state);
  }

  private now(): number {
    return this.options.now?.() ?? Date.now();
  }
}
