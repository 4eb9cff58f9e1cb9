import type { Frame } from '../src/contract';

export const NOW = Date.parse('2026-11-23T02:00:00Z');

export function frame(id: string, version = 1, more: Partial<Frame> = {}): Frame {
  return {
    id,
    number: `2026112300000${id}`,
    version,
    status: 'located',
    phase: 'intake',
    light: 'none',
    point: [109.9, 40.65],
    class: { code: '0103', name: '暴露垃圾' },
    kind: 'event',
    cell: '150204001021003',
    street: '先锋道街道',
    community: '光明社区',
    in_doubt: false,
    department: null,
    handler: null,
    description: '',
    received_at: '2026-11-23T01:00:00Z',
    warn_at: null,
    due_at: null,
    updated_at: '2026-11-23T01:00:00Z',
    ...more,
  };
}
