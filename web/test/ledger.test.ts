import { describe, expect, it } from 'vitest';
import { Ledger, lightAt } from '../src/live/ledger';
import { frame, NOW } from './frames';

const versions = (ledger: Ledger): Record<string, number> =>
  Object.fromEntries([...ledger.held].map(([id, held]) => [id, held.version]));

describe('frames', () => {
  it('adds what is absent and takes only newer versions', () => {
    const ledger = new Ledger();
    expect(ledger.hear({ type: 'events', events: [frame('1', 2)] }, NOW).added).toHaveLength(1);
    expect(ledger.hear({ type: 'events', events: [frame('1', 3, { status: 'accepted' })] }, NOW).updated).toHaveLength(1);

    const late = ledger.hear({ type: 'events', events: [frame('1', 2), frame('1', 3)] }, NOW);

    expect(late).toEqual({ added: [], updated: [], removed: [] });
    expect(ledger.held.get('1')?.status).toBe('accepted');
  });

  it('drops what is gone, once', () => {
    const ledger = new Ledger();
    ledger.hear({ type: 'events', events: [frame('1')] }, NOW);
    expect(ledger.hear({ type: 'gone', ids: ['1', '2'] }, NOW).removed).toEqual(['1']);
    expect(ledger.hear({ type: 'gone', ids: ['1'] }, NOW).removed).toEqual([]);
  });
});

describe('a snapshot', () => {
  it('yields to frames that overtook it and outranks those it contains', () => {
    const ledger = new Ledger();
    ledger.expectSnapshot();
    ledger.hear({ type: 'events', events: [frame('1', 5), frame('2', 1), frame('3', 1)] }, NOW);

    ledger.replace([frame('1', 4), frame('2', 3)], NOW);

    expect(versions(ledger)).toEqual({ 1: 5, 2: 3, 3: 1 });
  });

  it('does not bring back what left while it was loading', () => {
    const ledger = new Ledger();
    ledger.expectSnapshot();
    ledger.hear({ type: 'gone', ids: ['1'] }, NOW);
    expect(ledger.replace([frame('1'), frame('2')], NOW).added.map(({ id }) => id)).toEqual(['2']);
  });

  it('removes what disappeared during an outage and reports only differences', () => {
    const ledger = new Ledger();
    ledger.expectSnapshot();
    ledger.replace([frame('1'), frame('2'), frame('3')], NOW);
    ledger.expectSnapshot();

    const change = ledger.replace([frame('2'), frame('3', 2), frame('4')], NOW);

    expect(change.added.map(({ id }) => id)).toEqual(['4']);
    expect(change.updated.map(({ id }) => id)).toEqual(['3']);
    expect(change.removed).toEqual(['1']);
  });

  it('is the truth even when versions went back, as after a restored backup', () => {
    const ledger = new Ledger();
    ledger.hear({ type: 'events', events: [frame('1', 9)] }, NOW);
    ledger.expectSnapshot();
    ledger.replace([frame('1', 4)], NOW);
    expect(versions(ledger)).toEqual({ 1: 4 });
  });

  it('applies kept frames only to the snapshot they were kept for', () => {
    const ledger = new Ledger();
    ledger.expectSnapshot();
    ledger.hear({ type: 'events', events: [frame('1', 2)] }, NOW);
    ledger.expectSnapshot();
    ledger.replace([], NOW);
    expect(versions(ledger)).toEqual({});
  });
});

describe('lights', () => {
  const timed = frame('1', 1, {
    phase: 'handling',
    light: 'green',
    warn_at: '2026-11-23T01:30:00Z',
    due_at: '2026-11-23T02:00:00Z',
  });

  it('turn with time, without a new version', () => {
    const ledger = new Ledger();
    ledger.hear({ type: 'events', events: [timed] }, Date.parse('2026-11-23T01:30:00Z'));
    expect(ledger.held.get('1')?.light).toBe('green');
    expect(ledger.turnLights(Date.parse('2026-11-23T01:30:01Z')).updated[0]?.light).toBe('yellow');
    expect(ledger.turnLights(NOW).updated).toEqual([]);
    expect(ledger.turnLights(NOW + 1).updated[0]?.light).toBe('red');
  });

  it('go out when the event has ended', () => {
    expect(lightAt({ ...timed, phase: 'closed' }, NOW + 1)).toBe('none');
  });

  it('are the server’s where no clock runs', () => {
    expect(lightAt({ ...timed, due_at: null, light: 'yellow' }, NOW)).toBe('yellow');
  });
});
