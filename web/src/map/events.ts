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
    geometryFunction: (marker) => (this.standsOut(marker) ? null : marker.getGeometry()) as Point,
  });
  private readonly crowdLayer: VectorLayer;
  private readonly styles = new globalThis.Map<string, Style>();
  private crowded = false;
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

  /** Fade what does not match; null shows all alike. */
  emphasise(matches: ((frame: Frame) => boolean) | null): void {
    this.matches = matches;
    this.layer.changed();
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
      if (point && !this.inCrowd(marker)) hits.push({ distance: distance(point), hit: { event: String(marker.getId()) } });
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

  /** Where a marker is drawn, in pixels of the map; null when out of view, in a crowd or not painted yet. */
  pixelOf(id: string): [number, number] | null {
    const marker = this.markers.getFeatureById(id) as Marker | null;
    const [width = 0, height = 0] = this.map.getSize() ?? [];
    const point = marker?.getGeometry()?.getCoordinates();
    if (!marker || !point || this.inCrowd(marker) || Number(marker.get('since')) > this.painted) return null;
    const [x = -1, y = -1] = this.map.getPixelFromCoordinate(point) ?? [];
    return x >= 0 && y >= 0 && x <= width && y <= height ? [x, y] : null;
  }

  private standsOut(marker: Marker): boolean {
    const frame = marker.get('frame') as Frame;
    return frame.light === 'red' || frame.id === this.selected || (this.matches !== null && this.matches(frame));
  }

  private inCrowd(marker: Marker): boolean {
    return this.crowded && !this.standsOut(marker);
  }

  /** Decide whether there is a crowd in view. */
  private gauge(): void {
    const view = this.map.getView();
    if (!view.isDef() || !this.map.getSize()) return;
    const near = (view.getZoom() ?? 0) >= CROWD_BELOW_ZOOM;
    const extent = view.calculateExtent(this.map.getSize());
    const crowded = !near && this.markers.getFeaturesInExtent(extent).length > CROWD;
    if (crowded === this.crowded) return;
    this.crowded = crowded;
    this.crowds.setSource(crowded ? this.markers : null);
    this.crowdLayer.setSource(crowded ? (this.crowds as VectorSource) : null);
    this.layer.changed();
  }

  private style(marker: Marker, resolution: number): Style | undefined {
    if (this.inCrowd(marker)) return undefined;
    const frame = marker.get('frame') as Frame;
    const faded = this.matches !== null && frame.id !== this.selected && !this.matches(frame);
    return this.markerStyle(frame.phase, frame.light, faded, frame.id === this.selected, resolution);
  }

  private markerStyle(phase: Phase, light: Light, faded: boolean, selected: boolean, resolution: number): Style {
    const size = resolution > SMALL_ABOVE ? 0.75 : 1;
    const key = `${phase} ${light} ${faded} ${selected} ${size}`;
    let style = this.styles.get(key);
    if (!style) {
      const ratio = Math.max(1, window.devicePixelRatio);
      const ended = phase === 'closed' || phase === 'declined';
      style = new Style({
        image: new Icon({
          img: markerCanvas(phase, light, ratio),
          scale: size / ratio,
          opacity: faded ? 0.25 : ended ? 0.75 : 1,
        }),
        zIndex: selected ? 9 : faded || ended ? 0 : WEIGHT[light],
      });
      this.styles.set(key, style);
    }
    return style;
  }

  private crowdStyle(crowd: Feature, resolution: number): Style {
    const members = crowd.get('features') as Marker[];
    const frames = members.map((marker) => marker.get('frame') as Frame);
    const [only] = frames;
    const faded = this.matches !== null;
    if (frames.length === 1 && only) return this.markerStyle(only.phase, only.light, faded, false, resolution);
    const yellow = frames.some((frame) => frame.light === 'yellow');
    const key = `crowd ${frames.length} ${yellow} ${faded}`;
    let style = this.styles.get(key);
    if (!style) {
      const colours = palette();
      style = new Style({
        image: new Circle({
          radius: 11 + Math.min(9, Math.sqrt(frames.length)),
          fill: new Fill({ color: colours.halo }),
          stroke: new Stroke({ color: yellow ? colours.light.yellow : colours.line[3] ?? colours.ink, width: yellow ? 3 : 2 }),
        }),
        text: new Text({ text: String(frames.length), font: '600 13px system-ui, sans-serif', fill: new Fill({ color: colours.ink }) }),
      });
      style.getImage()?.setOpacity(faded ? 0.4 : 0.95);
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
