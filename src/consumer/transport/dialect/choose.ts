import type { InitMessage } from '../../../protocol/consumer/types.ts';
import { announcedInInit } from '../../../protocol/features.ts';
import type { Dialect, DialectParts } from './dialect.ts';
import { OriginalDialect } from './original.ts';
import { OwnDialect } from './own.ts';

/** By what the queue announced: one that announces less gets what every queue understands. */
export function chooseDialect(init: InitMessage, parts: DialectParts): Dialect {
  const isOurs = (['release', 'cancel_reserve', 'fail_options'] as const).every((feature) =>
    announcedInInit(init, feature),
  );
  return isOurs ? new OwnDialect(parts) : new OriginalDialect(parts);
}
