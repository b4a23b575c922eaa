import type { Catalogue, Platform } from '../src/core/catalogue';
import type { EffectiveConfig, RunConfig } from '../src/core/job';

export function findPlatform(catalogue: Catalogue, reference: string, arch?: string | null): Platform;
export function effectiveConfig(request: RunConfig, catalogue: Catalogue, wallMsDefault?: number): EffectiveConfig;
export function canonical(config: EffectiveConfig): Uint8Array<ArrayBuffer>;
export function archive(request: unknown): Uint8Array<ArrayBuffer>;
export function jobDigest(request: unknown, catalogue: Catalogue, wallMsDefault?: number): Promise<string>;
