/** The consumer protocol, bytes <-> messages: CBOR over WebSocket, as docs/protocol.md describes it. */
export { decodeClientMessage, type EncodeOptions, encodeClientMessage } from './client-messages.ts';
export {
  encodeReserved,
  PreparedSubmission,
  prepareSubmission,
  type ReservedItem,
  reservedItemSizeMax,
} from './reserved.ts';
export { decodeServerMessage, encodeServerMessage } from './server-messages.ts';
export { StrategyRefusedError, UnknownStrategyError } from './strategy.ts';
