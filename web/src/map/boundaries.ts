import type { Coordinate } from 'ol/coordinate';
import type Feature from 'ol/Feature';
import type { FeatureLike } from 'ol/Feature';
import GeoJSON from 'ol/format/GeoJSON';
import MVT from 'ol/format/MVT';
import type Geometry from 'ol/geom/Geometry';
import MultiPolygon from 'ol/geom/MultiPolygon';
import Polygon from 'ol/geom/Polygon';
import VectorLayer from 'ol/layer/Vector';
import VectorTileLayer from 'ol/layer/VectorTile';
import type Map from 'ol/Map';
import { toLonLat } from 'ol/proj';
import VectorSource from 'ol/source/Vector';
import VectorTileSource from 'ol/source/VectorTile';
import { Fill, Stroke, Style, Text } from 'ol/style';
import { loadCell, loadGrid } from '../api';
import { language } from '../i18n';
import { labelOf } from './label';
import { palette } from './palette';

export const LEVELS: readonly number[] = [1, 2, 3, 4, 5, 6];
/** The many small ones come as tiles, where they are looked at; the few large ones whole, once. */
const TILED: Record<number, string> = { 4: 'communities', 5: 'party-groups', 6: 'cells' };
/** Finer ones are drawn from tiles of this zoom, whose units are 15 cm. */
const FINEST_TILE = 16;
const GEOJSON = new GeoJSON({ dataProjection: 'EPSG:4326', featureProjection: 'EPSG:3857' });

interface LevelLook {
  width: number;
  dash?: number[];
  /** Shown from this zoom on unless the operator decides otherwise; never, when undefined. */
  fromZoom?: number;
  labelsFromZoom: number;
  font: string;
}

const FAMILY = '"Noto Sans CJK SC", "Microsoft YaHei", "WenQuanYi Micro Hei", system-ui, sans-serif';
const LOOKS: Record<number, LevelLook> = {
  1: { width: 3.5, fromZoom: 0, labelsFromZoom: Infinity, font: '' },
  2: { width: 2.6, dash: [12, 6], labelsFromZoom: 0, font: `600 13px ${FAMILY}` },
  3: { width: 1.9, fromZoom: 0, labelsFromZoom: 0, font: `600 14px ${FAMILY}` },
  4: { width: 1, fromZoom: 12.2, labelsFromZoom: 13, font: `12px ${FAMILY}` },
  5: { width: 1, dash: [2, 3], fromZoom: 14.2, labelsFromZoom: 14.8, font: `11px ${FAMILY}` },
  6: { width: 0.8, fromZoom: 14.8, labelsFromZoom: 16, font: `11px ${FAMILY}` },
};

/** The five levels and the cells: lines, labels, and which of them are shown. */
export class Boundaries {
  private readonly map: Map;
  private readonly onVisibility: () => void;
  private readonly sources: Record<number, VectorSource> = {};
  private readonly lines: Record<number, VectorLayer> = {};
  private readonly tiles: Record<number, VectorTileLayer> = {};
  private readonly labels: Record<number, VectorLayer> = {};
  private readonly chosen: Record<number, boolean> = {};
  private readonly loads: Record<number, Promise<void>> = {};
  private middlesLoad: Promise<ReadonlyMap<string, Coordinate>> | undefined;
  private readonly land: VectorLayer;
  private readonly marked = new VectorSource();

  constructor(map: Map, district: string, onVisibility: () => void) {
    this.map = map;
    this.onVisibility = onVisibility;
    for (const level of LEVELS) {
      const tiled = TILED[level];
      if (tiled) this.addTiles(level, `/tiles/${district}/${tiled}/{z}/{x}/{y}`);
      else this.addLevel(level);
    }
    // The district as an area lies below all lines, its outline above them.
    this.land = new VectorLayer({ source: this.sources[1] as VectorSource, zIndex: 0 });
    map.addLayer(this.land);
    this.fillLand();
    map.addLayer(
      new VectorLayer({
        source: this.marked,
        zIndex: 8,
        style: () =>
          new Style({
            stroke: new Stroke({ color: palette().phase.intake, width: 2.5 }),
            fill: new Fill({ color: palette().chosen }),
          }),
      }),
    );
    map.getView().on('change:resolution', () => this.update());
    this.update();
  }

  /** The lines of a level come once, when they are first wanted; a failed load is tried again on the next wish. */
  load(level: number): Promise<void> {
    this.loads[level] ??= loadGrid(String(level)).then(
      (collection) => this.sources[level]?.addFeatures(GEOJSON.readFeatures(collection)),
      (error: unknown) => {
        delete this.loads[level];
        throw error;
      },
    );
    return this.loads[level];
  }

  visible(level: number): boolean {
    return this.chosen[level] ?? this.zoom() >= (LOOKS[level]?.fromZoom ?? Infinity);
  }

  /** The operator decides; from then on the zoom no longer does. */
  toggle(level: number): void {
    this.chosen[level] = !this.visible(level);
    this.update();
  }

  /** The middle of every cell by its code; all cells come whole for that, once. */
  middles(): Promise<ReadonlyMap<string, Coordinate>> {
    this.middlesLoad ??= loadGrid('cells').then(
      (collection) =>
        new globalThis.Map(
          GEOJSON.readFeatures(collection).flatMap((cell) => {
            const area = cell.getGeometry();
            return area instanceof Polygon ? [[String(cell.getId()), area.getInteriorPoint().getCoordinates().slice(0, 2)]] : [];
          }),
        ),
      (error: unknown) => {
        this.middlesLoad = undefined;
        throw error;
      },
    );
    return this.middlesLoad;
  }

  /** The cell whole, with its organisations as `levels`: a tile may hold a part of it only. */
  async cell(code: string): Promise<Feature<Geometry> | undefined> {
    return GEOJSON.readFeatures(await loadCell(code))[0];
  }

  /** A place inside a cell (longitude, latitude), whatever its form. */
  placeIn(cell: Feature<Geometry>): [number, number] | null {
    const area = cell.getGeometry();
    return area instanceof Polygon ? (toLonLat(area.getInteriorPoint().getCoordinates()).slice(0, 2) as [number, number]) : null;
  }

  /** Mark one cell, or none. */
  mark(cell: Feature<Geometry> | undefined): void {
    this.marked.clear();
    if (cell) this.marked.addFeature(cell);
  }

  /** Draw anew after the colour scheme changed. */
  restyle(): void {
    for (const level of LEVELS) this.setStyles(level);
    this.fillLand();
    this.marked.changed();
    this.onVisibility();
  }

  private zoom(): number {
    return this.map.getView().getZoom() ?? 0;
  }

  private addLevel(level: number): void {
    const source = new VectorSource();
    const lines = new VectorLayer({ source, zIndex: 7 - level, visible: false });
    const labels = new VectorLayer({ source, zIndex: 20 - level, visible: false, declutter: 'names' });
    this.sources[level] = source;
    this.lines[level] = lines;
    this.labels[level] = labels;
    this.setStyles(level);
    this.map.addLayer(lines);
    this.map.addLayer(labels);
  }

  private addTiles(level: number, url: string): void {
    const source = new VectorTileSource({ format: new MVT(), url, maxZoom: FINEST_TILE });
    // Each name is a point of the tile it lies in, so none is written twice. Drawn as vectors, since pictures blur.
    const layer = new VectorTileLayer({ source, zIndex: 7 - level, visible: false, declutter: 'names', renderMode: 'vector' });
    this.tiles[level] = layer;
    this.setStyles(level);
    this.map.addLayer(layer);
  }

  private setStyles(level: number): void {
    const look = LOOKS[level];
    if (!look) return;
    const colours = palette();
    const stroke = new Stroke({
      color: colours.line[level] ?? colours.ink,
      width: look.width,
      ...(look.dash ? { lineDash: look.dash } : {}),
      lineJoin: 'round',
    });
    const line = new Style(level === 2 ? { stroke, fill: new Fill({ color: colours.group }) } : { stroke });
    const text = new Text({
      font: look.font,
      overflow: true,
      fill: new Fill({ color: level === 2 ? (colours.line[2] ?? colours.label) : colours.label }),
      stroke: new Stroke({ color: colours.paper, width: 3 }),
    });
    const label = new Style({ text });
    const named = (feature: FeatureLike): Style => {
      text.setText(labelOf(feature, level, language));
      return label;
    };
    this.lines[level]?.setStyle(line);
    this.labels[level]?.setStyle(named);
    this.tiles[level]?.setStyle((feature) => {
      if (feature.get('layer') !== 'labels') return line;
      return this.zoom() >= look.labelsFromZoom ? named(feature) : undefined;
    });
    if (this.labels[level]) label.setGeometry(largestPart);
  }

  private fillLand(): void {
    this.land.setStyle(new Style({ fill: new Fill({ color: palette().paper }) }));
  }

  private update(): void {
    for (const level of LEVELS) {
      const visible = this.visible(level);
      const labels = visible && this.zoom() >= (LOOKS[level]?.labelsFromZoom ?? Infinity);
      if (visible && this.sources[level] && this.loads[level] === undefined) void this.load(level).catch(() => undefined);
      this.lines[level]?.setVisible(visible);
      this.tiles[level]?.setVisible(visible);
      this.labels[level]?.setVisible(labels);
    }
    this.onVisibility();
  }
}

function largestPart(feature: FeatureLike): Geometry | undefined {
  const geometry = feature.getGeometry();
  if (geometry instanceof Polygon) return geometry.getInteriorPoint();
  if (!(geometry instanceof MultiPolygon)) return undefined;
  const parts = geometry.getPolygons();
  const largest = parts.reduce((best, part) => (part.getArea() > best.getArea() ? part : best));
  return largest.getInteriorPoint();
}
