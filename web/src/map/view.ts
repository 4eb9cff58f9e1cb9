import 'ol/ol.css';
import { defaults as defaultControls } from 'ol/control/defaults';
import ScaleLine from 'ol/control/ScaleLine';
import { buffer, containsCoordinate, containsExtent, getArea, getWidth } from 'ol/extent';
import { defaults as defaultInteractions } from 'ol/interaction/defaults';
import OlMap from 'ol/Map';
import Overlay from 'ol/Overlay';
import { fromLonLat, toLonLat, transformExtent } from 'ol/proj';
import View from 'ol/View';
import type { Frame, Session, View as Subscribed } from '../contract';
import { t } from '../i18n';
import type { Change } from '../live/ledger';
import { el } from '../ui/dom';
import { Boundaries } from './boundaries';
import { ElementNumbers } from './element-counts';
import { EventMarkers } from './events';
import { darkScheme } from './palette';
import { StandingLayers } from './standing';
import { TrackLayer, WorkerLayer } from './workers';

type View4 = NonNullable<Subscribed['area']>;

const calm = matchMedia('(prefers-reduced-motion: reduce)');
const PULSE = 3_000;
const MOST_PULSES = 12;
const CLOSE_ENOUGH = 13.5;

export interface MapCallbacks {
  onEvent: (id: string) => void;
  onPlace: (lonLat: [number, number]) => void;
  onWorker: (id: string) => void;
  onElement: (id: string) => void;
  describeWorker: (id: string) => Node | null;
  describe: (id: string) => Node | null;
  onVisibility: () => void;
  onMove: () => void;
}

/** The map: boundaries below, events above, and what the pointer does with them. */
export class MapView {
  readonly boundaries: Boundaries;
  readonly markers: EventMarkers;
  readonly workers: WorkerLayer;
  readonly track: TrackLayer;
  readonly numbers: ElementNumbers;
  readonly standing: StandingLayers;
  private readonly map: OlMap;
  private readonly view: View;
  private readonly target: HTMLElement;
  private readonly callbacks: MapCallbacks;
  private readonly tip = el('div', { class: 'tip' });
  private readonly tipOverlay: Overlay;
  private readonly ring: Overlay;
  private readonly home: number[];
  private lastHits: string[] = [];
  private pulses = 0;
  private around: number[] | null = null;

  constructor(target: HTMLElement, district: Session['district'], callbacks: MapCallbacks) {
    this.target = target;
    this.callbacks = callbacks;
    this.home = transformExtent(district.bbox, 'EPSG:4326', 'EPSG:3857');
    this.view = new View({
      extent: buffer(this.home, getWidth(this.home) / 2),
      constrainOnlyCenter: true,
      maxZoom: 19,
      minZoom: 9,
      enableRotation: false,
    });
    this.tipOverlay = new Overlay({ element: this.tip, offset: [14, 14], stopEvent: false });
    this.ring = new Overlay({
      element: el('div', { class: 'selected-ring' }),
      positioning: 'center-center',
      stopEvent: false,
    });
    this.map = new OlMap({
      target,
      view: this.view,
      overlays: [this.ring, this.tipOverlay],
      // A map that can be focused would otherwise not zoom or move before it is.
      interactions: defaultInteractions({ onFocusOnly: false, altShiftDragRotate: false, pinchRotate: false }),
      controls: defaultControls({
        rotate: false,
        attribution: false,
        zoomOptions: { zoomInTipLabel: t('map.zoom_in'), zoomOutTipLabel: t('map.zoom_out') },
      }).extend([new ScaleLine()]),
    });
    this.view.fit(this.home, { padding: [24, 24, 24, 24], size: this.map.getSize() ?? [800, 600] });
    this.boundaries = new Boundaries(this.map, district.code, callbacks.onVisibility);
    this.markers = new EventMarkers(this.map);
    this.workers = new WorkerLayer(this.map);
    this.track = new TrackLayer(this.map);
    this.numbers = new ElementNumbers(this.map, this.boundaries);
    this.standing = new StandingLayers(this.map, district.code);
    this.listen();
  }

  /** Resolves when everything loaded so far is painted. */
  painted(): Promise<void> {
    return new Promise((resolve) => {
      this.map.once('rendercomplete', () => resolve());
      this.map.render();
    });
  }

  apply(change: Change, fresh: boolean): void {
    this.markers.apply(change);
    if (fresh) for (const frame of change.added) this.pulse(frame);
  }

  /**
   * The area to subscribe to, in degrees of WGS-84: what is in view with half of it on each side, so that small moves
   * need no new one; null while the whole district is in view.
   */
  area(): View4 | null {
    const seen = this.view.calculateExtent();
    if (containsExtent(seen, this.home)) this.around = null;
    else if (!this.around || !containsExtent(this.around, seen) || getArea(this.around) > 16 * getArea(seen)) {
      this.around = buffer(seen, getWidth(seen) / 2);
    }
    return this.around && (transformExtent(this.around, 'EPSG:3857', 'EPSG:4326').map((edge) => Number(edge.toFixed(5))) as View4);
  }

  showWholeDistrict(): void {
    this.view.fit(this.home, { padding: [24, 24, 24, 24], duration: calm.matches ? 0 : 250 });
  }

  /** Keep what matters clear of a panel of this width at the right edge, in pixels. */
  setCovered(right: number): void {
    this.view.padding = [0, right, 0, 0];
  }

  /** Ring an event, and with `bring` move it into view and near enough to tell where it is. */
  selectEvent(frame: Frame | null, bring: boolean): void {
    this.markers.select(frame?.id ?? null);
    const point = frame ? fromLonLat(frame.point) : undefined;
    this.ring.setPosition(point);
    if (!point) return;
    const zoom = this.view.getZoom() ?? 0;
    const far = bring && zoom < CLOSE_ENOUGH;
    if (!far && containsCoordinate(this.clearExtent(), point)) return;
    this.view.animate({ center: point, ...(far ? { zoom: CLOSE_ENOUGH } : {}), duration: calm.matches ? 0 : 300 });
  }

  /** Words at a place, until the pointer moves on. */
  tell(lonLat: [number, number], words: Node): void {
    this.tip.replaceChildren(words);
    this.tipOverlay.setPosition(fromLonLat(lonLat));
  }

  /** Where a marker is painted, in CSS pixels of the browser's viewport. */
  pixelOf(id: string): [number, number] | null {
    return this.onPage(this.markers.pixelOf(id) ?? this.workers.pixelOf(id));
  }

  /** Where a place is, likewise. */
  pixelAt(lonLat: [number, number]): [number, number] | null {
    return this.onPage(this.map.getPixelFromCoordinate(fromLonLat(lonLat)));
  }

  private onPage(pixel: number[] | null): [number, number] | null {
    const frame = this.target.getBoundingClientRect();
    return pixel && [Math.round((pixel[0] ?? 0) + frame.left), Math.round((pixel[1] ?? 0) + frame.top)];
  }

  /** What is in view, without the covered part and a margin. */
  private clearExtent(): number[] {
    return buffer(this.view.calculateExtent(), -40 * (this.view.getResolution() ?? 0));
  }

  private listen(): void {
    this.map.on('click', (event) => {
      const hits = this.markers.at(event.pixel);
      const events = hits.flatMap((hit) => ('event' in hit ? [hit.event] : []));
      const [nearest] = hits;
      if (nearest && 'crowd' in nearest) {
        const area = buffer(nearest.crowd, getWidth(nearest.crowd) / 10 + 50);
        this.view.fit(area, { maxZoom: 14.5, duration: calm.matches ? 0 : 300 });
      } else if (events.length) {
        this.callbacks.onEvent(this.next(events));
      } else {
        const worker = this.workers.at(event.pixel);
        const element = worker ? null : this.standing.at(event.pixel);
        if (worker) this.callbacks.onWorker(worker);
        else if (element) this.callbacks.onElement(element);
        else this.callbacks.onPlace(toLonLat(event.coordinate) as [number, number]);
      }
    });
    this.map.on('moveend', () => this.callbacks.onMove());
    this.map.on('pointermove', (event) => {
      const hit = event.dragging ? undefined : this.markers.at(event.pixel)[0];
      const worker = hit || event.dragging ? null : this.workers.at(event.pixel);
      this.target.classList.toggle('over-marker', hit !== undefined || worker !== null);
      const words = hit && 'event' in hit ? this.callbacks.describe(hit.event) : worker ? this.callbacks.describeWorker(worker) : null;
      this.tipOverlay.setPosition(words ? event.coordinate : undefined);
      if (words) this.tip.replaceChildren(words);
    });
    this.target.addEventListener('mouseleave', () => this.tipOverlay.setPosition(undefined));
    darkScheme.addEventListener('change', () => {
      this.boundaries.restyle();
      this.markers.restyle();
      this.workers.restyle();
    });
  }

  /** Events on the same spot take turns when it is clicked again. */
  private next(events: string[]): string {
    const sorted = [...events].sort();
    const again = sorted.join() === [...this.lastHits].sort().join();
    this.lastHits = again ? [...this.lastHits.slice(1), ...this.lastHits.slice(0, 1)] : events;
    return this.lastHits[0] ?? '';
  }

  private pulse(frame: Frame): void {
    if (this.pulses >= MOST_PULSES) return;
    this.pulses += 1;
    const overlay = new Overlay({
      element: el('div', { class: `pulse light-${frame.light}` }),
      position: fromLonLat(frame.point),
      positioning: 'center-center',
      stopEvent: false,
    });
    this.map.addOverlay(overlay);
    setTimeout(() => {
      this.map.removeOverlay(overlay);
      this.pulses -= 1;
    }, PULSE);
  }
}
