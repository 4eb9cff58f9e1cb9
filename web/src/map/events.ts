import Feature from 'ol/Feature';
import { buffer, createEmpty, extend, type Extent } from 'ol/extent';
import Point from 'ol/geom/Point';
import VectorLayer from 'ol/layer/Vector';
import type Map from 'ol/Map';
import { fromLonLat } from 'ol/proj';
import Cluster from 'ol/source/Cluster';
import VectorSource from 'ol/source/Vector';
import { Circle, Fill, Icon, Stroke, Style, Text } from 'ol/style';
import type { Frame, Light, Phase } from '../contract';
import type { Change } from '../live/ledger';
import { markerCanvas } from './marker';
import { palette } from './palette';

/** Above this many in view, and below that zoom, the calm ones are gathered into counts. */
const CROWD = 300;
/** Above this many overdue ones, none of them stands out any more: they are gathered too. */
const RED_CROWD = 120;
const CROWD_BELOW_ZOOM = 14;
const REACH = 14;
/** Metres per pixel above which markers are drawn smaller: the whole district is in view. */
const SMALL_ABOVE = 25;
const WEIGHT: Record<Light, number> = { none: 1, green: 2, yellow: 3, red: 4 };

type Marker = Feature<Point>;

/** What lies under the pointer. */
export type Hit = { event: string } | { crowd: Extent };

/** The events on the canvas: one marker each, or counts when there are too many to read. */
export class EventMarkers {
  private readonly map: Map;
  private readonly markers = new VectorSource<Marker>();
  private readonly layer: VectorLayer;
  private readonly crowds = new Cluster<Marker>({
    distance: 46,
    minDistance: 30,
    geometryFunction: (marker) =>
      (this.standsOut(marker) || !this.wanted(marker.get('frame') as Frame) ? null : marker.getGeometry()) as Point,
  });
  private readonly crowdLayer: VectorLayer;
  private readonly styles = new globalThis.Map<string, Style>();
  private crowded = false;
  private redCrowded = false;
  private selected: string | null = null;
  private matches: ((frame: Frame) => boolean) | null = null;
  private painted = 0;

  constructor(map: Map) {
    this.map = map;
    this.crowdLayer = new VectorLayer({ zIndex: 30, style: (crowd, resolution) => this.crowdStyle(crowd as Feature, resolution) });
    this.layer = new VectorLayer({
      source: this.markers as VectorSource,
      zIndex: 31,
      style: (marker, resolution) => this.style(marker as Marker, resolution),
    });
    this.layer.on('postrender', () => (this.painted = this.markers.getRevision()));
    map.addLayer(this.crowdLayer);
    map.addLayer(this.layer);
    map.on('moveend', () => this.gauge());
  }

  apply(change: Change): void {
    for (const id of change.removed) {
      const marker = this.markers.getFeatureById(id);
      if (marker) this.markers.removeFeature(marker as Marker);
    }
    const fresh: Marker[] = [];
    for (const frame of [...change.added, ...change.updated]) {
      const point = fromLonLat(frame.point);
      const marker = this.markers.getFeatureById(frame.id) as Marker | null;
      if (marker) {
        marker.set('frame', frame, true);
        marker.getGeometry()?.setCoordinates(point);
        marker.changed();
        marker.set('since', this.markers.getRevision(), true);
      } else {
        const added: Marker = new Feature({ geometry: new Point(point), frame });
        added.setId(frame.id);
        fresh.push(added);
      }
    }
    if (fresh.length) {
      this.markers.addFeatures(fresh);
      for (const marker of fresh) marker.set('since', this.markers.getRevision(), true);
    }
    this.gauge();
  }

  select(id: string | null): void {
    this.selected = id;
    if (this.crowded) this.crowds.refresh();
    this.layer.changed();
  }

  /** Leave out what does not match, but for the selected one; null shows all. */
  filter(matches: ((frame: Frame) => boolean) | null): void {
    this.matches = matches;
    this.layer.changed();
    this.gauge();
    if (this.crowded) this.crowds.refresh();
  }

  restyle(): void {
    this.styles.clear();
    this.layer.changed();
    this.crowdLayer.changed();
  }

  /** The events and crowds near a pixel, nearest first. */
  at(pixel: number[]): Hit[] {
    const coordinate = this.map.getCoordinateFromPixel(pixel);
    const resolution = this.map.getView().getResolution();
    if (!coordinate || !resolution) return [];
    const [x = 0, y = 0] = coordinate;
    const area = buffer([x, y, x, y], REACH * resolution);
    const hits: { distance: number; hit: Hit }[] = [];
    const distance = (point: Point): number => {
      const [px = 0, py = 0] = point.getCoordinates();
      return Math.hypot(px - x, py - y);
    };
    for (const marker of this.markers.getFeaturesInExtent(area)) {
      const point = marker.getGeometry();
      if (point && this.alone(marker)) hits.push({ distance: distance(point), hit: { event: String(marker.getId()) } });
    }
    if (this.crowded) {
      for (const crowd of this.crowds.getFeaturesInExtent(area)) {
        const members = crowd.get('features') as Marker[];
        const point = crowd.getGeometry() as Point;
        const [only] = members;
        if (members.length === 1 && only) hits.push({ distance: distance(point), hit: { event: String(only.getId()) } });
        else hits.push({ distance: distance(point), hit: { crowd: around(members) } });
      }
    }
    return hits.sort((a, b) => a.distance - b.distance).map(({ hit }) => hit);
  }

  /** Where a marker is drawn, in pixels of the map; null when out of view, filtered out, in a crowd or not painted yet. */
  pixelOf(id: string): [number, number] | null {
    const marker = this.markers.getFeatureById(id) as Marker | null;
    const [width = 0, height = 0] = this.map.getSize() ?? [];
    const point = marker?.getGeometry()?.getCoordinates();
    if (!marker || !point || !this.alone(marker) || Number(marker.get('since')) > this.painted) return null;
    const [x = -1, y = -1] = this.map.getPixelFromCoordinate(point) ?? [];
    return x >= 0 && y >= 0 && x <= width && y <= height ? [x, y] : null;
  }

  private standsOut(marker: Marker): boolean {
    const frame = marker.get('frame') as Frame;
    return frame.id === this.selected || (frame.light === 'red' && !this.redCrowded && this.wanted(frame));
  }

  private wanted(frame: Frame): boolean {
    return this.matches === null || this.matches(frame);
  }

  /** Whether it has a marker of its own, being neither filtered out nor counted in a crowd. */
  private alone(marker: Marker): boolean {
    return this.standsOut(marker) || (!this.crowded && this.wanted(marker.get('frame') as Frame));
  }

  /** Decide whether there is a crowd in view. */
  private gauge(): void {
    const view = this.map.getView();
    if (!view.isDef() || !this.map.getSize()) return;
    const near = (view.getZoom() ?? 0) >= CROWD_BELOW_ZOOM;
    const extent = view.calculateExtent(this.map.getSize());
    const inView = near ? [] : this.markers.getFeaturesInExtent(extent).map((marker) => marker.get('frame') as Frame);
    const wanted = inView.filter((frame) => this.wanted(frame));
    const crowded = wanted.length > CROWD;
    const redCrowded = crowded && wanted.filter((frame) => frame.light === 'red').length > RED_CROWD;
    if (crowded === this.crowded && redCrowded === this.redCrowded) return;
    this.crowded = crowded;
    this.redCrowded = redCrowded;
    this.crowds.setSource(crowded ? this.markers : null);
    if (crowded) this.crowds.refresh();
    this.crowdLayer.setSource(crowded ? (this.crowds as VectorSource) : null);
    this.layer.changed();
  }

  private style(marker: Marker, resolution: number): Style | undefined {
    if (!this.alone(marker)) return undefined;
    const frame = marker.get('frame') as Frame;
    return this.markerStyle(frame.phase, frame.light, frame.id === this.selected, resolution);
  }

  private markerStyle(phase: Phase, light: Light, selected: boolean, resolution: number): Style {
    const size = resolution > SMALL_ABOVE ? 0.75 : 1;
    const key = `${phase} ${light} ${selected} ${size}`;
    let style = this.styles.get(key);
    if (!style) {
      const ratio = Math.max(1, window.devicePixelRatio);
      const ended = phase === 'closed' || phase === 'declined';
      style = new Style({
        image: new Icon({
          img: markerCanvas(phase, light, ratio),
          scale: size / ratio,
          opacity: ended ? 0.75 : 1,
        }),
        zIndex: selected ? 9 : ended ? 0 : WEIGHT[light],
      });
      this.styles.set(key, style);
    }
    return style;
  }

  private crowdStyle(crowd: Feature, resolution: number): Style {
    const members = crowd.get('features') as Marker[];
    const frames = members.map((marker) => marker.get('frame') as Frame);
    const [only] = frames;
    if (frames.length === 1 && only) return this.markerStyle(only.phase, only.light, false, resolution);
    const worst = (['red', 'yellow'] as const).find((light) => frames.some((frame) => frame.light === light));
    const key = `crowd ${frames.length} ${worst}`;
    let style = this.styles.get(key);
    if (!style) {
      const colours = palette();
      style = new Style({
        image: new Circle({
          radius: 11 + Math.min(9, Math.sqrt(frames.length)),
          fill: new Fill({ color: colours.halo }),
          stroke: new Stroke({ color: worst ? colours.light[worst] : (colours.line[3] ?? colours.ink), width: worst ? 3 : 2 }),
        }),
        text: new Text({ text: String(frames.length), font: '600 13px system-ui, sans-serif', fill: new Fill({ color: colours.ink }) }),
      });
      this.styles.set(key, style);
    }
    return style;
  }
}

function around(markers: Marker[]): Extent {
  const area = createEmpty();
  for (const marker of markers) {
    const point = marker.getGeometry();
    if (point) extend(area, point.getExtent());
  }
  return area;
}
