import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Message, Snapshot, View } from '../src/contract';
import { Ledger } from '../src/live/ledger';
import { Link, type LinkState, type Socket } from '../src/live/link';
import { frame, NOW } from './frames';

/** A socket whose other end is the test. */
class Wire implements Socket {
  onmessage: Socket['onmessage'] = null;
  onclose: Socket['onclose'] = null;
  sent: string[] = [];
  closed = false;

  send(data: string): void {
    this.sent.push(data);
  }

  close(): void {
    this.closed = true;
  }

  say(message: Message): void {
    this.onmessage?.call(this as unknown as WebSocket, { data: JSON.stringify(message) } as MessageEvent);
  }

  hello(): void {
    this.say({ type: 'hello', server_time: '2026-11-23T02:00:00Z' });
  }

  end(code: number): void {
    this.onclose?.call(this as unknown as WebSocket, { code } as CloseEvent);
  }
}

let wires: Wire[];
let snapshots: { view: View; resolve: (snapshot: Snapshot) => void; reject: (error: Error) => void; signal: AbortSignal }[];
let states: LinkState[];
let refusals: string[];
let notices: string[];
let ledger: Ledger;
let link: Link;
const checkSession = vi.fn(() => Promise.resolve());

const wire = (): Wire => wires[wires.length - 1] as Wire;
const answer = async (...events: Snapshot['events']): Promise<void> => {
  snapshots[snapshots.length - 1]?.resolve({ truncated: false, events });
  await vi.advanceTimersByTimeAsync(0);
};

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
  [wires, snapshots, states, refusals, notices, ledger] = [[], [], [], [], [], new Ledger()];
  checkSession.mockClear();
  link = new Link({
    ledger,
    openSocket: () => {
      wires.push(new Wire());
      return wire();
    },
    loadSnapshot: (view, signal) => new Promise((resolve, reject) => snapshots.push({ view, resolve, reject, signal })),
    checkSession,
    onChange: () => undefined,
    onState: (state) => states.push(state),
    onServerTime: () => undefined,
    onCounts: () => undefined,
    onNotice: (text) => notices.push(text),
    onRefused: (why) => refusals.push(why),
  });
  link.start();
});

afterEach(() => {
  link.stop();
  vi.useRealTimers();
});

async function goLive(): Promise<void> {
  wire().hello();
  await answer(frame('1'));
}

describe('connecting', () => {
  it('waits for hello before it asks for the snapshot, and is live once that is there', async () => {
    expect(snapshots).toHaveLength(0);
    wire().hello();
    expect(snapshots).toHaveLength(1);
    expect(link.state).toBe('connecting');
    wire().say({ type: 'events', events: [frame('2', 7)] });

    await answer(frame('1'), frame('2', 6));

    expect(link.state).toBe('live');
    expect(ledger.held.get('2')?.version).toBe(7);
  });

  it('gives up a handshake that hangs', async () => {
    await vi.advanceTimersByTimeAsync(10_500);
    expect(wires[0]?.closed).toBe(true);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(wires).toHaveLength(2);
  });

  it('starts over when the snapshot fails', async () => {
    wire().hello();
    snapshots[0]?.reject(new Error('502'));
    await vi.advanceTimersByTimeAsync(600);
    expect(wires).toHaveLength(2);
    await goLive();
    expect(states).toEqual(['live']);
  });

  it('asks whether the login still holds when the socket is refused again and again', async () => {
    wire().end(1006);
    expect(checkSession).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(600);
    wire().end(1006);
    expect(checkSession).toHaveBeenCalledOnce();
  });
});

describe('heartbeat', () => {
  it('pings every ten seconds and stays live while answered', async () => {
    await goLive();
    for (let minute = 0; minute < 6; minute += 1) {
      await vi.advanceTimersByTimeAsync(10_000);
      wire().say({ type: 'pong' });
    }
    expect(wires).toHaveLength(1);
    expect(wire().sent).toEqual(Array<string>(6).fill('{"type":"ping"}'));
    expect(states).toEqual(['live']);
  });

  it('calls a network that went silent stale after 25 seconds, and connects anew', async () => {
    await goLive();
    await vi.advanceTimersByTimeAsync(24_900);
    expect(link.state).toBe('live');
    await vi.advanceTimersByTimeAsync(1_100);
    expect(link.state).toBe('stale');
    expect(wires[0]?.closed).toBe(true);

    await vi.advanceTimersByTimeAsync(600);
    wire().hello();
    expect(link.state).toBe('stale');
    await answer(frame('1'));
    expect(states).toEqual(['live', 'stale', 'live']);
  });

  it('does not take its own sleep for a dead network', async () => {
    await goLive();
    vi.setSystemTime(NOW + 120_000);
    link.tick();
    expect(wires).toHaveLength(1);
    expect(wire().sent).toHaveLength(1);
    wire().say({ type: 'pong' });
    await vi.advanceTimersByTimeAsync(6_000);
    expect(wires).toHaveLength(1);
    expect(link.state).toBe('live');
  });
});

describe('reconnecting', () => {
  it('waits longer each time, at most ten seconds', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(0.999_999);
    await goLive();
    const waits: number[] = [];
    for (let attempt = 0; attempt < 7; attempt += 1) {
      const [count, from] = [wires.length, Date.now()];
      wire().end(1006);
      while (wires.length === count) await vi.advanceTimersByTimeAsync(100);
      waits.push(Date.now() - from);
    }
    expect(waits).toEqual([500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
    vi.restoreAllMocks();
  });

  it('ignores the snapshot of a lost connection', async () => {
    wire().hello();
    wire().end(1006);
    expect(snapshots[0]?.signal.aborted).toBe(true);
    await answer(frame('1'));
    expect(ledger.held.size).toBe(0);
    expect(link.state).toBe('connecting');
  });

  it('hurries when the network is said to be back', async () => {
    await goLive();
    link.lose();
    expect(link.state).toBe('stale');
    link.hurry();
    expect(wires).toHaveLength(2);
  });

  it.each([
    [4401, 'login'],
    [4403, 'permission'],
    [4429, 'windows'],
  ])('stops for good on close code %i', async (code, why) => {
    await goLive();
    wire().end(code);
    await vi.advanceTimersByTimeAsync(60_000);
    link.hurry();
    expect(wires).toHaveLength(1);
    expect(refusals).toEqual([why]);
    expect(link.state).toBe('stale');
  });
});

describe('refetch', () => {
  it('takes a snapshot; one asked for during another follows it', async () => {
    await goLive();
    wire().say({ type: 'refetch' });
    wire().say({ type: 'refetch' });
    wire().say({ type: 'refetch' });
    expect(snapshots).toHaveLength(2);
    await answer(frame('1'));
    expect(snapshots).toHaveLength(3);
    await answer(frame('5'));
    expect(snapshots).toHaveLength(3);
    expect([...ledger.held.keys()]).toEqual(['5']);
  });
});

describe('looking', () => {
  const part: View = { area: [109.9, 40.6, 110, 40.7], phases: ['intake'] };

  it('subscribes first and fetches what it subscribed to', async () => {
    await goLive();
    link.look(part);
    expect(wire().sent).toEqual([JSON.stringify({ type: 'subscribe', id: 1, ...part })]);
    expect(snapshots).toHaveLength(1);
    wire().say({ type: 'subscribed', id: 1 });
    expect(snapshots[1]?.view).toEqual(part);
    await answer(frame('2'));
    expect([...ledger.held.keys()]).toEqual(['2']);
  });

  it('asks for the same view once, and answers to an older one change nothing', async () => {
    await goLive();
    link.look(part);
    link.look({ ...part });
    link.look({ area: null, phases: ['dispatch'] });
    expect(wire().sent).toHaveLength(2);
    wire().say({ type: 'subscribed', id: 1 });
    expect(snapshots).toHaveLength(1);
  });

  it('keeps its view when it connects anew', async () => {
    await goLive();
    link.look(part);
    wire().end(4409);
    await vi.advanceTimersByTimeAsync(600);
    wire().hello();
    expect(wire().sent).toEqual([JSON.stringify({ type: 'subscribe', id: 2, ...part })]);
    wire().say({ type: 'subscribed', id: 2 });
    expect(snapshots[1]?.view).toEqual(part);
  });

  it('passes a notice on', async () => {
    await goLive();
    wire().say({ type: 'notice', text: '系统即将重启' });
    expect(notices).toEqual(['系统即将重启']);
  });
});
